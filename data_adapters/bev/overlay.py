"""The picture of a sample as it was read, in which a person sees whether the calibration is right."""

from collections.abc import Sequence

import numpy as np

from transect.data_adapters.bev.drawing.montage import montage
from transect.data_adapters.bev.drawing.palette import OTHER_COLOUR, colour_of
from transect.data_adapters.bev.images import Picture
from transect.data_adapters.bev.labels import is_vehicle
from transect.data_adapters.bev.sample import Frame, Labels

SHOWN = ("road", "lane", "vehicle")

GUIDE = (
    "White: a grid of 10 m on the ground, x forward and y left of the vehicle. Where it leaves the ground of an image,"
    " the height, pitch or roll of that camera is wrong."
)
GUIDE_TO_LABELS = "Where boxes or edges of the map lie beside what they show, its heading, K or time is wrong."


def overlay_of(frame: Frame, labels: Labels | None, remarks: Sequence[str] = ()) -> Picture:
    """Camera images with boxes, the map and a ground grid drawn in, and the label map with the fields of view below.

    Args:
        frame: The sample.
        labels: Its ground truth; None for none.
        remarks: Sentences that are written beside the map, such as warnings.

    Returns:
        uint8 `(H, W, 3)`.
    """
    masks = labels.masks if labels else {}
    layers = {name: masks[name].astype(np.float32) for name in SHOWN if name in masks}
    ground = {name: layer for name, layer in layers.items() if name != "vehicle"}
    legend = [(name, colour_of(name)) for name in layers]
    boxes = labels.boxes if labels else None
    if boxes is not None and not all(map(is_vehicle, boxes.names)):
        legend.append(("box of another category", OTHER_COLOUR))
    guide = f"{GUIDE} {GUIDE_TO_LABELS}" if labels else GUIDE
    return montage(frame, frame.case.id, ground, layers, boxes, legend=legend, remarks=(guide, *remarks))
