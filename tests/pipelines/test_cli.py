"""The command line: lazy imports, messages of one line, and exit statuses for scripts."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from transect.pipelines.find import app_names

HEAVY = {"torch", "mlflow", "lightning", "jsonargparse", "numpy", "rasterio", "pandas", "yaml", "rich"}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "--help"], ["phantom"]])
def test_help_imports_nothing_heavy(words):
    code = f"""
import sys
from transect.pipelines.cli import main
try:
    main({words!r})
finally:
    print("imported", *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].split() == ["imported"]
    assert done.returncode == (2 if words == ["phantom"] else 0)
    assert ("usage: transect" in done.stdout) == (words != ["phantom"])


def test_threads_do_not_spin_unless_the_user_says_so():
    code = "import os, transect.pipelines.cli; print(os.environ['OMP_WAIT_POLICY'], os.environ['THP_MEM_ALLOC_ENABLE'])"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE")
    }
    for given, expected in (({}, "passive 1"), ({"OMP_WAIT_POLICY": "active"}, "active 1")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**environment, **given}
        )
        assert done.stdout.strip() == expected, done.stderr


def test_list_names_every_app_and_its_task(command):
    status, out, _ = command("list")
    assert status == 0
    for name in app_names():
        (line,) = [line for line in out.splitlines() if line.startswith(name)]
        assert len(line.removeprefix(name).split()) > 3
    assert "torch 2" in out.splitlines()[-1]


def test_list_names_every_mechanism_and_what_it_does(command):
    from transect.core import attention

    _, out, _ = command("list")
    for name in attention.__all__:
        if name[0].isupper():
            (line,) = [line for line in out.splitlines() if line.split()[:1] == [name]]
            assert len(line.split()) > 4


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["train"],
        ["train", "no_such_app"],
        ["list", "--loud"],
        ["predict", "m", "in", "--out", "out", "--shard", "3/2"],
        ["predict", "m", "in", "--out", "out", "--shard", "0/2"],
        ["predict", "m", "in", "--out", "out", "--workers", "two"],
        ["predict", "m", "in"],
    ],
)
def test_arguments_that_make_no_command_exit_with_2(command, words):
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert "error: " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "change_detection"], "--data"),
        (["train", "change_detection", "--tile", "100"], "tile: found 100, expected a multiple of 32"),
        (["train", "change_detection", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "change_detection", "--print-config", "--model.nam", "unet"], "model.nam: found no such setting"),
        (
            [
                "train",
                "change_detection",
                "--resume",
                "0" * 32,
                "--data",
                "pairs",
                "--config",
                "c.yaml",
                "--tile",
                "64",
            ],
            "train: --resume: found --data, --config, --tile, expected at most --train.epochs and --device",
        ),
        (["train", "change_detection", "--resume", "0" * 32, "--train.epochs", "many"], "invalid int value: 'many'"),
        (
            ["evaluate", "nowhere", "--data", "pairs", "--out", "scores"],
            "model nowhere: found no config.yaml and no model.safe",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exits_with_2(command, pairs, words, message):
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert err.startswith("transect: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_inputs_that_hold_nothing_are_one_line_and_exit_with_1(command, untrained, tmp_path):
    status, out, err = command("predict", untrained, tmp_path, "--out", tmp_path / "out")
    assert (status, out) == (1, "")
    assert err.startswith(f"transect: {tmp_path}: layout: found")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_print_config_prints_settings_and_nothing_else(command, tmp_path):
    status, out, err = command("train", "change_detection", "--print-config", "--tile", "96")
    assert (status, err) == (0, "")
    assert "\ntile: 96\n" in out
    (tmp_path / "settings.yaml").write_text(out)
    assert command("train", "change_detection", "--print-config", "--config", tmp_path / "settings.yaml")[1] == out


def test_phantom_writes_a_data_set_and_says_where(command, tmp_path):
    status, out, _ = command("phantom", "change_detection", "--out", tmp_path / "pairs", "--count", "3")
    assert (status, out.strip()) == (0, str(tmp_path / "pairs"))
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == {"train", "val", "test"}


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_with_their_own_status(command, tmp_path, number, expected):
    def interrupt() -> None:
        while not list(tmp_path.rglob("*.png")):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=interrupt)
    sender.start()
    status, out, err = command("phantom", "change_detection", "--out", tmp_path / "pairs", "--count", "100000")
    sender.join()
    assert (status, out) == (expected, "")
    assert len(err.splitlines()) <= 1


@pytest.mark.parametrize("ending", ["raise SystemExit(0)", "raise ValueError('cleaning up failed')", "return 0"])
def test_a_termination_sets_the_exit_status_even_if_a_library_swallows_it(ending):
    code = f"""
import os, signal, time
from transect.pipelines import cli

def loses_the_exit(arguments, overrides):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    except SystemExit:
        {ending}

cli.COMMANDS["list"] = loses_the_exit
cli.main(["list"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 143, done.stderr


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_launcher_of_several_processes_is_refused_by_name(command, monkeypatch, verb):
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = {"train": ["change_detection", "--data", "pairs"], "evaluate": ["model", "--data", "pairs", "--out", "out"]}
    status, out, err = command(verb, *words[verb])
    assert (status, out) == (2, "")
    assert err.startswith(f"transect: {verb}: found 2 processes of torchrun")
    assert len(err.splitlines()) == 1


def test_a_package_that_is_not_installed_is_named_with_its_extra(tmp_path):
    code = f"""
import sys
sys.modules["h5py"] = None  # as if it were not installed
import transect
from transect.pipelines.cli import main
from transect.pipelines.errors import UsageError
folder = {str(tmp_path)!r}
open(folder + "/config.yaml", "w").write("app: pde")
open(folder + "/model.safetensors", "w").close()
for use in (lambda: transect.load(folder), lambda: transect.app("pde")):
    try:
        use()
    except UsageError as error:
        print(error, file=sys.stderr)
main(["phantom", "pde", "--out", folder])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = [line.removeprefix("transect: ") for line in done.stderr.splitlines()]
    assert (done.returncode, len(lines), len(set(lines))) == (2, 3, 1), done.stderr
    assert lines[0].startswith("pde: package h5py: found none")
    assert lines[0].endswith("pip install 'transect[pde]'")
