"""The connected areas of a predicted class: where they are, how large, and a rectangle around each."""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.prediction import BevMap


@dataclass(frozen=True)
class Area:
    """A connected area. The rectangle is the smallest one around its pixels; vehicles that touch have one together.

    Args:
        x_m: Middle of the rectangle, metres forward of the ego vehicle.
        y_m: Metres to the left.
        distance_m: From the origin of the ego axes to the nearest pixel.
        length_m: Longer side of the rectangle.
        width_m: Shorter side.
        heading_deg: Of the longer side, counter-clockwise from forward, -90 to 90: front and back look alike.
        area_m2: Of its pixels.
        probability: Mean over its pixels.
    """

    x_m: float
    y_m: float
    distance_m: float
    length_m: float
    width_m: float
    heading_deg: float
    area_m2: float
    probability: float

    def rounded(self) -> dict[str, float]:
        """Its fields with two decimals, the probability with four."""
        return {name: round(value, 4 if name == "probability" else 2) for name, value in asdict(self).items()}


def areas_of(prediction: BevMap, name: str) -> tuple[list[Area], NDArray[np.int32]]:
    """The connected areas of a class; pixels that only touch at a corner are not connected.

    A rectangle spans pixel indices, as the published labels do: a vehicle of 2 x 5 m along the axes covers 5 x 11
    pixels of 0.5 m, and its rectangle is 2 x 5 m.

    Returns:
        The areas, and int32 `(H, W)`: 1 + the position of the area of a pixel, 0 for none.
    """
    index = prediction.classes.index(name)
    count, labels = cv2.connectedComponents(prediction.mask[index], connectivity=4, ltype=cv2.CV_32S)
    flat = labels.ravel()
    ends = np.cumsum(np.bincount(flat, minlength=count))
    owned = np.split(np.argsort(flat, kind="stable"), ends[:-1])[1:]  # without the background
    return [_area(pixels, prediction, index) for pixels in owned], np.asarray(labels, np.int32)


def _area(owned: NDArray[np.intp], prediction: BevMap, index: int) -> Area:
    grid = prediction.frame.grid
    to_ego = np.linalg.inv(grid.matrix)
    rows, columns = np.unravel_index(owned, (grid.height, grid.width))
    rectangle = cv2.minAreaRect(np.stack([columns, rows], axis=1).astype(np.float32))
    middle, sides, _ = rectangle
    first, second, third, _ = cv2.boxPoints(rectangle)
    along = max(second - first, third - second, key=lambda side: float(np.hypot(*side)))
    forward, left = -float(along[1]), -float(along[0])  # rows go backward, columns to the right
    x, y = (to_ego @ [*middle, 1])[:2]
    ground = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ to_ego.T
    return Area(
        x_m=float(x),
        y_m=float(y),
        distance_m=float(np.hypot(ground[:, 0], ground[:, 1]).min()),
        length_m=float(max(sides)) * grid.resolution,
        width_m=float(min(sides)) * grid.resolution,
        heading_deg=float((np.degrees(np.arctan2(left, forward)) + 90) % 180 - 90),
        area_m2=len(owned) * grid.resolution**2,
        probability=float(prediction.probability[index].ravel()[owned].mean(dtype=np.float64)),
    )
