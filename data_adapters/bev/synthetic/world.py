"""The world of a synthetic drive: its site, what stands and moves there, the light, and how the ego vehicle moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transect.data_adapters.bev.synthetic.raycast import Array, Ground, Light, Solid
from transect.data_adapters.bev.synthetic.streets import Site, paint_ground
from transect.data_adapters.bev.synthetic.tables import quaternion
from transect.data_adapters.bev.synthetic.traffic import Actor, Track, actors, ego_track, scenery

SKIES = (((208, 222, 234), (92, 142, 206)), ((214, 216, 218), (168, 176, 186)), ((238, 206, 172), (112, 130, 176)))
"""Horizon and zenith of a clear sky, a cloudy one and one in the evening."""


@dataclass(frozen=True, eq=False)
class World:
    """What sensors of one drive can see, at any time.

    Args:
        ego: How the ego vehicle moves on its street.
        sway: `(4,)` phases of its pitch, roll, heading and place in the lane.
        actors: The annotated objects.
        scenery: Houses and trees.
        ground: The colours of the ground.
        light: The light.
    """

    ego: Track
    sway: Array
    actors: list[Actor]
    scenery: list[Solid]
    ground: Ground
    light: Light

    def ego_pose(self, seconds: float) -> tuple[Array, list[float]]:
        """World position `(3,)` and quaternion of the ego vehicle, which pitches and rolls by up to 2 degrees."""
        at, yaw = self.ego.at(seconds)
        periods = np.array([1.7, 2.3, 4.1, 5.3])
        pitch, roll, turn, aside = np.array([0.035, 0.035, 0.02, 0.2]) * np.sin(
            2 * np.pi * seconds / periods + self.sway
        )
        left = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        return at + aside * left, quaternion(yaw + turn, pitch, roll)

    def present(self, seconds: float) -> list[int]:
        """Which of the actors are on their street."""
        return [number for number, actor in enumerate(self.actors) if actor.track.on_street(seconds)]

    def solids(self, seconds: float, present: list[int]) -> list[Solid]:
        """The actors that are present, then the scenery."""
        return [self.actors[number].solid(seconds) for number in present] + self.scenery


def world(rng: np.random.Generator, place: Site, seconds: float) -> World:
    """A random world around a site for a drive of some seconds."""
    ego = ego_track(rng, place, seconds)
    sway = rng.uniform(0, 2 * np.pi, 4)
    return World(
        ego, sway, actors(rng, place, ego, seconds), scenery(rng, place), paint_ground(place, rng), _light(rng)
    )


def _light(rng: np.random.Generator) -> Light:
    kind = int(rng.choice(len(SKIES), p=[0.5, 0.3, 0.2]))
    horizon, zenith = (np.array(colour, np.float64) for colour in SKIES[kind])
    turn, up = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(24, 60) if kind != 2 else rng.uniform(14, 24))
    sun = np.array([np.cos(turn) * np.cos(up), np.sin(turn) * np.cos(up), np.sin(up)])
    bright = rng.uniform(0.85, 1.1)
    ambient, direct = ((0.5, 0.62), (0.85, 0.12), (0.48, 0.6))[kind]
    return Light(
        sun, direct * bright, ambient * bright, horizon * bright, zenith * bright, float(rng.uniform(220, 420))
    )
