"""Read and write `state.json` of a model folder: what training learned from data.

Folders of the first versions have no `state.json`: their `config.yaml` holds settings and state, and `split_state` of
the app's `config.py` separates them. A field of an app's `State` that a later version added names that version of the
file as `metadata={"since": 2}`, and has its default in earlier files.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from transect.data_adapters.files import write_json
from transect.pipelines import config as configs
from transect.pipelines.errors import UsageError
from transect.pipelines.find import split_state, state_class

VERSION = 3
LARGEST = 8 << 20
"""Maximum size of a file in bytes."""


def write_state(folder: Path, state: Any) -> None:
    """Write the state of an app into a model folder."""
    write_json(folder / "state.json", {"version": VERSION, **asdict(state)})


def read_state(folder: Path, app_name: str, settings: dict[str, Any]) -> Any:
    """The state in a model folder; that of the first versions is removed from `settings`.

    Raises:
        UsageError: there is none, it cannot be read or is incomplete, or a later version wrote it.
    """
    file = source = folder / "state.json"
    if file.exists() or file.is_symlink():
        values, version = _values(file)
        required = [field.name for field in fields(state_class(app_name)) if field.metadata.get("since", 1) <= version]
        if missing := [name for name in required if name not in values]:
            raise UsageError(f"{file}: {missing[0]}: found none, expected a value")
    else:
        source = folder / "config.yaml"
        values = split_state(app_name, settings)
        if not values and fields(state_class(app_name)):
            raise UsageError(f"{file}: found none, expected the file that was saved with the model")
    try:
        return configs.load_state(app_name, values)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def _values(file: Path) -> tuple[dict[str, Any], int]:
    """The fields and the version of a file."""
    try:
        if file.stat().st_size > LARGEST:
            raise UsageError(f"{file}: size: found {file.stat().st_size:,} bytes, expected at most {LARGEST:,}")
        values = json.loads(file.read_text(encoding="utf-8"))
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{file}: found a {type(values).__name__}, expected an object")
    version = values.pop("version", None)
    if type(version) is not int or not 1 <= version <= VERSION:
        advice = "; use a newer transect" if type(version) is int and version > VERSION else ""
        raise UsageError(f"{file}: version: found {version!r}, expected 1 to {VERSION}{advice}")
    return values, version
