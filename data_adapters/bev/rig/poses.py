"""Where a rig stands: in projected coordinates, at one place or by time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyproj import CRS, Proj
from pyproj.exceptions import CRSError

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.calibration import Matrix, Place
from transect.data_adapters.bev.geometry import pose, rotation
from transect.data_adapters.bev.rig.tables import read_columns

FIELDS = ("epsg", "x", "y", "heading")

LONGEST_GAP = 1_000_000
"""Largest time between two poses, in microseconds, that are interpolated."""

STRETCH = 0.01
"""Largest difference of the scale of a projection from 1 that is usual; UTM has 0.001 at most in its zone."""

MOVED, FEWEST_MOVES, SIDEWAYS = 1.0, 3, 45
"""From this many moves of so many metres in a second, headings so many degrees off them are suspicious."""


@dataclass(frozen=True, eq=False)
class Track:
    """The poses of a vehicle.

    Args:
        epsg: A projected coordinate system in metres.
        times: int64 `(t,)`, rising, microseconds; empty for one pose that holds at any time.
        x: float64 `(t,)`, or `(1,)`; metres to the east.
        y: The same to the north.
        heading: Degrees, counter-clockwise from east.
        notes: What is suspicious about the place.
    """

    epsg: int
    times: np.ndarray
    x: Matrix
    y: Matrix
    heading: Matrix
    notes: tuple[str, ...] = ()

    def at(self, time: int | None, tolerance: int, file: Path) -> Matrix:
        """The pose `(4, 4)` at a time: world from ego.

        Interpolated between poses of up to one second apart; else the nearest within `tolerance` microseconds.

        Raises:
            BadInput: there is none.
        """
        if not len(self.times):
            return _matrix(self.x[0], self.y[0], self.heading[0])
        if time is None:
            raise BadInput(file, "pose", "a table by time, and cameras without timestamps", "timestamps of the cameras")
        after = int(np.searchsorted(self.times, time))
        if 0 < after < len(self.times) and self.times[after] - self.times[after - 1] <= LONGEST_GAP:
            before = after - 1
            share = (time - self.times[before]) / (self.times[after] - self.times[before])
            turn = (self.heading[after] - self.heading[before] + 180) % 360 - 180  # the shorter way round
            return _matrix(
                self.x[before] + share * (self.x[after] - self.x[before]),
                self.y[before] + share * (self.y[after] - self.y[before]),
                self.heading[before] + share * turn,
            )
        nearest = int(np.abs(self.times - time).argmin())
        apart = abs(int(self.times[nearest]) - time)
        if apart > tolerance:
            found = f"the nearest {apart / 1000:g} ms from {time}"
            raise BadInput(file, "pose", found, f"one within {tolerance / 1000:g} ms")
        return _matrix(self.x[nearest], self.y[nearest], self.heading[nearest])


def read_track(place: Place, value: object, folder: Path) -> tuple[Track, Path | None]:
    """The poses of a rig and the table that they come from.

    Args:
        place: For messages.
        value: `{epsg, x, y, heading}`, or the name of a CSV with these columns and `microseconds`.
        folder: What the name is relative to.

    Raises:
        BadInput: a key or a value is wrong, or the coordinate system is not projected in metres.
    """
    if isinstance(value, str):
        path = place.inside("pose", value, folder)
        columns = read_columns(path, FIELDS)
        systems = sorted(set(columns["epsg"]))
        if len(systems) != 1:
            raise BadInput(path, "epsg", " and ".join(f"{code:g}" for code in systems[:5]), "one for all rows")
        order = np.argsort(np.array(columns["microseconds"], np.int64), kind="stable")
        times = np.array(columns["microseconds"], np.int64)[order]
        if (again := times[1:][np.diff(times) == 0]).size:
            raise BadInput(path, "microseconds", f"{again[0]} twice", "one pose at a time")
        x, y, heading = (np.array(columns[name])[order] for name in FIELDS[1:])
        epsg = require_projected(Place(path), systems[0])
        notes = (*_doubts(epsg, x[0], y[0]), *_doubts_of_headings(times, x, y, heading))
        return Track(epsg, times, x, y, heading, notes), path
    given = place.mapping("pose", value, FIELDS)
    numbers = {name: place.number(f"pose, {name}", given[name]) for name in FIELDS}
    epsg = require_projected(place, numbers["epsg"])
    x, y, heading = (np.array([numbers[name]]) for name in FIELDS[1:])
    return Track(epsg, np.zeros(0, np.int64), x, y, heading, _doubts(epsg, x[0], y[0])), None


def require_projected(place: Place, code: float) -> int:
    """The EPSG code of a coordinate system whose axes are metres to the east and to the north.

    Raises:
        BadInput: there is no such code, or it is something else, such as degrees.
    """
    expected = "a projected coordinate system in metres, east and north"
    try:
        system = CRS.from_epsg(int(code)) if code == int(code) else None
    except CRSError:
        system = None
    if system is None:
        raise place.bad("pose, epsg", f"{code:g}", f"the EPSG code of {expected}")
    axes = {axis.direction for axis in system.axis_info}
    if (
        not system.is_projected
        or axes != {"east", "north"}
        or any(a.unit_conversion_factor != 1 for a in system.axis_info)
    ):
        raise place.bad("pose, epsg", f"{int(code)} ({system.name})", expected, "such as the zone of UTM")
    return int(code)


def _doubts(epsg: int, x: float, y: float) -> tuple[str, ...]:
    """What is suspicious about a place: degrees, or a scale of the projection that says that it is used elsewhere."""
    if abs(x) <= 180 and abs(y) <= 90:
        return (f"pose: x {x:g} and y {y:g} look like degrees: metres in EPSG:{epsg} are expected",)
    projection = Proj(epsg)
    scale = float(np.sqrt(projection.get_factors(*projection(x, y, inverse=True)).areal_scale))
    if abs(scale - 1) <= STRETCH:
        return ()
    much = f"are {100 / scale:.1f} m on the ground there" if 0 < scale < np.inf else "have no length there"
    return (f"pose: 100 m in EPSG:{epsg} {much}: x is to the east, and the system is to be one for that place",)


def _doubts_of_headings(times: np.ndarray, x: Matrix, y: Matrix, heading: Matrix) -> tuple[str, ...]:
    """What is suspicious about headings: that the vehicle moves elsewhere, as with those of a compass."""
    rows = np.flatnonzero(np.diff(times // 1_000_000, prepend=-1))  # the first of each second
    east, north = np.diff(x[rows]), np.diff(y[rows])
    moved = np.hypot(east, north) >= MOVED
    apart = (heading[rows][:-1] - np.degrees(np.arctan2(north, east)) + 180) % 360 - 180
    if moved.sum() < FEWEST_MOVES or (angle := float(np.median(np.abs(apart[moved])))) <= SIDEWAYS:
        return ()
    return (f"pose: headings are {angle:.0f} degrees off the motion: they are counter-clockwise from east, in degrees",)


def _matrix(x: float, y: float, heading: float) -> Matrix:
    half = np.radians(heading) / 2
    return pose(rotation([np.cos(half), 0, 0, np.sin(half)]), [x, y, 0])
