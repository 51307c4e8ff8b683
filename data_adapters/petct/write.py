"""Write the prediction of a study: a table of its slices, a summary, and its key images."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import write_json, writing
from transect.data_adapters.petct.config import WriteConfig
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import StudyCase, TumourLabel
from transect.data_adapters.petct.summary import COLUMNS, rows, suv_facts, tumour_of

SLICES, SUMMARY, KEY_IMAGES = "slices.csv", "study.json", "key_images.dcm"


def write_scores(
    case: StudyCase, scores: SliceScores, folder: Path, source: str, config: WriteConfig
) -> dict[str, float | str]:
    """Write `slices.csv`, `study.json`, and for DICOM input with flagged slices `key_images.dcm`.

    Args:
        case: The case that was predicted; its patient is hidden in all but the DICOM object.
        scores: Of all slices.
        folder: An empty folder.
        source: Model name and version.
        config: What is written.

    Returns:
        Facts for a report.

    Raises:
        BadInput: the images of the series cannot be referred to.
        OSError: a file cannot be written.
    """
    study, flagged = scores.study, int(scores.flags.sum())
    label, notes = _label(scores)
    table = rows(scores, label)
    with writing(folder / SLICES), (folder / SLICES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    missing = "" if config.key_images else "write.key_images is false"
    missing = missing or ("" if study.pet.slices else "the study was not read from DICOM")
    missing = missing or ("" if flagged else "no slice is flagged, and a key object refers to one or more images")
    if not missing:
        from transect.data_adapters.petct.key_objects import write_key_images

        description = (
            f"{flagged} of {len(table)} slices with a probability of tumour of {scores.threshold:.3g} or more, "
            f"by {source}. Not reviewed; not a diagnosis."
        )
        write_key_images(folder / KEY_IMAGES, study.pet, scores.flags, source, description)
    tumour = None if label is None else tumour_of(study, label)
    warnings = list(dict.fromkeys([*study.pet.warnings, *(study.suv.warnings if study.suv else ()), *notes]))
    content = {
        "model": source,
        "slices": len(table),
        "flagged": flagged,
        "threshold": scores.threshold,
        "probability": scores.study_probability,
        **({} if scores.spread is None else {"probability_spread": [round(float(each), 6) for each in scores.spread]}),
        "tracer": study.tracer,
        "centre": study.centre,
        "suv": suv_facts(study.suv) or "as the file has it",
        "suv_max": float(study.pet.values.max()),
        "tumour": tumour and asdict(tumour),
        "key_images": KEY_IMAGES if not missing else f"none: {missing}",
        "image": {**study.pet.facts, **study.pet.grid.facts()},
        "left_out": {case.shown(name): why for name, why in study.left_out.items()},
        "skipped": {case.shown(name): why for name, why in study.skipped.items()},
        "warnings": warnings,
    }
    write_json(folder / SUMMARY, _shown(case, content))
    facts: dict[str, float | str] = {"flagged": flagged, "slices": len(table)}
    facts["probability"] = round(scores.study_probability, 4)
    facts |= {"mtv_ml": round(tumour.mtv_ml, 2), "tlg_g": round(tumour.tlg_g, 1)} if tumour else {}
    facts |= {"tracer": case.shown(study.tracer)} if study.tracer else {}
    return facts | ({"warnings": case.shown("; ".join(warnings))} if warnings else {})


def _label(scores: SliceScores) -> tuple[TumourLabel | None, tuple[str, ...]]:
    """The label of the study and notes about it; a prediction needs none, so one that cannot be read is a note."""
    try:
        label = scores.study.label
    except BadInput as error:
        return None, (f"the label is left out: {error}",)
    return label, label.notes if label else ()


def _shown(case: StudyCase, content: Any) -> Any:
    """The content of a JSON file without what identifies the patient."""
    if isinstance(content, str):
        return case.shown(content)
    if isinstance(content, Mapping):
        return {key: _shown(case, value) for key, value in content.items()}
    return [_shown(case, value) for value in content] if isinstance(content, Iterable) else content
