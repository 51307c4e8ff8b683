"""The command line `transect`. Arguments are parsed here alone, before any heavy library is imported."""

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
    """Run one command and exit with its status.

    Args:
        argv: arguments after the name of the program; by default those of the process.

    Raises:
        SystemExit: always, with 0 on success, 1 if the run or some of its cases failed, 2 on wrong usage, 130 after
            SIGINT and 143 after SIGTERM.
    """
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
        _exit_with_error(error, USAGE)
    except (BadInput, OSError) as error:
        _exit_with_error(error, FAILED)
    except KeyboardInterrupt:
        _exit_with_error("interrupted", INTERRUPTED)
    finally:
        if terminated:
            # A library may have swallowed the SystemExit, or replaced it with another exception or status.
            sys.exit(TERMINATED)
    sys.exit(status)


def _exit_with_error(error: object, status: int) -> None:
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
        description="Train, track, register and apply models on the file formats of each domain.",
        epilog="Runs are stored in mlflow.db in the working folder, or where MLFLOW_TRACKING_URI points.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    apps: dict[str, Any] = {"choices": app_names(), "metavar": "APP", "help": f"one of: {', '.join(app_names())}"}
    model: dict[str, Any] = {"metavar": "MODEL", "help": "a model folder, models:/NAME@ALIAS or runs:/RUN_ID/model"}

    def verb(name: str, run: Callable[..., int], text: str, settings: str = "") -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=settings, allow_abbrev=False
        )
        sub.set_defaults(run=run, **({"overrides": True} if settings else {}))
        return sub

    def device(sub: argparse.ArgumentParser) -> None:
        text = "auto (the default: a CUDA device if there is one), cpu, cuda, cuda:1 or mps"
        sub.add_argument("--device", type=_device, default="auto", help=text)

    overriding = "Any other --KEY VALUE overrides a setting of the model's config.yaml, such as --threshold 0.6."

    verb("list", _list, "list the apps, the attention mechanisms and the versions of the main libraries")

    sub = verb(
        "phantom",
        _phantom,
        "write a small synthetic data set in the app's file layout",
        "Any other --KEY VALUE overrides a setting of the app; `transect train APP --print-config` lists them all.",
    )
    sub.add_argument("app", **apps)
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    sub.add_argument("--count", type=int, default=20, help="number of cases (default 20)")
    sub.add_argument("--seed", type=int, default=0, help="random seed (default 0)")

    sub = verb(
        "train",
        _train,
        "train a model on your own data, tracked in MLflow",
        "Settings come from --config and from --KEY VALUE, such as --train.epochs 20 or --model.name unet; "
        "`transect train APP --print-config` lists them all with their descriptions.",
    )
    sub.add_argument("app", **apps)
    sub.add_argument("--data", nargs="+", metavar="DATA", help="the data set: a folder, table or files of the app")
    sub.add_argument("--config", type=Path, metavar="FILE", help="settings as YAML")
    sub.add_argument("--from", dest="start", metavar="MODEL", help="start from the weights and settings of a model")
    sub.add_argument("--resume", metavar="RUN_ID", help="continue an interrupted run with its settings")
    sub.add_argument("--print-config", action="store_true", help="print the effective settings and exit")
    device(sub)

    sub = verb("evaluate", _evaluate, "evaluate a model on labelled data, with intervals and a report", overriding)
    sub.add_argument("model", **model)
    sub.add_argument("--data", required=True, nargs="+", metavar="DATA", help="the data set, as for train")
    sub.add_argument("--split", default="test", help="split of the data set (default test)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="metrics, tables and report")
    sub.add_argument("--workers", type=int, default=1, help="number of processes (default 1)")
    sub.add_argument("--overwrite", action="store_true", help="replace another model's results in --out")
    device(sub)

    sub = verb("register", _register, "register a model under a name and an alias")
    sub.add_argument("source", metavar="RUN", help="a run's id, runs:/RUN_ID/model, or a model folder")
    sub.add_argument("--name", required=True)
    sub.add_argument("--alias", default="champion", help="alias of the new version (default champion)")

    sub = verb("predict", _predict, "predict new cases; a repeated run predicts only the missing ones", overriding)
    sub.add_argument("model", **model)
    sub.add_argument("inputs", nargs="+", metavar="INPUT", help="a folder, a table, or the files of one case")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="results, one folder per case")
    sub.add_argument("--workers", type=int, default=1, help="number of processes (default 1)")
    sub.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="only every N-th case, from the I-th")
    sub.add_argument("--overwrite", action="store_true", help="predict finished cases again")
    device(sub)

    sub = verb("import-weights", _import_weights, "convert a published checkpoint into a model folder")
    sub.add_argument("app", **apps)
    sub.add_argument("--from", dest="file", type=Path, required=True, metavar="FILE", help="the published checkpoint")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new model folder")

    sub = verb("serve", _serve, "serve predictions over HTTP on the loopback address")
    sub.add_argument("model", **model)
    sub.add_argument("--port", type=int, default=5001)
    sub.add_argument("--root", action="append", default=[], help="a folder that requests may access (default: .)")
    device(sub)

    sub = verb("ui", _ui, "run the MLflow UI on the loopback address")
    sub.add_argument("--port", type=int, default=5000)

    sub = verb("report", _report, "rebuild the report of a prediction or an evaluation")
    sub.add_argument("folder", type=Path, metavar="DIR")
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
    """The model folder that `--from` names and its settings; None and {} without it."""
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
    return _print_outcomes(outcomes, arguments.out)


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
    return _print_outcomes(outcomes, arguments.out)


def _print_outcomes(outcomes: Sequence["Outcome"], out: Path) -> int:
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
