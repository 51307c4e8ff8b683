"""Synthetic drives whose boxes, roads and cameras are known, in the layout of nuScenes (version "v1.0-mini").

Each drive has a site, weather and camera rig of its own. The ego vehicle moves, pitches and rolls, and each camera has
its own time and ego pose. Other vehicles are drawn where they are annotated, at the time of the lidar: unlike in real
recordings, they stand still between the exposures of one sample, so that each of their pixels lies inside their box.
The images of sweeps, which are no key frames, show them where they are at that time. Visibility is the share of a box's
pixels that nothing hides, over all cameras; `num_lidar_pts` counts the rays of the lidar that end on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transect.data_adapters.bev.config import PhantomConfig
from transect.data_adapters.bev.geometry import pose, rotation
from transect.data_adapters.bev.synthetic.map import map_expansion
from transect.data_adapters.bev.synthetic.raycast import Camera, Solid, render
from transect.data_adapters.bev.synthetic.rig import CHANNELS, LIDAR, Mount, mounts, scan
from transect.data_adapters.bev.synthetic.solids import SIZES
from transect.data_adapters.bev.synthetic.streets import Site, site
from transect.data_adapters.bev.synthetic.tables import Tables, quaternion, token
from transect.data_adapters.bev.synthetic.world import World, world
from transect.data_adapters.listing import phantom_splits

VERSION = "v1.0-mini"
LOCATIONS = ("boston-seaport", "singapore-onenorth", "singapore-queenstown", "singapore-hollandvillage")
FIRST_SCENE = 2001
"""The official data set ends at scene-1110; later names belong to none of its splits."""
START, PAUSE = 1_530_000_000_000_000, 3_600_000_000
"""Microseconds of the first drive, and from drive to drive."""
PERIOD, SWEEP = 0.5, 0.2
"""Seconds from key frame to key frame, and from a key frame to the sweep that follows it."""

Counts = NDArray[np.int64]


def write_phantom(root: Path, count: int, seed: int, config: PhantomConfig) -> None:
    """Write drives, each a scene of its own.

    70 % are for training, as `splits.json` in the folder of the tables says; with three or more no split is empty.

    Args:
        root: Folder to write to.
        count: Number of drives.
        seed: The same seed gives the same files.
        config: Size of the images and length of the drives.
    """
    tables = Tables()
    tables.constants(tuple(SIZES), {**dict.fromkeys(CHANNELS, "camera"), LIDAR: "lidar"})
    sites: dict[str, list[Site]] = {}
    logs: dict[str, list[str]] = {}
    for index in range(count):
        location, number = LOCATIONS[index % len(LOCATIONS)], index // len(LOCATIONS)
        rng = np.random.default_rng([seed, index])
        origin = np.array([400.0 + 450 * (number % 20), 400.0 + 450 * (number // 20)]) + rng.uniform(0, 40, 2)
        place = site(rng, origin, 1 if location.startswith("boston") else -1, island=number == 0)
        rig = mounts(rng, config.height, config.width)
        drive = _Drive(root, tables, f"{seed}-{index}", START + index * PAUSE, config, rig)
        surroundings = world(rng, place, config.samples * PERIOD)
        logs.setdefault(location, []).append(drive.write(_scene_name(index), location, surroundings, rng))
        sites.setdefault(location, []).append(place)
    for location, places in sites.items():
        _write_map(root, tables, location, places, logs[location])
    tables.write(root / VERSION)
    scenes: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for index, split in enumerate(phantom_splits(count)):
        scenes[split].append(_scene_name(index))
    (root / VERSION / "splits.json").write_text(json.dumps(scenes), encoding="utf-8")


def _scene_name(index: int) -> str:
    return f"scene-{FIRST_SCENE + index:04d}"


def _write_map(root: Path, tables: Tables, location: str, sites: Sequence[Site], logs: list[str]) -> None:
    (root / "maps" / "expansion").mkdir(parents=True, exist_ok=True)
    name = f"maps/{token('map', location)}.png"
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(root / name)
    tables.add("map", (location,), category="semantic_prior", filename=name, log_tokens=logs)
    content = map_expansion(sites, lambda *names: token(location, *names))
    (root / "maps" / "expansion" / f"{location}.json").write_text(json.dumps(content), encoding="utf-8")


@dataclass(frozen=True, eq=False)
class _Drive:
    """Writes the files of one drive and adds its records to the tables.

    Args:
        root: Folder of the data set.
        tables: Receive the records.
        key: Part of the tokens of the drive.
        start: Time of the first key frame, microseconds.
        config: Size of the images and number of key frames.
        rig: The sensors.
        data: The records of each sensor's data.
    """

    root: Path
    tables: Tables
    key: str
    start: int
    config: PhantomConfig
    rig: list[Mount]
    data: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def write(self, name: str, location: str, around: World, rng: np.random.Generator) -> str:
        """Write a drive through a world; returns the token of its log."""
        log = self.tables.add(
            "log", (self.key,), logfile=f"phantom-{self.key}", vehicle="phantom", date_captured="2018-06-26",
            location=location,
        )  # fmt: skip
        for mount in self.rig:
            self.tables.add(
                "calibrated_sensor", (self.key, mount.channel), sensor_token=token("sensor", mount.channel),
                translation=mount.translation.tolist(), rotation=mount.rotation,
                camera_intrinsic=mount.intrinsics.tolist(),
            )  # fmt: skip
        samples = self._samples(name, log["token"])
        annotations: list[list[dict[str, Any]]] = [[] for _ in around.actors]
        for frame, sample in enumerate(samples):
            seconds = frame * PERIOD
            present = around.present(seconds)
            solids = around.solids(seconds, present)
            readings = [
                self._read(mount, seconds + mount.delay + rng.uniform(-0.002, 0.002) * (mount.channel != LIDAR),
                           sample, True, around, solids)
                for mount in self.rig
            ]  # fmt: skip
            seen, alone = (sum(counts) for counts in zip(*readings[:-1], strict=True))
            for place, number in enumerate(present):
                actor, solid = around.actors[number], solids[place]
                share = seen[place] / alone[place] if alone[place] else 0.0
                length, width, height = (2 * solid.half).tolist()
                annotations[number].append(self.tables.add(
                    "sample_annotation", (self.key, number, frame), sample_token=sample["token"],
                    instance_token=token("instance", self.key, number), visibility_token=str(_visibility(share)),
                    attribute_tokens=[token("attribute", _attribute(actor.category, actor.track.speed))],
                    translation=solid.centre.tolist(), size=[width, length, height], rotation=quaternion(solid.yaw),
                    num_lidar_pts=int(readings[-1][0][place]), num_radar_pts=0,
                ))  # fmt: skip
            later = around.solids(seconds + SWEEP, around.present(seconds + SWEEP))
            for mount in (self.rig[0], self.rig[-1]):
                self._read(mount, seconds + SWEEP + mount.delay, sample, False, around, later)
        for records in self.data.values():
            self.tables.chain(records)
        for number, records in enumerate(annotations):
            self._instance(number, around.actors[number].category, records)
        return str(log["token"])

    def _samples(self, name: str, log: str) -> list[dict[str, Any]]:
        """The records of the scene and of its samples."""
        count = self.config.samples
        scene = self.tables.add("scene", (self.key,), log_token=log, nbr_samples=count, name=name)
        samples = [
            self.tables.add(
                "sample", (self.key, frame), timestamp=self._stamp(frame * PERIOD), scene_token=scene["token"]
            )
            for frame in range(count)
        ]
        self.tables.chain(samples)
        scene["first_sample_token"], scene["last_sample_token"] = samples[0]["token"], samples[-1]["token"]
        scene["description"] = "Synthetic drive"
        return samples

    def _stamp(self, seconds: float) -> int:
        return self.start + round(seconds * 1e6)

    def _read(
        self, mount: Mount, seconds: float, sample: dict[str, Any], is_key: bool, around: World, solids: list[Solid]
    ) -> tuple[Counts, Counts]:
        """Write what one sensor sees; returns the pixels or points on each solid, and the pixels it has alone."""
        stamp, (position, turn) = self._stamp(seconds), around.ego_pose(seconds)
        camera = mount.channel != LIDAR
        folder = f"{'samples' if is_key else 'sweeps'}/{mount.channel}"
        name = f"{folder}/phantom-{self.key}__{mount.channel}__{stamp}{'.jpg' if camera else '.pcd.bin'}"
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        to_world = pose(rotation(turn), position) @ pose(rotation(mount.rotation), mount.translation)
        height, width = (self.config.height, self.config.width) if camera else (0, 0)
        if camera:
            eye = Camera(mount.intrinsics, to_world, height, width)
            image, ids, alone = render(eye, solids, around.ground, around.light)
            Image.fromarray(image).save(self.root / name, quality=95)
            seen = np.bincount(ids.ravel() + 1, minlength=len(solids) + 1)[1:]
        else:
            points, seen = scan(to_world, solids)
            alone = seen
            points.tofile(self.root / name)
        there = self.tables.add(
            "ego_pose",
            (self.key, mount.channel, stamp),
            timestamp=stamp,
            rotation=turn,
            translation=position.tolist(),
        )
        self.data.setdefault(mount.channel, []).append(self.tables.add(
            "sample_data", (self.key, mount.channel, stamp), sample_token=sample["token"],
            ego_pose_token=there["token"],
            calibrated_sensor_token=token("calibrated_sensor", self.key, mount.channel), timestamp=stamp,
            fileformat="jpg" if camera else "pcd", is_key_frame=is_key, height=height, width=width, filename=name,
        ))  # fmt: skip
        return seen, alone

    def _instance(self, number: int, category: str, annotations: list[dict[str, Any]]) -> None:
        if annotations:
            self.tables.chain(annotations)
            self.tables.add(
                "instance", (self.key, number), category_token=token("category", category),
                nbr_annotations=len(annotations), first_annotation_token=annotations[0]["token"],
                last_annotation_token=annotations[-1]["token"],
            )  # fmt: skip


def _visibility(share: float) -> int:
    """The token of a visible share: 1 below 40 %, 2 below 60 %, 3 below 80 %, else 4."""
    return 1 + int(np.digitize(share, (0.4, 0.6, 0.8)))


def _attribute(category: str, speed: float) -> str:
    if category.startswith("human"):
        return "pedestrian.moving"
    if category in ("vehicle.bicycle", "vehicle.motorcycle"):
        return "cycle.with_rider"
    return "vehicle.moving" if speed else "vehicle.parked"
