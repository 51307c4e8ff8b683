"""Synthetic drives: the official devkit loads them, and pixels, boxes and map agree."""

import hashlib
from pathlib import Path

import pytest

from transect.data_adapters.bev.config import PhantomConfig
from transect.data_adapters.bev.phantom import write_phantom

SMALL = PhantomConfig(height=48, width=84, samples=2)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_one_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write_phantom(tmp_path / name, 1, seed, SMALL)
    one, two, other = (digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert not set(one.values()) & {hash_ for name, hash_ in other.items() if name.endswith((".jpg", ".bin"))}


def test_devkit_loads_drives_and_their_maps(tmp_path: Path) -> None:
    pytest.importorskip("nuscenes")
    from nuscenes.map_expansion.map_api import NuScenesMap
    from nuscenes.nuscenes import NuScenes

    write_phantom(tmp_path, 2, 0, SMALL)
    data = NuScenes("v1.0-mini", str(tmp_path), verbose=False)
    assert [scene["name"] for scene in data.scene] == ["scene-2001", "scene-2002"]
    for scene in data.scene:
        location = data.get("log", scene["log_token"])["location"]
        loaded = NuScenesMap(str(tmp_path), location)
        assert any(polygon["holes"] for polygon in loaded.polygon)
        sample = data.get("sample", scene["first_sample_token"])
        lidar = data.get("sample_data", sample["data"]["LIDAR_TOP"])
        x, y, _ = data.get("ego_pose", lidar["ego_pose_token"])["translation"]
        shares = loaded.get_map_mask((x, y, 60.0, 60.0), 0.0, ["lane", "road_segment"], (120, 120)).mean((1, 2))
        assert 0.1 < shares[0] < shares[1] < 0.8
