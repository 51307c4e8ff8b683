"""Axial attention, from raw scientific data to registered models.

`load` opens a trained model and `app` the reader of a domain; both are the command line's own code. They raise
`UsageError` for wrong arguments and `BadInput` for a file that cannot be read. The attention core is `transect.core`.
Importing this package is quick: libraries load when they are needed.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transect.data_adapters.base import BadInput
    from transect.pipelines.api import Model, Reader, Settings
    from transect.pipelines.errors import UsageError

__version__ = "0.1.0"
__all__ = ["BadInput", "UsageError", "app", "load"]


def __getattr__(name: str) -> type[Exception]:
    """The exceptions, imported when they are needed."""
    if name == "BadInput":
        from transect.data_adapters.base import BadInput

        return BadInput
    if name == "UsageError":
        from transect.pipelines.errors import UsageError

        return UsageError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(model: str, settings: "Settings | None" = None, device: str = "auto") -> "Model":
    """Open a trained model.

    Args:
        model: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`; or an app, for a model of it that needs no
            training.
        settings: settings that differ from the model's, by their dotted names, such as `{"threshold": 0.6}`.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        UsageError: there is no such model or device, or a setting is wrong.

    Example::

        model = transect.load("models:/change@champion")
        model.predict("before.tif", "after.tif").save("changes/site")
        model.predict_batch("scenes", out="changes")
    """
    from transect.pipelines.api import Model

    return Model(str(model), settings or {}, device)


def app(name: str, settings: "Settings | None" = None) -> "Reader":
    """The reader of a domain's files.

    Args:
        name: such as `pde`; `transect list` names all apps.
        settings: settings that differ from the defaults, by their dotted names, such as `{"read.layout": "well"}`.

    Raises:
        UsageError: there is no such app, or a setting is wrong.

    Example::

        simulation = transect.app("pde").read("run.nc")
    """
    from transect.pipelines.api import Reader

    return Reader(name, settings or {})
