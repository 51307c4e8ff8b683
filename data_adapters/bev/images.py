"""Camera images: read from files of which nothing is trusted, and prepared as the networks take them."""

import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.regular import require_regular

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

LARGEST_PIXELS = 1 << 26
SMALLEST_SIDE, LARGEST_RATIO = 16, 8

FAILURES = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, SyntaxError, OverflowError),
    *(MemoryError, RuntimeError, NotImplementedError, AssertionError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises on damaged files."""

Picture = NDArray[np.uint8]


def read_image(path: Path) -> Picture:
    """Read an image of 8 bits a channel: uint8 `(H, W, 3)`, RGB.

    Grey images and palettes are converted. What has no single meaning is refused: 16 bits a channel, CMYK, transparent
    pixels, and a turn in the EXIF orientation, since some programs calibrate the turned and some the stored pixels.

    Raises:
        BadInput: any of these, or the file is damaged or too large.
    """
    require_regular(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # about metadata
            with Image.open(path, formats=FORMATS) as file:
                require_size(path, *file.size)
                _require_plain(path, file)
                return _rgb(path, file)
    except BadInput:
        raise
    except FAILURES as error:
        expected = f"an image that can be read ({', '.join(FORMATS)})"
        raise BadInput(path, "image", _short(error), expected) from error


def prepare(image: Picture, intrinsics: NDArray[np.float64], config: ReadConfig) -> tuple[Picture, NDArray[np.float64]]:
    """Resize an image to `config.width`, and crop rows at its top down to `config.height`.

    An image of 1600 x 900 pixels becomes 480 x 270 by bilinear interpolation (Pillow's, which averages when it
    shrinks) and loses 46 rows. One that becomes shorter than `config.height` gets black rows on top.

    K of an image that shrinks is scaled about the middle of the first pixel, as in the published training, and not
    about the corner of the image: 0.35 pixel at most for that size. That difference would grow without limit where an
    image is enlarged, so K is scaled about the corner there, as Pillow does with the pixels.

    Args:
        image: uint8 `(H, W, 3)`.
        intrinsics: float64 `(3, 3)` of `image`, in pixels.
        config: Gives the size.

    Returns:
        uint8 `(config.height, config.width, 3)`, and its K.
    """
    height, width = image.shape[:2]
    rows = max(round(height * config.width / width), 1)
    resized = np.asarray(Image.fromarray(image).resize((config.width, rows), Image.Resampling.BILINEAR))
    prepared = np.zeros((config.height, config.width, 3), np.uint8)
    kept = min(rows, config.height)
    prepared[config.height - kept :] = resized[rows - kept :]
    matrix = intrinsics.astype(np.float64)
    for axis, scale in enumerate((config.width / width, rows / height)):
        matrix[axis] *= scale
        matrix[axis, 2] += max(scale - 1, 0) / 2
    matrix[1, 2] -= rows - config.height
    return prepared, matrix


def require_size(path: Path, width: int, height: int) -> None:
    """Refuse an image or a video whose declared size is not that of a camera.

    Raises:
        BadInput: more than 67 million pixels, a side under 16 pixels, or one side more than 8 times the other.
    """
    found = f"{width} x {height} pixels"
    if width * height > LARGEST_PIXELS:
        raise BadInput(path, "size", found, f"at most {LARGEST_PIXELS} pixels")
    if min(width, height) < SMALLEST_SIDE:
        raise BadInput(path, "size", found, f"at least {SMALLEST_SIDE} pixels a side")
    if max(width, height) > LARGEST_RATIO * min(width, height):
        raise BadInput(path, "size", found, f"sides in a ratio of at most {LARGEST_RATIO}")


def _require_plain(path: Path, file: Image.Image) -> None:
    deep = _is_deep(file)  # before the EXIF, which in a PNG may follow the pixels
    if deep or file.mode not in ("RGB", "RGBA", "L", "LA", "P", "PA", "1"):
        found = "16 bits a channel" if deep or file.mode.startswith("I") else file.mode
        raise BadInput(path, "colours", found, "RGB or grey of 8 bits", "convert it as the training images were")
    turn = file.getexif().get(ExifTags.Base.Orientation, 1)
    if turn not in (0, 1):
        advice = "store the turned pixels and calibrate these, or remove the tag if K belongs to the stored ones"
        raise BadInput(path, "EXIF orientation", turn, "1: pixels as they are stored", advice)


def _is_deep(file: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow would drop 8."""
    tiles = getattr(file, "tile", ())  # of those types of images that are read from files
    return any(re.search(";16[BLN]", str(tile.args)) for tile in tiles)


def _rgb(path: Path, file: Image.Image) -> Picture:
    if file.mode in ("RGBA", "LA", "PA") or "transparency" in file.info:
        whole = file.convert("RGBA")
        if whole.getchannel("A").getextrema() != (255, 255):
            raise BadInput(path, "transparency", "transparent pixels", "opaque ones", "store it without alpha")
        return np.asarray(whole.convert("RGB"))
    return np.asarray(file.convert("RGB"))


def _short(error: Exception) -> str:
    return reason(error)[:200] or type(error).__name__
