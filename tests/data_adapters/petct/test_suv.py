"""SUV of reference objects and real series, and of each way in which makers state it."""

import doctest
import importlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import Dataset

from tests.data_adapters.petct.pet_headers import AN_HOUR, changed, image, of_an_hour, read_suv, tracer, with_private
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.suv import suv
from transect.data_adapters.volume.dicom_headers import read_headers

KINDS = ("0_0", "1_0", "2_0", "2_1", "2_4", "3_0", "3_1", "3_3", "4_1", "5_0")


@pytest.mark.parametrize("kind", KINDS)
def test_reference_objects_have_their_suv(reference_objects: Path, kind: str) -> None:
    values, _ = read_suv(reference_objects / f"DRO_{kind}")
    inside = values[values > 0]
    assert [round(float(v), 2) for v in (inside.min(), np.median(inside), inside.max())] == [0.2, 1.0, 4.0]


def test_a_stored_surface_suv_is_right_within_its_quantum(reference_objects: Path) -> None:
    """Kind 2_3: values of SUVbsa in steps of 0.01, which are 0.038 of SUVbw."""
    values, headers = read_suv(reference_objects / "DRO_0_0")
    surface = 0.007184 * 175**0.725 * 70**0.425 * 1e4
    stored = np.floor(values * surface / 70000 / 0.01) * 0.01
    again = suv([changed(header, Units="CM2ML", SUVType="BSA") for header in headers]).factors[:, None, None] * stored
    inside = again[values > 0]
    assert np.allclose([inside.min(), np.median(inside), inside.max()], [0.2, 1.0, 4.0], atol=0.04)


def test_a_real_series_has_its_known_suv(sts_001: Path, shared_file: Any) -> None:
    """59 of its slices are in the subset that another program (MIRP) converted, and rounded."""
    values, headers = read_suv(sts_001)
    known = nibabel.nifti1.load(shared_file("data/medical/sts_petctmr_nifti/STS_001/PET.nii.gz"))
    lowest, (left, front) = known.affine[2, 3], known.affine[:2, 3]
    heights = np.array([float(header.ImagePositionPatient[2]) for header in headers])
    columns, rows, slices = known.shape
    corner = [float(v) for v in headers[0].ImagePositionPatient[:2]]
    step = float(headers[0].PixelSpacing[0])
    column, row = round((-left - corner[0]) / step), round((-front - corner[1]) / step)
    order = [int(np.abs(heights - (lowest + 3.27 * k)).argmin()) for k in range(slices)]
    ours = values[order, row : row + rows, column : column + columns].transpose(2, 1, 0)
    theirs = known.get_fdata()
    ratio = ours[theirs > 1] / theirs[theirs > 1]
    assert values.max() == pytest.approx(66.5, abs=0.05)
    assert np.median(ratio) == pytest.approx(1, abs=1e-6)
    assert np.quantile(np.abs(ratio - 1), 0.9) < 1e-4
    assert np.abs(ratio - 1).max() < 1e-3
    assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-4)


def test_a_real_series_with_a_later_series_time_has_the_same_suv(sts_001: Path) -> None:
    """Its beds share one AcquisitionTime, which is then the reference."""
    paths = sorted((sts_001 / "image").iterdir())[::20]
    headers = [read_headers(path, whole=True) for path in paths]
    known = suv(headers)
    later = suv([changed(header, SeriesTime="131500") for header in headers])
    assert "all beds have one AcquisitionTime" in later.warnings[0]
    assert np.array_equal(later.factors, known.factors)


@pytest.mark.parametrize(
    ("script", "part", "expected"),
    [
        *(("07_time_zones", name, (1, 3)) for name in "abcd"),
        *(("08_philips_counts", name, (1, 4)) for name in ("plain", "unknown_vr", "other_block", "no_weight")),
        ("08_philips_counts", "activity_only", (1, 4)),
        *(("09_days_after_the_injection", name, (1, 3)) for name in ("yttrium", "midnight", "late_series")),
        *(("12_maker_says_the_reference_time", name, (1, 3)) for name in ("siemens", "ge", "moved")),
        ("12_maker_says_the_reference_time", "silent", (1.032, 3.096)),
    ],
)
def test_hospital_files_have_their_suv(hospital: Any, script: str, part: str, expected: tuple[float, float]) -> None:
    values, headers = read_suv(hospital(script) / part)
    assert (np.median(values[values > 0]), values.max()) == pytest.approx(expected, abs=0.002)
    assert any("differ by" in warning for warning in suv(headers).warnings) == (
        part in ("late_series", "silent", "siemens", "ge", "moved")
    )


def test_counts_without_a_factor_are_refused(hospital: Any) -> None:
    with pytest.raises(BadInput, match=r"\(7053,1000\) and \(7053,1009\): found neither for Units CNTS"):
        read_suv(hospital("08_philips_counts") / "none")


# Of 70 kg and 175 cm: a body mass index of 22.857.
MASSES = {
    ("LBM", "M"): 57.8,
    ("LBM", "F"): 51.22,
    ("LBM", "O"): 54.51,
    ("LBMJAMES128", "M"): 56.52,
    ("LBMJAMES128", "F"): 51.22,
    ("LBMJAMES128", "O"): 53.87,
    ("LBMJANMA", "M"): 55.8569,
    ("LBMJANMA", "F"): 45.1970,
    ("LBMJANMA", "O"): 50.5270,
    ("IBW", "M"): 72.38,
    ("IBW", "F"): 66.43,
    ("IBW", "O"): 69.405,
}


@pytest.mark.parametrize(("kind", "sex"), MASSES)
def test_suv_of_other_masses_become_those_of_the_weight(kind: str, sex: str) -> None:
    facts = suv([image(Units="GML", SUVType=kind, PatientSex=sex)])
    assert facts.factors[0] == pytest.approx(70 / MASSES[kind, sex], rel=1e-5)
    assert facts.units == f"GML {kind}"


def test_suv_of_the_weight_and_of_the_surface() -> None:
    assert suv([image(Units="GML")]).factors[0] == 1
    assert suv([image(Units="GML", SUVType="BW", PatientWeight=None)]).factors[0] == 1
    assert suv([image(Units="CM2ML")]).factors[0] == pytest.approx(70000 / 18481, rel=1e-4)


def siemens(header: Dataset) -> Dataset:
    return with_private(header, (0x0071, 0x1022), "DT", "20250101110000.000000", "SIEMENS MED PT")


def ge(header: Dataset) -> Dataset:
    return with_private(header, (0x0009, 0x100D), "DT", "20250101110000.00", "GEMS_PETD_01")


def none(header: Dataset) -> Dataset:
    return header


@pytest.mark.parametrize(("maker", "add"), [("SIEMENS", siemens), ("GE MEDICAL SYSTEMS", ge), ("Philips", none)])
def test_makers_state_the_time_of_the_decay_correction_in_several_ways(maker: str, add: Any) -> None:
    equal = image(Manufacturer=maker)
    assert of_an_hour(equal) == pytest.approx(1) == of_an_hour(add(image(Manufacturer=maker)))
    later = dict(Manufacturer=maker, SeriesTime="114500")
    assert of_an_hour(image(**later)) == pytest.approx(1, abs=1e-4)  # by the frame
    assert of_an_hour(add(image(**later))) == pytest.approx(1, abs=1e-4)
    if add is not none:  # an acquisition that does not start at the reference
        shifted = add(image(**later, AcquisitionTime="113000"))
        assert of_an_hour(shifted) == pytest.approx(1)
        assert "differ by 30.0 minutes" in suv([shifted]).warnings[0]


@pytest.mark.parametrize("maker", ["SIEMENS", "GE MEDICAL SYSTEMS"])
def test_images_without_decay_correction_are_corrected_one_by_one(maker: str) -> None:
    beds = {"110000": 1.0, "113000": 0.5 ** (1800 / 6586.2)}
    changes = dict(Manufacturer=maker, DecayCorrection="NONE", CorrectedImage=["ATTN", "SCAT"])
    headers = [image(**changes, AcquisitionTime=start) for start in beds]
    in_frame = (1 - 0.5 ** (120 / 6586.2)) / (120 / 6586.2 * np.log(2))  # the mean over a frame of its first value
    facts = suv(headers)
    assert np.allclose(facts.factors * AN_HOUR * list(beds.values()) * in_frame, 1)
    assert "DecayCorrection NONE" in facts.rule


def test_counts_of_philips_without_decay_correction() -> None:
    changes = dict(Manufacturer="Philips", Units="CNTS", DecayCorrection="NONE", CorrectedImage="ATTN")
    activity = with_private(image(**changes), (0x7053, 0x1009), "DS", "2", "Philips PET Private Group")
    assert suv([activity]).factors[0] == pytest.approx(2 * suv([image(**{**changes, "Units": "BQML"})]).factors[0])
    direct = with_private(image(**changes), (0x7053, 0x1000), "DS", "0.0005", "Philips PET Private Group")
    facts = suv([direct])
    assert facts.factors[0] == 0.0005
    assert "DecayCorrection is NONE" in facts.warnings[0]


def test_factors_of_counts_are_those_of_each_image() -> None:
    add = lambda factor: with_private(  # noqa: E731
        image(Units="CNTS"), (0x7053, 0x1000), "DS", factor, "Philips PET Private Group"
    )
    assert suv([add("0.5"), add("0.25")]).factors.tolist() == [0.5, 0.25]
    with pytest.raises(BadInput, match="in every image"):
        suv([add("0.5"), add("0")])


def test_a_private_element_without_creator_counts_where_the_maker_is_its_own() -> None:
    """The reference objects have none; another maker may mean another thing by the same number."""
    late = dict(SeriesTime="124500", AcquisitionTime="123000")
    for maker, expected in (("GE MEDICAL SYSTEMS", "GE (0009,xx0D)"), ("ACME", "AcquisitionTime")):
        header = with_private(image(Manufacturer=maker, **late), (0x0009, 0x100D), "DT", "20250101110000")
        assert suv([header]).rule.startswith(expected)
    other = with_private(image(Manufacturer="GE", **late), (0x0009, 0x100D), "DT", "20250101110000", "OTHER")
    assert suv([other]).rule.startswith("AcquisitionTime")


def test_a_private_time_of_another_day_is_ignored_with_a_warning() -> None:
    header = with_private(image(), (0x0009, 0x100D), "UN", b"20240101110000 ", "GEMS_PETD_01")
    facts = suv([header])
    assert facts.rule == "SeriesTime"
    assert facts.warnings == ("GE (0009,xx0D) is ignored: it states no time of this scan",)


def test_what_is_known_of_a_series() -> None:
    facts = suv([image(), image(FrameReferenceTime="60000")])
    assert facts.factors.dtype == np.float64
    assert facts.factors.shape == (2,)
    assert (facts.rule, facts.units, facts.tracer) == ("SeriesTime", "BQML", "FDG")
    assert (facts.half_life_s, facts.dose_bq, facts.weight_kg) == (6586.2, 370e6, 70)
    assert facts.reference_time == "2025-01-01T11:00:00"
    assert facts.other_reference_time.startswith("2025-01-01T10:59:59.9")
    assert facts.warnings == ()


def test_the_tracer_is_also_read_from_its_code() -> None:
    code = Dataset()
    code.CodeMeaning = "Fluorodeoxyglucose F^18^"
    item = tracer(Radiopharmaceutical=None, RadiopharmaceuticalCodeSequence=[code])
    assert suv([image(item)]).tracer == "FDG"


def test_doses_in_mbq_and_weights_in_g_are_converted_with_a_warning() -> None:
    facts = suv([image(tracer(RadionuclideTotalDose="370"), PatientWeight="70000")])
    assert facts.factors[0] * AN_HOUR == pytest.approx(1)
    assert facts.warnings == ("PatientWeight 70000 is taken as g", "RadionuclideTotalDose 370 is taken as MBq")


def test_images_corrected_to_the_injection_need_no_time() -> None:
    item = tracer(RadiopharmaceuticalStartTime=None)
    facts = suv([image(item, DecayCorrection="ADMIN", SeriesTime=None, AcquisitionTime=None)])
    assert facts.factors[0] == pytest.approx(70000 / 370e6)
    assert "ADMIN" in facts.rule


@pytest.mark.parametrize("name", ["suv", "decay", "body_norms"])
def test_the_examples_of_the_documentation_run(name: str) -> None:
    module = importlib.import_module(f"transect.data_adapters.petct.{name}")
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed
