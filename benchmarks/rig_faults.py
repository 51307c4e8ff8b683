"""What faults of a rig cost a model: `python -m benchmarks.rig_faults MODEL DATA [--split test]`.

Predicts the samples of a split again with 1 to 5 lost views, each dropped or replaced by a black image; with errors of
the yaw and pitch of each camera's calibration, normally distributed; and with errors of the pose that move all cameras
of a sample together, as a wrong time stamp does: along x and y, and around the vehicle. The faults of a sample are the
same each time. Thresholds are those of the model. IoU is that of each class, as `evaluate` gives it at the calibrated
threshold: of vehicles, without the pixels of those of which less than 40 % is seen.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from transect.apps.base import Contribution
from transect.apps.bev.app import BirdsEyeView
from transect.apps.bev.config import FaultConfig
from transect.apps.bev.metrics import prefix
from transect.data_adapters.bev.sample import FrameCase, Labels
from transect.pipelines import model_folder

ROTATIONS, POSITIONS, HEADINGS = (1.0, 2.0, 4.0, 8.0), (0.25, 0.5, 1.0, 2.0), (1.0, 2.0, 4.0, 8.0)
"""Standard deviations in degrees, metres and degrees."""


class Scorer:
    """Samples that are read once, and how well a model draws their maps."""

    def __init__(self, app: BirdsEyeView, cases: Sequence[FrameCase]) -> None:
        self.app = app
        frames = [app.adapter.read(case) for case in cases]
        self.frames = [replace(frame, labels=partial(_labels, frame.labels())) for frame in frames]

    def contributions(self, app: BirdsEyeView, model: nn.Module) -> list[Contribution]:
        """The contribution of each sample."""
        return [app.metric.contribution(app.predict(model, frame), frame) for frame in self.frames]

    def summary(self, app: BirdsEyeView, model: nn.Module) -> dict[str, float]:
        """The metrics, and `seconds_per_sample` of CPU time that prediction and scoring took."""
        start = time.process_time()
        found = self.contributions(app, model)
        return app.metric.summary(found) | {"seconds_per_sample": (time.process_time() - start) / len(found)}

    def calibrated(self, model: nn.Module) -> tuple[BirdsEyeView, dict[str, float]]:
        """The app with thresholds chosen on these samples, and the metrics at them."""
        found = self.contributions(self.app, model)
        state = self.app.metric.calibrate(found)
        app = BirdsEyeView(self.app.config, state or self.app.state)
        return app, app.metric.summary(found)


def _labels(found: Labels | None) -> Labels | None:
    return found


def curves(scorer: Scorer, model: nn.Module) -> list[str]:
    """The lines of all curves: IoU of each class without and with each fault."""
    most = max(len(frame.names) for frame in scorer.frames)

    def iou(**faults: Any) -> str:
        config = replace(scorer.app.config, faults=FaultConfig(**faults), thresholds=scorer.app.thresholds)
        summary = scorer.summary(BirdsEyeView(config, scorer.app.state), model)
        return " ".join(f"{summary[prefix(name) + '_calibrated']:.3f}" for name in config.classes)

    lost = range(1, most)
    columns = [f"without faults {iou()}"]
    for kind in ("dropped", "black"):
        shown = "  ".join(f"{most - count}: {iou(missing=count, missing_as=kind)}" for count in lost)
        columns.append(f"views left, the others {kind:<8} {shown}")
    for name, text, sizes in (
        ("rotation", "calibration error, degrees", ROTATIONS),
        ("position", "pose error, metres", POSITIONS),
        ("heading", "pose error, degrees", HEADINGS),
    ):
        columns.append(f"{text:<32} " + "  ".join(f"{size:g}: {iou(**{name: size})}" for size in sizes))
    return columns


def main() -> None:
    """Predict and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder")
    parser.add_argument("data", nargs="+", help="data set with labels")
    parser.add_argument("--split", default="test")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = model_folder.load(arguments.model, device=arguments.device)
    if not isinstance(model.app, BirdsEyeView) or model.members:
        parser.error(f"{arguments.model}: found a model of {model.app_name}, expected a single one of bev")
    cases = [case for case in model.app.adapter.cases(*arguments.data) if case.split in (arguments.split, "")]
    if not cases:
        parser.error(f"{' '.join(arguments.data)}: found no sample of the split {arguments.split}")
    grid = model.app.config.read.grid
    print(
        f"{len(cases)} samples of {arguments.split}, {', '.join(model.app.config.classes)}; "
        f"{grid.height} x {grid.width} pixels of {grid.resolution:g} m"
    )
    print("\n".join(curves(Scorer(model.app, cases), model.module)))


if __name__ == "__main__":
    main()
