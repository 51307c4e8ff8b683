"""Acquisition date of a scene from its file name, its tags, or its metadata file."""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

METADATA_BYTES = 1 << 17

_LANDSAT_COLLECTION = re.compile(r"^L[COTEM]\d{2}_L\w{3}_\d{6}_(\d{8})_\d{8}_")
_LANDSAT_SCENE = re.compile(r"^L[COTEM]\d\d{6}(\d{4})(\d{3})[A-Z]{3}\d{2}")
_SENTINEL_2 = re.compile(r"(?:^S2[A-D]_MSIL\w{2}|(?:^|_)T\d{2}[A-Z]{3})_(\d{8})T\d{6}")
_PLAIN = re.compile(r"(?<![A-Za-z0-9])(\d{4})(-?)(\d{2})\2(\d{2})(?:T\d{2,6}Z?)?(?![A-Za-z0-9])")
_ACQUIRED = re.compile(rb"DATE_ACQUIRED\s*=\s*\"?(\d{4}-\d{2}-\d{2})")
_DAY = re.compile(r"^(\d{4})[:-](\d{2})[:-](\d{2})(?!\d)")
_OSCD = re.compile(r"^date_([12])\s*:\s*(\d{8})\s*$", re.MULTILINE)


def acquisition_date(path: str, tags: Mapping[str, str] | None = None) -> str | None:
    """The acquisition date of a raster.

    Sources in order of preference: the Landsat metadata file in the same folder, a Landsat or Sentinel-2 product name,
    the tag ACQUISITIONDATETIME (GDAL's IMAGERY domain), a single plain date in the file name, and TIFFTAG_DATETIME,
    which is often the date of processing. Two different plain dates in a name are ambiguous and ignored.

    Args:
        path: Path or URL of the raster.
        tags: Its GDAL tags.

    Returns:
        The date in ISO 8601, or None if unknown.
    """
    tags = tags or {}
    name = file_name(path)
    return (
        _metadata_date(path)
        or _product_date(name)
        or _tag_date(tags.get("ACQUISITIONDATETIME", ""))
        or _plain_date(PurePosixPath(name).stem)
        or _tag_date(tags.get("TIFFTAG_DATETIME", ""))
    )


def file_name(path: str) -> str:
    """The last component of a path or URL, without a query."""
    return PurePosixPath(urlsplit(path).path if "://" in path else path.replace("\\", "/")).name


def oscd_dates(text: str) -> tuple[str | None, str | None]:
    """The two dates of an OSCD region's `dates.txt`: lines such as `date_1: 20161130`."""
    days = {which: _iso(day[:4], day[4:6], day[6:]) for which, day in _OSCD.findall(text)}
    return days.get("1"), days.get("2")


def iso_day(text: str) -> str | None:
    """The date of `text` in ISO 8601 (2010-12-18, optionally with a time), or None."""
    try:
        return datetime.fromisoformat(text.strip()).date().isoformat()
    except ValueError:
        return None


def _product_date(name: str) -> str | None:
    for pattern in (_LANDSAT_COLLECTION, _SENTINEL_2):
        if match := pattern.search(name):
            return _iso(match[1][:4], match[1][4:6], match[1][6:])
    if match := _LANDSAT_SCENE.search(name):
        year, day = int(match[1]), int(match[2])
        if year > 0 and 1 <= day <= 366:
            taken = date(year, 1, 1) + timedelta(days=day - 1)
            return taken.isoformat() if taken.year == year else None
    return None


def _plain_date(stem: str) -> str | None:
    days = {_iso(match[1], match[3], match[4]) for match in _PLAIN.finditer(stem)} - {None}
    return days.pop() if len(days) == 1 else None


def _tag_date(text: str) -> str | None:
    match = _DAY.search(text.strip())
    return _iso(*match.groups()) if match else None


def _metadata_date(path: str) -> str | None:
    if "://" in path:
        return None
    scene = re.sub(r"(_S[RT])?_B\w+$", "", Path(path).stem)
    try:
        with Path(path).with_name(f"{scene}_MTL.txt").open("rb") as file:
            match = _ACQUIRED.search(file.read(METADATA_BYTES))
    except (OSError, ValueError):
        return None
    return iso_day(match[1].decode()) if match else None


def _iso(year: str, month: str, day: str) -> str | None:
    """The date in ISO 8601 if it is valid and between 1900 and 2099, else None."""
    try:
        taken = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return taken.isoformat() if 1900 <= taken.year < 2100 else None
