"""SUV: to be written by its owner; the fields that others read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Suv:
    """How SUV normalized by body weight follows from the values of a PET series."""

    factors: NDArray[np.float64]
    rule: str
    reference_time: str = ""
    other_reference_time: str = ""
    units: str = ""
    tracer: str = ""
    half_life_s: float | None = None
    dose_bq: float | None = None
    weight_kg: float | None = None
    warnings: tuple[str, ...] = ()
