"""A sample of nuScenes: its cameras at the time of the lidar, and its labels when they are asked for."""

import os
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.calibration import Place, require_intrinsics, scaled_intrinsics
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.geometry import Array
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.images import Picture, prepare, read_image
from transect.data_adapters.bev.labels import Mask, draw_boxes, draw_lines, draw_polygons
from transect.data_adapters.bev.nuscenes.cases import NuScenesCase, image_path
from transect.data_adapters.bev.nuscenes.maps import LINES, POLYGONS, Map, open_map
from transect.data_adapters.bev.nuscenes.records import Record
from transect.data_adapters.bev.nuscenes.tables import LIDAR, Tables, open_tables
from transect.data_adapters.bev.sample import Frame, Labels

PATCH = 150.0
"""How far from the vehicle shapes of the map are looked for at least, in metres."""


class View(NamedTuple):
    """One camera of a sample: its prepared image, its `(3, 3)` K and its pose `(4, 4)`."""

    image: Picture
    intrinsics: Array
    pose: Array


def read_sample(case: NuScenesCase, config: ReadConfig) -> Frame:
    """Read the images and their calibration.

    The frame of reference is that of the vehicle when the lidar measured, with its heading alone. Each camera has the
    pose of the vehicle at its own time. A camera without a key frame, or whose file is missing, is left out and named;
    a file that is damaged is an error.

    Raises:
        BadInput: the lidar or all cameras are missing; a record that the sample needs is damaged, or names a token
            that is not known; a calibration or an image is wrong; or a camera or a pose is of another time.
    """
    tables, sample = _opened(case)
    shots = tables.shots_of(sample)
    if LIDAR not in shots:
        expected = f"a key frame of {LIDAR}, whose time is that of the sample"
        raise BadInput(tables.folder / "sample_data.json", f"sample {sample.token}", f"no {LIDAR}", expected)
    lidar, tolerance = shots[LIDAR], config.max_time_offset * 1000
    flat = geometry.level(tables.ego_pose(lidar, tolerance))
    names = _wanted(tables, config)
    missing = {name: why for name in names if (why := _absence(case, name, shots.get(name)))}
    if len(missing) == len(names):
        raise BadInput(case.root, f"sample {sample.token}", "; ".join(missing.values()), "one camera or more")
    names = tuple(name for name in names if name not in missing)
    time = lidar.whole("timestamp")
    for name in names:
        _require_time(name, shots[name], time, tolerance)
    views = [_view(case, tables, shots[name], name, flat, config) for name in names]
    return Frame(
        case,
        names,
        np.stack([view.image for view in views]),
        np.stack([view.intrinsics for view in views]),
        np.stack([view.pose for view in views]),
        config.grid,
        ego_pose=flat,
        timestamp=time,
        offsets=tuple((shots[name].whole("timestamp") - time) / 1000 for name in names),
        labels=cache(partial(read_labels, case, flat, config.grid)),
        missing=tuple(missing),
        agent=np.zeros(len(names), np.int64),
        notes=tuple(missing.values()),
    )


def read_labels(case: NuScenesCase, flat: Array, grid: Grid) -> Labels | None:
    """The ground truth of a sample.

    Args:
        case: The sample.
        flat: Pose `(4, 4)` of the frame of reference.
        grid: Of the masks.

    Returns:
        None where the data set has no annotations, such as v1.0-test. Without a map the masks of the road and its
        lanes are refused.

    Raises:
        BadInput: the annotations are missing, or one of this sample is damaged.
    """
    tables, sample = _opened(case)
    annotations = tables.annotations
    if not annotations.rows:
        return None
    boxes, notes = annotations.boxes(sample.token, flat)
    vehicle, visibility, center = draw_boxes(boxes, grid)
    masks, refused = {"vehicle": vehicle}, dict[str, BadInput]()
    try:
        map_ = open_map(Path(case.root, "maps", "expansion", f"{tables.location(sample)}.json"))
        masks |= _map_masks(map_, flat, grid)
        notes += map_.notes
    except BadInput as error:
        refused = dict.fromkeys(("road", "lane", *LINES), error.with_traceback(None))
    return Labels(masks, visibility, center, boxes, refused, notes)


def _opened(case: NuScenesCase) -> tuple[Tables, Record]:
    tables = open_tables(Path(case.root, case.version))
    if case.token not in tables.samples:
        raise BadInput(tables.folder / "sample.json", "token", "not in the table", case.token)
    sample = tables.samples[case.token]
    tables.scene(sample).text("name")
    sample.whole("timestamp")
    return tables, sample


def _wanted(tables: Tables, config: ReadConfig) -> tuple[str, ...]:
    """The cameras to read, in the order of `Tables.cameras`."""
    unknown = set(config.cameras) - set(tables.cameras)
    if unknown or not tables.cameras:
        found = ", ".join(tables.cameras) or "no cameras"
        raise BadInput(tables.folder / "sensor.json", "channel", found, ", ".join(sorted(unknown)) or "cameras")
    return tuple(name for name in tables.cameras if not config.cameras or name in config.cameras)


def _absence(case: NuScenesCase, name: str, shot: Record | None) -> str:
    """A sentence on why a camera is missing; empty where it is there."""
    if shot is None:
        return f"{name} is missing: it has no key frame"
    path = image_path(Path(case.root), shot)
    return "" if os.path.exists(path) else f"{name} is missing: there is no file {path}"


def _require_time(name: str, shot: Record, time: int, tolerance: float) -> None:
    offset = shot.whole("timestamp") - time
    if abs(offset) > tolerance:
        found = f"{offset / 1000:g} ms from {LIDAR}"
        expected = f"at most {tolerance / 1000:g} ms"
        raise BadInput(shot.table, f"{name}, {shot.named('timestamp')}", found, expected, "see read.max_time_offset")


def _view(case: NuScenesCase, tables: Tables, shot: Record, name: str, flat: Array, config: ReadConfig) -> View:
    path, mount = image_path(Path(case.root), shot), tables.mount(shot)
    size = shot.whole("width"), shot.whole("height")
    if min(size) == 0:
        raise shot.bad("width", "the size of the image that its calibration belongs to")
    place = Place(mount.table, name)
    field = mount.named("camera_intrinsic")
    declared = require_intrinsics(place, field, mount.fields.get("camera_intrinsic"), size)
    image = read_image(path)
    height, width = image.shape[:2]
    found = scaled_intrinsics(Place(path, name), declared, size, (width, height))
    ego = tables.ego_pose(shot, config.max_time_offset * 1000)
    return View(*prepare(image, found, config), geometry.relative(flat, ego) @ tables.mounted(shot))


def _map_masks(map_: Map, flat: Array, grid: Grid) -> dict[str, Mask]:
    """The masks of the road and its lanes from the shapes near a vehicle."""
    reach = max(PATCH, grid.resolution * (grid.height + grid.width))
    center = flat[:2, 3]

    def near(name: str) -> list[tuple[Array, ...]]:
        shapes = map_.layers[name].near(center, reach)
        return [tuple((ring - center) @ flat[:2, :2] for ring in shape) for shape in shapes]

    road = [draw_polygons(near(name), grid) for name in POLYGONS]
    lines = {name: draw_lines([line for (line,) in near(name)], grid) for name in LINES}
    return {"road": np.maximum(*road), "lane": np.maximum(*lines.values()), **lines}
