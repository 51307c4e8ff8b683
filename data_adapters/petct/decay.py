"""The moment to which the values of a PET series are corrected for decay.

Two rules give it for DecayCorrection START: what the series says (a private element of the maker, or SeriesTime), and
what follows from the frame of each image (AcquisitionTime, ActualFrameDuration and FrameReferenceTime). Neither holds
always: SeriesTime is later where a series was reconstructed again, and scanners of GE share one AcquisitionTime among
all beds while FrameReferenceTime is the start of each bed, for which the second rule is 1.3 % too high in the first bed
and 10.9 % too low in the last one. So both are computed, and a difference is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import log

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.header_values import ANY_DAY, at, clock, day, moment, private, shown
from transect.data_adapters.volume.dicom_headers import text

MAKERS = (
    ("Siemens (0071,xx22)", 0x0071, "SIEMENS MED PT", 0x22, "siemens"),
    ("GE (0009,xx0D)", 0x0009, "GEMS_PETD_01", 0x0D, "ge"),
)
"""Private elements, of type DT, that state the moment of the decay correction, by their creators."""

DIFFERENCE = timedelta(seconds=60)
"""By more than this, the two rules contradict each other."""

ROUNDING = timedelta(seconds=1)
"""SeriesTime may have fractions of a second where AcquisitionTime has none."""


@dataclass(frozen=True)
class Reference:
    """When the values of the images are valid.

    Args:
        rule: In words.
        moments: Of each image; one for all where the series states it.
        other: By the other rule, that of the image where both differ most; None where it cannot be computed.
    """

    rule: str
    moments: tuple[datetime, ...]
    other: datetime | None


@dataclass(frozen=True)
class Times:
    """The times of a series, on its own clock.

    Args:
        maker: What the maker's private element states, with its name; None without one.
        series: SeriesTime; None if unknown.
        acquired: AcquisitionTime of each image; None if any is unknown.
        durations: ActualFrameDuration of each image, s; None if any is unknown.
        offsets: FrameReferenceTime of each image, s; None if any is unknown.
    """

    maker: tuple[str, datetime] | None
    series: datetime | None
    acquired: tuple[datetime, ...] | None
    durations: NDArray[np.float64] | None
    offsets: NDArray[np.float64] | None


def times_of(headers: Sequence[Dataset], zone: timedelta | None, warnings: list[str]) -> Times:
    """Read the times of all images."""
    series_days = [day(text(headers[0], f"{kind}Date")) for kind in ("Series", "Acquisition", "Study")]
    series_day = next((found for found in series_days if found), ANY_DAY)
    starts = {text(header, "SeriesTime") for header in headers}
    started = [at(series_day, since) for since in map(clock, starts) if since is not None]
    series = min(started, default=None)
    acquired = [_acquired(header, series_day, series, zone) for header in headers]
    all_acquired = tuple(each for each in acquired if each is not None)
    return Times(
        _maker(headers[0], zone, min(all_acquired, default=series), warnings),
        series,
        all_acquired if len(all_acquired) == len(headers) else None,
        _seconds(headers, "ActualFrameDuration", smallest=1e-3),
        _seconds(headers, "FrameReferenceTime", smallest=-1e7),
    )


def start_reference(times: Times, rate: float, count: int, file: object, warnings: list[str]) -> Reference:
    """The moment to which `count` images with DecayCorrection START are corrected.

    It is what the maker states; else SeriesTime, unless that is later than the first AcquisitionTime; else what follows
    from each frame.

    Args:
        times: Of the series.
        rate: The decay constant, 1/s.
        count: Number of images.
        file: What messages name.
        warnings: Gets a sentence where both rules differ, or where a time is missing.

    Raises:
        BadInput: no rule gives a moment.
    """
    frames = _from_frames(times, rate)
    stated: tuple[str, datetime] | None = times.maker
    if stated is None and times.series is not None:
        if times.acquired is None:
            warnings.append("AcquisitionTime is missing: SeriesTime may be that of a later reconstruction")
        if times.acquired is None or times.series <= min(times.acquired) + ROUNDING:
            stated = ("SeriesTime", times.series)
    if stated is not None:
        other = max(frames, key=lambda each: abs(each - stated[1])) if frames else None
        _warn_of_difference(stated, ("the time from AcquisitionTime and the frame", other), warnings)
        return Reference(stated[0], (stated[1],) * count, other)
    if frames is None or times.acquired is None:
        expected = "SeriesTime not later than AcquisitionTime, or all of AcquisitionTime and the frame"
        raise BadInput(file, "reference time", _unknown(times), expected)
    rule, moments, apart = (
        "AcquisitionTime, ActualFrameDuration and FrameReferenceTime",
        frames,
        max(frames) - min(frames),
    )
    if apart > DIFFERENCE and len(set(times.acquired)) == 1:
        rule, moments = "AcquisitionTime", times.acquired
        warnings.append("all beds have one AcquisitionTime, so FrameReferenceTime is taken as the start of each bed")
    elif apart > DIFFERENCE:
        warnings.append(
            f"images are corrected for decay to different times, {shown(min(frames))} to {shown(max(frames))}"
        )
    _warn_of_difference((rule, max(moments)), ("SeriesTime", times.series), warnings)
    return Reference(rule, moments, times.series)


def uncorrected(times: Times, rate: float, file: object) -> tuple[tuple[datetime, ...], NDArray[np.float64]]:
    """The starts of frames without decay correction, and by what their mean values are below those at the start.

    Raises:
        BadInput: a start or a duration is missing.
    """
    if times.acquired is None:
        raise BadInput(file, "AcquisitionTime", "none", "the start of each image, which has DecayCorrection NONE")
    if times.durations is None:
        raise BadInput(file, "ActualFrameDuration", "none", "the duration of each image, with DecayCorrection NONE")
    decays = rate * times.durations
    return times.acquired, decays / -np.expm1(-decays)


def mean_time(rate: float, duration: float) -> float:
    """When the activity equals its mean over a frame, in s after the start of the frame.

    Args:
        rate: The decay constant, 1/s.
        duration: Of the frame, s.

    Example:
        >>> round(mean_time(log(2) / 6586.2, 240), 1)
        119.7
    """
    decays = rate * duration
    return log(decays / -float(np.expm1(-decays))) / rate


def _from_frames(times: Times, rate: float) -> tuple[datetime, ...] | None:
    if times.acquired is None or times.durations is None or times.offsets is None:
        return None
    seconds = [mean_time(rate, duration) for duration in times.durations] - times.offsets
    return tuple(start + timedelta(seconds=float(s)) for start, s in zip(times.acquired, seconds, strict=True))


def _acquired(header: Dataset, series_day: date, series: datetime | None, zone: timedelta | None) -> datetime | None:
    since_midnight = clock(text(header, "AcquisitionTime"))
    if since_midnight is None:
        return moment(text(header, "AcquisitionDateTime"), zone)
    own_day = day(text(header, "AcquisitionDate"))
    if own_day is not None:
        return at(own_day, since_midnight)
    acquired = at(series_day, since_midnight)
    if series is not None and abs(acquired - series) > timedelta(hours=12):  # across midnight
        acquired += timedelta(days=1 if acquired < series else -1)
    return acquired


def _maker(
    header: Dataset, zone: timedelta | None, scan: datetime | None, warnings: list[str]
) -> tuple[str, datetime] | None:
    for name, group, creator, element, maker in MAKERS:
        value = private(header, group, creator, element, maker)
        stated = moment(value, zone)
        if stated is not None and (scan is None or abs(stated - scan) < timedelta(days=1)):
            return name, stated
        if value:
            warnings.append(f"{name} is ignored: it states no time of this scan")
    return None


def _seconds(headers: Sequence[Dataset], keyword: str, smallest: float) -> NDArray[np.float64] | None:
    """A time in ms of all images, in s; None where an image lacks it, or has less than `smallest` or months."""
    try:
        values = np.array([float(text(header, keyword)) for header in headers]) / 1000
    except ValueError:
        return None
    return values if ((values >= smallest) & (values < 1e7)).all() else None


def _warn_of_difference(used: tuple[str, datetime], other: tuple[str, datetime | None], warnings: list[str]) -> None:
    if other[1] is not None and abs(used[1] - other[1]) > DIFFERENCE:
        minutes = abs(used[1] - other[1]).total_seconds() / 60
        warnings.append(
            f"two rules for the time of the decay correction differ by {minutes:.1f} minutes: "
            f"{used[0]} gives {shown(used[1])} and is used, {other[0]} gives {shown(other[1])}"
        )


def _unknown(times: Times) -> str:
    missing = {
        "SeriesTime": times.series,
        "AcquisitionTime": times.acquired,
        "ActualFrameDuration": times.durations,
        "FrameReferenceTime": times.offsets,
    }
    return "no " + ", ".join(name for name, value in missing.items() if value is None)
