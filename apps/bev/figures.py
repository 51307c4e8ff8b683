"""Pictures of a map between the cameras of its sample: without classes, predicted, labelled, and compared."""

from dataclasses import replace
from typing import Any

import numpy as np

from transect.apps.base import Picture
from transect.data_adapters.bev.areas import areas_of
from transect.data_adapters.bev.drawing.prediction import montage_of
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Boxes, Labels


class MapPreview:
    """Pictures of a prediction, which is not lazy.

    Args:
        prediction: The map.
        labels: Whether to show the labels of its sample, and to compare with them.
    """

    def __init__(self, prediction: BevMap, labels: bool) -> None:
        self._map, self._labels = prediction, prediction.frame.labels() if labels else None

    def add(self, block: Any) -> None:
        """Nothing: a prediction is not lazy."""

    def pictures(self) -> dict[str, Picture]:
        """Pictures by name, of one size.

        `image`: the cameras around an empty map. `prediction`: with the classes, outlined in the images too. With
        labels also `label`, the same of the labels with their boxes, and `comparison`, the prediction with the boxes.
        """
        empty = replace(self._map, classes=(), probability=self._map.probability[:0], threshold=self._map.threshold[:0])
        made = {"image": _montage(empty, None), "prediction": _montage(self._map, "")}
        if self._labels is not None:
            boxes = self._labels.boxes
            made["label"] = _montage(_labelled(self._map, self._labels), None, boxes)
            notes = (*self._map.frame.notes, "Outlined: the boxes of the label.")
            made["comparison"] = _montage(replace(self._map, frame=replace(self._map.frame, notes=notes)), "", boxes)
        return made


def _montage(shown: BevMap, source: str | None, boxes: Boxes | None = None) -> Picture:
    return montage_of(shown, {name: areas_of(shown, name)[0] for name in shown.classes}, source, boxes)


def _labelled(prediction: BevMap, labels: Labels) -> BevMap:
    """The labels of the predicted classes, as far as there are any, in the form of a prediction."""
    classes = tuple(name for name in prediction.classes if name in labels.masks)
    masks = np.stack([labels.masks[name] for name in classes]).astype(np.float32)
    return replace(prediction, classes=classes, probability=masks, threshold=np.full(len(classes), 0.5))
