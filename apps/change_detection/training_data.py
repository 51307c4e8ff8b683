"""What the pairs that a model was trained on are like, and how another pair differs from them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from transect.apps.change_detection.config import Limits, State, Stretch
from transect.data_adapters.change_detection.facts import DARK, pixel_size
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.change_detection.stretch import stretch_limits

SIMILAR = 1.25
"""Factor by which a pixel size may lie outside the range of the training data without a warning."""

SAMPLED, PIXELS = 64, 4096
"""Number of training pairs whose pixels are read for the limits of the stretch, and of pixels of each of them."""


def described(state: State, scenes: Sequence[Scene]) -> State:
    """The state with what the training pairs `scenes` are like; the pixels of SAMPLED of them are read."""
    sizes = [size for scene in scenes if np.isfinite(size := pixel_size(scene.grid))]
    return replace(
        state,
        pixel_sizes=(min(sizes), max(sizes)) if sizes else (),
        dtypes=_distinct(scenes, _dtypes),
        sensors=_distinct(scenes, _sensors),
        bands=_distinct(scenes, _bands),
        units=_distinct(scenes, _units),
        limits=_limits(scenes),
    )


def differences(state: State, scene: Scene, stretch: Stretch) -> list[str]:
    """How a pair differs from the training pairs, as far as they are known, in a line each."""
    lines, size = [], pixel_size(scene.grid)
    if state.pixel_sizes and np.isfinite(size):
        low, high = state.pixel_sizes
        if not low / SIMILAR <= size <= high * SIMILAR:
            lines.append(f"pixels of {size:.4g} m, in the training data {low:.4g} to {high:.4g} m")
    for what, found, known in (
        ("values of type", _dtypes(scene), state.dtypes),
        ("sensor", _sensors(scene), state.sensors),
        ("bands", _bands(scene), state.bands),
        ("values that are", _units(scene), state.units),
    ):
        if known and (others := sorted(set(found) - set(known))):
            lines.append(f"{what} {', '.join(others)}, in the training data {', '.join(known)}")
    return lines + (dark(scene) if stretch == "none" else [])


def dark(scene: Scene) -> list[str]:
    """A line for each date whose integer values fill a small part of the range that `stretch: none` maps to 0..1."""
    lines = []
    if any(np.issubdtype(dtype, np.integer) for dtype in scene.dtype):
        for name, values in zip(("before", "after"), scene.samples(), strict=True):
            if values.dtype.kind in "iu" and values.size:
                highest, top = np.percentile(values, 99.9), np.iinfo(values.dtype).max
                if highest < DARK * top:
                    lines.append(
                        f"{name}: 99.9 % of the values are at most {highest:g}, which stretch none divides by {top}, "
                        f"the largest of {values.dtype}, to {highest / top:.2g}; set --stretch robust"
                    )
    return lines


def _limits(scenes: Sequence[Scene]) -> Limits:
    chosen = [scenes[index] for index in np.unique(np.linspace(0, len(scenes) - 1, SAMPLED).astype(int))]
    pairs = [[values[:, :: values.shape[1] // PIXELS + 1] for values in scene.samples()] for scene in chosen]
    if not pairs:
        return ()
    before, after = (np.concatenate(date, axis=1) for date in zip(*pairs, strict=True))
    same = {scene.same_sensor for scene in chosen}
    limits = stretch_limits((before, after), "robust", same.pop() if len(same) == 1 else None)
    return tuple(tuple((float(low), float(high)) for low, high in date) for date in limits)


def _distinct(scenes: Sequence[Scene], of: Callable[[Scene], list[str]]) -> tuple[str, ...]:
    return tuple(sorted({value for scene in scenes for value in of(scene)}))


def _dtypes(scene: Scene) -> list[str]:
    return [str(dtype) for dtype in scene.dtype]


def _sensors(scene: Scene) -> list[str]:
    return [product.sensor for product in scene.products if product and product.sensor]


def _bands(scene: Scene) -> list[str]:
    return [",".join(product.names) for product in scene.products if product]


def _units(scene: Scene) -> list[str]:
    return ["reflectance" if product.scale else "raw" for product in scene.products if product]
