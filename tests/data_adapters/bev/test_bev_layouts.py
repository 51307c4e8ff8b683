import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.adapter import BevAdapter
from transect.data_adapters.bev.config import ReadConfig, WriteConfig


@pytest.fixture
def adapter() -> BevAdapter:
    return BevAdapter(ReadConfig(), WriteConfig())


def test_several_inputs_have_drives_and_samples_of_their_own(adapter, given) -> None:
    rigs, _ = given("05_images_smaller_than_their_calibration")
    kitti, _ = given("15_kitti_calibration_with_an_offset")
    folders = [
        given(name)[0] / "data" for name in ("01_camera_exposed_at_another_time", "02_box_turned_and_its_width_first")
    ]
    cases = adapter.cases(*map(str, [*folders, rigs / "data", kitti / "data"]))
    assert len({case.id for case in cases}) == len({case.group for case in cases}) == len(cases) == 5
    assert [case.id for case in cases[2:]] == ["rig_00000", "rig_other_shape_00000", "calib_00000"]
    assert all(case.id.startswith("scene-0061_000-") for case in cases[:2])
    assert [case.frame for case in cases] == [0] * 5
    assert adapter.read(cases[4]).names == ("image_2",)
    assert adapter.cases(*map(str, [*folders, rigs / "data", kitti / "data"])) == cases
    assert len(adapter.cases(str(kitti / "data"), str(kitti / "data"))) == 1


def test_files_and_the_folder_of_a_version_are_inputs_too(adapter, given) -> None:
    rigs, _ = given("05_images_smaller_than_their_calibration")
    (case,) = adapter.cases(str(rigs / "data" / "rig.yaml"))
    assert case.id == "rig_00000"
    folder, _ = given("01_camera_exposed_at_another_time")
    assert adapter.cases(str(folder / "data" / "v1.0-mini"))[0].files == adapter.cases(str(folder / "data"))[0].files


def test_what_is_looked_for_is_said_where_nothing_is_found(adapter, tmp_path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(BadInput, match=r"layout: found notes.md, expected a nuScenes folder.* a rig\.yaml.* KITTI"):
        adapter.cases(str(tmp_path))
    with pytest.raises(BadInput, match="found another file, expected a nuScenes folder"):
        adapter.cases(str(tmp_path / "notes.md"))
    for name in ("nothing", "x" * 300, "a\0b"):
        with pytest.raises(BadInput, match="no such file or folder"):
            adapter.cases(str(tmp_path / name))


def test_one_of_several_versions_is_to_be_chosen(adapter, tmp_path, given) -> None:
    for name in ("v1.0-mini", "v1.0-trainval"):
        (tmp_path / name).mkdir()
    with pytest.raises(BadInput, match=r"version: found v1.0-mini, v1.0-trainval, expected one .* read.version"):
        adapter.cases(str(tmp_path))
    folder, _ = given("01_camera_exposed_at_another_time")
    with pytest.raises(BadInput, match=r"version: found v1.0-mini, expected v1.0-test"):
        BevAdapter(ReadConfig(version="v1.0-test"), WriteConfig()).cases(str(folder / "data"))
    assert len(BevAdapter(ReadConfig(version="v1.0-mini"), WriteConfig()).cases(str(folder / "data"))) == 1
