"""The time of the injection and that of the decay correction, as headers state them."""

from datetime import datetime, timedelta
from math import exp, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data_adapters.petct.pet_headers import AN_HOUR, image, of_an_hour, tracer
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.decay import mean_time
from transect.data_adapters.petct.header_values import clock, day, moment, offset
from transect.data_adapters.petct.suv import suv


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("11", 39600),
        ("1100", 39600),
        ("110001", 39601),
        ("110000.25", 39600.25),
        ("11:00:01", 39601),
        ("235960", 86400),
    ],
)
def test_times_of_day(text: str, seconds: float) -> None:
    found = clock(text)
    assert found is not None
    assert found.total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "1", "24", "1160", "110061", "REMOVED", "11000", "['11', '12']"])
def test_texts_that_are_no_time(text: str) -> None:
    assert clock(text) is None


def test_dates_and_moments() -> None:
    assert day("20200229") == day("2020.02.29") == datetime(2020, 2, 29).date()
    assert [day(text) for text in ("20210229", "", "0000", "99991231")] == [None] * 4
    assert moment("2020022911") == datetime(2020, 2, 29, 11)
    assert [moment(text) for text in ("20200229", "20200229-0500", "", "11")] == [None] * 4
    assert offset("-0530") == -timedelta(hours=5, minutes=30)
    assert [offset(text) for text in ("", "0500", "+9900", "+05")] == [None] * 4


@given(st.integers(-14, 14), st.integers(-14, 14), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_a_moment_is_the_same_with_any_offset(own: int, zone: int, there: datetime) -> None:
    spelled = there.strftime("%Y%m%d%H%M%S.%f") + f"{own:+03d}00"
    assert moment(spelled, timedelta(hours=zone)) == there + timedelta(hours=zone - own)


@given(st.floats(60, 1e6), st.floats(1e-3, 1e4))
def test_activity_at_the_mean_time_is_the_mean(half_life: float, duration: float) -> None:
    rate = log(2) / half_life
    steps = 2000
    mean = sum(exp(-rate * duration * (k + 0.5) / steps) for k in range(steps)) / steps
    found = mean_time(rate, duration)
    assert 0 < found <= duration / 2 * (1 + 1e-6)
    assert exp(-rate * found) == pytest.approx(mean, rel=2e-4)


@pytest.mark.parametrize(
    "injection",
    [
        dict(RadiopharmaceuticalStartTime="100000.000"),
        dict(RadiopharmaceuticalStartTime="1000"),
        dict(RadiopharmaceuticalStartTime="10"),
        dict(RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime="20250101100000"),
        dict(RadiopharmaceuticalStartTime="093000", RadiopharmaceuticalStartDateTime="202501011000"),
        dict(RadiopharmaceuticalStartDateTime="20250101"),
    ],
)
def test_an_injection_is_found_in_either_element(injection: Any) -> None:
    assert of_an_hour(image(tracer(**injection))) == pytest.approx(1)


def test_a_bare_time_may_be_that_of_the_day_before() -> None:
    item = tracer(RadiopharmaceuticalStartTime="233000")
    assert of_an_hour(image(item, SeriesTime="003000", AcquisitionTime="003000")) == pytest.approx(1)


def test_a_scan_across_midnight_without_the_date_of_its_acquisition() -> None:
    """The series starts at 23:50 and an image at 0:10, an hour and 20 minutes after the injection."""
    item = tracer(RadiopharmaceuticalStartTime="225000")
    header = image(item, SeriesTime="235000", AcquisitionTime="001000", AcquisitionDate=None)
    facts = suv([header])
    assert facts.rule == "SeriesTime"
    assert facts.other_reference_time.startswith("2025-01-02T00:09:59.9")


def test_days_between_injection_and_scan_count() -> None:
    item = tracer(RadiopharmaceuticalStartDateTime="20241229100000", RadionuclideHalfLife="230400")
    facts = suv([image(item)])
    assert facts.factors[0] == pytest.approx(70000 / 370e6 * 2 ** (73 * 3600 / 230400))


def test_series_without_any_date_compare_their_times() -> None:
    header = image(SeriesDate=None, AcquisitionDate=None)
    assert of_an_hour(header) == pytest.approx(1)
    assert suv([header]).reference_time == "11:00:00"


@pytest.mark.parametrize("zone", ["-0500", "+0930"])
def test_times_with_an_offset_from_utc_are_moments(zone: str) -> None:
    hours = int(zone[:3]) + int(zone[3:]) / 60
    utc = (datetime(2025, 1, 1, 10) - timedelta(hours=hours)).strftime("%Y%m%d%H%M%S+0000")
    assert of_an_hour(image(tracer(RadiopharmaceuticalStartDateTime=utc), TimezoneOffsetFromUTC=zone)) == pytest.approx(
        1
    )


def test_an_offset_that_the_images_lack_is_refused_unless_the_clock_is_known() -> None:
    moment_only = dict(RadiopharmaceuticalStartDateTime="20250101100000+0100")
    assert of_an_hour(image(tracer(**moment_only))) == pytest.approx(1)  # StartTime shows the same clock
    with pytest.raises(BadInput, match=r"RadiopharmaceuticalStartDateTime: found an offset from UTC, \+0100"):
        suv([image(tracer(**moment_only, RadiopharmaceuticalStartTime=None))])
    known = image(tracer(**moment_only, RadiopharmaceuticalStartTime=None), AcquisitionDateTime="20250101110000+0100")
    assert of_an_hour(known) == pytest.approx(1)


def test_a_series_time_within_a_second_of_the_acquisition_is_not_later() -> None:
    assert suv([image(SeriesTime="110000.9")]).rule == "SeriesTime"
    assert suv([image(SeriesTime="110002")]).rule.startswith("AcquisitionTime")


def test_beds_in_any_order() -> None:
    """The first AcquisitionTime counts, not that of the first slice."""
    headers = [image(AcquisitionTime="110500", FrameReferenceTime="359937"), image()]
    for order in (headers, headers[::-1]):
        assert suv(order).rule == "SeriesTime"
        assert suv(order).warnings == ()
        assert of_an_hour(*order) == pytest.approx(1)


def test_beds_that_are_corrected_to_different_times_are_reported() -> None:
    headers = [image(AcquisitionTime=start, SeriesTime="130000") for start in ("110000", "111000")]
    facts = suv(headers)
    assert "different times, 2025-01-01T10:59:59" in facts.warnings[0]
    assert facts.factors[0] * AN_HOUR == pytest.approx(1, abs=1e-4)
    assert facts.factors[1] / facts.factors[0] == pytest.approx(2 ** (600 / 6586.2))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(SeriesTime=None, AcquisitionTime=None), "SeriesTime, AcquisitionTime"),
        (dict(SeriesTime="120000", FrameReferenceTime=None), "FrameReferenceTime"),
        (dict(SeriesTime="120000", ActualFrameDuration="0"), "ActualFrameDuration"),
        (dict(SeriesTime="REMOVED", FrameReferenceTime=None), "SeriesTime, FrameReferenceTime"),
    ],
)
def test_a_series_without_a_time_is_refused_by_what_is_missing(changes: Any, named: str) -> None:
    with pytest.raises(BadInput, match=f"reference time: found no {named}, expected"):
        suv([image(**changes)])


def test_a_series_time_alone_is_used_with_a_warning() -> None:
    facts = suv([image(AcquisitionTime=None)])
    assert facts.rule == "SeriesTime"
    assert facts.other_reference_time == ""
    assert "AcquisitionTime is missing" in facts.warnings[0]
