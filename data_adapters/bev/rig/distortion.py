"""Removal of lens distortion: a straightened image has the K of the distorted one."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.calibration import Matrix, Place
from transect.data_adapters.bev.images import Picture

WIDEST_FISHEYE = 80
"""Largest angle between a ray and the optical axis, in degrees, at which a fisheye image is used."""

STEPS = 4096

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Distortion:
    """Coefficients of a lens.

    Args:
        model: "opencv", radial and tangential (k1, k2, p1, p2, then k3, then k4 to k6, as OpenCV orders them), or
            "fisheye", the equidistant model with k1 to k4.
        coefficients: As the model orders them.
    """

    model: str
    coefficients: tuple[float, ...]


COUNTS = {"opencv": (4, 5, 8), "fisheye": (4,)}


def read_distortion(place: Place, value: object) -> Distortion:
    """The distortion of a camera, such as `{model: opencv, coefficients: [k1, k2, p1, p2, k3]}`.

    Raises:
        BadInput: the model is not known, or the coefficients are not as many numbers as it has.
    """
    given = place.mapping("distortion", value, ("model", "coefficients"))
    model, coefficients = given["model"], given["coefficients"]
    if not isinstance(model, str) or model not in COUNTS:
        raise place.bad("distortion, model", repr(model)[:80], " or ".join(COUNTS))
    counts = COUNTS[model]
    if not isinstance(coefficients, list) or len(coefficients) not in counts:
        found = f"{len(coefficients)} numbers" if isinstance(coefficients, list) else repr(coefficients)[:80]
        raise place.bad("distortion, coefficients", found, f"{' or '.join(map(str, counts))} numbers for {model}")
    numbers = place.numbers("distortion, coefficients", coefficients, (len(coefficients),))
    return Distortion(model, tuple(numbers.tolist()))


def straighten(image: Picture, intrinsics: Matrix, distortion: Distortion) -> tuple[Picture, float]:
    """Remove the distortion of an image.

    Args:
        image: uint8 `(H, W, 3)`.
        intrinsics: K of `image`, without skew.
        distortion: Of its lens.

    Returns:
        uint8 `(H, W, 3)` with the same K, black where the lens shows nothing; and the share of such pixels.
    """
    height, width = image.shape[:2]
    across, down = _maps(intrinsics.tobytes(), distortion, (width, height))
    straight = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return straight.astype(np.uint8, copy=False), _black(intrinsics.tobytes(), distortion, (width, height))


@lru_cache(maxsize=16)
def _black(matrix: bytes, distortion: Distortion, size: tuple[int, int]) -> float:
    across, down = _maps(matrix, distortion, size)
    return float(((across < 0) | (across > size[0] - 1) | (down < 0) | (down > size[1] - 1)).mean())


@lru_cache(maxsize=8)
def _maps(matrix: bytes, distortion: Distortion, size: tuple[int, int]) -> tuple[Map, Map]:
    """Where each pixel of the straightened image lies in the distorted one: columns and rows, float32 `(H, W)`."""
    intrinsics = np.frombuffer(matrix).reshape(3, 3)
    coefficients = np.array(distortion.coefficients)
    calibration = (intrinsics, coefficients, np.eye(3), intrinsics, size, cv2.CV_32FC1)
    if distortion.model == "fisheye":
        maps = cv2.fisheye.initUndistortRectifyMap(*calibration)
    else:
        maps = cv2.initUndistortRectifyMap(*calibration)
    across, down = (np.array(each, np.float32) for each in maps)
    column, row = np.arange(size[0]), np.arange(size[1])[:, None]
    x = (column - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (row - intrinsics[1, 2]) / intrinsics[1, 1]
    radius = np.hypot(x, y)
    outside = ~(radius <= _largest_radius(distortion, float(radius.max())))
    outside |= ~np.isfinite(across) | ~np.isfinite(down)
    across[outside] = down[outside] = -2
    return across, down


def _largest_radius(distortion: Distortion, widest: float) -> float:
    """The radius tan(angle) up to which the model takes larger angles farther from the middle of the image.

    Beyond it, polynomials turn back, and would show the image again, mirrored.
    """
    radius = np.linspace(0, widest, STEPS)
    k = distortion.coefficients
    with np.errstate(all="ignore"):
        if distortion.model == "fisheye":
            angle = np.arctan(radius)
            squared = angle**2
            distorted = angle * (1 + squared * (k[0] + squared * (k[1] + squared * (k[2] + squared * k[3]))))
        else:
            radial, divided = (k[0], k[1], k[4] if len(k) > 4 else 0.0), k[5:8] if len(k) > 5 else (0.0, 0.0, 0.0)
            squared = radius**2
            up, low = (1 + squared * (a + squared * (b + squared * c)) for a, b, c in (radial, divided))
            distorted = np.where(low > 0, radius * up / low, np.nan)
        turns = ~(np.diff(distorted) > 0)
    first = int(turns.argmax()) if turns.any() else STEPS - 1
    limit = np.tan(np.radians(WIDEST_FISHEYE)) if distortion.model == "fisheye" else np.inf
    return min(float(radius[first]), limit) if turns.any() else limit
