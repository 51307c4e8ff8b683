"""What was injected, how much, and when: the radiopharmaceutical of a PET series."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.header_values import ANY_DAY, at, clock, moment, number, offset, shown
from transect.data_adapters.volume.dicom_headers import text

FDG = re.compile(r"(?<![a-z])fdg(?![a-z])|flu(oro)?de(s)?oxyglucose", re.I)
F18_SECONDS = 6586.2
F18_CODES = ("C-111A1", "77004003")
"""Fluorine-18 in SNOMED RT and SNOMED CT (DICOM CID 4020)."""

SMALLEST_BQ = 1e5
"""A smaller number is in MBq: doses are larger than 0.1 MBq and smaller than 100 GBq."""

MOST_HALF_LIVES = 10
"""By then only a thousandth of the dose is left, too little for an image: a date must be wrong."""


@dataclass(frozen=True)
class Injection:
    """One radiopharmaceutical.

    Args:
        item: Of RadiopharmaceuticalInformationSequence; empty where there is none.
        count: How many items there are.
        file: What messages name.
    """

    item: Dataset
    count: int
    file: object

    @property
    def tracer(self) -> str:
        """Its name, "FDG" for every spelling of it, "" if unknown."""
        name = text(self.item, "Radiopharmaceutical") or _meaning(self.item, "RadiopharmaceuticalCodeSequence")
        return "FDG" if FDG.search(name) else name

    def required(self) -> None:
        """Refuse a series without it.

        Raises:
            BadInput: nothing is known of what was injected.
        """
        if not self.count:
            raise BadInput(self.file, "RadiopharmaceuticalInformationSequence", "no item", "one: what was injected")

    def dose(self, warnings: list[str]) -> float:
        """RadionuclideTotalDose in Bq.

        Raises:
            BadInput: it is missing or 0.
        """
        value = number(self.item, "RadionuclideTotalDose", self.file)
        if value is None:
            raise BadInput(self.file, "RadionuclideTotalDose", "none or 0", "the injected dose in Bq")
        if value < SMALLEST_BQ:
            warnings.append(f"RadionuclideTotalDose {value:g} is taken as MBq")
            value *= 1e6
        return value

    def half_life(self, warnings: list[str]) -> float:
        """RadionuclideHalfLife in s; of fluorine-18 where it is missing and the nuclide's code says so.

        Raises:
            BadInput: it is missing, and so is the code.
        """
        value = number(self.item, "RadionuclideHalfLife", self.file)
        sequence = self.item.get("RadionuclideCodeSequence") or []
        fluorine = any(text(code, "CodeValue") in F18_CODES for code in sequence)
        if value is None and fluorine:
            warnings.append(f"RadionuclideHalfLife is missing: that of fluorine-18, {F18_SECONDS} s, is used")
            return F18_SECONDS
        if value is None or value < 1:
            expected = "the half life in s, or the code of fluorine-18 in RadionuclideCodeSequence"
            raise BadInput(self.file, "RadionuclideHalfLife", value or "none or 0", expected)
        if fluorine and abs(value / F18_SECONDS - 1) > 0.01:
            warnings.append(f"RadionuclideHalfLife is {value:g} s, and that of the named fluorine-18 {F18_SECONDS} s")
        return value

    def time(self, reference: datetime, zone: timedelta | None, half_life: float) -> datetime:
        """The moment of the injection, on the clock of the series.

        A bare time is that of the day of the reference, or of the day before where it would be later. A date and time
        is taken as it is.

        Args:
            reference: The moment to which the values of the images belong.
            zone: The offset of the series from UTC, None if unknown.
            half_life: In s.

        Raises:
            BadInput: it is missing, later than the reference, or too long ago.
        """
        whole, bare = (text(self.item, f"RadiopharmaceuticalStart{kind}") for kind in ("DateTime", "Time"))
        since_midnight = clock(bare)
        field = "RadiopharmaceuticalStartDateTime"
        injected = moment(whole, zone)
        if injected is not None and reference.date() <= ANY_DAY:
            expected = "SeriesDate or AcquisitionDate in the images too"
            raise BadInput(self.file, field, f"{whole}, and images without a date", expected)
        if injected is not None and zone is None and whole[-5] in "+-":
            self._require_same_clock(whole, injected, since_midnight)
        if injected is None and since_midnight is not None:
            field, injected = "RadiopharmaceuticalStartTime", at(reference.date(), since_midnight)
            if injected > reference:
                injected -= timedelta(days=1)
        if injected is None:
            expected = "the date and time of the injection, here or the time in RadiopharmaceuticalStartTime"
            raise BadInput(self.file, field, whole or bare or "none", expected)
        seconds = (reference - injected).total_seconds()
        if seconds < 0 or seconds > MOST_HALF_LIVES * half_life:
            past = f", {seconds / half_life:.0f} half lives before the scan" if seconds > 0 else ""
            found, expected = f"{shown(injected)}{past}", f"a time shortly before the scan at {shown(reference)}"
            raise BadInput(self.file, field, found, expected, "correct the date or the time")
        return injected

    def _require_same_clock(self, whole: str, injected: datetime, since_midnight: timedelta | None) -> None:
        """Refuse a time with an offset from UTC that the images lack, unless StartTime shows the same clock."""
        if since_midnight is None or abs(at(injected.date(), since_midnight) - injected) > timedelta(minutes=1):
            found = f"an offset from UTC, {whole[-5:]}, that the times of the images lack"
            expected = "TimezoneOffsetFromUTC in the images too"
            raise BadInput(self.file, "RadiopharmaceuticalStartDateTime", found, expected, "add (0008,0201)")


def injection_of(header: Dataset, file: object) -> Injection:
    """The radiopharmaceutical of a PET image.

    Raises:
        BadInput: there are several.
    """
    items: Sequence[Dataset] = header.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) > 1:
        names = ", ".join(text(item, "Radiopharmaceutical") or "unnamed" for item in items)
        expected = "one item: the activities of two tracers cannot be separated"
        raise BadInput(file, "RadiopharmaceuticalInformationSequence", f"{len(items)} items ({names})", expected)
    return Injection(items[0] if items else Dataset(), len(items), file)


def zone_of(header: Dataset) -> timedelta | None:
    """The offset of an image's times from UTC: its own, or that of its AcquisitionDateTime; None if unknown."""
    own = offset(text(header, "TimezoneOffsetFromUTC"))
    return own if own is not None else offset(text(header, "AcquisitionDateTime")[-5:])


def _meaning(item: Dataset, keyword: str) -> str:
    return next((text(code, "CodeMeaning") for code in item.get(keyword) or []), "")
