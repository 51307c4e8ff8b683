"""Samples of nuScenes that are refused, by table, token and field; the others go on."""

import json
import re

import pytest
from PIL import Image

from tests.data_adapters.bev.reading import adapter, read_all, shot_of
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.sample import Frame


def test_a_sample_without_cameras_is_refused(folder) -> None:
    for image in (folder / "samples").glob("CAM_*/*1530000000*.jpg"):
        image.unlink()
    for image in (folder / "samples").glob("CAM_*/*1529999999*.jpg"):
        image.unlink()
    first, *_, last = read_all(folder)
    assert "CAM_BACK_RIGHT is missing: there is no file" in first
    assert first.endswith("expected one camera or more")
    assert isinstance(last, Frame)


def test_a_damaged_image_fails_its_sample_by_name(folder) -> None:
    rows = json.loads((folder / "v1.0-mini" / "sample_data.json").read_text())
    path = folder / shot_of(rows, "CAM_BACK")["filename"]
    path.write_bytes(path.read_bytes()[:200])
    first, *others = read_all(folder)
    assert first.startswith(f"{path}: image: found ")
    assert all(isinstance(other, Frame) for other in others)


def test_an_image_of_another_aspect_is_refused_by_camera_and_sizes(folder) -> None:
    rows = json.loads((folder / "v1.0-mini" / "sample_data.json").read_text())
    Image.new("RGB", (64, 48)).save(folder / shot_of(rows, "CAM_FRONT")["filename"])
    first, *_ = read_all(folder)
    assert "camera CAM_FRONT, image size: found 64 x 48, expected 84 x 48 as its calibration" in first


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        ("ego_pose", "rotation", [0, 0, 0, 0], "rotation: found a zero quaternion, expected length 1 within 1 %"),
        ("ego_pose", "rotation", [1, 0, 0], "rotation: found [1, 0, 0], expected 4 numbers"),
        ("ego_pose", "translation", [1, 2, float("nan")], "translation: found nan, expected a finite number"),
        ("ego_pose", "translation", [1, 2, 1e9], "translation: found [1, 2, 1000000000.0], expected at most 1e+08 m"),
        ("ego_pose", "timestamp", 5, "timestamp: found 5, expected "),
        ("calibrated_sensor", "camera_intrinsic", [], "camera_intrinsic: found [], expected 3 x 3 numbers"),
        (
            "calibrated_sensor",
            "camera_intrinsic",
            [[50, 0, 99], [0, 50, 20], [0, 0, 1]],
            "a principal point at (99, 20)",
        ),
        ("calibrated_sensor", "translation", "1 2 3", "translation: found '1 2 3', expected 3 numbers"),
        ("calibrated_sensor", "sensor_token", "x", "sensor_token: found x, expected a token of sensor.json"),
        ("sample_data", "ego_pose_token", "x", "ego_pose_token: found x, expected a token of ego_pose.json"),
        ("sample_data", "ego_pose_token", ["x"], "expected a token of ego_pose.json"),
        ("sample_data", "calibrated_sensor_token", None, "expected a token of calibrated_sensor.json"),
        ("sample_data", "sample_token", "x", "sample_token: found x, expected a token of sample.json"),
        ("sample_data", "width", 0, "width: found 0, expected the size of the image"),
        ("sample_data", "height", "48", "height: found 48, expected a whole number"),
        ("sample_data", "filename", "/etc/hosts", "filename: found /etc/hosts, expected a path in the folder"),
        ("sample_data", "filename", "samples/../../x.jpg", "expected a path in the folder of the data set"),
        ("sample_data", "timestamp", 1530000001000000, "CAM_FRONT, "),
        ("sample_data", "is_key_frame", None, "is_key_frame: found None, expected true or false"),
        ("sample_data", "is_key_frame", 1, "is_key_frame: found 1, expected true or false"),
        ("sample_data", "timestamp", None, "timestamp: found None, expected a whole number"),
        ("sample", "scene_token", "x", "scene_token: found x, expected a token of scene.json"),
        ("sample", "timestamp", "now", "timestamp: found now, expected a whole number of 0 or more"),
    ],
)
def test_a_wrong_record_fails_its_sample_by_table_token_and_field(folder, edit, table, field, value, message) -> None:
    rows = {name: json.loads((folder / f"v1.0-mini/{name}.json").read_text()) for name in ("sample_data", "sample")}
    shot = shot_of(rows["sample_data"], "CAM_FRONT")
    token = {"sample_data": shot["token"], "sample": shot["sample_token"]}.get(table) or shot[f"{table}_token"]

    def change(rows: list[dict]) -> None:
        next(row for row in rows if row["token"] == token)[field] = value

    edit(folder, table, change)
    found = read_all(folder)
    reasons = [text for text in found if isinstance(text, str)]
    assert reasons
    for reason in reasons:
        assert reason.startswith(f"{folder}/v1.0-mini/{table}.json: ")
        assert token in reason
        assert field in reason
        assert message in reason
    if table != "calibrated_sensor":  # which all samples of a drive share
        assert len(reasons) == 1
    assert len(found) == 4
    assert sum(isinstance(frame, Frame) for frame in found) >= 2


def test_a_sample_needs_its_lidar(folder, edit) -> None:
    edit(folder, "sample_data", lambda rows: rows.remove(shot_of(rows, "LIDAR_TOP")))
    first, *others = read_all(folder)
    assert re.search(r"sample_data.json: sample \w+: found no LIDAR_TOP, expected a key frame of LIDAR_TOP", first)
    assert all(isinstance(other, Frame) for other in others)


def test_two_key_frames_of_one_camera_are_refused(folder, edit) -> None:
    edit(folder, "sample_data", lambda rows: rows.append({**shot_of(rows, "CAM_BACK"), "token": "again"}))
    first, *_ = read_all(folder)
    assert re.search(r"sample_data.json: \w+, CAM_BACK: found two key frames, expected one", first)


@pytest.mark.parametrize("table", ["sensor", "calibrated_sensor", "ego_pose", "scene", "sample", "sample_data"])
def test_a_missing_or_damaged_table_is_named(folder, edit, table) -> None:
    path = folder / f"v1.0-mini/{table}.json"
    text = path.read_text()
    edit(folder, table, lambda rows: rows.append(rows[0]))
    with pytest.raises(BadInput, match=rf"{table}\.json: token: found \w+ twice, expected each token once"):
        read_all(folder)
    for damaged in (text[:-1], text + "]", text.replace("{", "", 1), '{"a": 1}', "[1]", "[{}]", '[{"token": 3}]', ""):
        path.write_text(damaged)
        with pytest.raises(BadInput, match=rf"{table}\.json: "):
            read_all(folder)
    path.write_bytes(b"\xff" + text.encode())
    with pytest.raises(BadInput, match=rf"{table}\.json: JSON: found .*utf-8"):
        read_all(folder)
    path.unlink()
    with pytest.raises(BadInput, match=rf"{table}\.json: table: found no such file"):
        read_all(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("visibility_token", "7", "visibility_token: found 7, expected 1 to 4"),
        ("size", [2, -4, 1], r"size: found \[2, -4, 1\], expected three numbers above 0"),
        ("size", [2, True, 1], "size: found True, expected a number"),
        ("translation", [1, float("nan"), 1], "translation: found nan, expected a finite number"),
        ("rotation", [0.5, 0, 0, 0], "rotation: found a quaternion of length 0.5"),
        ("rotation", None, "rotation: found None, expected 4 numbers"),
        ("instance_token", "x", "instance_token: found x, expected a token of instance.json"),
    ],
)
def test_a_wrong_annotation_fails_the_labels_of_its_sample(folder, edit, field, value, message) -> None:
    first, second, *_ = read_all(folder)
    rows = json.loads((folder / "v1.0-mini/sample_annotation.json").read_text())
    number = next(number for number, row in enumerate(rows) if row["sample_token"] == first.case.token)
    edit(folder, "sample_annotation", lambda rows: rows[number].update({field: value}))
    for _ in range(2):
        with pytest.raises(BadInput, match=rf"sample_annotation\.json: {rows[number]['token']}, {message}"):
            first.labels()
    assert second.labels().mask("vehicle").any()
    assert len(read_all(folder)[0].names) == 6  # prediction needs no labels


@pytest.mark.parametrize("table", ["category", "instance", "sample_annotation"])
def test_a_missing_or_damaged_table_of_the_labels_is_named(folder, edit, table) -> None:
    first, *_ = read_all(folder)
    edit(folder, table, lambda rows: rows.append(rows[0]))
    with pytest.raises(BadInput, match=rf"{table}\.json: token: found \w+ twice, expected each token once"):
        first.labels()
    (folder / f"v1.0-mini/{table}.json").unlink()
    with pytest.raises(BadInput, match=rf"{table}\.json: table: found no such file"):
        first.labels()


def test_an_annotation_of_no_sample_fails_all_labels(folder, edit) -> None:
    first, *_ = read_all(folder)
    edit(folder, "sample_annotation", lambda rows: rows[5].update(sample_token="x"))
    with pytest.raises(BadInput, match=r"sample_token: found x, expected a token of sample\.json"):
        first.labels()


@pytest.mark.parametrize(
    ("layer", "change", "message"),
    [
        ("node", {"x": "far"}, r"a node at \('far', .*\), expected x and y"),
        ("node", {"y": float("nan")}, r"a node at \(.*nan\)"),
        ("node", {"token": 5}, "node, record 0: found .*, expected an object with a token"),
        ("polygon", {"exterior_node_tokens": ["x"]}, "exterior_node_tokens: found x, expected tokens of nodes"),
        ("polygon", {"holes": 3}, "holes: found 3, expected a list of objects"),
        ("lane", {"polygon_token": "x"}, "polygon_token: found x, expected a token of polygon"),
        ("road_divider", {"line_token": ["x"]}, "line_token: found .*, expected a token of line"),
    ],
)
def test_a_damaged_map_refuses_the_road_alone(folder, edit, layer, change, message) -> None:
    case = adapter().cases(str(folder))[0]
    path = next((folder / "maps" / "expansion").glob("boston-seaport.json"))

    def damage(content: dict) -> None:
        rows = content[layer]
        if layer == "node":  # one that a lane uses
            polygon = next(p for p in content["polygon"] if p["token"] == content["lane"][0]["polygon_token"])
            rows.sort(key=lambda row: row["token"] != polygon["exterior_node_tokens"][0])
        if layer == "polygon":
            rows.sort(key=lambda row: row["token"] != content["lane"][0]["polygon_token"])
        rows[0].update(change)

    edit(folder, str(path.relative_to(folder)), damage)
    labels = adapter().read(case).labels()
    assert labels.mask("vehicle").any()
    with pytest.raises(BadInput, match=message) as caught:
        labels.mask("road")
    assert caught.value.file == str(path)
    path.write_text(path.read_text()[:-5])
    with pytest.raises(BadInput, match="JSON: found "):
        adapter().read(case).labels().mask("lane")


@pytest.mark.parametrize(
    ("layer", "field", "kept", "empty"),
    [
        *(("lane", "polygon_token", False, empty) for empty in (None, "")),
        *(("polygon", "exterior_node_tokens", False, empty) for empty in (None, "", [])),
        *(("polygon", "holes", True, empty) for empty in (None, "", [])),
    ],
)
def test_a_map_may_have_records_without_geometry(folder, edit, layer, field, kept, empty) -> None:
    def clear(content: dict) -> None:
        lane = content["lane"][0]
        row = lane if layer == "lane" else next(p for p in content["polygon"] if p["token"] == lane["polygon_token"])
        row[field] = empty

    edit(folder, "maps/expansion/boston-seaport.json", clear)
    labels = adapter().read(adapter().cases(str(folder))[0]).labels()
    assert labels.mask("road").any()
    assert [" records of lane without geometry" in note for note in labels.notes] == [True] * (not kept)


@pytest.mark.parametrize(("version", "noted"), [("1.3", 0), (1.3, 0), ("2.0", 0), ("1.2", 1), (None, 1), ("x", 1)])
def test_the_road_of_an_old_map_has_a_note(folder, edit, version, noted) -> None:
    edit(folder, "maps/expansion/boston-seaport.json", lambda content: content.update(version=version))
    case = next(case for case in adapter().cases(str(folder)))
    labels = adapter().read(case).labels()
    assert labels.mask("road").any()
    assert [f"boston-seaport.json: version {version}: " in note for note in labels.notes] == [True] * noted


@pytest.mark.parametrize("location", ["../secret", "atlantis", "", 5])
def test_the_map_of_a_wrong_place_is_refused(folder, edit, location) -> None:
    edit(folder, "log", lambda rows: [row.update(location=location) for row in rows])
    labels = read_all(folder)[0].labels()
    with pytest.raises(
        BadInput, match="atlantis.json: map: found no such file" if location == "atlantis" else "location"
    ):
        labels.mask("road")
