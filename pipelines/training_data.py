"""The cases and examples that a training starts from; what cannot be used is refused, before a run is opened."""

import logging
from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from transect.apps.base import App
from transect.data_adapters.base import Case, shown
from transect.pipelines.config import TrainConfig
from transect.pipelines.errors import UsageError
from transect.pipelines.splits import summary, with_splits

log = logging.getLogger("transect")


def split_cases(app: App[Any, Any], data: Sequence[str], settings: TrainConfig) -> list[Case]:
    """The cases of a data set with their splits, which are logged.

    Raises:
        UsageError: there is no training or no validation case.
    """
    listed = app.split_units(app.adapter.cases(*data))
    try:
        cases = with_splits(listed, settings.validation_share, settings.seed, settings.fold)
    except ValueError as error:
        raise UsageError(f"{' '.join(data)}: {error}") from error
    counts = {split: sum(case.split == split for case in cases) for split in ("train", "val")}
    if not all(counts.values()):
        found = f"{counts['train']} training and {counts['val']} validation cases"
        raise UsageError(f"{shown(' '.join(data), cases)}: found {found}, expected at least one of each")
    for line in summary(listed, cases, getattr(app.adapter, "unit", "cases")).splitlines():
        log.info("%s", line)
    return cases


def of_split(cases: Sequence[Case], split: str) -> list[Case]:
    """The cases of one split."""
    return [case for case in cases if case.split == split]


def examples(app: App[Any, Any], cases: Sequence[Case]) -> Dataset[Any]:
    """The training examples. The examples of validation are constructed as well, so that a fault in them is found now.

    Raises:
        BadInput: a case of either split cannot be used for training.
    """
    app.dataset(of_split(cases, "val"))
    return app.dataset(of_split(cases, "train"))
