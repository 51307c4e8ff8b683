"""Interactive pictures: self-contained pages that show their files without a network."""

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from transect.apps.base import View
from transect.apps.change_detection.map_view import map_view
from transect.apps.liver_mri.mesh import surface, write_ply
from transect.data_adapters.change_detection.maps import ChangeMap, ScoredStrip
from transect.data_adapters.change_detection.maps import Grid as RasterGrid
from transect.data_adapters.change_detection.write import write_change_map
from transect.data_adapters.volume.nifti import read_nifti, write_nifti
from transect.data_adapters.volume.volume import Grid
from transect.pipelines.pictures import save_pictures
from transect.pipelines.views import page as pages

SHADES = (20, 90, 160, 230)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """The folder of a case with an animation of four constant shades."""
    frames = np.stack([np.full((30, 40, 3), shade, np.uint8) for shade in SHADES])
    save_pictures({"film": frames}, tmp_path / "case" / "preview")
    return tmp_path / "case"


def film(case: Path) -> str:
    (saved,) = pages.save_views([View("film", ("preview/film.png",), "A <legend> & more")], case, "case <1>")
    assert saved == {
        "kind": "film",
        "page": "film-1.html",
        "legend": "A <legend> & more",
        "files": ["preview/film.png"],
    }
    return (case / "views" / saved["page"]).read_text(encoding="utf-8")


def shades(html: str) -> list[int]:
    (encoded,) = re.findall(r'id="frames">(.*?)</script>', html)
    frames = [Image.open(io.BytesIO(base64.b64decode(frame.partition(",")[2]))) for frame in json.loads(encoded)]
    assert {frame.size for frame in frames} == {(40, 30)}
    return [round(np.asarray(frame).mean()) for frame in frames]


def test_a_film_holds_every_frame_in_order(case):
    assert shades(film(case)) == pytest.approx(SHADES, abs=2)


def test_a_page_that_would_be_too_large_leaves_out_frames(case, monkeypatch):
    html = film(case)
    largest = max(map(len, re.findall(r"data:image/webp[^\"]*", html)))
    monkeypatch.setattr(pages, "LARGEST_PAGE", 2 * largest + 1)
    reduced = film(case)
    assert shades(reduced) == pytest.approx(SHADES[::2], abs=2)
    assert "const milliseconds = 200;" in reduced


def test_a_film_wider_than_a_webp_is_reduced(tmp_path):
    frames = np.stack([np.full((4, pages.LARGEST_WEBP + 17, 3), shade, np.uint8) for shade in SHADES])
    save_pictures({"film": frames}, tmp_path / "case" / "preview")
    (encoded,) = re.findall(r'id="frames">(.*?)</script>', film(tmp_path / "case"))
    first, *_ = json.loads(encoded)
    with Image.open(io.BytesIO(base64.b64decode(first.partition(",")[2]))) as frame:
        assert frame.size == (pages.LARGEST_WEBP, 4)


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_page_needs_no_network_and_no_other_file(case):
    html = film(case)
    assert set(Links(html).links) == {"data:,"}
    assert "default-src 'none'" in html
    assert "A &lt;legend&gt; &amp; more" in html
    assert "<legend>" not in html


def test_a_film_plays_in_a_browser(case, tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the browser chromium, which is not on the PATH")
    script = """<script>
addEventListener("load", () => {
  element("forth").click(); element("forth").click();
  document.documentElement.dataset.seen = [element("count").textContent, element("play").textContent,
    element("frame").src === frames[Number(element("position").value)]].join("|");
});</script>"""
    visited = case / "views" / "visited.html"
    visited.write_text(film(case).replace("</body>", script))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync --virtual-time-budget=50 --dump-dom"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    ended = subprocess.run([chromium, *flags.split(), profile, visited.as_uri()], capture_output=True, text=True)
    assert "CONSOLE" not in ended.stderr
    count, label, same = re.findall(r'data-seen="([^"]*)"', ended.stdout)[0].split("|")
    assert count == "3 of 4"
    assert (label, same) == ("Play", "true")


VOLUME = ("preview/volume.nii.gz", "preview/mask.nii.gz", "preview/surface.ply", "statistics.json")

# Before any other script of the page, and after all of them.
WATCH = """<script>
const violations = [];
addEventListener("securitypolicyviolation", event => violations.push(event.violatedDirective + " " + event.blockedURI));
</script>"""

VISIT = """<script>
addEventListener("load", async () => {
  while (!root.dataset.state) await new Promise(done => setTimeout(done, 50));
  const seen = { state: root.dataset.state, failure: element("failure").textContent };
  // The share of pixels of the mask's colour in the left and in the right half of the canvas.
  function orange() {
    nv.drawScene();
    const { gl } = nv, width = gl.drawingBufferWidth, height = gl.drawingBufferHeight;
    const pixels = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    const halves = [0, 0];
    for (let at = 0; at < width * height; at++) {
      if (pixels[4 * at] > pixels[4 * at + 2] + 60) halves[Number(at % width > width / 2)]++;
    }
    return halves.map(count => count / (width * height));
  }
  const choose = text => [...document.querySelectorAll("button")].find(button => button.textContent === text).click();
  const set = (id, value) => { element(id).value = value; element(id).dispatchEvent(new Event("input")); };
  seen.places = [...document.querySelectorAll(".planes output")].map(output => output.textContent);
  seen.all = orange();
  choose("Axial"); set("opacity", 80);
  seen.axial = orange();
  seen.pressed = [...document.querySelectorAll("#layout [aria-pressed=true]")].map(button => button.textContent);
  set("opacity", 0);
  seen.contour = orange();
  element("contour").click();
  seen.bare = orange();
  choose("3-D"); choose("Surface");
  seen.surface = orange();
  choose("Dark tissue");
  seen.window = [element("level").value, element("width").value, Math.round(nv.volumes[0].cal_max)];
  const slider = document.querySelector(".planes input");
  slider.value = 0; slider.dispatchEvent(new Event("input"));
  seen.lowest = document.querySelector(".planes output").textContent;
  const parts = [...document.querySelectorAll("button, input, canvas, a[href]")];
  seen.unreachable = parts.filter(part => part.tabIndex < 0).length;
  seen.overflow = document.documentElement.scrollWidth - innerWidth;
  seen.violations = violations;
  const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
  seen.requests = loaded.filter(name => !name.startsWith("data:"));
  root.dataset.seen = JSON.stringify(seen);
});
</script>"""


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The folder of a case with a ball at the patient's right, and a name that must be escaped."""
    grid = Grid((40, 32, 24), np.diag([3.0, 4.0, 5.0, 1.0]))
    places = grid.world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    mask = (np.linalg.norm(places - [84, 60, 60], axis=-1) < 30).astype(np.uint8)
    folder = tmp_path / "case"
    (folder / "preview").mkdir(parents=True)
    write_nifti(folder / VOLUME[0], (60 + 80 * mask).astype(np.uint8), grid)
    write_nifti(folder / VOLUME[1], mask, grid)
    write_ply(folder / VOLUME[2], *surface(mask, grid))
    statistics = {"volume_ml": 113.1, "range_ml": [101.5, 120], "extent_mm": {"right_left": 58}, "edges": []}
    statistics |= {"touches": False, "image": {"mean": None, "slices": 20}}
    (folder / VOLUME[3]).write_text(json.dumps(statistics))
    (folder / "mask #1.nii.gz").write_bytes(bytes(1234))
    return folder


def volume_page(folder: Path) -> str:
    (saved,) = pages.save_views([View("volume", VOLUME, "A <legend> & more")], folder, "case <1>")
    assert saved == {"kind": "volume", "page": "volume-1.html", "legend": "A <legend> & more", "files": list(VOLUME)}
    return (folder / "views" / saved["page"]).read_text(encoding="utf-8")


def visit(html: str, script: str, folder: Path, width: int = 1000) -> tuple[dict[str, Any], str]:
    """What `script` saw on the page in Chromium, whose WebGL 2 is drawn by the CPU, and Chromium's console output."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the browser chromium, which is not on the PATH")
    head, style, rest = html.partition("<style>")
    content, _, end = rest.rpartition("</body>")
    page = folder / "views" / "visited.html"
    page.write_text(head + WATCH + style + content + script + end, encoding="utf-8")
    flags = "--headless --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic --no-first-run "
    flags += "--disable-background-networking --disable-component-update --disable-sync --enable-logging=stderr "
    flags += f"--virtual-time-budget=20000 --dump-dom --user-data-dir={folder.parent}/profile --window-size={width},700"
    command = [chromium, *flags.split(), page.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = "\n".join(line for line in ended.stderr.splitlines() if "CONSOLE" in line)
    encoded = re.findall(r'data-seen="([^"]*)"', ended.stdout[:10_000])
    assert encoded, f"the script did not finish: {console}"
    return json.loads(unescape(encoded[0])), console


def test_a_volume_is_seen_in_a_browser_without_a_network(volume):
    seen, console = visit(volume_page(volume), VISIT, volume)
    assert (seen["state"], seen["failure"], console) == ("ready", "", "")
    assert (seen["violations"], seen["requests"]) == ([], [])
    mask = read_nifti(volume / VOLUME[1])
    areas = [mask.values.sum(axis=axes) for axes in ((0, 1), (0, 2), (1, 2))]
    largest = [int(area.argmax()) * step for area, step in zip(areas, (5, 4, 3), strict=True)]
    assert seen["places"] == [f"{letter} {place} mm" for letter, place in zip("SAR", largest, strict=True)]
    assert seen["all"][1] > 0.01  # the surface, at the right of the planes
    # The patient's right is on the left; then the contour alone, then nothing.
    left, right = seen["axial"]
    assert left > 0.05
    assert right < 0.01
    assert 0 < sum(seen["contour"]) < left / 3
    assert sum(seen["bare"]) == 0
    assert seen["pressed"] == ["Axial"]
    assert sum(seen["surface"]) > 0.03
    assert seen["window"] == ["25", "50", 127]
    assert seen["lowest"] == "S 0 mm"
    assert seen["unreachable"] == 0


def test_a_phone_shows_a_volume_without_sideways_scrolling(volume):
    seen, _ = visit(volume_page(volume), VISIT, volume, width=500)
    assert seen["state"] == "ready"
    assert seen["overflow"] <= 0


def test_a_volume_page_links_the_files_of_its_case_alone(volume):
    html = volume_page(volume)
    text = " ".join(re.sub(r"<[^>]*>", " ", html.partition("<main>")[2].partition("</main>")[0]).split())
    links = Links(html).links
    assert links == ["data:,", "../mask%20%231.nii.gz", "../statistics.json", "../preview/surface.ply"]
    assert all((volume / "views" / unquote(link)).is_file() for link in links[1:])
    assert "default-src 'none'" in html
    assert "case &lt;1&gt; A &lt;legend&gt; &amp; more" in text
    assert "Volume 113.1 mL Range 101.5, 120 mL Extent right left 58 mm Edges none Touches no Image slices 20" in text
    assert "Copyright (c) 2021, Niivue" in html


def test_a_volume_needs_no_surface_and_no_statistics(volume):
    (saved,) = pages.save_views([View("volume", VOLUME[:2], "")], volume, "case")
    html = (volume / "views" / saved["page"]).read_text(encoding="utf-8")
    assert 'id="surface"></script>' in html
    assert 'id="statistics"' not in html


def test_volumes_that_are_too_large_are_named(volume, monkeypatch):
    monkeypatch.setattr(pages, "LARGEST_PAGE", 1000)
    with pytest.raises(ValueError, match=r"bytes of volumes, expected at most 1,000; reduce them"):
        volume_page(volume)


MAP = ("preview/map.json", "preview/before.png", "preview/after.png", "preview/score.png")

VISIT_MAP = """<script>
addEventListener("load", () => {
  const seen = { state: root.dataset.state, scale: document.querySelector(".leaflet-control-scale-line")?.textContent };
  const shown = () => [...document.querySelectorAll(".leaflet-image-layer")].map(image => image.alt);
  const paths = () => document.querySelectorAll("path.leaflet-interactive").length;
  const switches = [...document.querySelectorAll("#rows input[type=checkbox]")];
  const sliders = [...document.querySelectorAll("#rows input[type=range]")];
  seen.names = switches.map(box => box.parentElement.textContent);
  seen.first = [shown(), paths()];
  switches[1].click(); switches[2].click();
  seen.second = shown();
  sliders[2].value = 35; sliders[2].dispatchEvent(new Event("input"));
  seen.opacity = document.querySelector('.leaflet-image-layer[alt="Score"]').style.opacity;
  // The picture and a polygon lie at the places of their pixels.
  const image = document.querySelector(".leaflet-image-layer").getBoundingClientRect();
  const scale = image.width / data.extent[0];
  const box = document.querySelector("path.leaflet-interactive").getBoundingClientRect();
  const middle = [(box.left + box.right) / 2 - image.left, (box.top + box.bottom) / 2 - image.top];
  seen.middle = middle.map(value => Math.round(value / scale));
  seen.list = [...document.querySelectorAll("#list button")].map(button => button.textContent);
  document.querySelector("#list button").click();
  const popup = document.querySelector(".leaflet-popup-content");
  seen.popup = [...popup.querySelectorAll("dt, dd")].map(part => part.textContent);
  seen.images = popup.querySelectorAll("img").length;
  switches[3].click();
  seen.none = paths();
  const parts = [...document.querySelectorAll("button, input, #map, .leaflet-control-zoom a")];
  seen.unreachable = parts.filter(part => part.tabIndex < 0).length;
  seen.overflow = document.documentElement.scrollWidth - innerWidth;
  seen.violations = violations;
  const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
  seen.requests = loaded.filter(name => !name.startsWith("data:"));
  root.dataset.seen = JSON.stringify(seen);
});
</script>"""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """The folder of a case with a scene of 399 x 300 pixels, pictures of every second one, and two polygons."""
    folder = tmp_path / "case"
    save_pictures(
        {name: np.full((150, 200, 3), 90, np.uint8) for name in ("before", "after", "score")}, folder / "preview"
    )
    squares = [
        (100, 40, 60, {"id": 7, "area_m2": 1234567.0, "kind": "<img src=x>"}),
        (10, 200, 5, {"id": 2, "pixels": 25}),
    ]
    features = []
    for x, y, side, properties in squares:
        ring = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]
        geometry = json.dumps({"type": "Polygon", "coordinates": [ring]})
        features.append({"geometry": geometry, "properties": properties})
    shown = {"before": (True, 100), "after": (True, 100), "score": (False, 80)}
    content = {
        "name": "Changes", "size": [399, 300], "extent": [400, 300],
        "metres_per_pixel": 30.0, "colour": "#e63946",
        "layers": {name: {"shown": on, "opacity": value} for name, (on, value) in shown.items()},
        "ramp": {"name": "Score", "colours": ["#000004", "#fcfdbf"], "mark": 0.4, "mark_name": "threshold"},
        "total": 3, "features": features,
    }  # fmt: skip
    (folder / MAP[0]).write_text(json.dumps(content))
    return folder


def map_page(folder: Path) -> str:
    (saved,) = pages.save_views([View("map", MAP, "A <legend> & more")], folder, "case <1>")
    assert saved == {"kind": "map", "page": "map-1.html", "legend": "A <legend> & more", "files": list(MAP)}
    return (folder / "views" / saved["page"]).read_text(encoding="utf-8")


def test_a_map_is_seen_in_a_browser_without_a_network(scene):
    seen, console = visit(map_page(scene), VISIT_MAP, scene)
    assert (seen["state"], console, seen["violations"], seen["requests"]) == ("ready", "", [], [])
    assert seen["scale"].endswith((" m", " km"))
    assert seen["names"] == ["Before", "After", "Score", "Changes"]
    assert seen["first"] == [["Before", "After"], 2]
    assert sorted(seen["second"]) == ["Before", "Score"]
    assert seen["opacity"] == "0.35"
    assert seen["middle"] == [130, 70]
    assert seen["list"] == ["7Area 1\u202f234\u202f567\u202fm²", "2Pixels 25"]
    assert seen["popup"] == ["ID", "7", "Area", "1\u202f234\u202f567\u202fm²", "Kind", "<img src=x>"]
    assert (seen["images"], seen["none"], seen["unreachable"]) == (0, 0, 0)


def test_a_phone_shows_a_map_without_a_crs_and_without_sideways_scrolling(scene):
    content = json.loads((scene / MAP[0]).read_text())
    (scene / MAP[0]).write_text(json.dumps(content | {"metres_per_pixel": None}))
    seen, _ = visit(map_page(scene), VISIT_MAP, scene, width=500)
    assert (seen["state"], "scale" in seen) == ("ready", False)
    assert seen["overflow"] <= 0


def test_a_map_page_needs_no_other_file_and_names_what_it_leaves_out(scene):
    html = map_page(scene)
    assert set(Links(html.partition("<script")[0]).links) == {"data:,"}
    assert "default-src 'none'" in html
    assert "case &lt;1&gt;" in html
    assert "2 of 3 are shown, the largest first." in html
    assert "threshold 0.4" in html
    assert "Copyright (c) 2010-2023, Volodymyr Agafonkin" in html


def test_a_map_that_would_be_too_large_leaves_out_the_smallest_polygons(scene, monkeypatch):
    size = sum(map(len, re.findall(r"data:image/jpeg[^\"]*", map_page(scene))))
    monkeypatch.setattr(pages, "LARGEST_PAGE", size + 400)
    assert "1 of 3 are shown" in map_page(scene)
    monkeypatch.setattr(pages, "LARGEST_PAGE", size - 1)
    with pytest.raises(ValueError, match="bytes of pictures above"):
        map_page(scene)


def test_a_change_map_that_was_written_is_drawn(tmp_path):
    levels = np.zeros((60, 80), np.uint8)
    levels[10:20, 30:50] = 160
    written = ChangeMap(RasterGrid(80, 60, Affine(30, 0, 5e5, 0, -30, 5e6), CRS.from_epsg(32633)), [], 0.5)
    write_change_map(replace(written, blocks=[ScoredStrip(0, levels)]), tmp_path)
    save_pictures(
        {name: np.full((60, 80, 3), 90, np.uint8) for name in ("before", "after", "score")}, tmp_path / "preview"
    )
    (saved,) = pages.save_views([map_view(written, tmp_path)], tmp_path, "case")
    html = (tmp_path / "views" / saved["page"]).read_text(encoding="utf-8")
    (encoded,) = re.findall(r'id="data">(.*?)</script>', html)
    data = json.loads(encoded)
    (feature,) = data["features"]
    ring = {tuple(point) for point in json.loads(feature["geometry"])["coordinates"][0]}
    assert ring == {(30, 10), (50, 10), (50, 20), (30, 20)}
    assert dict(feature["properties"])["Area"] == "180\u202f144\u202fm²"
    assert [layer["name"] for layer in data["layers"]] == ["Before", "After", "Score"]
