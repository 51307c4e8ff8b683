"""The arguments of the command line `transect`; imports nothing heavy, so that `--help` is quick."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_names

PICTURED_CASES = 50
"""Number of cases of a batch, the first ones, that get pictures by default."""


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The arguments of one command, its name as `verb`, and the words that override settings of an app.

    Exits with status 2 where they are wrong, and with 0 after `--help`.
    """
    parser = _parser()
    arguments, overrides = parser.parse_known_args(argv)
    if "overrides" not in arguments and overrides:
        parser.error(f"unknown arguments: {' '.join(overrides)}")
    if isinstance(pictures := getattr(arguments, "pictures", None), str):
        overrides, arguments.pictures = [*overrides, "--pictures", pictures], PICTURED_CASES
    return arguments, overrides


def resumed_epochs(arguments: argparse.Namespace, overrides: list[str]) -> int | None:
    """The only setting that a resumed run may be given: its number of epochs; None keeps it.

    Raises:
        UsageError: another setting is given.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--train.epochs", type=int, dest="epochs")
    try:
        known, others = parser.parse_known_args(overrides)
    except argparse.ArgumentError as error:
        raise UsageError(f"train: --resume: {error}") from error
    options = {"--data": arguments.data, "--config": arguments.config, "--from": arguments.start}
    given = [name for name, value in options.items() if value] + ["--print-config"] * arguments.print_config
    given += [word.partition("=")[0] for word in others if word.startswith("-")] or others[:1]
    if given:
        raise UsageError(
            f"train: --resume: found {', '.join(given)}, expected at most --train.epochs and --device: "
            "a resumed run keeps its own data and settings"
        )
    epochs: int | None = known.epochs
    return epochs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="transect",
        description="Train, track, register and apply models on the file formats of each domain.",
        epilog="Runs are stored in mlflow.db in the working folder, or where MLFLOW_TRACKING_URI points.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    apps: dict[str, Any] = {"choices": app_names(), "metavar": "APP", "help": f"one of: {', '.join(app_names())}"}
    named = "a model folder, models:/NAME@ALIAS or runs:/RUN_ID/model"
    model: dict[str, Any] = {"metavar": "MODEL", "help": named}
    untrained = {**model, "help": f"{named}; or an app, for a model of it that needs no training"}

    def verb(name: str, text: str, settings: str = "") -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=settings, allow_abbrev=False
        )
        if settings:
            sub.set_defaults(overrides=True)
        return sub

    def device(sub: argparse.ArgumentParser) -> None:
        text = "auto (the default: a CUDA device if there is one), cpu, cuda, cuda:1 or mps"
        sub.add_argument("--device", type=_device, default="auto", help=text)

    def pictures(sub: argparse.ArgumentParser) -> None:
        text = f"cases that get pictures: all, none, or a number N for the first N (default {PICTURED_CASES})"
        sub.add_argument("--pictures", type=_pictures, default=PICTURED_CASES, metavar="all|N|none", help=text)

    overriding = "Any other --KEY VALUE overrides a setting of the model's config.yaml, such as --threshold 0.6."

    verb("list", "list the apps, the attention mechanisms and the versions of the main libraries")

    sub = verb(
        "phantom",
        "write a small synthetic data set in the app's file layout",
        "Any other --KEY VALUE overrides a setting of the app; `transect train APP --print-config` lists them all.",
    )
    sub.add_argument("app", **apps)
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    sub.add_argument("--count", type=_positive, default=20, help="number of cases (default 20)")
    sub.add_argument("--seed", type=int, default=0, help="random seed (default 0)")

    sub = verb(
        "check",
        "read data without a model, and tell what was read",
        "Settings come from --config and from --KEY VALUE, as for train. With a model, its own settings are used, and "
        "the data are compared with those that it was trained on.",
    )
    sub.add_argument("source", metavar="APP|MODEL", help=f"one of: {', '.join(app_names())}; or a model as for predict")
    sub.add_argument("inputs", nargs="+", metavar="DATA", help="a folder, a table, or the files of one case")
    sub.add_argument("--config", type=Path, metavar="FILE", help="settings as YAML")
    sub.add_argument("--out", type=Path, metavar="DIR", help="write cases.csv, and a folder per case that shows it")

    sub = verb(
        "train",
        "train a model on your own data, tracked in MLflow",
        "Settings come from --config and from --KEY VALUE, such as --train.epochs 20 or --model.name unet; "
        "`transect train APP --print-config` lists them all with their descriptions.",
    )
    sub.add_argument("app", **apps)
    sub.add_argument("--data", nargs="+", metavar="DATA", help="the data set: a folder, table or files of the app")
    sub.add_argument("--config", type=Path, metavar="FILE", help="settings as YAML")
    sub.add_argument("--from", dest="start", metavar="MODEL", help="start from the weights and settings of a model")
    sub.add_argument("--resume", metavar="RUN_ID", help="continue a run; --train.epochs N extends it")
    sub.add_argument("--print-config", action="store_true", help="print the effective settings and exit")
    device(sub)

    sub = verb("evaluate", "evaluate a model on labelled data, with intervals and a report", overriding)
    sub.add_argument("model", **untrained)
    sub.add_argument("--data", required=True, nargs="+", metavar="DATA", help="the data set, as for train")
    sub.add_argument("--split", default="test", help="split of the data set (default test)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="metrics, tables and report")
    sub.add_argument("--workers", type=_positive, default=1, help="number of processes (default 1)")
    pictures(sub)
    sub.add_argument("--overwrite", action="store_true", help="replace another model's results in --out")
    device(sub)

    sub = verb("register", "register a model under a name and an alias")
    sub.add_argument("source", metavar="RUN", help="a run's id, runs:/RUN_ID/model, or a model folder")
    sub.add_argument("--name", required=True)
    sub.add_argument("--alias", default="champion", help="alias of the new version (default champion)")

    sub = verb("ensemble", "combine models: average their predictions, and write the standard deviation")
    sub.add_argument("models", nargs="+", metavar="MODEL", help="two or more: a run's id, or a model as for predict")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new model folder")

    sub = verb("predict", "predict new cases; a repeated run predicts only the missing ones", overriding)
    sub.add_argument("model", **untrained)
    sub.add_argument("inputs", nargs="+", metavar="INPUT", help="a folder, a table, or the files of one case")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="results, one folder per case")
    sub.add_argument("--workers", type=_positive, default=1, help="number of processes (default 1)")
    pictures(sub)
    sub.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="only every N-th case, from the I-th")
    sub.add_argument("--overwrite", action="store_true", help="predict finished cases again")
    device(sub)

    sub = verb("import-weights", "convert a published checkpoint into a model folder")
    sub.add_argument("app", **apps)
    sub.add_argument("--from", dest="file", type=Path, required=True, metavar="FILE", help="the published checkpoint")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new model folder")

    sub = verb("export", "write the network of a model as an ONNX file, checked against the model")
    sub.add_argument("model", **model)
    sub.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="the new file")

    sub = verb("serve", "serve predictions over HTTP on the loopback address")
    sub.add_argument("model", **model)
    sub.add_argument("--port", type=int, default=5001)
    sub.add_argument("--root", action="append", default=[], help="a folder that requests may access (default: .)")
    sub.add_argument("--computing", type=_positive, default=2, help="requests computed at a time (default 2)")
    sub.add_argument("--waiting", type=int, default=16, help="requests that may wait; more get 503 (default 16)")
    sub.add_argument("--seconds", type=float, default=600, help="time limit of a request (default 600)")
    device(sub)

    sub = verb("ui", "run the MLflow UI on the loopback address")
    sub.add_argument("--port", type=int, default=5000)

    sub = verb("report", "rebuild the report of a prediction or an evaluation")
    sub.add_argument("folder", type=Path, metavar="DIR")
    return parser


def _pictures(text: str) -> int | str | None:
    """The number of cases, None for all; another word is for an app's own setting of this name."""
    if text in ("all", "none"):
        return None if text == "all" else 0
    return int(text) if text.isdecimal() else text


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected I/N with 1 <= I <= N, such as 2/8")
    return int(index), int(count)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 or more")
    return int(text)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected auto, cpu, cuda, cuda:1 or mps")
    return text
