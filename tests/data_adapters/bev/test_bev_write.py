"""Files of a predicted map, read back with the libraries of the field."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.areas import areas_of
from transect.data_adapters.bev.config import WriteConfig
from transect.data_adapters.bev.drawing.prediction import montage_of
from transect.data_adapters.bev.film import pace, write_film
from transect.data_adapters.bev.geometry import pose, rotation
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.labels import draw_boxes
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Boxes, Frame, FrameCase
from transect.data_adapters.bev.write import write_map

HEADINGS = {"right": -60.0, "left": 60.0, "front": 0.0, "back": 180.0}
COLOURS = {"right": (200, 30, 30), "left": (30, 200, 30), "front": (30, 30, 200), "back": (200, 200, 30)}
EAST, NORTH, TURN = 691_234.5678, 5_335_678.9012, 30.0
UTM = 32632


def turned(degrees: float) -> NDArray[np.float64]:
    half = np.radians(degrees) / 2
    return rotation([np.cos(half), 0, 0, np.sin(half)])


def frame(names: tuple[str, ...] = tuple(HEADINGS), located: bool = True, grid: Grid | None = None) -> Frame:
    """A sample of cameras 1.5 m above the ground, each of which sees one colour."""
    ahead = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    cameras = np.stack([pose(turned(HEADINGS[name]) @ ahead, [0, 0, 1.5]) for name in names])
    k = np.array([[40.0, 0, 47.5], [0, 40, 31.5], [0, 0, 1]])
    return Frame(
        case=FrameCase("drive_000", "drive", ()),
        names=names,
        images=np.stack([np.full((64, 96, 3), COLOURS[name], np.uint8) for name in names]),
        intrinsics=np.repeat(k[None], len(names), 0),
        camera_to_ego=cameras,
        grid=grid or Grid(),
        ego_pose=pose(turned(TURN), [EAST, NORTH, 0]) if located else np.eye(4),
        epsg=UTM if located else None,
        timestamp=1_700_000_000_123_456,
        missing=tuple(sorted(set(HEADINGS) - set(names))),
    )


def boxes(*places: tuple[float, float, float]) -> Boxes:
    """Vehicles of 5 x 2 m at (x, y) with a heading in degrees."""
    corners = []
    for x, y, heading in places:
        bottom = np.array([[2.5, 1, 0], [2.5, -1, 0], [-2.5, -1, 0], [-2.5, 1, 0]]) @ turned(heading).T + [x, y, 0]
        corners.append(np.concatenate([bottom, bottom + np.array([0, 0, 1.5])]))
    return Boxes(np.array(corners).reshape(-1, 8, 3), ("vehicle.car",) * len(places), np.full(len(places), 4, np.uint8))


def predicted(sample: Frame, *places: tuple[float, float, float]) -> BevMap:
    """The map of these vehicles, probability 0.75, on a road with a hole in it."""
    vehicle = draw_boxes(boxes(*places), sample.grid)[0] * np.float32(0.75)
    road = np.zeros_like(vehicle)
    road[40:160, 60:140] = 0.5
    road[90:110, 90:110] = 0.1
    return BevMap(sample, ("vehicle", "road"), np.stack([vehicle, road]), np.array([0.5, 0.5]))


def to_world(*point: float) -> NDArray[np.float64]:
    return turned(TURN)[:2, :2] @ np.array(point) + [EAST, NORTH]


def write(prediction: BevMap, folder: Path, north_up: bool = False) -> dict[str, float | str]:
    folder.mkdir(parents=True)
    return write_map(prediction.frame.case, prediction, folder, "bev 3", WriteConfig(north_up=north_up))


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> tuple[BevMap, Path, dict[str, float | str]]:
    """Two vehicles in a projected world, written."""
    folder = tmp_path_factory.mktemp("located") / "out"
    prediction = predicted(frame(), (20.0, 6.0, 0.0), (-12.0, -15.0, 40.0))
    return prediction, folder, write(prediction, folder)


def test_arrays_are_those_of_the_prediction_and_need_no_pickle(located):
    prediction, folder, _ = located
    with np.load(folder / "map.npz", allow_pickle=False) as arrays:
        assert arrays["probability"].dtype == np.float16
        assert np.abs(arrays["probability"] - prediction.probability).max() < 1e-3
        assert np.array_equal(arrays["mask"], prediction.mask)
        assert arrays["classes"].tolist() == ["vehicle", "road"]
        assert arrays["view"].tolist() == [[0, -2, 100], [-2, 0, 100], [0, 0, 1]]
        assert np.array_equal(arrays["ego_pose"], prediction.frame.ego_pose)
        assert (int(arrays["epsg"]), int(arrays["timestamp_us"])) == (UTM, 1_700_000_000_123_456)


def test_vehicles_are_measured_in_ego_metres(located):
    prediction, folder, facts = located
    content = json.loads((folder / "map.json").read_text())
    near, far = content["vehicles"]
    assert (near["x_m"], near["y_m"]) == pytest.approx((-12, -15), abs=0.1)
    assert near["heading_deg"] == pytest.approx(40, abs=4)
    assert (near["length_m"], near["width_m"]) == pytest.approx((5, 2), abs=0.7)
    wanted = {"x_m": 20.0, "y_m": 6.0, "length_m": 5.0, "width_m": 2.0, "heading_deg": 0.0, "area_m2": 55 / 4}
    assert {name: far[name] for name in wanted} == wanted
    assert far["distance_m"] == pytest.approx(np.hypot(17.5, 5), abs=0.01)
    assert far["probability"] == 0.75
    assert facts["vehicles"] == 2
    assert facts["nearest_vehicle_m"] == pytest.approx(near["distance_m"], abs=0.06)
    assert facts["vehicle_area_m2"] == pytest.approx(prediction.mask[0].sum() / 4, abs=0.06)
    assert content["classes"]["road"]["area_m2"] == (120 * 80 - 20 * 20) / 4


def test_a_long_name_of_the_model_stays_beside_the_map(located):
    prediction, _, _ = located
    areas = {name: areas_of(prediction, name)[0] for name in prediction.classes}
    short, long = (
        montage_of(prediction, areas, source).astype(int) for source in ("bev 3", f"{'W' * 99} {'ab12' * 16}")
    )
    _, changed = np.nonzero(np.abs(short - long).sum(-1))
    assert 0 < changed.max() < (short.shape[1] - 568) // 2


def test_areas_that_only_touch_at_a_corner_are_two():
    prediction = predicted(frame(grid=Grid(16, 16)))
    probability = np.zeros((1, 16, 16), np.float32)
    probability[0, 2:4, 2:4] = probability[0, 4:6, 4:6] = 1
    apart = BevMap(prediction.frame, ("vehicle",), probability, np.array([0.5]))
    found, labels = areas_of(apart, "vehicle")
    assert [area.area_m2 for area in found] == [1.0, 1.0]
    assert [int(labels[2, 2]), int(labels[4, 4]), int(labels[0, 0])] == [1, 2, 0]


def test_the_geotiff_puts_each_pixel_where_its_point_of_the_world_is(located):
    prediction, folder, _ = located
    with rasterio.open(folder / "map.tif") as raster:
        assert (raster.crs.to_epsg(), raster.count, raster.nodata, raster.scales[0]) == (UTM, 2, 255, 1 / 200)
        assert raster.descriptions == ("probability of vehicle", "probability of road")
        assert raster.tags(1)["threshold"] == "0.5"
        for row, column in ((0, 0), (60, 88), (199, 3)):
            x, y, _ = np.linalg.inv(prediction.frame.grid.matrix) @ [column, row, 1]
            assert np.allclose(raster.xy(row, column), to_world(x, y), rtol=0, atol=1e-6)
        levels = raster.read(1)
        row, column = raster.index(*to_world(20, 6))
        assert (levels[row, column], levels[row + 8, column]) == (150, 0)
        assert np.hypot(raster.transform.a, raster.transform.d) == pytest.approx(0.5)


def test_a_geotiff_with_north_up_has_the_same_content_at_the_same_places(tmp_path):
    prediction = predicted(frame(), (20.0, 6.0, 0.0))
    write(prediction, tmp_path / "out", north_up=True)
    with rasterio.open(tmp_path / "out" / "map.tif") as raster:
        transform, levels = raster.transform, raster.read(1)
        assert (transform.a, transform.b, transform.d, transform.e) == (0.5, 0, 0, -0.5)
        assert levels[0, 0] == 255
        rows, columns = np.nonzero((levels > 75) & (levels < 255))
        middle = np.mean(raster.xy(rows, columns), axis=1)
        assert np.allclose(middle, to_world(20, 6), atol=0.15)
        assert len(rows) == pytest.approx(55, abs=6)


def test_geojson_has_the_areas_in_degrees(located):
    _, folder, _ = located
    content = json.loads((folder / "map.geojson").read_text())
    assert content.keys() == {"type", "features"}  # RFC 7946 has no other coordinate system
    table = geopandas.read_file(folder / "map.geojson")
    assert table.crs.to_epsg() == 4326
    assert list(table["class"]) == ["vehicle", "vehicle", "road"]
    back = table.to_crs(UTM)
    assert np.allclose(back.area, table["area_m2"], rtol=1e-3)
    degrees = Transformer.from_crs(UTM, 4326, always_xy=True).transform(*to_world(20, 6))
    (hit,) = [
        row for _, row in table[table["class"] == "vehicle"].iterrows() if row.geometry.contains(shapely.Point(degrees))
    ]
    assert hit["heading_deg"] == pytest.approx(TURN, abs=0.1)
    assert (hit["length_m"], hit["width_m"], hit["area_m2"], hit["probability"]) == (5.0, 2.0, 13.75, 0.75)
    road = shapely.geometry.shape(content["features"][2]["geometry"])
    assert road.exterior.is_ccw
    assert [ring.is_ccw for ring in road.interiors] == [False]


def test_the_same_prediction_gives_the_same_bytes(located, tmp_path):
    prediction, folder, _ = located
    write(prediction, tmp_path / "again")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["map.geojson", "map.json", "map.npz", "map.png", "map.tif", "montage.png"]
    for name in names:
        one, two = ((place / name).read_bytes() for place in (folder, tmp_path / "again"))
        assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest(), name


def test_a_world_without_a_projected_system_has_no_geographic_files(tmp_path):
    facts = write(predicted(frame(located=False)), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "map.json", "map.npz", "map.png", "montage.png",
    ]  # fmt: skip
    assert facts["vehicles"] == 0
    assert "nearest_vehicle_m" not in facts


def test_the_montage_has_cameras_where_they_look_and_one_size_when_one_is_missing(located, tmp_path):
    _, folder, _ = located
    whole = np.asarray(Image.open(folder / "montage.png")).astype(int)
    facts = write(predicted(frame(("right", "left", "back"))), tmp_path / "out")
    partly = np.asarray(Image.open(tmp_path / "out" / "montage.png")).astype(int)
    assert partly.shape == whole.shape
    assert facts["missing_cameras"] == "front"

    def middle(name: str) -> tuple[float, float]:
        """Mean column and row of the pixels that have about the colour of a camera."""
        rows, columns = np.nonzero(np.abs(whole - COLOURS[name]).max(-1) < 12)
        assert len(rows) > 5000, name
        return float(columns.mean()), float(rows.mean())

    (left, up), (centre, _), (right, _), (_, down) = map(middle, ("left", "front", "right", "back"))
    assert left < centre < right
    assert up < whole.shape[0] / 3 < down
    assert not (np.abs(partly - COLOURS["front"]).max(-1) < 12).any()


@pytest.fixture
def drive(tmp_path: Path) -> list[Path]:
    """Folders of five samples, whose montages get brighter; the third is smaller."""
    folders = []
    for number in range(5):
        folder = tmp_path / f"drive_{number}"
        folder.mkdir()
        size = (61, 79) if number != 2 else (41, 79)
        Image.fromarray(np.full((*size, 3), 40 + 40 * number, np.uint8)).save(folder / "montage.png")
        (folder / "map.json").write_text(json.dumps({"timestamp_us": 10**15 + 250_000 * number}))
        folders.append(folder)
    return folders


def test_a_film_has_every_sample_in_order_at_the_pace_of_the_drive(drive, tmp_path):
    out = tmp_path / "film"
    out.mkdir()
    names, milliseconds = write_film(drive, out)
    assert milliseconds == 250
    video = cv2.VideoCapture(str(out / "drive.mp4"))
    code = int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    assert (code, video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (b"VP90", 5, 4)
    frames = [video.read()[1] for _ in range(5)]
    assert frames[0].shape == (62, 80, 3)
    assert [frame[20:40, 20:60].mean() for frame in frames] == pytest.approx([40, 80, 120, 160, 200], abs=6)
    stills = [np.asarray(Image.open(out / name)) for name in names]
    assert [still[20:40, 20:60].mean() for still in stills] == pytest.approx([40, 80, 120, 160, 200], abs=3)
    assert {still.shape for still in stills} == {(62, 80, 3)}


def test_the_pace_is_bounded_and_known_without_times(drive):
    for number, folder in enumerate(drive):
        (folder / "map.json").write_text(json.dumps({"timestamp_us": number}))
    assert pace(drive) == 40
    (drive[3] / "map.json").write_text(json.dumps({"timestamp_us": None}))
    assert pace(drive) == 500


def test_a_damaged_montage_is_named(drive, tmp_path):
    (drive[1] / "montage.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "film").mkdir()
    with pytest.raises(BadInput, match="drive_1"):
        write_film(drive, tmp_path / "film")


def test_a_spread_is_stored_with_the_probabilities(tmp_path):
    prediction = predicted(frame(located=False))
    spread = np.full_like(prediction.probability, 0.125)
    write(replace(prediction, spread=spread), tmp_path / "out")
    with np.load(tmp_path / "out" / "map.npz") as arrays:
        assert np.array_equal(arrays["spread"], spread.astype(np.float16))
