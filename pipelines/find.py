"""Discover apps by their folders, so that a new app needs no registration."""

import ast
import importlib
from importlib.metadata import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from transect import apps, core
from transect.pipelines.errors import UsageError

ROOT = Path(apps.__file__).parent
ATTENTION = Path(core.__file__).parent / "attention"


def app_names() -> list[str]:
    """The sorted names of all apps, without importing them."""
    return sorted(path.parent.name for path in ROOT.glob("*/app.py"))


def app_summary(name: str) -> str:
    """The first line of an app's docstring, read without importing it."""
    return (ast.get_docstring(ast.parse((ROOT / name / "__init__.py").read_text())) or "").partition("\n")[0]


def mechanisms() -> dict[str, str]:
    """The mechanisms in `core/attention` with the first line of their docstrings, read without importing them."""
    summaries = {}
    for node in ast.parse((ATTENTION / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            file = ATTENTION / f"{node.module.rpartition('.')[2]}.py"
            summary = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]
            summaries.update({alias.name: summary for alias in node.names if alias.name[0].isupper()})
    return summaries


def config_class(name: str) -> type:
    """The dataclass of an app's settings; imports no torch."""
    config: type = _module(name, "config").Config
    return config


def state_class(name: str) -> type:
    """The frozen dataclass of what training an app learns from data; imports no torch."""
    state: type = _module(name, "config").State
    return state


def split_state(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Remove learned values from the `settings` of a model saved before `state.json` existed; returns them."""
    split = getattr(_module(name, "config"), "split_state", None)
    return split(settings) if split else {}


def app_class(name: str) -> type[Any]:
    """The subclass of `App` that the module `app` of an app defines.

    Raises:
        UsageError: there is no app of this name.
        TypeError: the module does not define exactly one subclass.
    """
    from transect.apps.base import App

    module = _module(name, "app")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, App) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"apps/{name}/app.py: found {len(classes)} subclasses of App, expected one")
    return classes[0]


def _module(name: str, part: str) -> ModuleType:
    if name not in app_names():
        raise UsageError(f"app: found {name!r}, expected one of {', '.join(app_names())}")
    try:
        return importlib.import_module(f"transect.apps.{name}.{part}")
    except ImportError as error:
        if not (message := missing_package(error, name)):
            raise
        raise UsageError(message) from error


def missing_package(error: ImportError, app: str = "") -> str:
    """What to install where a package of others could not be imported, in one line; "" for a module of Transect.

    Args:
        error: what the import raised.
        app: name of the app that needs it, if known.
    """
    package = (error.name or "").partition(".")[0]
    if not package or package == "transect":
        return ""
    extra = f"transect[{app}]" if app in (metadata("transect").get_all("Provides-Extra") or []) else package
    reason = " ".join(str(error).split())
    return f"{app or 'transect'}: package {package}: found none that can be imported ({reason}); pip install '{extra}'"
