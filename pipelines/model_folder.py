"""A model as a folder: `config.yaml`, `state.json`, `model.safetensors` and `card.md`.

`config.yaml` holds what a person chose and `state.json` what training learned from data. Folders of earlier versions
have no `state.json`: their `config.yaml` holds both, and `split_state` of the app's `config.py` separates them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transect
from transect.data_adapters.files import sha256, whole_folder, write_json
from transect.pipelines import config as configs
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class, app_summary, split_state

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from transect.apps.base import App

FILES = ("config.yaml", "model.safetensors", "state.json", "card.md")
STATE_VERSION = 1


@dataclass(frozen=True)
class Model:
    """A model that is ready to predict.

    Args:
        name: as the user gave it.
        folder: its model folder.
        sha256: hash of the folder's files.
        app: with the settings of the folder and `overrides`.
        module: in evaluation mode, on its device.
        overrides: settings that differ from the folder's, as `--KEY VALUE` words.
    """

    name: str
    folder: Path
    sha256: str
    app: "App[Any, Any]"
    module: "nn.Module"
    overrides: tuple[str, ...] = ()

    @property
    def device(self) -> "torch.device":
        """The device that the module computes on."""
        return next(self.module.parameters()).device

    @property
    def source(self) -> str:
        """What results say of their origin: the program with its version, the app, and the hash of the model."""
        return f"Transect {version('transect')}, {self.app_name}, model SHA-256 {self.sha256}"

    @property
    def app_name(self) -> str:
        """The name of the app, which is that of its folder."""
        return type(self.app).__module__.split(".")[2]


def save(folder: Path, app_name: str, app: "App[Any, Any]", module: "nn.Module", card: str) -> None:
    """Write a model folder in one step; `card` is Markdown."""
    from safetensors.torch import save_file

    with whole_folder(folder) as partial:
        (partial / "config.yaml").write_text(configs.to_yaml(app_name, app.config), encoding="utf-8")
        write_json(partial / "state.json", {"version": STATE_VERSION, **asdict(app.state)})
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
        save_file(tensors, partial / "model.safetensors")
        (partial / "card.md").write_text(card, encoding="utf-8")


def app_of(folder: Path) -> str:
    """The name of the app that a model folder belongs to."""
    return str(settings_of(folder)["app"])


def load(name: str, overrides: Sequence[str] = (), device: str = "auto") -> Model:
    """The model called `name`, in evaluation mode on `device`; `overrides` change its settings.

    Raises:
        UsageError: there is no such model or device, the model's folder is incomplete, or an override is wrong.
    """
    import torch

    from transect.pipelines.device import choose

    on = choose(device)
    folder = find(name)
    app = app_for(folder, overrides)
    with torch.device("meta"):
        module = app.model()
    try:
        module.load_state_dict(weights(folder), strict=True, assign=True)
    except RuntimeError as error:
        raise UsageError(f"{folder / FILES[1]}: {' '.join(str(error).split())}") from error
    module = channels_last(module).to(on)
    return Model(name, folder, sha256(folder), app, module.eval(), tuple(overrides))


def channels_last(module: "nn.Module") -> "nn.Module":
    """The module with its two-dimensional convolutions in the layout that is fastest, on CPUs and GPUs alike."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            part.to(memory_format=torch.channels_last)
    return module


def weights(folder: Path) -> "Mapping[str, Tensor]":
    """The tensors of a model folder.

    Raises:
        UsageError: they cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / FILES[1])
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{folder / FILES[1]}: {' '.join(str(error).split())}") from error


def app_for(folder: Path, overrides: Sequence[str] = ()) -> "App[Any, Any]":
    """The app that a model folder belongs to, with its settings and state."""
    settings = settings_of(folder)
    app_name = settings.pop("app")
    state = _state_of(folder, app_name, settings)
    app: App[Any, Any] = app_class(app_name)(configs.load(app_name, None, overrides, base=settings), state)
    return app


def _state_of(folder: Path, app_name: str, settings: dict[str, Any]) -> Any:
    """The state in a model folder; of one of an earlier version, it is taken out of `settings`.

    Raises:
        UsageError: it cannot be read, or a later version wrote it.
    """
    file = folder / "state.json"
    if not file.is_file():
        return configs.load_state(app_name, split_state(app_name, settings))
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version = values.pop("version")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())}") from error
    if version != STATE_VERSION:
        raise UsageError(f"{file}: version: found {version}, expected {STATE_VERSION}; use a newer transect")
    try:
        return configs.load_state(app_name, values)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error


def find(name: str) -> Path:
    """The model folder behind a path, `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/model` or a run's id.

    Raises:
        UsageError: there is none.
    """
    if name.startswith(("models:/", "runs:/")):
        from transect.pipelines.store import download

        for config in sorted(download(name).rglob(FILES[0])):
            if (config.parent / FILES[1]).is_file():
                return config.parent
        raise UsageError(f"model {name}: found no {FILES[0]} with {FILES[1]} in it, expected a model made by transect")
    folder = Path(name)
    missing = [file for file in FILES[:2] if not (folder / file).is_file()]
    if missing:
        raise UsageError(
            f"model {name}: {' and '.join(missing)} not found there; "
            "expected a model folder, models:/NAME@ALIAS or runs:/RUN_ID/model"
        )
    return folder


def settings_of(folder: Path) -> dict[str, Any]:
    """What the `config.yaml` of a model folder says: the name of its app under "app", and the app's settings.

    Raises:
        UsageError: it cannot be read, or names no app.
    """
    content = configs.read_yaml(folder / "config.yaml")
    if not isinstance(content.get("app"), str):
        raise UsageError(f"{folder / 'config.yaml'}: app: found none, expected the name of the app it configures")
    return content


def import_weights(app_name: str, file: Path, out: Path) -> None:
    """Write the model folder `out` from a checkpoint that was published for this app's model.

    Raises:
        BadInput: the file cannot be read without running its code, or its tensors are not the model's.
    """
    app, module = app_class(app_name).from_published(file)
    card = f"""# {app_name}

{app_summary(app_name)}

Imported from `{file.name}` (SHA-256 `{sha256(file)}`). Its licence, training data and scores are those of whoever
published it: read them there before use.
"""
    save(out, app_name, app, module, card)


def training_card(app_name: str, run_id: str, epoch: int, validation: "Mapping[str, float]") -> str:
    """The card of a trained model: where it comes from and its scores on the validation split."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in validation.items())
    return f"""# {app_name}

{app_summary(app_name)}

Trained in run `{run_id}`; weights of epoch {epoch + 1}, chosen on the validation split together with whatever
`state.json` says was calibrated there. The scores below selected the model and flatter it: quote a test split's.

| on validation | |
|---|---|
{rows}

`config.yaml` holds the settings, `state.json` what training learned from data, `model.safetensors` the weights.
"""


def code_sha256() -> str:
    """The hash of the Python files of the package `transect`, to detect that a model runs with other code."""
    import hashlib

    digest = hashlib.sha256()
    for folder in (PACKAGE, *sorted(PACKAGE.iterdir())):  # `rglob` does not follow the links of a checkout
        for file in sorted(folder.glob("*.py") if folder == PACKAGE else folder.rglob("*.py")):
            digest.update(f"{file.relative_to(PACKAGE).as_posix()}\0{sha256(file)}\n".encode())
    return digest.hexdigest()


PACKAGE = Path(transect.__file__).parent
"""The folder of the package, which a registered model carries along."""
