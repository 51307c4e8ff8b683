"""A whole study: the series that shows the liver best is chosen, and every other one is named."""

from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.liver_mri.adapter import LiverAdapter
from transect.data_adapters.liver_mri.config import WriteConfig
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.phantom import Abdomen, abdomen, write_series
from transect.data_adapters.volume.volume import Grid

STUDY = {
    "localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "t2_haste_cor_bh": {},
    "t2_haste_tra_bh": {},
    "t1_vibe_dixon_tra_opp": {},
    "t1_vibe_dixon_tra_in": {},
    "t1_vibe_dixon_tra_F": {"ImageType": ["DERIVED", "PRIMARY", "DIXON", "FAT"]},
    "ep2d_diff_b50_400_800_tra": {},
    "ep2d_diff_b50_400_800_tra_ADC": {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]},
    "t1_vibe_fs_tra_arterial": {},
    "t1_vibe_fs_tra_portal venous": {},
    "t1_vibe_fs_tra_SUB": {"ImageType": ["DERIVED", "PRIMARY", "SUBTRACTION"]},
    "t1_vibe_fs_MIP_RADIAL": {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
    "t1 map": {},
    "CT liver": {"Modality": "CT"},
}


@pytest.fixture(scope="module")
def case() -> Abdomen:
    return abdomen(np.random.default_rng(1), (16, 12, 8), (22.0, 24.0, 28.0))


def adapter(series: str = "") -> LiverAdapter:
    return LiverAdapter(VolumeConfig(series=series), WriteConfig())


def write(folder: Path, case: Abdomen, names: list[str]) -> None:
    for number, name in enumerate(names, 1):
        elements = {"Modality": "MR", **STUDY.get(name, {}), "SeriesDescription": name}
        write_series(folder / str(number), case, number=number, **elements)


def chosen(folder: Path, series: str = "") -> tuple[str, dict[str, str]]:
    (found,) = adapter(series).cases(str(folder))
    sample = adapter(series).read(found)
    return sample.volume.facts["SeriesDescription"], sample.left_out


def test_the_best_series_of_a_study_is_chosen_and_the_others_are_named(tmp_path, case):
    write(tmp_path, case, list(STUDY))
    name, left_out = chosen(tmp_path)
    assert name == "t1_vibe_fs_tra_portal venous"
    assert len(left_out) == len(STUDY) - 1
    text = str(left_out)
    assert all(other in text for other in STUDY if other != name)
    assert "localizer: no acquired volume" in text
    assert "Modality CT, expected MR" in text
    assert chosen(tmp_path, "t2_haste_tra")[0] == "t2_haste_tra_bh"
    assert chosen(tmp_path, "5")[0] == "t1_vibe_dixon_tra_in"
    with pytest.raises(BadInput, match=r"series: found .*expected one that matches 'flair' of MR; read.series"):
        chosen(tmp_path, "flair")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["t1_vibe_dixon_tra_opp", "t1_vibe_dixon_tra_in", "t2_haste_tra_bh"], "t1_vibe_dixon_tra_in"),
        (["ep2d_diff_b50_400_800_tra", "t2_haste_cor_bh", "t2_haste_tra_bh"], "t2_haste_tra_bh"),
        (["ep2d_diff_b50_400_800_tra_ADC", "AX FIESTA"], "AX FIESTA"),
        (["Ax T1 map", "Ax LAVA"], "Ax LAVA"),
        (["WATER: Ax LAVA-Flex", "OutPhase: Ax LAVA-Flex", "FAT: Ax LAVA-Flex"], "WATER: Ax LAVA-Flex"),
        (["THRIVE_SUB", "THRIVE_dyn"], "THRIVE_dyn"),
        (["t1_vibe_dixon_tra_opp"], "t1_vibe_dixon_tra_opp"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_anatomy_before_maps_whatever_the_order(tmp_path, case, names, expected, reverse):
    write(tmp_path, case, names[::-1] if reverse else names)
    assert chosen(tmp_path)[0] == expected


def test_a_series_that_covers_a_few_centimetres_is_not_chosen_before_a_whole_one(tmp_path, case):
    part = Abdomen(case.values[..., :2], case.liver[..., :2], Grid((16, 12, 2), case.grid.affine))
    write_series(tmp_path / "1", part, number=1, SeriesDescription="t1_vibe_tra_portal")
    write_series(tmp_path / "2", case, number=2, SeriesDescription="t2_haste_tra")
    assert chosen(tmp_path)[0] == "t2_haste_tra"


def test_a_study_without_a_fitting_series_names_what_there_is(tmp_path, case):
    write(tmp_path, case, ["localizer", "CT liver"])
    with pytest.raises(BadInput, match=r"series 1, localizer \(localizer: no acquired volume\); series 2, CT liver"):
        chosen(tmp_path)
