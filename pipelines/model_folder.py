"""Read and write model folders: `config.yaml`, `state.json`, `model.safetensors` and `card.md`.

`config.yaml` holds what a person chose and `state.json` what training learned from data (see `state`). An ensemble has
no `model.safetensors`: its `config.yaml` lists the model folders of its members, `members/0` and so on.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.data_adapters.files import sha256, whole_folder
from transect.pipelines import config as configs
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class, app_names, config_class
from transect.pipelines.model_card import imported_card
from transect.pipelines.state import read_state, write_state
from transect.pipelines.untrained import untrained
from transect.pipelines.weights import load_module, read_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from transect.apps.base import App
    from transect.data_adapters.base import Case

FILES = ("config.yaml", "model.safetensors", "state.json", "card.md")


@dataclass(frozen=True)
class Model:
    """A model that is ready to predict.

    Args:
        name: the model as the user named it.
        folder: the model folder; `Path()` if there is none, for an app whose model has no parameters.
        sha256: hash of the files in the folder.
        app: the app with the state of the folder, and with its settings and `overrides`.
        module: the network in evaluation mode, on its device; those of all members of an ensemble.
        overrides: settings that differ from the folder's, as command line arguments.
        members: the models of an ensemble, with the same `overrides`.
    """

    name: str
    folder: Path
    sha256: str
    app: "App[Any, Any]"
    module: "nn.Module"
    overrides: tuple[str, ...] = ()
    members: "tuple[Model, ...]" = ()

    def predict(self, case: "Case", sample: Any) -> Any:
        """The app's prediction for a case; that of an ensemble is the mean of its members'.

        Args:
            case: the case, which the members of an ensemble read again with their own settings.
            sample: the case as `app` reads it.

        Raises:
            BadInput: the sample cannot be predicted.
        """
        if self.members:
            return self.app.average([member.predict(case, member.app.adapter.read(case)) for member in self.members])
        return self.app.predict(self.module, sample)

    @property
    def device(self) -> "torch.device":
        """The device of the parameters; the CPU where there are none."""
        import torch

        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    @property
    def source(self) -> str:
        """Provenance for the results: the version of Transect, the app, and the hash of the model."""
        return f"Transect {version('transect')}, {self.app_name}, model SHA-256 {self.sha256}"

    @property
    def app_name(self) -> str:
        """The name of the app's folder."""
        return type(self.app).__module__.split(".")[2]


def save(folder: Path, app_name: str, app: "App[Any, Any]", module: "nn.Module", card: str) -> None:
    """Write a model folder atomically.

    Args:
        folder: the model folder; an earlier one is replaced.
        app_name: name of the app.
        app: the app, whose settings and state are saved.
        module: the network, whose tensors are saved.
        card: model card in Markdown.

    Raises:
        UsageError: the folder holds other files than a model's.
    """
    from safetensors.torch import save_file

    with whole_folder(folder, _require_model) as partial:
        _write_settings(partial, app_name, app, card)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
        save_file(tensors, partial / "model.safetensors")


def save_ensemble(folder: Path, app_name: str, app: "App[Any, Any]", members: Sequence[Path], card: str) -> None:
    """Write the model folder of an ensemble atomically; as `save`, with copies of the model folders `members`."""
    with whole_folder(folder, _require_model) as partial:
        names = [f"members/{number}" for number in range(len(members))]
        _write_settings(partial, app_name, app, card, names)
        for name, member in zip(names, members, strict=True):
            (partial / name).mkdir(parents=True)
            for file in FILES:
                if (member / file).is_file():
                    shutil.copyfile(member / file, partial / name / file)


def _require_model(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a model."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    others = names - {*FILES, "members"} if FILES[0] in names else names
    if others:
        raise UsageError(
            f"{folder}: found other files ({min(others)}), expected a new folder or a model; choose another --out"
        )


def _write_settings(folder: Path, app_name: str, app: "App[Any, Any]", card: str, members: Sequence[str] = ()) -> None:
    (folder / "config.yaml").write_text(configs.to_yaml(app_name, app.config, members), encoding="utf-8")
    write_state(folder, app.state)
    (folder / "card.md").write_text(card, encoding="utf-8")


def app_of(folder: Path) -> str:
    """The name of the app that a model folder belongs to."""
    return str(settings_of(folder)["app"])


def load(name: str, overrides: Sequence[str] = (), device: str = "auto") -> Model:
    """Load a model for prediction.

    Args:
        name: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`; or an app, for a model without parameters.
        overrides: settings that differ from the model's, as command line arguments.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UsageError: the model or the device does not exist, the folder is incomplete, or an override is wrong.
    """
    import torch

    from transect.pipelines.device import choose

    target = choose(device)
    if name in app_names() and not (Path(name) / FILES[0]).exists():
        app, module, digest = untrained(name, overrides)
        return Model(name, Path(), digest, app, module.eval(), tuple(overrides))
    folder = find(name)
    app = app_for(folder, overrides)
    if paths := members_of(folder):
        members = tuple(load(str(path), overrides, device) for path in paths)
        modules = torch.nn.ModuleList(member.module for member in members)
        return Model(name, folder, fingerprint(folder), app, modules, tuple(overrides), members)
    module = channels_last(load_module(app.model, folder / FILES[1])).to(target)
    return Model(name, folder, fingerprint(folder), app, module.eval(), tuple(overrides))


def fingerprint(folder: Path) -> str:
    """The SHA-256 of a model folder's own files, those of the members of an ensemble included."""
    folders = [folder, *members_of(folder)]
    return sha256(folder, [part / file for part in folders for file in FILES if (part / file).is_file()])


def channels_last(module: "nn.Module") -> "nn.Module":
    """Convert 2-D convolutions in place to the channels-last layout, the faster one on CPUs and GPUs."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            part.to(memory_format=torch.channels_last)
    return module


def weights(folder: Path) -> "Mapping[str, Tensor]":
    """The tensors of a model folder by name.

    Raises:
        UsageError: `model.safetensors` cannot be read, or has a value that is not finite.
    """
    return read_weights(folder / FILES[1])


def app_for(folder: Path, overrides: Sequence[str] = (), file: Path | None = None) -> "App[Any, Any]":
    """The app that a model folder belongs to, with its state and its settings, those in `file` and `overrides`."""
    settings = settings_of(folder)
    app_name = settings.pop("app")
    settings.pop("members", None)
    new_app = app_class(app_name)
    state = read_state(folder, app_name, settings)
    app: App[Any, Any] = new_app(configs.load(app_name, file, overrides, base=settings), state)
    return app


def members_of(folder: Path) -> list[Path]:
    """The model folders of an ensemble's members; empty for a single model.

    Raises:
        UsageError: the folder's `config.yaml` lists other names than `members/0`, `members/1` and so on.
    """
    names = settings_of(folder).get("members", [])
    expected = [f"members/{number}" for number in range(len(names) if isinstance(names, list) else 1)]
    if names != expected:
        raise UsageError(f"{folder / FILES[0]}: members: found {names}, expected {', '.join(expected)}")
    members = [find(str(folder / name)) for name in expected]
    for member in members:
        if not member.resolve().is_relative_to(folder.resolve()) or "members" in settings_of(member):
            raise UsageError(f"{member}: found a link or an ensemble, expected the model folder of a member")
    return members


def uri(source: str) -> str:
    """The model that a user named; a run's id stands for the model of the run."""
    return f"runs:/{source}/model" if re.fullmatch("[0-9a-f]{32}", source) else source


def find(name: str) -> Path:
    """The folder of a model, downloaded from the tracking store where necessary.

    Args:
        name: a model folder, `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `runs:/RUN_ID/model`.

    Raises:
        UsageError: the model does not exist.
    """
    if name.startswith(("models:/", "runs:/")):
        from transect.pipelines.store import download

        for config in sorted(download(name).rglob(FILES[0])):
            if not _missing(config.parent):
                _refuse_links(config.parent)
                return config.parent
        raise UsageError(f"model {name}: found no {FILES[0]} with {FILES[1]} in it, expected a model made by transect")
    folder = Path(name)
    if missing := _missing(folder):
        raise UsageError(
            f"model {name}: found no {' and no '.join(missing)}, "
            "expected a model folder, models:/NAME@ALIAS or runs:/RUN_ID/model"
        )
    _refuse_links(folder)
    return folder


def _refuse_links(folder: Path) -> None:
    """Refuse a file of a model folder, or a member of an ensemble, that is a link out of the folder or no file."""
    for path in [folder / file for file in FILES]:
        if not os.path.lexists(path):
            continue
        if not path.is_file() or path.resolve().parent != folder.resolve():
            raise UsageError(f"{path}: found a link or a pipe, expected a file; copy it there")


def _missing(folder: Path) -> list[str]:
    """The files that a model folder lacks; an ensemble has members in place of weights."""
    weights = [] if (folder / "members").is_dir() else [FILES[1]]
    return [file for file in (FILES[0], *weights) if not (folder / file).is_file()]


def settings_of(folder: Path) -> dict[str, Any]:
    """The content of a model folder's `config.yaml`: the app's settings, and the name of the app under "app".

    Raises:
        UsageError: the file cannot be read, or names no app that there is.
    """
    content = configs.read_yaml(folder / "config.yaml")
    if not isinstance(content.get("app"), str):
        raise UsageError(f"{folder / 'config.yaml'}: app: found none, expected the name of the app it configures")
    if content["app"] not in app_names():
        expected = ", ".join(app_names())
        raise UsageError(f"{folder / 'config.yaml'}: app: found {content['app']!r}, expected one of {expected}")
    return configs.without_local(config_class(content["app"]), content)


def import_weights(app_name: str, file: Path, out: Path) -> None:
    """Convert a published checkpoint of an app's model into a model folder.

    Args:
        app_name: name of the app.
        file: the checkpoint.
        out: the model folder to write.

    Raises:
        BadInput: the file cannot be read without running code in it, or its tensors do not fit the model.
    """
    app, module = app_class(app_name).from_published(file)
    save(out, app_name, app, module, imported_card(app_name, file))
