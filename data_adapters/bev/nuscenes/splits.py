"""Which scenes of nuScenes are for training, validation and testing."""

import json
from collections.abc import Iterable
from pathlib import Path

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.bev.nuscenes.records import shortened
from transect.data_adapters.listing import SPLIT_FOLDERS
from transect.data_adapters.regular import require_regular

_MINI = {"train": "0061 0553 0655 0757 0796 1077 1094 1100", "val": "0103 0916"}

_VALIDATION = """
0003 0012-0018 0035-0036 0038-0039 0092-0110 0221 0268-0278 0329-0332 0344-0346 0519-0524 0552-0565 0625-0627 0629-0630
0632-0638 0770-0771 0775 0777-0778 0780-0784 0794-0800 0802 0904-0917 0919-0931 0962-0963 0966-0969 0971-0972 1059-1073
"""

LARGEST = 1 << 24
"""Largest size of a list of splits in bytes."""


def splits_of(folder: Path, scenes: Iterable[str]) -> dict[str, str]:
    """The split of each scene: "train", "val", "test", or "" where none is named.

    The lists come from `splits.json` in the folder where there is one, with the names of scenes by the name of a split;
    else they are those of v1.0-mini and v1.0-trainval as the devkit has them. All of v1.0-test is for testing.

    Args:
        folder: Of the version.
        scenes: Names.

    Raises:
        BadInput: `splits.json` is damaged, or has a scene in two splits.
    """
    path = folder / "splits.json"
    if path.exists():
        listed = _listed(path)
    elif folder.name == "v1.0-mini":
        listed = {scene: split for split, numbers in _MINI.items() for scene in _scenes(numbers)}
    elif folder.name == "v1.0-trainval":
        validation = set(_scenes(_VALIDATION))
        listed = {scene: "val" if scene in validation else "train" for scene in scenes}
    else:
        listed = {scene: "test" for scene in scenes if folder.name == "v1.0-test"}
    return {scene: listed.get(scene, "") for scene in scenes}


def _scenes(numbers: str) -> list[str]:
    """Names from numbers and ranges of numbers."""
    bounds = [entry.split("-") for entry in numbers.split()]
    return [f"scene-{number:04d}" for pair in bounds for number in range(int(pair[0]), int(pair[-1]) + 1)]


def _listed(path: Path) -> dict[str, str]:
    require_regular(path)
    try:
        if path.stat().st_size > LARGEST:
            raise BadInput(path, "size", f"{path.stat().st_size} bytes", f"at most {LARGEST}")
        content = json.loads(path.read_text(encoding="utf-8"))
    except BadInput:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(path, "JSON", shortened(reason(error)), "names of scenes by split") from error
    if not isinstance(content, dict):
        raise BadInput(path, "JSON", type(content).__name__, "names of scenes by split")
    listed: dict[str, str] = {}
    for name, scenes in content.items():
        if not isinstance(scenes, list) or not all(isinstance(scene, str) for scene in scenes):
            raise BadInput(path, shortened(name), shortened(scenes), "a list of names of scenes")
        split = SPLIT_FOLDERS.get(name.casefold().removeprefix("mini_"), "")
        for scene in scenes if split else ():
            if listed.setdefault(scene, split) != split:
                raise BadInput(path, shortened(scene), f"{listed[scene]} and {split}", "each scene in one split")
    return listed
