"""CPU time of training steps that return freed memory to the kernel, and that keep it: `python -m benchmarks.training`.

Prints for change detectors, on one core and batches of 8 pairs of 256 x 256 pixels, the mean CPU seconds of a step,
with the part spent in the kernel, and the largest resident memory: as the C library does by default, and with
`keep_freed_memory`, as `transect train` does. Each row is a process of its own; the losses must be the same.
"""

import argparse
import json
import os
import resource
import subprocess
import sys

from transect.apps.change_detection.models.config import ModelConfig, ModelName

NAMES: tuple[ModelName, ...] = ("siamese_difference", "cdmaskformer")
STEPS = 3
COLUMNS = "{:<20} {:<10} {:>8} {:>10} {:>9} {:>7}"


def measure(name: ModelName, keep: bool) -> dict[str, float]:
    """Train a model for one step that is not measured and STEPS that are, in this process."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    from transect.apps.change_detection.app import ChangeDetection
    from transect.apps.change_detection.config import Config
    from transect.pipelines.memory import keep_freed_memory

    if keep:
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    app = ChangeDetection(Config(model=ModelConfig(name=name)))
    model = app.model()
    optimizer = torch.optim.AdamW(model.parameters())
    images = {date: torch.rand(8, 3, 256, 256) for date in ("before", "after")}
    batch = {**images, "label": (torch.rand(8, 256, 256) > 0.9).to(torch.uint8)}
    start = resource.getrusage(resource.RUSAGE_SELF)
    for step in range(1 + STEPS):
        loss = app.loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:
            start = resource.getrusage(resource.RUSAGE_SELF)
    end = resource.getrusage(resource.RUSAGE_SELF)
    kernel = (end.ru_stime - start.ru_stime) / STEPS
    total = kernel + (end.ru_utime - start.ru_utime) / STEPS
    return {"loss": float(loss), "kernel": kernel, "total": total, "gigabytes": end.ru_maxrss / 1e6}


def main() -> None:
    """Print the table, or with `--one`, one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("INDEX", "MODE"), help=argparse.SUPPRESS)
    if one := parser.parse_args().one:
        print(json.dumps(measure(NAMES[int(one[0])], one[1] == "keep")))
        return
    print(COLUMNS.format("model", "memory", "CPU s", "in kernel", "peak GB", "ratio"))
    for index, name in enumerate(NAMES):
        rows = {}
        for mode in ("return", "keep"):
            command = [sys.executable, "-m", "benchmarks.training", "--one", str(index), mode]
            rows[mode] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert rows["return"]["loss"] == rows["keep"]["loss"], rows
        for mode, row in rows.items():
            figures = f"{row['total']:.2f}", f"{row['kernel']:.2f}", f"{row['gigabytes']:.1f}"
            print(COLUMNS.format(name, mode, *figures, f"{row['total'] / rows['return']['total']:.2f}"))


if __name__ == "__main__":
    main()
