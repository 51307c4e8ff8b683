"""Solids of a street scene: vehicles and people, houses and trees."""

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.synthetic.raycast import Array, Part, Solid

BODIES = (
    (196, 200, 204), (236, 238, 238), (44, 48, 54), (120, 126, 132), (176, 44, 40), (38, 78, 150), (24, 92, 96),
    (214, 168, 60), (92, 64, 48), (70, 110, 70),
)  # fmt: skip
WALLS = ((196, 172, 148), (176, 122, 98), (206, 200, 188), (150, 152, 156), (214, 188, 140), (140, 104, 88))
CLOTHES = ((190, 60, 60), (50, 90, 160), (60, 130, 90), (225, 190, 70), (110, 70, 130), (230, 230, 225), (50, 52, 58))
GLASS, TYRE, SKIN = np.array((52.0, 66.0, 80.0)), (34.0, 34.0, 36.0), (206.0, 160.0, 132.0)
LAMP, BRAKE, PLATE = np.array((250.0, 246.0, 220.0)), np.array((200.0, 24.0, 24.0)), np.array((232.0, 232.0, 226.0))

SIZES = {
    "vehicle.car": (4.6, 1.9, 1.6),
    "vehicle.truck": (7.6, 2.5, 3.1),
    "vehicle.bus.rigid": (11.0, 2.8, 3.2),
    "vehicle.motorcycle": (2.1, 0.8, 1.5),
    "vehicle.bicycle": (1.8, 0.6, 1.7),
    "human.pedestrian.adult": (0.6, 0.65, 1.75),
}
"""Mean length, width and height of the annotated categories, m."""


def annotated(name: str, at: Array, yaw: float, size: Array, rng: np.random.Generator) -> Solid:
    """An object of a category of SIZES.

    Args:
        name: The category.
        at: World position of the middle of its bottom, m.
        yaw: Its heading, radians.
        size: Length, width and height, m.
        rng: Draws its colours.
    """
    make = {"car": _car, "truck": _truck, "bus": _bus, "pedestrian": _pedestrian}
    parts = make.get(name.split(".")[1], _rider)(rng)
    return Solid(_raised(at, size[2] / 2), yaw, size / 2, parts)


def house(at: Array, yaw: float, size: Array, rng: np.random.Generator) -> Solid:
    """A house with windows on `at`, the middle of its bottom."""
    part = Part((0, 0, 0), (1, 1, 1), _pick(WALLS, rng), _storeys)
    return Solid(_raised(at, size[2] / 2), yaw, size / 2, (part,))


def tree(at: Array, height: float, rng: np.random.Generator) -> Solid:
    """A tree on `at`, the middle of its bottom."""
    green = np.array((62.0, 104.0, 50.0)) * rng.uniform(0.7, 1.25, 3)
    crown = Part((0, 0, 0.3), (1, 1, 0.7), (green[0], green[1], green[2]), _leaves, round=True)
    trunk = Part((0, 0, -0.6), (0.09, 0.09, 0.4), (92, 74, 58))
    return Solid(_raised(at, height / 2), 0.0, np.array((0.33, 0.33, 0.5)) * height, (crown, trunk))


def _raised(at: Array, height: float) -> Array:
    return at + np.array((0, 0, height))


def _pick(colours: tuple[tuple[float, float, float], ...], rng: np.random.Generator) -> tuple[float, float, float]:
    red, green, blue = np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.85, 1.12), 0, 255)
    return float(red), float(green), float(blue)


def _axles(*places: float, radius: float = 0.2) -> tuple[Part, ...]:
    return tuple(Part((x, 0, radius - 1), (radius * 0.38, 0.98, radius), TYRE) for x in places)


def _car(rng: np.random.Generator) -> tuple[Part, ...]:
    colour = _pick(BODIES, rng)
    boxy = rng.uniform(0, 0.25)
    body = Part((0, 0, -0.28), (1, 1, 0.42), colour, _lamps)
    cabin = Part((-0.1 - boxy / 2, 0, 0.55), (0.55 + boxy, 0.88, 0.45), colour, _windows)
    return body, cabin, *_axles(0.62, -0.62, radius=0.2)


def _truck(rng: np.random.Generator) -> tuple[Part, ...]:
    cargo = Part((-0.3, 0, 0.12), (0.7, 1, 0.88), _pick(((232, 232, 228), *BODIES), rng), _rear)
    cab = Part((0.72, 0, -0.15), (0.28, 0.94, 0.63), _pick(BODIES, rng), _windscreen)
    return cargo, cab, *_axles(0.7, -0.45, -0.75, radius=0.15)


def _bus(rng: np.random.Generator) -> tuple[Part, ...]:
    return Part((0, 0, 0.06), (1, 1, 0.94), _pick(BODIES, rng), _windows), *_axles(0.65, -0.6, radius=0.15)


def _pedestrian(rng: np.random.Generator) -> tuple[Part, ...]:
    legs = Part((0, 0, -0.5), (0.4, 0.55, 0.5), _pick(((50, 54, 70), (80, 70, 60), (40, 40, 42)), rng))
    coat = Part((0, 0, 0.25), (0.62, 1, 0.42), _pick(CLOTHES, rng), round=True)
    return legs, coat, Part((0.05, 0, 0.84), (0.36, 0.34, 0.16), SKIN, round=True)


def _rider(rng: np.random.Generator) -> tuple[Part, ...]:
    frame = Part((0, 0, -0.42), (0.85, 0.12, 0.28), _pick(BODIES, rng))
    wheels = tuple(Part((x, 0, -0.6), (0.36, 0.1, 0.4), TYRE, round=True) for x in (-0.64, 0.64))
    coat = Part((-0.1, 0, 0.28), (0.26, 0.9, 0.44), _pick(CLOTHES, rng), round=True)
    return frame, *wheels, coat, Part((0, 0, 0.82), (0.14, 0.36, 0.18), SKIN, round=True)


def _painted(colour: Array, unit: Array, *areas: tuple[NDArray[np.bool_], Array]) -> Array:
    out = np.repeat(colour[None], unit.shape[1], axis=0)
    for area, paint in areas:
        out[area] = paint
    return out


def _ends(unit: Array, axis: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return (axis == 0) & (unit[0] > 0), (axis == 0) & (unit[0] < 0)


def _lamps(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    """White lamps in front, red ones behind, number plates."""
    front, rear = _ends(unit, axis)
    lamp = (np.abs(unit[1]) > 0.6) & (np.abs(unit[2] - 0.25) < 0.35)
    plate = (np.abs(unit[1]) < 0.22) & (np.abs(unit[2] + 0.45) < 0.2)
    grille = front & (np.abs(unit[1]) < 0.55) & (np.abs(unit[2] - 0.1) < 0.3)
    sill = (axis != 2) & (unit[2] < -0.8)
    return _painted(
        colour, unit, (sill, colour * 0.4), (grille, colour * 0.3), (front & lamp, LAMP), (rear & lamp, BRAKE),
        ((front | rear) & plate, PLATE),
    )  # fmt: skip


def _windows(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    """Glass all round between pillars below a roof, and red lamps behind on tall ones."""
    pane = (np.abs(unit[2] - 0.15) < 0.62) if half[2] < 1.2 else (np.abs(unit[2] - 0.3) < 0.4)
    along = (unit[0] + 1) * half[0] % 1.55 > 0.14
    pane &= np.where(axis == 1, along & (np.abs(unit[0]) < 0.93), np.abs(unit[1]) < 0.86) & (axis != 2)
    rear = _ends(unit, axis)[1] & (np.abs(unit[1]) > 0.7) & (np.abs(unit[2] + 0.6) < 0.15) & (half[2] >= 1.2)
    return _painted(colour, unit, (pane, GLASS), (rear, BRAKE))


def _windscreen(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    front = _ends(unit, axis)[0]
    pane = (np.abs(unit[2] - 0.35) < 0.45) & (front & (np.abs(unit[1]) < 0.88) | (axis == 1) & (unit[0] > -0.2))
    lamp = front & (np.abs(unit[1]) > 0.6) & (np.abs(unit[2] + 0.6) < 0.15)
    return _painted(colour, unit, (pane, GLASS), (lamp, LAMP))


def _rear(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    rear = _ends(unit, axis)[1]
    lamp = rear & (np.abs(unit[1]) > 0.7) & (unit[2] < -0.82)
    return _painted(colour, unit, (rear & (np.abs(unit[1]) < 0.03), colour * 0.6), (lamp, BRAKE))


def _storeys(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    """Rows of windows, 3 m a storey."""
    along = np.where(axis == 0, unit[1] * half[1], unit[0] * half[0])
    up = (unit[2] + 1) * half[2]
    window = (np.abs(along % 2.6 - 1.3) < 0.62) & (np.abs(up % 3.0 - 1.7) < 0.75) & (axis != 2)
    base = (up < 0.7) & (axis != 2)
    return _painted(colour, unit, (base, colour * 0.62), (window, GLASS * 1.25))


def _leaves(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    """Patches of darker and lighter leaves."""
    tone = np.sin(unit[0] * 9 + 3 * unit[2]) * np.sin(unit[1] * 8 - 2 * unit[2]) * np.sin(unit[2] * 10)
    return colour * (1 + 0.25 * tone[:, None])
