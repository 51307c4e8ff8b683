"""The command line `transect`: each command imports what it needs once its arguments are understood."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.pipelines.arguments import parse, resumed_epochs
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_names, app_summary, mechanisms, missing_package

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
    arguments, overrides = parse(sys.argv[1:] if argv is None else argv)
    terminated = False

    def terminate(*_: object) -> None:
        nonlocal terminated
        terminated = True
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    from transect.data_adapters.base import BadInput

    try:
        _refuse_torchrun(arguments.verb)
        if arguments.verb not in ("list", "ui"):
            from transect.pipelines.console import set_up_logging

            set_up_logging()
        status = COMMANDS[arguments.verb](arguments, overrides)
    except UsageError as error:
        _exit_with_error(error, USAGE)
    except ImportError as error:
        if not (message := missing_package(error, getattr(arguments, "app", ""))):
            raise
        _exit_with_error(message, USAGE)
    except (BadInput, OSError) as error:
        _exit_with_error(error, FAILED)
    except KeyboardInterrupt:
        _exit_with_error("interrupted", INTERRUPTED)
    finally:
        if terminated:
            # A library may have swallowed the SystemExit, or replaced it with another exception or status.
            sys.exit(TERMINATED)
    sys.exit(status)


def _refuse_torchrun(verb: str) -> None:
    """Refuse commands that would do the same in every process of a distributed launcher."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if verb in ("train", "evaluate") and (processes != "1" or "TORCHELASTIC_RUN_ID" in os.environ):
        raise UsageError(
            f"{verb}: found {processes} processes of torchrun or another launcher (WORLD_SIZE), expected one; "
            f"start it as: transect {verb} ..."
        )


def _exit_with_error(error: object, status: int) -> None:
    print(f"transect: {error}", file=sys.stderr)
    sys.exit(status)


def _list(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from importlib.metadata import version

    for name in app_names():
        print(f"{name:20} {app_summary(name)}")
    print("\ntransect.core.attention:")
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


def _check(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.check import check

    checked, summary = check(arguments.source, arguments.inputs, arguments.out, arguments.config, overrides)
    for each in checked:
        print(each.case.id + (f"  [{each.case.split}]" if each.case.split else ""))
        lines = {**each.facts, **({"problem": each.problem} if each.problem else {})}
        for name, value in lines.items():
            print(f"  {name:16} {value:.6g}" if isinstance(value, float) else f"  {name:16} {value}")
        for warning in each.warnings:
            print(f"  {'warning':16} {warning}")
    problems = sum(bool(each.problem) for each in checked)
    warned = sum(bool(each.warnings) for each in checked)
    print(f"{summary}\n" if summary else "", end="")
    print(f"{len(checked) - problems} of {len(checked)} cases can be used, {warned} of them with warnings")
    if arguments.out:
        print(f"table {arguments.out / 'cases.csv'}")
    return FAILED if problems else DONE


def _train(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines import config

    if arguments.resume:
        epochs = resumed_epochs(arguments, overrides)
        from transect.pipelines.train import resume

        run_id, folder = resume(arguments.app, arguments.resume, arguments.device, epochs)
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
    if (app := model_folder.app_of(folder)) != arguments.app:
        raise UsageError(f"train: --from: found a model of {app}, expected one of {arguments.app}")
    return folder, asdict(model_folder.app_for(folder).config)


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
        arguments.pictures,
    )
    for name, baselines in with_baselines(summary).items():
        interval = "  [{:.4f}, {:.4f}]".format(*intervals[name]) if name in intervals else ""
        others = "".join(
            f"  {baseline} {summary[other]:.4f}"
            for baseline, other in baselines.items()
            if summary[other] == summary[other]
        )
        print(f"{name:22} {summary[name]:.4f}{interval}{others}")
    return _print_outcomes(outcomes, arguments.out)


def _register(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.register import register

    print(register(arguments.source, arguments.name, arguments.alias))
    return DONE


def _ensemble(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.ensemble import ensemble

    ensemble(arguments.models, arguments.out)
    print(arguments.out)
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
        arguments.pictures,
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


def _export(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.export import export, outcome

    print(arguments.out, outcome(export(arguments.model, arguments.out)), sep="\n")
    return DONE


def _serve(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.serve import serve
    from transect.pipelines.server import Limits

    limits = Limits(arguments.computing, arguments.waiting, arguments.seconds)
    return serve(arguments.model, arguments.port, arguments.root, limits, arguments.device)


def _ui(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.pipelines.serve import ui

    return ui(arguments.port)


def _report(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from transect.data_adapters.base import BadInput
    from transect.pipelines.report import write_report

    if not (arguments.folder / "run.json").is_file():
        raise BadInput(arguments.folder, "run.json", "none", "a folder that predict or evaluate wrote")
    print(write_report(arguments.folder))
    return DONE


COMMANDS = {
    "list": _list,
    "phantom": _phantom,
    "check": _check,
    "train": _train,
    "evaluate": _evaluate,
    "register": _register,
    "ensemble": _ensemble,
    "predict": _predict,
    "import-weights": _import_weights,
    "export": _export,
    "serve": _serve,
    "ui": _ui,
    "report": _report,
}


if __name__ == "__main__":
    main()
