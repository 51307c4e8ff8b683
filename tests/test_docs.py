"""The documentation: its commands parse, its settings exist, its examples run and its links resolve."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from transect.pipelines import config
from transect.pipelines.arguments import parse
from transect.pipelines.find import app_names

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    line.partition("#")[0].strip()
    for document in DOCUMENTS
    for line in document.read_text(encoding="utf-8").splitlines()
    if line.startswith("transect ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    arguments, overrides = parse(shlex.split(command)[1:])
    # The URI of a model does not contain its app; the documentation names registered models after their app.
    named = [name for name in app_names() if f"/{name}@" in getattr(arguments, "model", "")]
    app = getattr(arguments, "app", named[0] if named else "change_detection")
    overrides = overrides if "overrides" in arguments else []
    if arguments.verb == "train":
        config.load_training(app, arguments.config and ROOT / arguments.config, overrides)
    else:
        config.load(app, None, overrides)


def test_there_are_commands_to_try():
    verbs = {command.split()[1] for command in COMMANDS}
    assert {"phantom", "train", "evaluate", "register", "predict", "import-weights", "serve", "ui"} <= verbs


def test_the_example_of_the_core_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "core.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["y"].shape == names["x"].shape
    for name in ("along_time", "over_space", "one_map_for_all_times"):
        assert names[name].shape == names["query"].shape
    assert not names["over_space"].allclose(names["one_map_for_all_times"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("file", sorted((ROOT / "apps").glob("*/*.yaml")), ids=lambda path: path.name)
def test_every_settings_file_is_valid(file):
    config.load_training(file.parent.name, file, [])
