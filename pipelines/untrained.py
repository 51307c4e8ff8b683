"""Models that have nothing to learn: an app's name and settings stand for a model folder."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transect.pipelines import config as configs
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class, state_class

if TYPE_CHECKING:
    from torch import nn

    from transect.apps.base import App


def untrained(app_name: str, overrides: Sequence[str]) -> "tuple[App[Any, Any], nn.Module, str]":
    """The app, its network and a hash of its settings, which take the place of those of a model folder's files.

    Args:
        app_name: name of the app.
        overrides: settings that differ from the app's defaults, as command line arguments.

    Raises:
        UsageError: a setting is wrong, or the network has parameters.
    """
    import torch

    app: App[Any, Any] = app_class(app_name)(configs.load(app_name, None, overrides), state_class(app_name)())
    try:
        with torch.device("meta"):
            module = app.model()
        learns = any(True for _ in module.parameters())
    except ValueError:  # its sizes are learned from data
        learns = True
    if learns:
        raise UsageError(
            f"model {app_name}: found an app whose model has to be trained, expected a model folder, models:/NAME@ALIAS"
            f" or runs:/RUN_ID/model, or settings of a model that needs no training; train one with: transect train "
            f"{app_name} --data DIR"
        )
    return app, module, hashlib.sha256(configs.to_yaml(app_name, app.config).encode()).hexdigest()
