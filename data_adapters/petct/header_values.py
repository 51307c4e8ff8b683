"""Values of DICOM headers: numbers, dates and times, and private elements by their creator."""

import math
import re
from datetime import date, datetime, time, timedelta

from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, text

CLOCK = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6})\d*)?)?)?")
MOMENT = re.compile(r"(\d{8})([\d.]*)([+-]\d{4})?")
LARGEST_OFFSET = timedelta(hours=14)
ANY_DAY = date(1900, 1, 1)
"""Stands for the day of a series without dates, whose times can still be compared."""


def number(header: Dataset, keyword: str, file: object) -> float | None:
    """An element as a number; None where it is missing, empty or 0.

    Raises:
        BadInput: it is no finite number of 0 or more.
    """
    try:
        with quiet():
            value = header.get(keyword)
            if value is None or value == "":
                return None
            result = float(value)
    except FAILURES as error:
        raise BadInput(file, keyword, "no number", "a number of 0 or more") from error
    if not math.isfinite(result) or result < 0:
        raise BadInput(file, keyword, f"{result:g}", "a number of 0 or more")
    return result or None


def offset(value: str) -> timedelta | None:
    """The offset from UTC that a text such as "-0500" states (TimezoneOffsetFromUTC, end of a DT)."""
    if not re.fullmatch(r"[+-]\d{4}", value):
        return None
    size = timedelta(hours=int(value[1:3]), minutes=int(value[3:]))
    return None if size > LARGEST_OFFSET else -size if value[0] == "-" else size


def clock(value: str) -> timedelta | None:
    """The time since midnight of a TM, such as "1100" or "110000.5"; None where it is no time."""
    match = CLOCK.fullmatch(value.strip())
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:  # 60: a leap second
        return None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=int((match[4] or "").ljust(6, "0")))


def day(value: str) -> date | None:
    """The date of a DA, such as "20200302", or "2020.03.02" in old files; None where it is no date of a PET scan."""
    try:
        found = datetime.strptime(value.strip().replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None
    return found if 1950 <= found.year < 2200 else None


def moment(value: str, zone: timedelta | None = None) -> datetime | None:
    """The moment of a DT as the clock of the series shows it; None where it lacks the time of day.

    Args:
        value: Such as "20200302110000.5-0500".
        zone: The offset of the series from UTC; None leaves the clock of the value as it is.
    """
    match = MOMENT.fullmatch(value.strip())
    if not match:
        return None
    date_part, since_midnight, own = day(match[1]), clock(match[2]), offset(match[3] or "")
    if date_part is None or since_midnight is None:
        return None
    result = at(date_part, since_midnight)
    return result + (zone - own) if zone is not None and own is not None else result


def at(on: date, since_midnight: timedelta) -> datetime:
    """The moment of a date and a time of day."""
    return datetime.combine(on, time()) + since_midnight


def shown(moment: datetime) -> str:
    """A moment in ISO 8601; the time alone in a series without dates."""
    dated = moment.date() > ANY_DAY + timedelta(days=1)
    return moment.isoformat() if dated else moment.time().isoformat()


def private(header: Dataset, group: int, creator: str, element: int, maker: str) -> str:
    """A private element as text, "" if it is missing.

    The creator reserves a block of its group, which may be any from 10 to FF: copying a data set may move it. Where no
    one reserves block 10, the element there is taken if the manufacturer is the maker, since de-identification may
    remove the creator alone. The value may be bytes of unknown representation (UN).

    Args:
        header: Of one image.
        group: Such as 0x7053.
        creator: Such as "Philips PET Private Group".
        element: The last two digits of its number, such as 0x09 of (7053,xx09).
        maker: How its Manufacturer begins, in lower case.
    """
    try:
        with quiet():
            blocks = [
                tag.element
                for tag in list(header.group_dataset(group).keys())
                if 0x10 <= tag.element <= 0xFF and _plain(header[tag].value) == creator
            ]
            if not blocks and (group, 0x10) not in header and text(header, "Manufacturer").lower().startswith(maker):
                blocks = [0x10]
            tags = [(group, block << 8 | element) for block in blocks]
            return next((_plain(header[tag].value) for tag in tags if tag in header), "")
    except FAILURES:
        return ""


def _plain(value: object) -> str:
    spelled = value.decode("ascii", "replace") if isinstance(value, bytes) else str("" if value is None else value)
    return spelled.strip(" \0")
