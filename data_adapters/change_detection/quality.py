"""Decode the quality bands of satellite products into the pixels that are left out: clouds, shadows, snow and fill.

Sources: USGS LSDS-1435 and LSDS-1337 (Landsat 8 and Landsat 4-7, Collection 1 BQA), LSDS-1619 and LSDS-1618
(Collection 2 QA_PIXEL), ESA's Level-2A specification (Sentinel-2 SCL) and Planet's description of UDM2.
"""

from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np

from transect.data_adapters.change_detection.product import QualityKind

FILL, OUTSIDE = "fill", "outside"
"""Names of the pixels without data, and of values that the coding does not have."""

Masks = dict[str, np.ndarray]

BANDS: dict[QualityKind, int] = {"qa_pixel": 1, "bqa": 1, "scl": 1, "udm2": 8}
"""Number of bands of each kind."""


def unusable(values: np.ndarray, kind: QualityKind, classes: Collection[str]) -> np.ndarray:
    """The pixels of FILL or of any of `classes`, bool (height, width); see `decoded`."""
    return np.logical_or.reduce(list(decoded(values, kind, classes).values()))


def decoded(values: np.ndarray, kind: QualityKind, classes: Collection[str]) -> Masks:
    """The pixels of FILL and of each of `classes`.

    Args:
        values: Quality values (bands, height, width).
        kind: Their coding.
        classes: Some of clouds, shadows, cirrus, snow and water; those that `kind` lacks are left out.

    Returns:
        Bool (height, width) by class.

    Raises:
        ValueError: values are outside the coding; the message names one.
    """
    if kind == "udm2":
        masks = _udm2(values)
        outside = masks[OUTSIDE]
    else:
        with np.errstate(invalid="ignore"):  # NaN
            index = values[0].astype(np.uint16)
        masks = {name: table[index] for name, table in _tables(kind).items() if name in (FILL, OUTSIDE, *classes)}
        outside = masks[OUTSIDE] | (index != values[0])
    if outside.any():
        raise ValueError("value " + " ".join(f"{value:g}" for value in values[:, outside][:, 0]))
    return {name: masks[name] for name in (FILL, *classes) if name in masks}


@lru_cache
def classes_of(kind: QualityKind) -> tuple[str, ...]:
    """The classes that `kind` has."""
    masks = _udm2(np.zeros((8, 1, 1), np.uint8)) if kind == "udm2" else _tables(kind)
    return tuple(name for name in masks if name not in (FILL, OUTSIDE))


@lru_cache
def _tables(kind: QualityKind) -> Masks:
    """The classes of every 16-bit value."""
    return _DECODERS[kind](np.arange(65536))


def _bits(values: np.ndarray, first: int, count: int = 1) -> np.ndarray:
    return (values >> first) & ((1 << count) - 1)


def _qa_pixel(values: np.ndarray) -> Masks:
    """Landsat Collection 2. Of the confidences, level 2 is reserved for all but clouds; cirrus is 0 on Landsat 4-7."""
    reserved = [_bits(values, first, 2) == 2 for first in (10, 12, 14)]
    return {
        "clouds": (_bits(values, 3) | _bits(values, 1)) == 1,  # cloud, dilated cloud
        "shadows": _bits(values, 4) == 1,
        "cirrus": _bits(values, 2) == 1,
        "snow": _bits(values, 5) == 1,
        "water": _bits(values, 7) == 1,
        FILL: _bits(values, 0) == 1,
        OUTSIDE: np.logical_or.reduce(reserved),
    }


def _bqa(values: np.ndarray) -> Masks:
    """Landsat Collection 1. Bit 1 is a dropped pixel on Landsat 4-7, which have no cirrus confidence; on 8 terrain."""
    high, cirrus = 3, _bits(values, 11, 2)
    return {
        "clouds": (_bits(values, 4) == 1) | (_bits(values, 5, 2) == high),
        "shadows": _bits(values, 7, 2) == high,
        "cirrus": cirrus == high,
        "snow": _bits(values, 9, 2) == high,
        FILL: (_bits(values, 0) == 1) | ((_bits(values, 1) == 1) & (cirrus == 0)),
        OUTSIDE: values >= 1 << 13,
    }


def _scl(values: np.ndarray) -> Masks:
    """Sentinel-2 Level-2A scene classification: 8 and 9 are clouds of medium and high probability."""
    return {
        "clouds": (values == 8) | (values == 9),
        "shadows": values == 3,
        "cirrus": values == 10,
        "snow": values == 11,
        "water": values == 6,
        FILL: values == 0,
        OUTSIDE: values > 11,
    }


def _udm2(values: np.ndarray) -> Masks:
    """Planet: bands clear, snow, shadow, light haze, heavy haze, cloud, confidence, and UDM with black fill in bit 0.

    Haze, through which the ground is seen, counts as cirrus.
    """
    _, snow, shadow, light_haze, heavy_haze, cloud, confidence, unusable_data = values
    return {
        "clouds": cloud == 1,
        "shadows": shadow == 1,
        "cirrus": (light_haze == 1) | (heavy_haze == 1),
        "snow": snow == 1,
        FILL: _bits(unusable_data.astype(np.int64), 0) == 1,
        OUTSIDE: (values[:6] > 1).any(axis=0) | (values[:6] < 0).any(axis=0) | (confidence > 100),
    }


_DECODERS: dict[QualityKind, Callable[[np.ndarray], Masks]] = {"qa_pixel": _qa_pixel, "bqa": _bqa, "scl": _scl}
