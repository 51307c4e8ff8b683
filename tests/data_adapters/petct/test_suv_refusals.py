"""Series that have no SUV are refused by what is wrong: each made of one real header."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.data_adapters.petct.pet_headers import changed, image
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.suv import suv
from transect.data_adapters.volume.dicom_headers import read_headers


@pytest.fixture
def real(sts_001: Path) -> Dataset:
    """An image of STS_001."""
    path = next(path for path in sorted(sts_001.rglob("*.dcm")) if read_headers(path).Modality == "PT")
    return read_headers(path, whole=True)


def item(header: Dataset) -> Dataset:
    return header.RadiopharmaceuticalInformationSequence[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *((dict(Units=unit), f"Units: found {unit}, expected BQML") for unit in ("PROPCNTS", "PROPCPS", "1CM", "CPS")),
        (dict(Units=None), "Units: found none"),
        (dict(Units="CNTS"), "found neither for Units CNTS"),
        (dict(DecayCorrection=None), "DecayCorrection: found none, expected START, ADMIN, NONE"),
        (dict(DecayCorrection="SCAN"), "DecayCorrection: found SCAN"),
        (dict(CorrectedImage=["DECY", "SCAT"]), "CorrectedImage: found DECY, SCAT, expected ATTN"),
        (dict(CorrectedImage="ATTN"), "CorrectedImage: found ATTN, expected DECY"),
        (dict(CorrectedImage=None), "CorrectedImage: found none"),
        (dict(RescaleIntercept="-12"), "RescaleIntercept: found -12, expected 0"),
        (dict(PatientWeight=None), "PatientWeight: found none or 0"),
        (dict(PatientWeight="0"), "PatientWeight: found none or 0"),
        (dict(PatientWeight=""), "PatientWeight: found none or 0"),
        (dict(PatientWeight="-70"), "PatientWeight: found -70"),
        (dict(Units="GML", SUVType="BSA"), "SUVType: found BSA, expected BW, LBM"),
        (dict(Units="CM2ML", SUVType="LBM"), "SUVType: found LBM, expected BSA"),
        (dict(Units="GML", SUVType="LBM", PatientSex=""), "PatientSex: found none"),
        (dict(Units="GML", SUVType="LBM", PatientSize=None), "PatientSize: found none"),
        (dict(Units="GML", SUVType="IBW", PatientSize="163"), "PatientSize: found 163, expected the height in m"),
        (dict(Units="CM2ML", PatientSize="0"), "PatientSize: found none or 0"),
        (dict(Units="GML", SUVType="LBM", PatientWeight="400"), "PatientWeight and PatientSize: found a LBM of"),
        (dict(NumberOfFrames="267"), "NumberOfFrames: found an enhanced"),
        (dict(PerFrameFunctionalGroupsSequence=[]), "NumberOfFrames: found an enhanced"),
        (dict(RadiopharmaceuticalInformationSequence=[]), "RadiopharmaceuticalInformationSequence: found no item"),
        (dict(RadiopharmaceuticalInformationSequence=None), "RadiopharmaceuticalInformationSequence: found no item"),
        (dict(DecayCorrection="NONE", AcquisitionTime=None), "AcquisitionTime: found none"),
        (dict(DecayCorrection="NONE", ActualFrameDuration=None), "ActualFrameDuration: found none"),
    ],
)
def test_series_are_refused_by_what_is_wrong(real: Dataset, changes: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        suv([changed(real, **changes)], "a study")
    assert error.value.expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(RadionuclideTotalDose=None), "RadionuclideTotalDose: found none or 0"),
        (dict(RadionuclideTotalDose="0"), "RadionuclideTotalDose: found none or 0"),
        (dict(RadionuclideHalfLife=None, RadionuclideCodeSequence=None), "RadionuclideHalfLife: found none or 0"),
        (dict(RadionuclideHalfLife="0", RadionuclideCodeSequence=[]), "RadionuclideHalfLife: found none or 0"),
        (dict(RadiopharmaceuticalStartTime=None), "RadiopharmaceuticalStartDateTime: found none"),
        (dict(RadiopharmaceuticalStartTime="REMOVED"), "RadiopharmaceuticalStartDateTime: found REMOVED"),
        (
            dict(RadiopharmaceuticalStartDateTime="20000907130000"),
            "StartDateTime: found 2000-09-07T13:00:00, expected a time shortly before the scan at 2000-09-07T11:20:11",
        ),
        (dict(RadiopharmaceuticalStartDateTime="19990907103500"), "half lives before the scan"),
    ],
)
def test_injections_are_refused_by_what_is_wrong(real: Dataset, changes: Any, message: str) -> None:
    changed(item(real), **changes)
    with pytest.raises(BadInput, match=message):
        suv([real])


def test_a_missing_half_life_is_that_of_the_named_nuclide_with_a_warning(real: Dataset) -> None:
    del item(real).RadionuclideHalfLife
    facts = suv([real])
    assert facts.half_life_s == 6586.2
    assert "RadionuclideHalfLife is missing" in facts.warnings[0]


def test_two_tracers_are_refused_with_their_names(real: Dataset) -> None:
    other = deepcopy(item(real))
    other.Radiopharmaceutical = "NaF"
    real.RadiopharmaceuticalInformationSequence.append(other)
    for units in ("BQML", "GML"):
        with pytest.raises(BadInput, match=r"2 items \(FDG -- fluorodeoxyglucose, NaF\)"):
            suv([changed(real, Units=units)])


def test_an_image_unlike_the_first_one_is_named(real: Dataset) -> None:
    other = deepcopy(real)
    other.filename, other.Units = "odd.dcm", "GML"
    with pytest.raises(BadInput, match=r"odd.dcm: Units: found GML, expected BQML, as in the first image"):
        suv([real, other])


def test_the_message_names_the_file_by_default() -> None:
    with pytest.raises(BadInput, match=r"^PET image: PatientWeight"):
        suv([image(PatientWeight=None)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8))
def test_damaged_headers_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, flips: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    header = image()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.128", "1.2.3"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / "image.dcm"
    header.save_as(path, enforce_file_format=True)
    content = bytearray(path.read_bytes())
    for place, change in flips:
        content[132 + int(place * (len(content) - 132))] ^= change
    path.write_bytes(content)
    try:
        facts = suv([read_headers(path, whole=True)])
    except BadInput:
        return
    assert (facts.factors > 0).all()


def test_headers_are_those_that_pydicom_reads(sts_001: Path) -> None:
    paths = sorted((sts_001 / "image").iterdir())[:3]
    assert len(suv([dcmread(path, stop_before_pixels=True) for path in paths]).factors) == 3
