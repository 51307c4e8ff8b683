"""Damaged and hostile inputs, kills and concurrent writers, and what came of each: `python -m benchmarks.faults`.

Prints one table. A case is right if the input was refused with an error that names it, or was read or predicted
correctly; `losses` counts files of a user that changed and results that are not what their record says, `break-ins`
files that were read, written or fetched without being named. Both have to be 0. Everything is made in a temporary
folder, from synthetic data.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.hostile import Row, audit, damaged_files, hostile_models, hostile_rasters, random_model
from transect.data_adapters.files import sha256
from transect.pipelines.find import app_class, config_class

KILLS = 6


def killed_predictions(root: Path, rng: np.random.Generator) -> Row:
    """Predictions that are killed at random times, and repeated: every case is done, as if nothing had happened."""
    row, model = Row(), random_model(root, "pde")
    data = root / "data"
    app_class("pde")(config_class("pde")()).adapter.phantom(data, 6, 0)
    _transect("predict", model, data, "--out", root / "whole")
    expected = {path.parent.name: sha256(path) for path in (root / "whole").glob("*/rollout.nc")}
    assert len(expected) == 6
    for _ in range(KILLS):
        row.cases += 1
        process = _start("predict", model, data, "--out", root / "out", "--overwrite")
        time.sleep(float(rng.uniform(2, 20)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        row.losses += _broken(root / "out")
    repeated = _transect("predict", model, data, "--out", root / "out")
    done = {path.parent.name: sha256(path) for path in (root / "out").glob("*/rollout.nc")}
    row.losses += sum(done.get(name) != digest for name, digest in expected.items()) + _broken(root / "out")
    row.right = row.cases if repeated == 0 else 0
    return row


def two_writers(root: Path, rng: np.random.Generator) -> Row:
    """Two commands that predict the same cases into one folder at once."""
    row, model = Row(), random_model(root, "pde")
    data = root / "data"
    app_class("pde")(config_class("pde")()).adapter.phantom(data, 6, 0)
    for number in range(2):
        processes = [_start("predict", model, data, "--out", root / f"out{number}") for _ in range(2)]
        row.cases += 1
        statuses = [process.wait() for process in processes]
        row.right += statuses == [0, 0] and len(list((root / f"out{number}").glob("*/done.json"))) == 6
        row.losses += _broken(root / f"out{number}")
    return row


def results_over_inputs(root: Path, rng: np.random.Generator) -> Row:
    """Results where the inputs or other files of a user are."""
    row, model = Row(), random_model(root, "pde")
    data = root / "data"
    app_class("pde")(config_class("pde")()).adapter.phantom(data, 3, 0)
    (case, *_) = app_class("pde")(config_class("pde")()).adapter.cases(str(data))
    (root / "mine" / case.id).mkdir(parents=True)
    (root / "mine" / case.id / "notes.txt").write_text("keep me")
    before = _hashes(root)
    for out in (data, data / "deeper", root, root / "mine"):
        row.cases += 1
        row.refused += _transect("predict", model, data, "--out", out) in (1, 2)
        row.losses += sum(_hashes(root).get(name) != digest for name, digest in before.items())
    return row


def _hashes(root: Path) -> dict[str, str]:
    return {str(path): sha256(path) for path in root.rglob("*") if path.is_file()}


def _broken(out: Path) -> int:
    """The number of cases whose files are not those of their record."""
    broken = 0
    for record in out.glob("*/done.json"):
        done = json.loads(record.read_text())
        broken += any(sha256(record.parent / name) != digest for name, digest in done["outputs"].items())
    return broken


def _start(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "transect.pipelines.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _transect(*arguments: object) -> int:
    return _start(*arguments).wait()


KINDS = (damaged_files, hostile_rasters, hostile_models, killed_predictions, two_writers, results_over_inputs)


def main() -> None:
    """Print the table; exit with status 1 after a loss or a break-in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.addaudithook(audit)
    print(f"{'fault':22} {'cases':>6} {'refused':>8} {'right':>6} {'other':>6} {'losses':>7} {'break-ins':>10}")
    worst = 0
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            seed = int.from_bytes(hashlib.sha256(f"{arguments.seed}{kind.__name__}".encode()).digest()[:4])
            row = kind(Path(folder).resolve(), np.random.default_rng(seed))
        worst = max(worst, row.losses, row.break_ins)
        numbers = f"{row.cases:6} {row.refused:8} {row.right:6} {row.wrong:6} {row.losses:7} {row.break_ins:10}"
        print(f"{kind.__name__.replace('_', ' '):22} {numbers}", flush=True)
    sys.exit(min(worst, 1))


if __name__ == "__main__":
    main()
