"""The recall by transition of land cover, on data sets that have both labels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transect.apps.change_detection.charts import transition_chart
from transect.apps.change_detection.metrics import ChangeMetric
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import NODATA, ChangeMap, ScoredStrip
from transect.data_adapters.change_detection.scene import Scene

WHITE, GROUND, TREE, BUILDING = (255, 255, 255), (128, 128, 128), (0, 255, 0), (128, 0, 0)


def scene(root: Path, before: list[tuple[int, ...]], after: list[tuple[int, ...]]) -> Scene:
    """A pair of 8 columns with a colour for each row of both labels, in the layout of SECOND."""
    noise = np.random.default_rng(0).integers(1, 255, (len(before), 8, 3), dtype=np.uint8)
    labels = [np.repeat(np.array(rows, np.uint8)[:, None], 8, axis=1) for rows in (before, after)]
    for name, values in zip(("im1", "im2", "label1", "label2"), (noise, noise, *labels), strict=True):
        (root / name).mkdir(parents=True)
        Image.fromarray(values).save(root / name / "1.png")
    adapter = ChangeAdapter(ReadConfig())
    (case,) = adapter.cases(str(root))
    return adapter.read(case)


def test_recall_by_transition(tmp_path: Path) -> None:
    metric = ChangeMetric(threshold=0.5)
    first = scene(tmp_path / "a", [TREE, TREE, GROUND, WHITE], [BUILDING, BUILDING, BUILDING, WHITE])
    levels = np.full((4, 8), 99, np.uint8)  # just below the threshold
    levels[0, :6] = levels[2:, :] = 100
    levels[1, :3] = NODATA
    blocks = [ScoredStrip(0, levels[:1]), ScoredStrip(1, levels[1:])]
    contributions = [metric.contribution(ChangeMap(first.grid, blocks, 0.5), first)]
    second = scene(tmp_path / "b", [GROUND, WHITE], [TREE, WHITE])
    blocks = [ScoredStrip(0, np.zeros((2, 8), np.uint8))]
    contributions.append(metric.contribution(ChangeMap(second.grid, blocks, 0.5), second))

    recalls = metric.recall_by_transition(contributions)
    assert recalls == {"tree to building": (6 / 13, 13), "ground to building": (1.0, 8), "ground to tree": (0.0, 8)}
    assert next(iter(recalls)) == "tree to building"
    assert metric.summary(contributions)["recall"] == pytest.approx(14 / 29)
    assert transition_chart(recalls)["transitions"].shape == (640, 960, 3)
    assert transition_chart(metric.recall_by_transition([])) == {}
