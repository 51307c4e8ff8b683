"""Nothing that identifies a patient is shown."""

import hmac
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.identity import Identity, identity_of, pseudonym


def header(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def jane() -> Identity:
    nested = header(PatientID="OTHER-ID-9")
    return identity_of(
        header(
            PatientID="MRN-00471",
            PatientName="Doe^Jane",
            PatientBirthDate="19580213",
            OtherPatientIDs=["7711-X", "8822-Y"],
            OtherPatientIDsSequence=[nested],
        )
    )


def test_a_patient_is_shown_by_eight_digits_of_a_hash(jane):
    assert re.fullmatch("patient-[0-9a-f]{8}", jane.name)
    assert jane.name == identity_of(header(PatientID="MRN-00471", PatientName="DOE^J")).name
    assert jane.name != identity_of(header(PatientID="MRN-00472", PatientName="Doe^Jane")).name
    assert "Doe" not in repr(jane)


@pytest.mark.parametrize(
    "text",
    [
        *("MRN-00471", "doe^jane", "Doe Jane", "Doe_Jane", "Jane Doe", "DOE, JANE", "19580213", "1958-02-13"),
        *("7711-X", "8822-Y", "OTHER-ID-9", "mrn-00471"),
    ],
)
def test_every_spelling_of_every_value_is_replaced_in_texts_and_paths(jane, text):
    assert jane.clean(f"series of {text}, 12 images") == f"series of {jane.name}, 12 images"
    assert jane.shown(f"/data/{text}/3/a.dcm") == f"/data/{jane.name}/3/a.dcm"
    assert jane.shown(f"/data/{text}.nii.gz") == f"/data/{jane.name}.nii.gz"


@pytest.mark.parametrize(
    "text", ["Jane_Doe", "jane-doe", "Doe_Jane", "Jane Doe", "Doe, Jane Marie", "Doe^Jane^Marie^Dr"]
)
def test_a_name_may_be_spelled_in_any_order_and_without_middle_names_and_titles(text):
    person = identity_of(header(PatientID="MRN-00471", PatientName="Doe^Jane^Marie^Dr"))
    assert not re.search("doe|jane", person.shown(f"/data/{text}/3/a.dcm"), re.I)
    assert not re.search("doe|jane", person.clean(f"series of {text}, 12 images"), re.I)


def test_parts_of_words_and_short_values_in_sentences_stay(jane):
    assert jane.clean("MRN-004712 and xMRN-00471") == "MRN-004712 and xMRN-00471"
    one = identity_of(header(PatientID="1", PatientName="A"))
    assert one.clean("series 1, 1 image, A") == "series 1, 1 image, A"
    assert one.shown("/data/1/series 1/A.dcm") == f"/data/{one.name}/series 1/{one.name}.dcm"


def test_messages_of_errors_are_cleaned(jane):
    with pytest.raises(BadInput) as caught, jane.hidden():
        raise BadInput(Path("/data/MRN-00471/x.dcm"), "PatientName", "Doe^Jane", "nothing", "ask 7711-X")
    assert (
        str(caught.value)
        == f"/data/{jane.name}/x.dcm: PatientName: found {jane.name}, expected nothing; ask {jane.name}"
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_without_a_patient_the_study_is_the_patient():
    names = {identity_of(header(StudyInstanceUID=uid)).name for uid in ("1.2", "1.3", "1.2")}
    assert len(names) == 2


def pseudonym_with(salt: str) -> str:
    return hmac.new(salt.encode(), b"4711", "sha256").hexdigest()[:8]


def test_the_salt_is_the_same_in_every_process_of_a_user_and_another_elsewhere(tmp_path):
    def run(**environment: str) -> str:
        code = "from transect.data_adapters.volume.identity import pseudonym; print(pseudonym('4711'))"
        kept = {name: value for name, value in os.environ.items() if name != "TRANSECT_SALT"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    first = run(XDG_STATE_HOME=here)
    assert run(XDG_STATE_HOME=here) == first != run(XDG_STATE_HOME=there)
    assert (Path(here) / "transect" / "salt").stat().st_mode & 0o777 == 0o600
    assert run(TRANSECT_SALT="a", XDG_STATE_HOME=there) == pseudonym_with("a")
    assert pseudonym("4711") != pseudonym("4712")
