"""The cards of models: what a model is and where it comes from, in Markdown."""

from collections.abc import Mapping
from pathlib import Path

from transect.data_adapters.files import sha256
from transect.pipelines.find import app_summary


def imported_card(app_name: str, file: Path) -> str:
    """The card of a model that was imported from a published checkpoint."""
    return f"""# {app_name}

{app_summary(app_name)}

Imported from `{file.name}` (SHA-256 `{sha256(file)}`). See the publisher for its licence, training data and
scores before use.
"""


def training_card(app_name: str, run_id: str, epoch: int, validation: Mapping[str, float]) -> str:
    """The card of a trained model: its run and its scores on the validation split."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in validation.items())
    return f"""# {app_name}

{app_summary(app_name)}

Trained in run `{run_id}`; weights of epoch {epoch + 1}. The epoch and the calibrated values in `state.json` were chosen
on the validation split, so the scores below are optimistic: report those of a test split.

| on validation | |
|---|---|
{rows}

`config.yaml` holds the settings, `state.json` what training learned from data, `model.safetensors` the weights.
"""
