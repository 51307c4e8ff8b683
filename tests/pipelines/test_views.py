"""Interactive pictures: self-contained pages that show their files without a network."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transect.apps.base import View
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
    assert saved == {"kind": "film", "page": "film-1.html", "legend": "A <legend> & more"}
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
});</script></body>"""
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
