"""What is said about a model beside its weights."""

from collections.abc import Mapping
from pathlib import Path

from transect.pipelines.find import app_summary


def training_card(app: str, run_id: str, epoch: int, validation: Mapping[str, float]) -> str:
    """The card of a trained model: where it comes from and how it scored on its validation split."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in validation.items())
    return f"""# {app}

{app_summary(app)}

Trained in run `{run_id}`; weights of epoch {epoch + 1}, chosen on the validation split together with whatever
`config.yaml` says was calibrated there. The scores below picked the model and flatter it: quote a test split's.

| on validation | |
|---|---|
{rows}

`config.yaml` holds every setting that prediction uses; `model.safetensors` holds the weights.
"""


def import_card(app: str, file: Path, digest: str) -> str:
    """The card of an imported checkpoint."""
    return f"""# {app}

{app_summary(app)}

Imported from `{file.name}` (SHA-256 `{digest}`). Its licence, training data and scores are those of whoever published
it: read them there before use.
"""
