"""Body norms by which SUV may be divided instead of the weight.

The formulas are those of the IBSI-SUV manual (https://oncoray.github.io/suv_computation): LBM and LBMJAMES128 after
James (1976), LBMJANMA after Janmahasatian et al. (2005), ideal body weight after Sugawara et al. (1999), and body
surface area after Du Bois and Du Bois (1916). DICOM names them in SUVType (0054,1006).
"""

from collections.abc import Callable

Formula = Callable[[float, float], float]


def _bmi(weight: float, height: float) -> float:
    return weight / (height / 100) ** 2


MEN: dict[str, Formula] = {
    "LBM": lambda w, h: 1.10 * w - 120 * (w / h) ** 2,
    "LBMJAMES128": lambda w, h: 1.10 * w - 128 * (w / h) ** 2,
    "LBMJANMA": lambda w, h: 9270 * w / (6680 + 216 * _bmi(w, h)),
    "IBW": lambda w, h: 48.0 + 1.06 * (h - 152),
}

WOMEN: dict[str, Formula] = {
    "LBM": lambda w, h: 1.07 * w - 148 * (w / h) ** 2,
    "LBMJAMES128": lambda w, h: 1.07 * w - 148 * (w / h) ** 2,
    "LBMJANMA": lambda w, h: 9270 * w / (8780 + 244 * _bmi(w, h)),
    "IBW": lambda w, h: 45.5 + 0.91 * (h - 152),
}


def body_mass(kind: str, weight: float, height: float, sex: str) -> float:
    """A lean or ideal body mass in kg.

    Args:
        kind: A key of `MEN`.
        weight: In kg.
        height: In cm.
        sex: "M", "F", or "O" for the mean of both.

    Example:
        >>> round(body_mass("LBMJAMES128", 70, 175, "M"), 2)
        56.52
    """
    values = {"M": [MEN], "F": [WOMEN], "O": [MEN, WOMEN]}[sex]
    return sum(formulas[kind](weight, height) for formulas in values) / len(values)


def body_surface(weight: float, height: float) -> float:
    """The body surface area in cm2, of a weight in kg and a height in cm.

    Example:
        >>> round(body_surface(70, 175))
        18481
    """
    return 0.007184 * height**0.725 * weight**0.425 * 1e4
