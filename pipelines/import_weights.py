"""Turn a published checkpoint into a model folder."""

from pathlib import Path

from transect.data_adapters.files import sha256
from transect.pipelines import model_folder
from transect.pipelines.find import app_class
from transect.pipelines.model_card import import_card


def import_weights(app_name: str, file: Path, out: Path) -> None:
    """Write the model folder `out` from a checkpoint that was published for this app's model.

    Raises:
        BadInput: the file cannot be read without running its code, or its tensors are not the model's.
    """
    app, module = app_class(app_name).from_published(file)
    model_folder.save(out, app_name, app, module, import_card(app_name, file, sha256(file)))
