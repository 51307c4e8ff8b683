"""Validation of camera calibrations of all file formats; messages name file, camera and field."""

import difflib
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput

Matrix = NDArray[np.float64]

ASPECT = 0.005
"""Largest relative difference between the aspect of an image and that of its calibration."""

ROTATION = 1e-3
"""Largest difference of an element of R R^T from the identity."""

UNIT = 0.01
"""Largest difference of the length of a quaternion from 1."""

_shown = reprlib.Repr()
_shown.maxlevel = 3


@dataclass(frozen=True)
class Place:
    """Where a calibration stands, for messages.

    Args:
        file: The file that holds it.
        camera: Name of the camera; empty for what belongs to none.
    """

    file: object
    camera: str = ""

    def bad(self, field: str, found: object, expected: object, advice: str = "") -> BadInput:
        """The error that names file, camera and field."""
        return BadInput(self.file, f"camera {self.camera}, {field}" if self.camera else field, found, expected, advice)

    def number(self, field: str, value: object) -> float:
        """A finite number.

        Raises:
            BadInput: `value` is something else.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.bad(field, _shown.repr(value), "a number")
        if not abs(value) <= 1e15:
            raise self.bad(field, _shown.repr(value), "a finite number")
        return float(value)

    def mapping(
        self, field: str, value: object, required: Sequence[str], optional: Sequence[str] = ()
    ) -> dict[str, object]:
        """A mapping with these keys; optional ones that are empty are left out.

        Raises:
            BadInput: `value` is no mapping, a key is missing, or one is not known.
        """
        if not isinstance(value, dict):
            raise self.bad(field, _shown.repr(value), f"a mapping with {', '.join(required)}")
        known = (*required, *optional)
        for key in value:
            if key not in known:
                close = difflib.get_close_matches(str(key)[:80], known, 1)
                raise self.bad(field, f"the key {_shown.repr(key)}", ", ".join(known), *(f"{k}?" for k in close))
        for key in required:
            if value.get(key) is None:
                raise self.bad(field, f"no {key}", ", ".join(required))
        return {key: item for key, item in value.items() if item is not None}

    def inside(self, field: str, name: object, folder: Path) -> Path:
        """The path of a file that is named relative to `folder`, and lies in it or below.

        Raises:
            BadInput: an absolute path, a path that leaves the folder, or a URL.
        """
        parts = PurePath(name).parts if isinstance(name, str) and name.isprintable() else ()
        if not isinstance(name, str) or not parts or any(len(part.encode()) > 255 for part in parts):
            raise self.bad(field, _shown.repr(name), "a file name")
        if PurePath(name).is_absolute() or ".." in parts or "://" in name or ":" in parts[0]:
            advice = "put the yaml in a folder above its images, or link their folder there"
            raise self.bad(field, repr(name), "a path below the folder of the yaml", advice)
        return folder / name

    def numbers(self, field: str, value: object, shape: tuple[int, ...]) -> Matrix:
        """float64 of `shape` from nested lists.

        Raises:
            BadInput: `value` has another shape, or holds something else than finite numbers.
        """
        if not shape:
            return np.array(self.number(field, value))
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != shape[0]:
            expected = f"{' x '.join(map(str, shape))} numbers"
            raise self.bad(field, _shown.repr(value), expected)
        return np.array([self.numbers(field, item, shape[1:]) for item in value], np.float64).reshape(shape)


def require_intrinsics(place: Place, field: str, value: object, size: tuple[int, int] | None) -> Matrix:
    """A camera matrix K, float64 `(3, 3)`.

    Args:
        place: For messages.
        field: Its name in the file.
        value: Nested lists or an array.
        size: Width and height of the images that it belongs to; None where that is not known yet.

    Raises:
        BadInput: not 3 x 3 finite numbers, not upper triangular with a last row 0 0 1, fx of 0 or less, fx / fy outside
            0.5 to 2, or a principal point outside the image.
    """
    matrix = place.numbers(field, value, (3, 3))
    if matrix[2].tolist() != [0, 0, 1]:
        raise place.bad(field, f"a last row {_listed(matrix[2])}", "0, 0, 1", "is it transposed?")
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    if matrix[1, 0] != 0:
        raise place.bad(field, f"a second row {_listed(matrix[1])}", "0, fy, cy", "is it transposed?")
    if fx <= 0:
        raise place.bad(field, f"fx {fx:g}", "fx above 0")
    if fy <= 0 or not 0.5 <= fx / fy <= 2:
        raise place.bad(field, f"fx {fx:g} and fy {fy:g}", "fx / fy between 0.5 and 2")
    width, height = size or (np.inf, np.inf)
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        found = f"a principal point at ({cx:g}, {cy:g})"
        advice = "K and the image size must belong to each other"
        raise place.bad(field, found, f"one inside the image of {width} x {height} pixels", advice)
    return matrix


def require_rotation(place: Place, field: str, value: object, mirrored: bool = False) -> Matrix:
    """A rotation matrix, float64 `(3, 3)`.

    Args:
        place: For messages.
        field: Its name in the file.
        value: Nested lists or an array.
        mirrored: Whether it leads from left-handed to right-handed axes or back, and so has determinant -1.

    Raises:
        BadInput: not 3 x 3 finite numbers, not orthogonal to 1e-3, or of the other handedness.
    """
    matrix = place.numbers(field, value, (3, 3))
    error = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if not error <= ROTATION:
        raise place.bad(field, f"a rotation with |R R^T - I| of {error:.3g}", f"at most {ROTATION:g}")
    sign = -1 if mirrored else 1
    if np.linalg.det(matrix) * sign < 0:
        kinds = "left-handed and right-handed axes" if mirrored else "axes of one handedness"
        found = f"a rotation with determinant {-sign:+d}"
        advice = "carla and fru axes are left-handed, opencv and flu axes right-handed"
        raise place.bad(field, found, f"{sign:+d} between {kinds}", advice)
    return matrix


def require_quaternion(place: Place, field: str, value: object) -> Matrix:
    """A unit quaternion (w, x, y, z), float64 `(4,)`; one off unit length by up to 1 % is normalised.

    Raises:
        BadInput: not 4 finite numbers, or of another length, such as 0.
    """
    quaternion = place.numbers(field, value, (4,))
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1) <= UNIT:
        found = "a zero quaternion" if length == 0 else f"a quaternion of length {length:.4g}"
        raise place.bad(field, found, "length 1 within 1 %", "w, x, y, z")
    return quaternion / length


def require_pose(place: Place, field: str, value: object, mirrored: bool = False) -> Matrix:
    """A rigid transform, float64 `(4, 4)`; for `mirrored` see `require_rotation`.

    Raises:
        BadInput: not 4 x 4 finite numbers, a last row other than 0 0 0 1, or see `require_rotation`.
    """
    matrix = place.numbers(field, value, (4, 4))
    if matrix[3].tolist() != [0, 0, 0, 1]:
        raise place.bad(field, f"a last row {_listed(matrix[3])}", "0, 0, 0, 1", "is it transposed?")
    require_rotation(place, field, matrix[:3, :3], mirrored)
    return matrix


def scaled_intrinsics(place: Place, intrinsics: Matrix, declared: tuple[int, int], found: tuple[int, int]) -> Matrix:
    """K of an image that was stored at another size than K belongs to, float64 `(3, 3)`.

    Each axis is scaled about the corner of the image: cx' = (cx + 0.5) s - 0.5, with pixel centres at whole numbers.

    Args:
        place: For messages.
        intrinsics: float64 `(3, 3)`.
        declared: Width and height that K belongs to.
        found: Width and height of the image.

    Raises:
        BadInput: the aspects differ by more than 0.5 %; names both sizes.
    """
    (width, height), (new_width, new_height) = declared, found
    if abs(new_width * height / (new_height * width) - 1) > ASPECT:
        expected = f"{width} x {height} as its calibration, or the same aspect"
        advice = "a crop or a stretched image needs its own K"
        raise place.bad("image size", f"{new_width} x {new_height}", expected, advice)
    corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    scale = np.diag([new_width / width, new_height / height, 1])
    return np.linalg.inv(corner) @ scale @ corner @ intrinsics


def _listed(values: Matrix) -> str:
    return ", ".join(f"{value:g}" for value in values)
