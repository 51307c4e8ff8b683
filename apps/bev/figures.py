"""Pictures of a map: the cameras of its sample with the map below, as they are, predicted, labelled, and compared."""

from typing import Any

import numpy as np

from transect.apps.base import Picture
from transect.data_adapters.bev.drawing.montage import montage
from transect.data_adapters.bev.drawing.palette import INK, colour_of
from transect.data_adapters.bev.drawing.prediction import layers_of
from transect.data_adapters.bev.prediction import BevMap


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

        `image`: the cameras and where they look. `prediction`: with the classes of the map, drawn on the ground. With
        labels also `label`, the same of the labels with their boxes, and `comparison`, the prediction with the boxes.
        """
        frame, title = self._map.frame, self._map.frame.case.id
        predicted = layers_of(self._map)
        legend = [
            (f"{name}, from {threshold:g}", colour_of(name))
            for name, threshold in zip(self._map.classes, self._map.threshold, strict=True)
        ]
        made = {
            "image": montage(frame, title, {}, {}),
            "prediction": montage(frame, title, predicted, predicted, grid=False, legend=legend),
        }
        if self._labels is not None:
            masks, boxes = self._labels.masks, self._labels.boxes
            labelled = {name: masks[name].astype(np.float32) for name in self._map.classes if name in masks}
            names = [(f"{name} in the label", colour_of(name)) for name in labelled]
            made["label"] = montage(frame, title, labelled, labelled, boxes, grid=False, legend=names)
            legend += [("boxes of the label", INK)]
            made["comparison"] = montage(frame, title, predicted, predicted, boxes, grid=False, legend=legend)
        return made
