"""The settings that every app is tested with."""

from typing import Any

from transect.pipelines import config
from transect.pipelines.find import ROOT, config_class


def settings(name: str) -> Any:
    """The defaults of an app, or its `small.yaml`: where there is one, its defaults take minutes to train."""
    small = ROOT / name / "small.yaml"
    return config.load_training(name, small, [])[0] if small.is_file() else config_class(name)()
