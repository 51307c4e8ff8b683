"""Overhead of batch inference over the bare model loop: `python -m benchmarks.overhead [cases]`.

The bare loop lists, reads, predicts and writes cases through the app's adapter, in the same process. `predict` adds
what makes results safe and repeatable: hashes, records, atomic folders flushed to disk, locks, the manifest and the
report; without pictures. Cases are small simulations, with rollouts of a few steps. Half of the bare loop runs before
`predict` and half after it, so that other load on the machine affects both.
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from transect.apps.pde.app import PDE
from transect.apps.pde.config import Config
from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.predict import predict_cases

STEPS = 8


def main(count: str = "1000") -> int:
    """Measure and print; returns 1 if the overhead is above 10 % of the CPU time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        app = PDE(replace(Config(), steps=STEPS))
        app.adapter.phantom(root / "data", int(count), 0)
        listed: Sequence[Case] = app.adapter.cases(str(root / "data"))
        app = PDE(app.config, app.fit(listed[:8]))
        model_folder.save(root / "model", "pde", app, app.model(), "# benchmark\n")
        model = model_folder.load(str(root / "model"), device="cpu")
        _bare(model, listed[:8], root / "warm-up")
        times = [_now()]
        listed = model.app.adapter.cases(str(root / "data"))
        _bare(model, listed[::2], root / "bare")
        times.append(_now())
        outcomes = predict_cases(model, [str(root / "data")], root / "out", pictures=0)
        times.append(_now())
        _bare(model, listed[1::2], root / "bare")
        times.append(_now())
    assert {outcome.status for outcome in outcomes} == {"done"}
    print(f"{count} simulations of {STEPS} steps, one process, 1 thread, no pictures")
    overheads = []
    for index, unit in enumerate(("wall", "CPU")):
        first, whole, second = ((after[index] - before[index]) for before, after in pairwise(times))
        overheads.append(whole / (first + second) - 1)
        low, high = (1000 * seconds / int(count) for seconds in (first + second, whole))
        print(f"{unit:4}  bare loop {low:7.2f} ms   predict {high:7.2f} ms a case   overhead {overheads[-1]:6.1%}")
    print("at most 10 % of the CPU time")
    return int(overheads[1] > 0.10)


def _bare(model: model_folder.Model, cases: Sequence[Case], out: Path) -> None:
    for case in cases:
        (out / case.id).mkdir(parents=True)
        prediction = model.predict(case, model.app.adapter.read(case))
        model.app.adapter.write(case, prediction, out / case.id, model.source)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
