"""The command line `transect`: the only code that reads arguments. Heavy libraries load after they are understood."""

import argparse
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_names, app_summary, mechanisms

if TYPE_CHECKING:
    from transect.pipelines.results import Outcome

DONE, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 some inputs or the run failed, 2 wrong usage, 130 or 143 a signal."""
    arguments, overrides = _parse(sys.argv[1:] if argv is None else argv)
    terminated = False

    def terminate(*_: object) -> None:
        nonlocal terminated
        terminated = True
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    from transect.data_adapters.base import BadInput

    try:
        if arguments.verb not in ("list", "ui"):
            from transect.pipelines.console import set_up_logging

            set_up_logging()
        status = arguments.run(arguments, overrides)
    except UsageError as error:
        _complain(error, USAGE)
    except (BadInput, OSError) as error:
        _complain(error, FAILED)
    except KeyboardInterrupt:
        _complain("interrupted", INTERRUPTED)
    finally:
        if terminated:
            # A library may have lost the exit in a callback, or put an error or an exit of its own in its place.
            sys.exit(TERMINATED)
    sys.exit(status)


def _complain(error: object, status: int) -> None:
    print(f"transect: {error}", file=sys.stderr)
    sys.exit(status)


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = _parser()
    arguments, overrides = parser.parse_known_args(argv)
    if "overrides" not in arguments and overrides:
        parser.error(f"unknown arguments: {' '.join(overrides)}")
    return arguments, overrides


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="transect",
        description="Train, track, register and batch-infer, in the file formats of each field.",
        epilog="Set MLFLOW_TRACKING_URI to keep runs elsewhere than in mlflow.db in the working folder.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    apps: dict[str, Any] = {"choices": app_names(), "metavar": "APP", "help": f"one of: {', '.join(app_names())}"}
    model: dict[str, Any] = {"metavar": "MODEL", "help": "a model folder, models:/NAME@ALIAS or runs:/RUN_ID/model"}

    def verb(name: str, run: Callable[..., int], text: str, settings: str = "") -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=settings, allow_abbrev=False
        )
        added.set_defaults(run=run, **({"overrides": True} if settings else {}))
        return added

    def device(added: argparse.ArgumentParser) -> None:
        text = "auto (the default: a CUDA device if there is one), cpu, cuda, cuda:1 or mps"
        added.add_argument("--device", type=_device, default="auto", help=text)

    overriding = "Any other --KEY VALUE overrides a setting of the model's config.yaml, such as --threshold 0.6."

    verb("list", _list, "the apps, the attention mechanisms, and the versions of what they run on")

    added = verb(
        "phantom",
        _phantom,
        "write a small demo data set in the app's own layout",
        "Any other --KEY VALUE overrides a setting of the app; "
        "`transect train APP --print-config` shows them all with their meaning.",
    )
    added.add_argument("app", **apps)
    added.add_argument("--out", type=Path, required=True, metavar="DIR")
    added.add_argument("--count", type=int, default=20, help="number of cases (default 20)")
    added.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")

    added = verb(
        "train",
        _train,
        "train a model on your own data, tracked in MLflow",
        "Settings come from --config and from --KEY VALUE, such as --train.epochs 20 or --model.name unet; "
        "`transect train APP --print-config` shows them all with their meaning.",
    )
    added.add_argument("app", **apps)
    added.add_argument("--data", nargs="+", metavar="DATA", help="the data set: a folder, table or files the app reads")
    added.add_argument("--config", type=Path, metavar="FILE", help="settings as YAML")
    added.add_argument("--from", dest="start", metavar="MODEL", help="start from a model's weights and settings")
    added.add_argument("--resume", metavar="RUN_ID", help="go on with an interrupted run, with the settings it had")
    added.add_argument("--print-config", action="store_true", help="show the effective settings and stop")
    device(added)

    added = verb("evaluate", _evaluate, "score a model on labelled data, with intervals and a report", overriding)
    added.add_argument("model", **model)
    added.add_argument("--data", required=True, nargs="+", metavar="DATA", help="as train takes it")
    added.add_argument("--split", default="test", help="which split of the data set (default test)")
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for metrics, tables and report")
    added.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    added.add_argument("--overwrite", action="store_true", help="replace another model's results in --out")
    device(added)

    added = verb("register", _register, "give a model a name and an alias in the registry")
    added.add_argument("source", metavar="RUN", help="a run's id, runs:/RUN_ID/model, or a model folder")
    added.add_argument("--name", required=True)
    added.add_argument("--alias", default="champion", help="alias that moves to this version (default champion)")

    added = verb("predict", _predict, "predict new cases; a second run does what is missing", overriding)
    added.add_argument("model", **model)
    added.add_argument("inputs", nargs="+", metavar="INPUT", help="a folder, a table, or the files of one case")
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets one folder a case")
    added.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    added.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="every N-th case from the I-th on")
    added.add_argument("--overwrite", action="store_true", help="do finished cases again")
    device(added)

    added = verb("import-weights", _import_weights, "make a model folder of a published checkpoint")
    added.add_argument("app", **apps)
    added.add_argument("--from", dest="file", type=Path, required=True, metavar="FILE")
    added.add_argument("--out", type=Path, required=True, metavar="DIR")

    added = verb("serve", _serve, "answer requests for predictions on the loopback address")
    added.add_argument("model", **model)
    added.add_argument("--port", type=int, default=5001)
    added.add_argument("--root", action="append", default=[], help="folder that requests may name (default: this one)")
    device(added)

    added = verb("ui", _ui, "show MLflow's pages on the loopback address")
    added.add_argument("--port", type=int, default=5000)

    added = verb("report", _report, "write the page of a prediction or evaluation run again")
    added.add_argument("folder", type=Path, metavar="DIR")
    return parser


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected I/N with 1 <= I <= N, such as 2/8")
    return int(index), int(count)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected auto, cpu, cuda, cuda:1 or mps")
    return text


def _list(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from importlib.metadata import version

    for name in app_names():
        print(f"{name:20} {app_summary(name)}")
    print("\ncore.attention:")
    for name, summary in mechanisms().items():
        print(f"  {name:30} {summary}")
    print()
    print(", ".join(f"{package} {version(package)}" for package in ("transect", "torch", "lightning", "mlflow")))
    return DONE


def _phantom(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines import config
    from transect.pipelines.find import app_class

    app = app_class(arguments.app)(config.load(arguments.app, None, overrides))
    app.adapter.phantom(arguments.out, arguments.count, arguments.seed)
    print(arguments.out)
    return DONE


def _train(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines import config

    if arguments.resume:
        from transect.pipelines.train import resume

        run_id, folder = resume(arguments.app, arguments.resume, arguments.device)
    else:
        start, base = _start(arguments)
        app_config, settings, text = config.load_training(arguments.app, arguments.config, overrides, base)
        if arguments.print_config:
            print(text, end="")
            return DONE
        if not arguments.data:
            raise UsageError("train: --data: found none, expected a data set")
        from transect.pipelines.train import train

        run_id, folder = train(arguments.app, arguments.data, app_config, settings, start, arguments.device)
    print(f"run    {run_id}\nmodel  {folder}")
    return DONE


def _start(arguments: argparse.Namespace) -> tuple[Path | None, dict[str, Any]]:
    """The folder of the model that training starts from, and its settings."""
    from transect.pipelines import model_folder

    if not arguments.start:
        return None, {}
    folder = model_folder.find(arguments.start)
    settings = model_folder.settings_of(folder)
    if (app := settings.pop("app")) != arguments.app:
        raise UsageError(f"train: --from: found a model of {app}, expected one of {arguments.app}")
    return folder, settings


def _evaluate(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.evaluate import evaluate
    from transect.pipelines.report import with_baselines

    summary, intervals, outcomes = evaluate(
        arguments.model,
        arguments.data,
        arguments.split,
        arguments.out,
        overrides,
        arguments.overwrite,
        arguments.workers,
        arguments.device,
    )
    for name, baselines in with_baselines(summary).items():
        low, high = intervals.get(name, (float("nan"),) * 2)
        others = "".join(
            f"  {baseline} {summary[other]:.4f}"
            for baseline, other in baselines.items()
            if summary[other] == summary[other]
        )
        print(f"{name:22} {summary[name]:.4f}  [{low:.4f}, {high:.4f}]{others}")
    return _tell(outcomes, arguments.out)


def _register(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.register import register

    print(register(arguments.source, arguments.name, arguments.alias))
    return DONE


def _predict(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.predict import predict

    outcomes = predict(
        arguments.model,
        arguments.inputs,
        arguments.out,
        overrides,
        arguments.workers,
        arguments.shard,
        arguments.overwrite,
        arguments.device,
    )
    return _tell(outcomes, arguments.out)


def _tell(outcomes: Sequence["Outcome"], out: Path) -> int:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    print(f"{len(outcomes) - len(failed)} done, {len(failed)} failed\nreport {out / 'report.html'}")
    return FAILED if failed else DONE


def _import_weights(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.model_folder import import_weights

    import_weights(arguments.app, arguments.file, arguments.out)
    print(arguments.out)
    return DONE


def _serve(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.serve import serve

    return serve(arguments.model, arguments.port, arguments.root, arguments.device)


def _ui(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.serve import ui

    return ui(arguments.port)


def _report(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.report import write_report

    print(write_report(arguments.folder))
    return DONE


if __name__ == "__main__":
    main()
