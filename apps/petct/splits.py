"""The units that training and evaluation split: patients, hospitals or single slices."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from transect.apps.petct.config import SplitConfig
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.study import StudyCase

log = logging.getLogger("transect")

PARTS = 5
"""Random parts of the slices of each study, where slices are split."""

OVERESTIMATES = (
    "split.unit slice: slices of one patient are in training and in validation. This overestimates how well the model "
    "does on new patients; compare with split.unit patient"
)


def split_units(cases: Sequence[StudyCase], config: SplitConfig) -> list[StudyCase]:
    """The studies of the chosen centre, with the group that a split must not cut.

    Test studies that the data set names stay whole in a split of slices.

    Raises:
        BadInput: no study is from the chosen centre, or a split of centres lacks that of a study.
    """
    if config.centre:
        centres = sorted({case.centre for case in cases if case.centre})
        cases = [case for case in cases if case.centre == config.centre]
        if not cases:
            raise BadInput("studies", "split.centre", config.centre, f"one of {', '.join(centres) or 'none known'}")
    if config.unit == "centre":
        if unknown := [case.id for case in cases if not case.centre]:
            expected = "a hospital or scanner of each study"
            raise BadInput(
                "studies", "centre", f"none for {', '.join(unknown[:5])}", expected, "set split.unit patient"
            )
        return [replace(case, group=case.centre) for case in cases]
    if config.unit == "slice":
        log.warning("%s", OVERESTIMATES)
        whole = [case for case in cases if case.split == "test"]
        return whole + [part for case in cases if case.split != "test" for part in _parts(case)]
    return list(cases)


def _parts(case: StudyCase) -> list[StudyCase]:
    names = [f"{case.id}-part-{number}" for number in range(PARTS)]
    return [replace(case, id=name, group=name, split="", part=(number, PARTS)) for number, name in enumerate(names)]
