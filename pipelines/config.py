"""Load the settings of an app and of training from YAML files and dotted overrides."""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from transect.pipelines.errors import UsageError
from transect.pipelines.find import ROOT, config_class, state_class


@dataclass
class TrainConfig:
    """Settings of training.

    Args:
        epochs: Passes over the training cases.
        batch_size: Examples per step.
        learning_rate: Peak learning rate of AdamW; an app may scale it per parameter group.
        weight_decay: Weight decay of AdamW; not applied to biases and normalization layers.
        decay_power: Exponent of the polynomial decay of the learning rate, (1 - epoch / epochs) ** decay_power.
        gradient_clip: Maximum norm of the gradient; 0 disables clipping.
        patience: Epochs without improvement on the validation split after which training stops.
        precision: Number format of training; "auto" is bf16 where the hardware supports it.
        seed: Random seed of the initial weights, the order of examples and augmentation.
        workers: Number of data loading processes.
        validation_share: Fraction of the training groups held out if the data set has no validation split.
        fold: Which fraction is held out, from 0. With 0.2, folds 0 to 4 are a cross-validation, and `transect ensemble`
            averages their models.
    """

    epochs: int = 50
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    decay_power: float = 0.9
    gradient_clip: float = 1.0
    patience: int = 20
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0
    workers: int = 0
    validation_share: float = 0.15
    fold: int = 0

    def __post_init__(self) -> None:
        for name, smallest in (("epochs", 1), ("batch_size", 1), ("patience", 1), ("workers", 0), ("fold", 0)):
            if getattr(self, name) < smallest:
                raise ValueError(f"train.{name}: found {getattr(self, name)}, expected at least {smallest}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"train.learning_rate: found {self.learning_rate}, expected a finite number above 0")
        for name in ("weight_decay", "decay_power", "gradient_clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"train.{name}: found {getattr(self, name)}, expected a finite number of at least 0")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"train.validation_share: found {self.validation_share}, expected between 0 and 1")


def _parser(app: str, train: bool) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=f"transect train {app}", exit_on_error=False, print_config=None, usage="")
    parser.add_class_arguments(config_class(app))
    if train:
        parser.add_class_arguments(TrainConfig, "train")
    return parser


def load(app: str, file: Path | None, overrides: Sequence[str], base: dict[str, Any] | None = None) -> Any:
    """Load the settings of an app. Later layers override earlier ones: defaults, `base`, `file`, `overrides`.

    Args:
        app: name of the app.
        file: settings as YAML.
        overrides: arguments of the command line, such as `--model.name unet`.
        base: settings of a model to start from.

    Returns:
        The app's `Config`.

    Raises:
        UsageError: a key or a value is wrong; the message names the field, the value and what is allowed.
    """
    config, _ = _load(app, [base or {}, read_yaml(file) if file else {}], overrides, train=False)
    return config


def load_training(
    app: str, file: Path | None, overrides: Sequence[str], base: dict[str, Any] | None = None
) -> tuple[Any, TrainConfig, str]:
    """Load the settings of an app and of its training, with the defaults of the app's `config.yaml`.

    Args:
        app: as for `load`.
        file: as for `load`.
        overrides: as for `load`.
        base: as for `load`.

    Returns:
        The app's `Config`, the settings of training, and both as commented YAML.

    Raises:
        UsageError: as for `load`.
    """
    layers = [read_yaml(ROOT / app / "config.yaml"), base or {}, read_yaml(file) if file else {}]
    config, text = _load(app, layers, overrides, train=True)
    return *config, text


def _load(app: str, layers: list[dict[str, Any]], overrides: Sequence[str], train: bool) -> tuple[Any, str]:
    from jsonargparse import ArgumentError

    parser = _parser(app, train)
    try:
        values = parser.parse_object(asdict(config_class(app)()))
        for layer in layers:
            _refuse_unknown([key for key in _leaves(layer)], values)
            _refuse_misfits(layer, values)
            values = parser.parse_object(layer, cfg_base=values)
        _refuse_unknown([word[2:].partition("=")[0] for word in overrides if word.startswith("--")], values)
        values = parser.parse_args(_with_brackets(overrides, values), namespace=values)
        text = parser.dump(values, yaml_comments=True, skip_none=False)
        arguments = parser.instantiate_classes(values).as_dict()
        training = arguments.pop("train", None)
        config = config_class(app)(**arguments)
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        raise UsageError(_simplify(str(error))) from error
    return ((config, training) if train else config), text


def _refuse_unknown(keys: Sequence[str], values: Any) -> None:
    known = sorted({name for key, _ in values.items() for name in _prefixes(key)})
    for key in keys:
        if key not in known and not any(isinstance(values.get(name), dict) for name in _prefixes(key)):
            near = difflib.get_close_matches(key, known, 3) or [name for name in known if "." not in name]
            raise UsageError(f"{key}: found no such setting, expected one such as {', '.join(near)}")


def _with_brackets(overrides: Sequence[str], values: Any) -> list[str]:
    """`overrides` where a list such as `red,nir` or a single value has got the brackets that the parser requires."""
    words: list[str] = []
    for word in overrides:
        option, equals, value = word.partition("=")
        if word.startswith("--") and equals:
            words.append(f"{option}={_bracketed(option, value, values)}")
        else:
            words.append(_bracketed(words[-1], word, values) if words else word)
    return words


def _bracketed(option: str, value: str, values: Any) -> str:
    is_list = option.startswith("--") and isinstance(values.get(option[2:]), list)
    plain = value != "null" and not value.startswith(("[", "--"))
    return f"[{value}]" if is_list and plain else value


def _refuse_misfits(layer: dict[str, Any], values: Any, prefix: str = "") -> None:
    """Refuse what jsonargparse accepts: null where a value is required, and a value in place of a section."""
    from jsonargparse import Namespace

    for key, value in layer.items():
        default = values[prefix + key]
        if isinstance(default, Namespace):
            if not isinstance(value, dict):
                raise UsageError(f"{prefix}{key}: found {value or 'nothing'}, {_SECTION}")
            _refuse_misfits(value, values, f"{prefix}{key}.")
        elif value is None and default is not None:
            raise UsageError(f"{prefix}{key}: found nothing, expected a value such as {default}")


_SECTION = "expected nested settings"


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _leaves(values: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        leaf
        for key, value in values.items()
        for leaf in (_leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"])
    ]


def _simplify(message: str) -> str:
    """An error message of jsonargparse in the form `FIELD: found X, expected Y`."""
    message = " ".join(message.split())
    if section := re.match(r"""Parser key "(?P<key>[^"]+)": Unable to load config '(?P<value>.*?)' -""", message):
        return f"{section['key']}: found {section['value']}, {_SECTION}"
    typed = re.match(r'Parser key "(?P<key>[^"]+)":.*?Expected an? (?P<type>.+?)\. Got value: (?P<value>.+)', message)
    optional = re.match(
        r'Parser key "(?P<key>[^"]+)": Does not validate against any of the Union subtypes '
        r"Subtypes: \[(?P<type>.+?), <class 'NoneType'>\] .*Given value: ?(?P<value>.*)",
        message,
    )
    match = typed or optional
    if match is None:
        return message
    expected = re.sub(r"<class '(\w+)'>", r"\1", match["type"]).replace("typing.Literal", "one of ")
    return f"{match['key']}: found {match['value']}, expected {expected}{' or null' if optional else ''}"


def read_yaml(file: Path) -> dict[str, Any]:
    """Read settings from a YAML file of limited size and depth, without code and without aliases.

    Raises:
        UsageError: the file cannot be read, is not such a file, or is not a mapping.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(LARGEST_YAML + 1)
        if len(text) > LARGEST_YAML:
            raise UsageError(f"{file}: found a larger file, expected at most {LARGEST_YAML >> 10} kB of settings")
        content = yaml.load(text.decode("utf-8"), _PlainLoader) or {}
    except UsageError:
        raise
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file}: found a {type(content).__name__}, expected settings as key: value")
    return content


LARGEST_YAML, DEEPEST_YAML = 1 << 18, 20
"""Maximum size of a file of settings in bytes, and of its nesting."""


class _PlainLoader(yaml.SafeLoader):
    """Builds values no larger than their text: an alias repeats what it names."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        if alias or self.depth == DEEPEST_YAML:
            found = "an alias, expected its value" if alias else f"settings nested more than {DEEPEST_YAML} times"
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1}: found {found}")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def to_yaml(app: str, config: Any, members: Sequence[str] = ()) -> str:
    """The text of a model's `config.yaml`: the name of its app, the members of an ensemble, and its settings."""
    listed = {"members": list(members)} if members else {}
    return yaml.safe_dump({"app": app, **listed, **without_local(config_class(app), asdict(config))}, sort_keys=False)


def without_local(section: type, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` of a dataclass without those that a model does not keep, such as paths on the machine of training.

    They are the fields with `metadata={"local": True}`.
    """
    kept = dict(settings)
    for each in fields(section):
        if each.metadata.get("local"):
            kept.pop(each.name, None)
        elif isinstance(each.default_factory, type) and is_dataclass(each.default_factory):
            inner = kept.get(each.name)
            if isinstance(inner, dict):
                kept[each.name] = without_local(each.default_factory, inner)
    return kept


def load_state(app: str, values: dict[str, Any]) -> Any:
    """Build the state of an app from plain values, as `asdict` or JSON give them.

    Raises:
        UsageError: a key or a value is not one of this app's state.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False, print_config=None, usage="")
    parser.add_class_arguments(state_class(app))
    try:
        parsed = parser.parse_object(values, cfg_base=parser.parse_object(asdict(state_class(app)())))
        return state_class(app)(**parser.instantiate_classes(parsed).as_dict())
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        raise UsageError(_simplify(str(error))) from error
