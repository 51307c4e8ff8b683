"""Standardized uptake values (SUV) of a PET series from its DICOM headers, and refusals where these do not suffice.

SUVbw is the activity concentration of a voxel times the patient's weight, divided by the injected dose that is left at
the time to which the image is corrected for decay. The rules are those of the IBSI-SUV manual
(https://oncoray.github.io/suv_computation, CC BY 4.0) and of the vendor-neutral pseudo-code of QIBA
(https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV)), with one exception: which time that is, see
`decay`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import log

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.body_norms import MEN, body_mass, body_surface
from transect.data_adapters.petct.decay import start_reference, times_of, uncorrected
from transect.data_adapters.petct.header_values import number, private, shown
from transect.data_adapters.petct.injection import Injection, injection_of, zone_of
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, reason, text

UNITS = ("BQML", "GML", "CM2ML", "CNTS")
DECAY_CORRECTIONS = ("START", "ADMIN", "NONE")
CREATOR = "Philips PET Private Group"
HEAVIEST_KG = 1000.0

UNIFORM = ("Units", "SUVType", "DecayCorrection", "PatientWeight", "TimezoneOffsetFromUTC")
"""What all images of a series must agree on."""

USED = tuple(
    tag_for_keyword(keyword) or 0
    for keyword in (
        *(*UNIFORM, "CorrectedImage", "RescaleIntercept", "NumberOfFrames", "PerFrameFunctionalGroupsSequence"),
        *("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
        *("FrameReferenceTime", "ActualFrameDuration"),
    )
)
"""What is read of every image; the rest is read of the first one."""


@dataclass(frozen=True, eq=False)
class Suv:
    """How SUV normalized by body weight follows from the values of a PET series.

    Args:
        factors: float64 `(slices,)`: a stored value times the RescaleSlope of its image, times this, is SUVbw in g/mL.
        rule: From what the reference time, to which decay is computed, was taken; in words.
        reference_time: ISO 8601, on the clock of the series; the last one where images have their own. "" where none
            is needed.
        other_reference_time: What the other rule gives for it; "" where it cannot be computed.
        units: As the images state them, with SUVType, such as "BQML" or "GML LBM".
        tracer: Such as "FDG"; "" if unknown.
        half_life_s: None where it was not needed, as the next two.
        dose_bq: At the time of the injection.
        weight_kg: Of the patient.
        warnings: What was converted or contradicts itself, a sentence each.
    """

    factors: NDArray[np.float64]
    rule: str
    reference_time: str = ""
    other_reference_time: str = ""
    units: str = ""
    tracer: str = ""
    half_life_s: float | None = None
    dose_bq: float | None = None
    weight_kg: float | None = None
    warnings: tuple[str, ...] = ()


def suv(headers: Sequence[Dataset], name: str = "") -> Suv:
    """How SUV follows from the values of the images of one PET series.

    Args:
        headers: Of its images, in the order of the slices: all elements but the pixels, as
            `pydicom.dcmread(path, stop_before_pixels=True)` reads them. At least one.
        name: What messages name for faults of the series; the first file by default.

    Raises:
        BadInput: SUV cannot be computed, with the reason.

    Example:
        >>> from pydicom import Dataset
        >>> image, tracer = Dataset(), Dataset()
        >>> image.Units, image.DecayCorrection, image.CorrectedImage = "BQML", "START", ["DECY", "ATTN"]
        >>> image.PatientWeight, image.SeriesDate = "70", "20250101"
        >>> image.SeriesTime = image.AcquisitionTime = "110000"
        >>> tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = "370e6", "6586.2"
        >>> tracer.RadiopharmaceuticalStartTime = "100000"
        >>> image.RadiopharmaceuticalInformationSequence = [tracer]
        >>> facts = suv([image])
        >>> facts.rule, facts.reference_time, round(float(facts.factors[0]) * 5000, 3)  # SUV of 5000 Bq/mL
        ('SeriesTime', '2025-01-01T11:00:00', 1.382)
    """
    distinct: dict[object, int] = {}
    places = [distinct.setdefault(_used(header), len(distinct)) for header in headers]
    firsts = [headers[places.index(place)] for place in range(len(distinct))]
    try:
        with quiet():
            result = _Series(firsts, name or _file(headers[0])).suv()
    except BadInput:
        raise
    except FAILURES as error:
        raise BadInput(name or _file(headers[0]), "header", reason(error), "a DICOM header that can be read") from error
    factors = result.factors[places]
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise BadInput(name or _file(headers[0]), "SUV", f"a factor of {factors.min():g}", "a finite number above 0")
    return replace(result, factors=factors)


@dataclass
class _Series:
    headers: Sequence[Dataset]
    name: object
    warnings: list[str] = field(default_factory=list)

    def suv(self) -> Suv:
        first = self.headers[0]
        for header in self.headers:
            _require_usable(header, first)
        units, correction = text(first, "Units"), text(first, "DecayCorrection")
        injection = injection_of(first, self.name)
        if units == "BQML":
            return self._of_activity(injection, correction, np.ones(len(self.headers)))
        if units == "CNTS":
            return self._of_counts(injection, correction)
        if correction == "NONE":
            self.warnings.append("DecayCorrection is NONE: how these SUV were corrected for decay is not stated")
        return self._of_suv(injection, units)

    def _of_counts(self, injection: Injection, correction: str) -> Suv:
        """Counts of Philips, with a private factor to SUV, or else one to Bq/mL."""
        for element in (0x00, 0x09):
            spelled = [private(header, 0x7053, CREATOR, element, "philips") for header in self.headers]
            factors = np.array([_positive(value) for value in spelled])
            if (factors > 0).all():
                break
        else:
            expected = "(7053,1000), counts to SUV, or (7053,1009), counts to Bq/mL, in every image"
            raise BadInput(self.name, "(7053,1000) and (7053,1009)", "neither for Units CNTS", expected)
        if element:
            return self._of_activity(injection, correction, factors, "CNTS")
        if correction == "NONE":
            self.warnings.append("DecayCorrection is NONE: the factor (7053,1000) is taken to correct for decay")
        rule = "none: the maker's factor from counts to SUV"
        return Suv(factors, rule, units="CNTS", tracer=injection.tracer, warnings=tuple(self.warnings))

    def _of_suv(self, injection: Injection, units: str) -> Suv:
        """SUV of some body norm."""
        kind = text(self.headers[0], "SUVType") or ("BSA" if units == "CM2ML" else "BW")
        weight = None
        factor = 1.0
        if units == "CM2ML" and kind == "BSA":
            weight = self._weight()
            factor = weight * 1000 / body_surface(weight, self._height())
        elif units == "GML" and kind in MEN:
            weight = self._weight()
            norm = body_mass(kind, weight, self._height(), self._sex())
            if norm <= 0:
                expected = f"a body for which the {kind} is above 0"
                raise BadInput(self.name, "PatientWeight and PatientSize", f"a {kind} of {norm:.1f} kg", expected)
            factor = weight / norm
        elif (units, kind) != ("GML", "BW"):
            expected = f"BW, {', '.join(MEN)}" if units == "GML" else "BSA"
            raise BadInput(self.name, "SUVType", kind, f"{expected} with Units {units}")
        factors = np.full(len(self.headers), factor)
        rule, units = "none: the values are SUV", units if kind == "BW" else f"{units} {kind}"
        tracer, warnings = injection.tracer, tuple(self.warnings)
        return Suv(factors, rule, units=units, tracer=tracer, weight_kg=weight, warnings=warnings)

    def _of_activity(
        self, injection: Injection, correction: str, activity: NDArray[np.float64], units: str = "BQML"
    ) -> Suv:
        """Activity concentrations, Bq/mL, after multiplication with `activity`."""
        if correction not in DECAY_CORRECTIONS:
            found, expected = correction or "none", ", ".join(DECAY_CORRECTIONS)
            raise BadInput(self.name, "DecayCorrection", found, expected)
        injection.required()
        weight, dose, half_life = self._weight(), injection.dose(self.warnings), injection.half_life(self.warnings)
        rate, zone = log(2) / half_life, zone_of(self.headers[0])
        factors = activity * weight * 1000 / dose
        rule, reference, other = "the injection (DecayCorrection ADMIN)", "", ""
        if correction != "ADMIN":
            factors, rule, reference, other = self._decayed(injection, correction, factors, half_life, zone, rate)
        return Suv(
            *(factors, rule, reference, other, units, injection.tracer, half_life, dose, weight, tuple(self.warnings))
        )

    def _decayed(
        self,
        injection: Injection,
        correction: str,
        factors: NDArray[np.float64],
        half_life: float,
        zone: timedelta | None,
        rate: float,
    ) -> tuple[NDArray[np.float64], str, str, str]:
        times = times_of(self.headers, zone, self.warnings)
        if correction == "START":
            reference = start_reference(times, rate, len(self.headers), self.name, self.warnings)
            rule, moments, other = reference.rule, reference.moments, reference.other
        else:
            moments, below = uncorrected(times, rate, self.name)
            rule, other, factors = "AcquisitionTime of each image (DecayCorrection NONE)", None, factors * below
        injected = injection.time(min(moments), zone, half_life)
        seconds = np.array([(each - injected).total_seconds() for each in moments])
        factors = factors * np.exp(rate * seconds)
        return factors, rule, shown(max(moments)), shown(other) if other else ""

    def _weight(self) -> float:
        value = number(self.headers[0], "PatientWeight", self.name)
        if value is None:
            raise BadInput(self.name, "PatientWeight", "none or 0", "the weight in kg")
        if value > HEAVIEST_KG:
            self.warnings.append(f"PatientWeight {value:g} is taken as g")
            value /= 1000
        return value

    def _height(self) -> float:
        """In cm."""
        value = number(self.headers[0], "PatientSize", self.name)
        if value is None or value > 3:
            found = "none or 0" if value is None else f"{value:g}"
            raise BadInput(self.name, "PatientSize", found, "the height in m, by which these SUV are normalized")
        return value * 100

    def _sex(self) -> str:
        value = text(self.headers[0], "PatientSex")
        if value not in ("M", "F", "O"):
            raise BadInput(self.name, "PatientSex", value or "none", "M, F or O, by which these SUV are normalized")
        return value


def _used(header: Dataset) -> tuple[str, ...]:
    """What is read of an image, as it is stored: most images of a series agree, and decoding takes time."""
    tags = [*USED, *(tag for tag in list(header.keys()) if tag >> 16 == 0x7053)]
    return tuple(str(header.get_item(tag).value) if tag in header else "" for tag in tags)


def _require_usable(header: Dataset, first: Dataset) -> None:
    """Refuse an image that cannot be SUV, or that differs from the first one of its series."""
    file = _file(header)
    if "PerFrameFunctionalGroupsSequence" in header or text(header, "NumberOfFrames") not in ("", "1"):
        raise BadInput(file, "NumberOfFrames", "an enhanced (multi-frame) PET object", "one image a file")
    units, correction = text(header, "Units"), text(header, "DecayCorrection")
    if units not in UNITS:
        raise BadInput(file, "Units", units or "none", ", ".join(UNITS), "values in other units have no SUV")
    if correction not in ("", *DECAY_CORRECTIONS):
        raise BadInput(file, "DecayCorrection", correction, ", ".join(DECAY_CORRECTIONS))
    corrections = header.get("CorrectedImage") or []
    applied = [corrections] if isinstance(corrections, str) else list(corrections)
    for needed in ("ATTN",) if correction == "NONE" else ("ATTN", "DECY"):
        if needed not in applied:
            raise BadInput(file, "CorrectedImage", ", ".join(applied) or "none", f"{needed} among the corrections")
    try:
        intercept = float(header.get("RescaleIntercept") or 0)
    except (TypeError, ValueError):
        intercept = float("nan")
    if intercept != 0:
        raise BadInput(file, "RescaleIntercept", f"{intercept:g}", "0: no activity is the value 0")
    for keyword in UNIFORM:
        found, expected = text(header, keyword), text(first, keyword)
        if found != expected:
            raise BadInput(file, keyword, found or "none", f"{expected or 'none'}, as in the first image")


def _positive(value: str) -> float:
    """A number above 0, or else 0."""
    try:
        result = float(value)
    except ValueError:
        return 0.0
    return result if 0 < result < float("inf") else 0.0


def _file(header: Dataset) -> object:
    return getattr(header, "filename", None) or "PET image"
