"""What moves and stands on the streets of a site: the ego vehicle, annotated objects, houses and trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.ops import unary_union

from transect.data_adapters.bev.synthetic.raycast import Array, Solid
from transect.data_adapters.bev.synthetic.solids import SIZES, annotated, house, tree
from transect.data_adapters.bev.synthetic.streets import PAVEMENT, REACH, Site, Street


@dataclass(frozen=True, eq=False)
class Track:
    """How an object moves along a street.

    Args:
        street: The street.
        along: Where it is at time 0, m along the street.
        left: Metres to the left of the street's course.
        speed: m/s along the street; negative against it.
        turn: Its heading relative to the street, radians.
    """

    street: Street
    along: float
    left: float
    speed: float
    turn: float = 0.0

    def at(self, seconds: float) -> tuple[Array, float]:
        """World position `(3,)` on the ground and heading."""
        (point,), (yaw,) = self.street.at(np.array([self.along + self.speed * seconds]), self.left)
        return np.array([*point, 0.0]), float(yaw + self.turn)

    def on_street(self, seconds: float) -> bool:
        """Whether it has not left the end of the street."""
        along = self.along + self.speed * seconds
        last = self.street.start + len(self.street.points)
        return self.street.start + 6 < along < last - 6


@dataclass(frozen=True, eq=False)
class Actor:
    """An annotated object.

    Args:
        category: One of SIZES.
        size: Length, width and height, m.
        track: How it moves.
        look: Seed of its colours.
    """

    category: str
    size: Array
    track: Track
    look: int

    def solid(self, seconds: float) -> Solid:
        """The object at a time."""
        at, yaw = self.track.at(seconds)
        return annotated(self.category, at, yaw, self.size, np.random.default_rng(self.look))


def ego_track(rng: np.random.Generator, place: Site, seconds: float) -> Track:
    """The ego vehicle on the inner or outer lane, with `seconds` of driving that end on the street."""
    speed = min(float(rng.uniform(3, 9)), 100 / max(seconds, 1.0))
    lane = int(rng.integers(place.lanes))
    return Track(place.main, float(rng.uniform(-30, 5)), place.lane_offset(lane), speed)


EGO_SIZE = np.array((4.1, 1.8, 1.6))


def actors(rng: np.random.Generator, place: Site, ego: Track, seconds: float) -> list[Actor]:
    """The objects around the ego vehicle, of which none touches another in the `seconds` of a drive."""
    kept: list[Actor] = []
    times = np.arange(0, seconds + 0.5, 0.5)
    surfaces = [[_footprint(ego, EGO_SIZE, time) for time in times]]
    for actor in _candidates(rng, place, ego):
        own = [_footprint(actor.track, actor.size, time) for time in times]
        if not any(one.intersects(two) for other in surfaces for one, two in zip(own, other, strict=True)):
            kept.append(actor)
            surfaces.append(own)
    return kept


def _footprint(track: Track, size: Array, seconds: float) -> shapely.Polygon:
    at, yaw = track.at(seconds)
    forward, left = (
        np.array([np.cos(yaw), np.sin(yaw)]) * size[0] / 2,
        np.array([-np.sin(yaw), np.cos(yaw)]) * size[1] / 2,
    )
    return shapely.Polygon(
        [at[:2] + forward + left, at[:2] - forward + left, at[:2] - forward - left, at[:2] + forward - left]
    )


def _candidates(rng: np.random.Generator, place: Site, ego: Track) -> list[Actor]:
    out = [*_driving(rng, place, ego), *_parked(rng, place), *_waiting(rng, place), *_walking(rng, place)]
    keep, wide = place.keep, place.half_width
    cyclist = float(ego.along + rng.uniform(8, 25))
    for category, along, left in (
        ("vehicle.bicycle", cyclist, wide - 0.7),
        ("vehicle.motorcycle", float(ego.along - rng.uniform(18, 30)), wide - 1.4),
    ):
        # On the edge of the opposite direction, clear of the lanes' middle.
        out.append(_actor(rng, category, Track(place.main, along, keep * left, -float(rng.uniform(2, 4)), np.pi)))
    return out


def _actor(rng: np.random.Generator, category: str, track: Track) -> Actor:
    return Actor(category, np.array(SIZES[category]) * rng.uniform(0.92, 1.08, 3), track, int(rng.integers(2**31)))


def _driving(rng: np.random.Generator, place: Site, ego: Track) -> list[Actor]:
    """Vehicles of each lane of the main street, which keep their distances."""
    out = []
    for way in (1, -1):
        for lane in range(place.lanes):
            left = way * place.lane_offset(lane)
            own = way == 1 and abs(left - ego.left) < 0.1
            speed = ego.speed if own else way * float(rng.uniform(2, 10))
            along = ego.along + float(rng.uniform(12, 22)) if own else ego.along - float(rng.uniform(25, 60))
            for _ in range(int(rng.integers(1, 4))):
                name = str(rng.choice(["vehicle.car", "vehicle.truck", "vehicle.bus.rigid"], p=[0.74, 0.16, 0.1]))
                wobble, turn = float(rng.uniform(-0.25, 0.25)), 0.0 if way == 1 else np.pi
                out.append(_actor(rng, name, Track(place.main, along, left + wobble, speed, turn)))
                along += float(rng.uniform(15, 40))
    return out


def _parked(rng: np.random.Generator, place: Site) -> list[Actor]:
    """Cars along the kerb, half on the pavement, away from the junction."""
    out = []
    for way in (1, -1):
        for along in np.arange(-60.0, 90.0, 6.5):
            if rng.random() < 0.16 and abs(along - place.junction) > place.lane + 14:
                left = -way * place.keep * (place.half_width + 1.2)
                out.append(_actor(rng, "vehicle.car", Track(place.main, along, left, 0.0, 0.0 if way == 1 else np.pi)))
    return out


def _waiting(rng: np.random.Generator, place: Site) -> list[Actor]:
    """Vehicles that wait in the side street."""
    out, along = [], place.half_width + 8.5
    for name in ("vehicle.truck" if rng.random() < 0.3 else "vehicle.car", "vehicle.car"):
        turn = np.pi + float(rng.uniform(-0.04, 0.04))
        out.append(_actor(rng, name, Track(place.side, along, place.keep * place.lane / 2, 0.0, turn)))
        along += float(rng.uniform(9, 13))
    return out


def _walking(rng: np.random.Generator, place: Site) -> list[Actor]:
    """Pedestrians on the pavements and on the crossings."""
    out = []
    for _ in range(int(rng.integers(3, 7))):
        way = float(rng.choice([-1, 1]))
        left = way * (place.half_width + rng.uniform(2.3, PAVEMENT - 0.3))
        track = Track(place.main, float(rng.uniform(-45, 75)), left, float(rng.choice([-1.3, 1.3])))
        out.append(_actor(rng, "human.pedestrian.adult", track))
    return out


def scenery(rng: np.random.Generator, place: Site) -> list[Solid]:
    """Houses and trees beside the streets, which hide what is behind them."""
    streets = unary_union(place.polygons["road_segment"] + place.polygons["walkway"])
    out, taken = [], streets.buffer(1.5)
    for way in (-1, 1):
        along = -REACH + 20
        while along < REACH - 20:
            size = np.array([rng.uniform(10, 22), rng.uniform(9, 14), rng.uniform(5, 14)])
            if rng.random() < 0.62:
                left = way * (place.half_width + PAVEMENT + size[1] / 2 + rng.uniform(3, 9))
                at, yaw = Track(place.main, along + size[0] / 2, left, 0.0).at(0.0)
                footprint = shapely.affinity.rotate(
                    shapely.box(*(at[:2] - size[:2] / 2), *(at[:2] + size[:2] / 2)), yaw, use_radians=True
                )
                if not footprint.intersects(taken):
                    out.append(house(at, yaw, size, rng))
                    taken = taken.union(footprint.buffer(1.0))
            along += size[0] + rng.uniform(3, 14)
        for along in np.arange(-REACH + 25, REACH - 25, 11.0):
            at, _ = Track(place.main, along + rng.uniform(-3, 3), way * (place.half_width + PAVEMENT + 2.2), 0.0).at(
                0.0
            )
            if rng.random() < 0.5 and not taken.intersects(shapely.Point(at[:2]).buffer(0.6)):
                out.append(tree(at, float(rng.uniform(4.5, 7.5)), rng))
    return out
