"""The tables of a nuScenes folder that say which sensor saw what from where: key frames alone."""

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.geometry import Array
from transect.data_adapters.bev.nuscenes.annotations import Annotations, read_annotations
from transect.data_adapters.bev.nuscenes.records import Record, by_token, linked, read_records
from transect.data_adapters.listing import contents

LIDAR = "LIDAR_TOP"
"""The sensor whose time is that of a sample."""

SHOT = ("sample_token", "ego_pose_token", "calibrated_sensor_token", "timestamp", "filename", "width", "height")
"""The fields of `sample_data` that are kept."""

CAMERAS = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
"""The order of the cameras; others follow by name."""


class Tables:
    """The records of all samples of one version, by token.

    Of `sample_data` and `ego_pose`, which have ten records for each key frame, only those of key frames of cameras and
    the lidar are kept. Fields are checked when a sample is read, so that a damaged record is an error of its sample.

    Args:
        folder: Of the version, such as `v1.0-mini`.

    Raises:
        BadInput: a table is missing or is no list of records, or a token is there twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sensors = self._table("sensor", "channel", "modality")
        self.mounts = self._table("calibrated_sensor", "sensor_token", "translation", "rotation", "camera_intrinsic")
        self.scenes = self._table("scene", "name", "log_token")
        self.samples = self._table("sample", "timestamp", "scene_token")
        self.cameras = self._cameras()
        self.shots, self.stray = self._key_frames()
        named = (shot.fields.get("ego_pose_token") for shots in self.shots.values() for shot in shots)
        wanted = {token for token in named if isinstance(token, str)}
        fields = ("timestamp", "translation", "rotation")
        self.ego_poses = by_token(read_records(folder / "ego_pose.json", fields, lambda row: row["token"] in wanted))

    @cached_property
    def annotations(self) -> Annotations:
        """The annotated boxes, read when they are first asked for."""
        return read_annotations(self.folder, self.samples.keys())

    def scene(self, sample: Record) -> Record:
        """The scene of a sample."""
        return linked(sample, "scene_token", self.scenes, "scene")

    def location(self, sample: Record) -> str:
        """Where a sample was recorded, such as "singapore-onenorth": the name of its map."""
        logs = self._table("log", "location")
        log = linked(self.scene(sample), "log_token", logs, "log")
        place = log.text("location")
        if PurePosixPath(place).name != place:
            raise log.bad("location", "the name of a map")
        return place

    def shots_of(self, sample: Record) -> dict[str, Record]:
        """The records of `sample_data` of a sample, by the channel of their sensor.

        Raises:
            BadInput: a sensor is not known or has two key frames, a record of a missing one names no sample, or one
                does not say whether it is a key frame.
        """
        found: dict[str, Record] = {}
        for shot in self.shots.get(sample.token, ()):
            if shot.fields.get("is_key_frame") is not True:
                raise shot.bad("is_key_frame", "true or false")
            channel = self.channel(shot)
            if channel in found:
                raise BadInput(shot.table, f"{sample.token}, {channel}", "two key frames", "one")
            found[channel] = shot
        for channel, shot in self.stray.items():
            if channel not in found:
                raise shot.bad("sample_token", "a token of sample.json")
        return found

    def channel(self, shot: Record) -> str:
        """The name of the sensor of a record of `sample_data`."""
        return linked(self.mount(shot), "sensor_token", self.sensors, "sensor").text("channel")

    def mount(self, shot: Record) -> Record:
        """The record of `calibrated_sensor` of a record of `sample_data`."""
        return linked(shot, "calibrated_sensor_token", self.mounts, "calibrated_sensor")

    def mounted(self, shot: Record) -> Array:
        """The pose `(4, 4)` of a sensor on its vehicle."""
        return _pose(self.mount(shot))

    def ego_pose(self, shot: Record, tolerance: float) -> Array:
        """The pose `(4, 4)` of the vehicle in the world when a sensor saw what is in its file.

        Args:
            shot: A record of `sample_data`.
            tolerance: Largest time between the record and its pose, microseconds.
        """
        record = linked(shot, "ego_pose_token", self.ego_poses, "ego_pose")
        if abs(record.whole("timestamp") - shot.whole("timestamp")) > tolerance:
            raise record.bad("timestamp", f"{shot.whole('timestamp')} as {shot.token} of sample_data.json")
        return _pose(record)

    def _table(self, name: str, *fields: str) -> dict[str, Record]:
        return by_token(read_records(self.folder / f"{name}.json", fields))

    def _cameras(self) -> tuple[str, ...]:
        names = {sensor.text("channel") for sensor in self.sensors.values() if sensor.text("modality") == "camera"}
        return tuple(name for name in CAMERAS if name in names) + tuple(sorted(names - set(CAMERAS)))

    def _key_frames(self) -> tuple[dict[str, list[Record]], dict[str, Record]]:
        """The key frames of each sample, and one of each sensor that names no sample."""
        by_sample = defaultdict[str, list[Record]](list)
        stray: dict[str, Record] = {}
        for shot in by_token(self._wanted_shots()).values():
            sample = shot.fields.get("sample_token")
            if isinstance(sample, str) and sample in self.samples:
                by_sample[sample].append(shot)
            else:
                stray[self.channel(shot)] = shot
        return dict(by_sample), stray

    def _wanted_shots(self) -> Iterator[Record]:
        """The key frames of cameras and the lidar, and of sensors that are not known, which are errors of a sample."""
        wanted = {*self.cameras, LIDAR}
        path = self.folder / "sample_data.json"
        for shot in read_records(path, ("is_key_frame", *SHOT), lambda row: row.get("is_key_frame") is not False):
            try:
                is_wanted = self.channel(shot) in wanted
            except BadInput:
                is_wanted = True
            if is_wanted:
                yield shot


def open_tables(folder: Path) -> Tables:
    """The tables of a version, read once in a process unless a file changes.

    Raises:
        BadInput: the folder is missing, or as for `Tables`.
    """
    states = [(path.name, path.stat()) for path in contents(folder)[1] if path.is_file()]
    return _opened(folder, tuple((name, state.st_mtime_ns, state.st_size) for name, state in states))


@lru_cache(maxsize=2)
def _opened(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> Tables:
    return Tables(folder)


def _pose(record: Record) -> Array:
    return geometry.pose(geometry.rotation(record.quaternion("rotation")), record.vector("translation"))
