"""Streets of a synthetic scene: their course, their map polygons and lines, and what the ground looks like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from transect.data_adapters.bev.synthetic.raycast import Array, Ground

REACH = 165.0
"""How far the main street leads from the site's origin to both sides, m along it."""
TEXELS, TEXEL = 1600, 0.2
"""Pixels and resolution (m) of the ground's texture."""
PAVEMENT = 3.0


@dataclass(frozen=True, eq=False)
class Street:
    """The course of a street as points every metre.

    Args:
        points: float64 `(n, 2)`, world x and y.
        start: Distance along the street of the first point, m.
    """

    points: Array
    start: float

    def at(self, along: Array, left: Array | float = 0.0) -> tuple[Array, Array]:
        """Points `(m, 2)` at distances `along (m,)`, `left` metres to the left, and the headings there, radians."""
        places = self.start + np.arange(len(self.points), dtype=np.float64)
        yaw = np.interp(along, places[:-1] + 0.5, self._headings)
        x, y = (np.interp(along, places, self.points[:, i]) for i in (0, 1))
        return np.stack([x - left * np.sin(yaw), y + left * np.cos(yaw)], axis=-1), yaw

    @cached_property
    def _headings(self) -> Array:
        """Between each point and the next."""
        steps = np.diff(self.points, axis=0)
        return np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))

    def strip(self, right: float, left: float, begin: float, end: float) -> Polygon:
        """The surface from `right` to `left` of the course (metres to the left), between two distances along it."""
        along = np.linspace(begin, end, max(2, round((end - begin) / 4) + 1))
        return Polygon(np.concatenate([self.at(along, right)[0], self.at(along, left)[0][::-1]]))

    def line(self, left: float, begin: float, end: float) -> LineString:
        """A line beside the course."""
        return LineString(self.at(np.linspace(begin, end, round((end - begin) / 4) + 1), left)[0])


@dataclass(frozen=True, eq=False)
class Site:
    """The streets around one place: a main street that winds, and a side street.

    Args:
        origin: World x and y, where the main street has length 0.
        main: The main street.
        side: The side street; length 0 is the middle of the junction.
        junction: Where they meet, m along the main street.
        lanes: Lanes of the main street in each direction.
        lane: Width of a lane, m.
        median: Width between the directions, m.
        keep: 1 where traffic keeps right, -1 where it keeps left.
        polygons: Pieces of each layer of the map: "road_segment", "lane", "ped_crossing", "walkway". A road segment
            has a hole where there is an island; pieces of one layer don't overlap.
        crossing: The piece of "road_segment" that is the junction.
        lines: "road_divider" and "lane_divider".
    """

    origin: Array
    main: Street
    side: Street
    junction: float
    lanes: int
    lane: float
    median: float
    keep: int
    polygons: dict[str, list[Polygon]]
    crossing: Polygon
    lines: dict[str, list[LineString]]

    @property
    def half_width(self) -> float:
        """Half the width of the main street, m."""
        return self.median / 2 + self.lanes * self.lane

    def lane_offset(self, lane: int) -> float:
        """Metres to the left of the middle of a lane, counted from the inner one, of traffic along the street."""
        return -self.keep * (self.median / 2 + (lane + 0.5) * self.lane)


def site(rng: np.random.Generator, origin: Array, keep: int, island: bool) -> Site:
    """A site with random streets.

    Args:
        rng: Draws them.
        origin: World x and y of its middle.
        keep: 1 where traffic keeps right, -1 where it keeps left.
        island: The main street certainly has islands.
    """
    main = _winding(rng, origin)
    lanes, lane = int(rng.integers(1, 3)), float(rng.uniform(3.3, 3.7))
    median = 2.6 if island or rng.random() < 0.5 else 0.4
    junction = float(rng.uniform(8, 45))
    middle, yaw = main.at(np.array([junction]))
    towards = yaw[0] + np.pi / 2 + rng.uniform(-0.25, 0.25)
    ends = (-150.0 if rng.random() < 0.6 else 0.0, 150.0)
    course = np.arange(ends[0], ends[1] + 1)[:, None] * np.array([np.cos(towards), np.sin(towards)]) + middle
    side = Street(course, ends[0])
    bare = Site(origin, main, side, junction, lanes, lane, median, keep, {}, Polygon(), {})
    return _mapped(bare, ends, rng)


def _winding(rng: np.random.Generator, origin: Array) -> Street:
    along = np.arange(-REACH, REACH + 1)
    period = rng.uniform(130, 240)
    swing = rng.uniform(-1, 1) * period / (2 * np.pi * 70)  # radius of curvature at least 70 m
    heading = rng.uniform(-np.pi, np.pi) + swing * np.sin(2 * np.pi * (along / period + rng.random()))
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=-1), axis=0)
    return Street(points - points[round(REACH)] + origin, -REACH)


def _mapped(place: Site, ends: tuple[float, float], rng: np.random.Generator) -> Site:
    """The site with its map."""
    main, side, wide, lane = place.main, place.side, place.half_width, place.lane
    gap = lane + 5.0  # from the middle of the junction to its edges along the main street
    before, after = place.junction - gap, place.junction + gap
    to = wide + 4.0
    inner = side.strip(-lane, lane, max(ends[0], -to), min(ends[1], to))
    crossing = unary_union([main.strip(-wide, wide, before, after), inner]).convex_hull
    strip = main.strip(-wide, wide, -REACH, REACH)
    islands = _islands(place, before - 9, after + 9, rng) if place.median > 2 else []
    surface = unary_union([strip, crossing])
    arms = side.strip(-lane, lane, *ends).difference(surface)
    street = strip.difference(unary_union([crossing, *islands]))
    keep = place.keep
    offsets = [keep * way * (place.median / 2 + i * lane) for way in (-1, 1) for i in range(place.lanes)]
    edges = [sorted((left, left + np.sign(left) * lane)) for left in offsets]
    strips = [main.strip(right, left, -REACH, REACH) for right, left in edges]
    strips = [piece.difference(crossing) for piece in strips]
    strips += [side.strip(right, left, *ends).difference(surface) for right, left in ((-lane, 0.0), (0.0, lane))]
    roads = [*_pieces(street), crossing, *_pieces(arms)]
    solid = unary_union([strip, crossing, arms]).buffer(0.01)
    taken = unary_union([crossing.buffer(4.5), *(piece.buffer(0.5) for piece in islands)])
    between = [keep * way * (place.median / 2 + i * lane) for way in (-1, 1) for i in range(1, place.lanes)]
    middles = [main.line(0.0, -REACH, REACH).difference(taken)]
    middles.append(side.line(0.0, *ends).difference(surface.buffer(1.0)))
    polygons = {
        "road_segment": roads,
        "lane": [piece for strip in strips for piece in _pieces(strip)],
        "ped_crossing": [main.strip(-wide, wide, at - 1.6, at + 1.6) for at in (before - 2.2, after + 2.2)],
        "walkway": _pieces(solid.buffer(PAVEMENT, join_style="mitre").difference(solid)),
    }
    lines = {
        "road_divider": [line for middle in middles for line in _pieces(middle)],
        "lane_divider": [
            line
            for left in between
            for line in _pieces(main.line(left, -REACH, REACH).difference(crossing.buffer(4.5)))
        ],
    }
    return Site(
        place.origin, main, side, place.junction, place.lanes, lane, place.median, keep, polygons, crossing, lines
    )


def _islands(place: Site, before: float, after: float, rng: np.random.Generator) -> list[Polygon]:
    """Planted islands in the median on both sides of the junction."""
    half = place.median / 2 - 0.35
    lengths = rng.uniform(14, 30, 2)
    shapes = [
        place.main.strip(-half, half, begin, end)
        for begin, end in ((before - lengths[0], before), (after, after + lengths[1]))
    ]
    return [shape.buffer(-0.5).buffer(0.5) for shape in shapes]


def _pieces(shape: BaseGeometry) -> list:
    """The connected pieces of a polygon or a line that are not mere splinters."""
    whole = [shapely.simplify(piece, 0.02) for piece in shapely.get_parts(shape)]
    return [piece for piece in whole if piece.area > 1 or (piece.geom_type == "LineString" and piece.length > 1)]


def paint_ground(place: Site, rng: np.random.Generator) -> Ground:
    """The ground of a site: grass, pavements, asphalt, and markings along the dividers of its map."""
    corner = (place.origin[0] - TEXELS * TEXEL / 2, place.origin[1] - TEXELS * TEXEL / 2)
    asphalt = rng.uniform(72, 112) + rng.uniform(-4, 4, 3)
    grass = np.array((104.0, 128.0, 70.0)) * rng.uniform(0.75, 1.2) + rng.uniform(-14, 14, 3)
    palette = np.array([grass, rng.uniform(150, 180) + np.array((8, 3, -6)), asphalt, (236, 236, 230), (226, 186, 70),
                        grass * (0.78, 0.95, 0.7)])  # fmt: skip
    kind = np.zeros((TEXELS, TEXELS), np.uint8)

    def fill(polygons: list[Polygon], value: int, hole: int) -> None:
        for polygon in polygons:
            cv2.fillPoly(kind, [_texels(polygon.exterior, corner)], (value,), shift=4)
            for ring in polygon.interiors:
                cv2.fillPoly(kind, [_texels(ring, corner)], (hole,), shift=4)

    roads = place.polygons["road_segment"]
    outline = unary_union(roads + place.polygons["walkway"]).buffer(0.01)
    fill(_pieces(outline), 1, hole=0)
    fill(roads, 2, hole=5)
    fill([stripe for at in place.polygons["ped_crossing"] for stripe in _zebra(at)], 3, hole=0)
    for name, value, dashed in (("lane_divider", 3, True), ("road_divider", 4, False)):
        for line in place.lines[name]:
            for piece in _dashes(line) if dashed else [line]:
                fill([piece.buffer(0.12, cap_style="flat")], value, hole=0)
    blotches = cv2.resize(rng.normal(0, 1, (32, 32)).astype(np.float32), (400, 400), interpolation=cv2.INTER_CUBIC)
    noise = np.clip(blotches + rng.normal(0, 1, (400, 400)), -2.5, 2.5)
    tones = np.linspace(-2.5, 2.5, 32)
    rough = np.array([0.07, 0.025, 0.03, 0.03, 0.03, 0.1])
    shades = np.clip(palette[:, None] * (1 + rough[:, None] * tones)[..., None], 0, 255).astype(np.uint8)
    pattern = np.tile(np.round((noise + 2.5) * 6.2).astype(np.uint8), (TEXELS // 400, TEXELS // 400))
    levels = [shades[kind, pattern]]
    for _ in range(3):
        coarser = cv2.resize(levels[-1], None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(coarser, np.uint8))
    return Ground(tuple(levels), corner, TEXEL)


def _texels(ring: BaseGeometry, corner: tuple[float, float]) -> NDArray[np.int32]:
    """The corners of a ring in sixteenths of a texel; texel centres lie at whole numbers."""
    texels = (np.asarray(ring.coords)[:, :2] - corner) / TEXEL - 0.5
    return np.round(texels * 16).astype(np.int32)


def _zebra(crossing: Polygon) -> list[Polygon]:
    """Stripes along the street on a crossing, whose corners lie on both edges of the street."""
    corners = np.asarray(crossing.exterior.coords)[:-1]
    right, left = corners[: len(corners) // 2], corners[len(corners) // 2 :][::-1]
    count = int(np.linalg.norm(left[0] - right[0]) / 1.1)
    edges = [right + (left - right) * share for share in np.linspace(0.02, 0.98, 2 * count)]
    return [Polygon(np.concatenate([a, b[::-1]])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _dashes(line: LineString) -> list[LineString]:
    """Marks of 3 m with gaps of 4.5 m."""
    return [shapely.ops.substring(line, at, at + 3) for at in np.arange(1.0, line.length - 3, 7.5)]
