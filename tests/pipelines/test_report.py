"""The report: opens without a network, compares pictures, and escapes all of its content."""

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from transect.pipelines.report import OPEN_CASES, duration, label, number, with_baselines, write_report

HOSTILE = '"><img src=x onerror=hacked()><script>hacked()<'
LAYERS = ("before", "after", "score", "change")
FACTS = {"changed_pixels": 1101, "changed_percent": 0.6117, "changed_area_m2": 12345.4, "sensor": "<b>TM</b>"}

FLAGS = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=20000 --dump-dom
"""

VISITOR = """
<script>
addEventListener("load", async () => {
  const seen = {}, pause = () => new Promise(done => setTimeout(done, 100));
  const loaded = image => image.complete || new Promise(done => image.onload = image.onerror = done);
  const cards = [...document.querySelectorAll(".case")], card = cards[0];
  seen.open = cards.filter(card => card.open).length;
  seen.unfolded = cards.filter(card => card.querySelector(".body")).length;
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  await pause();
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map(loaded));
  seen.broken = images.filter(image => !image.naturalWidth).map(image => image.src);
  seen.images = images.length;
  seen.alts = [...card.querySelectorAll(".swipe img")].map(image => image.alt);

  const swipe = card.querySelector(".swipe"), range = swipe.querySelector("input"), box = swipe.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + 60);
  seen.reachable = top === range;
  range.value = 25;
  range.dispatchEvent(new Event("input", { bubbles: true }));
  seen.clip = getComputedStyle(swipe.querySelector(".right")).clipPath;
  seen.handle = (swipe.querySelector(".handle").getBoundingClientRect().x + 1 - box.x) / box.width;
  seen.other = getComputedStyle(cards[1].querySelector(".right")).clipPath;
  seen.sameSize = swipe.querySelector(".right").clientHeight === swipe.querySelector(".left").clientHeight;

  card.querySelector(".thumbs li:nth-child(4) button").click();
  const left = card.querySelector("select[data-side=left]");
  left.selectedIndex = 2;
  left.dispatchEvent(new Event("change", { bubbles: true }));
  await Promise.all([...swipe.querySelectorAll("img")].map(loaded));
  seen.shown = [...swipe.querySelectorAll("img")].map(image => image.src.split("/").pop());
  seen.names = [...swipe.querySelectorAll(".tag")].map(tag => tag.textContent);
  seen.pressed = [...card.querySelectorAll(".thumbs button")].map(thumb => thumb.ariaPressed);

  const filter = document.querySelector("#filter");
  filter.value = "CASE 3";
  filter.dispatchEvent(new Event("input", { bubbles: true }));
  seen.filtered = cards.filter(card => !card.hidden).map(card => card.dataset.case);
  seen.scripts = document.scripts.length;
  seen.overflow = document.documentElement.scrollWidth - innerWidth;
  document.documentElement.dataset.seen = JSON.stringify(seen);
});
</script>
"""


def run_folder(folder: Path, cases: list[str], failed: list[tuple[str, str]] = (), **run: Any) -> Path:  # type: ignore[assignment]
    """Write the files of a run, with real pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "kind": "predict",
        "app": "change_detection",
        "model": "models:/demo@champion",
        "model_sha256": "ab" * 32,
    }
    content |= {"settings": {"read": {"bands": [1, 2, 3]}}, "started": "2026-03-01T12:00:00+01:00", "seconds": 187.2}
    (folder / "run.json").write_text(json.dumps(content | run))
    ramp = np.linspace(0, 255, 60 * 40).reshape(40, 60)
    for case in cases:
        (folder / case / "preview").mkdir(parents=True)
        for index, name in enumerate(LAYERS):
            Image.fromarray(np.roll(ramp, 600 * index).astype(np.uint8)).save(folder / case / "preview" / f"{name}.png")
        (folder / case / "mask #1?.tif").write_bytes(bytes(1234))
        done = {"case": case, "facts": FACTS, "outputs": {"mask #1?.tif": "00"}, "preview": LAYERS, "seconds": 1.5}
        (folder / case / "done.json").write_text(json.dumps(done))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("case", "status", "seconds", "message"),
                *((case, "done", 1.5, "") for case in cases),
                *((case, "failed", 0.1, message) for case, message in failed),
            ]
        )
    return folder


class Page(HTMLParser):
    """Parses a page into its elements with attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [values[attribute] or "" for name, values in self.elements if name == tag and attribute in values]


def visit(folder: Path, tmp_path: Path, width: int = 1280) -> tuple[dict[str, Any], str]:
    """The observations of the script VISITOR on the page in Chromium, and Chromium's console output."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the browser chromium, which is not on the PATH")
    page = folder / "visited.html"
    page.write_text((folder / "report.html").read_text().replace("</body>", VISITOR + "</body>"))
    command = [
        chromium,
        *FLAGS.split(),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        page.as_uri(),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = "\n".join(line for line in ended.stderr.splitlines() if "CONSOLE" in line)
    seen = Page(ended.stdout).elements[0][1].get("data-seen")
    assert seen, f"the script VISITOR did not finish: {console}"
    return json.loads(seen), console


def test_the_page_works_in_a_browser_without_a_network(tmp_path: Path) -> None:
    cases = [f"case {index}" for index in range(OPEN_CASES + 2)]
    folder = run_folder(tmp_path / "a run #1", cases)
    write_report(folder)
    seen, console = visit(folder, tmp_path)
    assert console == ""
    assert (seen["open"], seen["unfolded"]) == (OPEN_CASES, OPEN_CASES)
    assert (seen["broken"], seen["images"]) == ([], len(cases) * (2 + len(LAYERS)))
    assert seen["alts"] == ["case 0, left: Before", "case 0, right: After"]
    assert seen["reachable"]
    assert seen["clip"] == "inset(0px 0px 0px 25%)"
    assert seen["handle"] == pytest.approx(0.25, abs=0.01)
    assert seen["other"] == "inset(0px 0px 0px 50%)"
    assert seen["sameSize"]
    assert seen["shown"] == ["score.png", "change.png"]
    assert seen["names"] == ["Score", "Change"]
    assert seen["pressed"] == ["false", "false", "false", "true"]
    assert seen["filtered"] == ["case 3"]


def test_hostile_names_and_messages_are_text(tmp_path: Path) -> None:
    folder = run_folder(
        tmp_path / "run", [HOSTILE, "b", "c", "d", "e", "javascript:hacked()"], [(f"failed {HOSTILE}", HOSTILE)],
        app=HOSTILE, model=HOSTILE, model_sha256=HOSTILE, settings={HOSTILE: {HOSTILE: HOSTILE}},
    )  # fmt: skip
    page = Page(write_report(folder).read_text())
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [values for _, values in page.elements if "onerror" in values]
    assert "<b>TM</b>" in page.text
    assert page.text.count(HOSTILE) >= 6
    assert not [href for href in page.all("a", "href") if href.startswith("javascript:")]
    seen, console = visit(folder, tmp_path)
    assert (console, seen["broken"], seen["scripts"]) == ("", [], 2)


def test_a_phone_needs_no_sideways_scrolling(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [*"abcde", "case_" * 30], [("broken" * 20, "found/" * 40)])
    write_report(folder)
    seen, _ = visit(folder, tmp_path, width=500)
    assert seen["overflow"] <= 0


def test_nothing_on_the_page_comes_from_elsewhere(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", ["a b", "ü"])
    html = write_report(folder).read_text()
    assert "://" not in html
    assert str(tmp_path) not in html
    page = Page(html)
    links = [*page.all("img", "src"), *page.all("a", "href"), *page.all("option", "value")]
    assert len(links) == 2 * (2 + 4 + 1 + 8)
    for link in links:
        assert (folder / unquote(link)).is_file()
        assert re.fullmatch(r"[\w%./-]+", link, re.ASCII)


def test_facts_are_shown_with_their_units(tmp_path: Path) -> None:
    text = " ".join(Page(write_report(run_folder(tmp_path, ["a"])).read_text()).text.split())
    assert "Changed pixels 1 101" in text
    assert "Changed 0.6117 %" in text
    assert "Changed area 12 345 m²" in text
    assert "mask #1?.tif 1.23 kB" in text
    assert "01 March 2026, 11:00 UTC" in text
    assert "3 min 7 s" in text


def test_interactive_pictures_are_linked_where_they_are(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, ["a b"])
    done = json.loads((folder / "a b" / "done.json").read_text())
    pages = ("volume-1.html", "missing.html", "../../elsewhere.html")
    done["views"] = [{"kind": "volume", "page": page, "legend": f"In {HOSTILE}", "files": []} for page in pages]
    (folder / "a b" / "done.json").write_text(json.dumps(done))
    (folder / "a b" / "views").mkdir()
    (folder / "a b" / "views" / "volume-1.html").write_text("")
    (tmp_path.parent / "elsewhere.html").write_text("")
    page = Page(write_report(folder).read_text())
    assert page.all("a", "href") == ["a%20b/views/volume-1.html", "a%20b/mask%20%231%3F.tif"]
    assert f"In {HOSTILE}" in page.all("a", "title")


def test_failed_cases_come_before_the_others(tmp_path: Path) -> None:
    text = Page(write_report(run_folder(tmp_path, ["fine"], [("broken", "b.tif: data: cut off")])).read_text()).text
    assert 0 < text.index("b.tif: data: cut off") < text.index("Changed area")


def test_an_evaluation_shows_metrics_with_their_intervals_and_every_case(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, ["a"], kind="evaluate")
    metrics = {"f1": 0.87458, "iou": 0.7771, "depth_error_mm": 2.25}
    content = {"summary": metrics, "intervals": {"f1": [0.841, 0.9]}, "cases": 2, "split": "test"}
    (folder / "metrics.json").write_text(json.dumps(content))
    (folder / "cases.csv").write_text("case,f1,depth_error_mm\na,0.9,1.5\nb,0.8,3\n")
    text = " ".join(Page(write_report(folder).read_text()).text.split())
    assert "F1 0.875 0.841 \N{EN DASH} 0.900 IoU 0.777 \N{EN DASH} Depth error 2.25 mm \N{EN DASH}" in text
    assert "Over 2 cases" in text
    assert "Case F1 Depth error a 0.9 1.5 mm b 0.8 3 mm" in text


def test_manifests_of_shards_are_read_together(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, ["a", "b"])
    head, *rows = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").unlink()
    for index, row in enumerate(rows, 1):
        (folder / f"manifest-{index}-of-2.csv").write_text(f"{head}\n{row}\n")
    assert Page(write_report(folder).read_text()).all("details", "data-case") == ["a", "b"]


def test_what_is_missing_damaged_or_outside_the_folder_is_left_out(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", ["whole", "damaged", "pictureless"])
    run_folder(tmp_path / "outside", ["secret"])
    (folder / "damaged" / "done.json").write_text('{"case": ')
    (folder / "pictureless" / "preview" / "after.png").write_bytes(b"\x89PNG")
    done = json.loads((folder / "pictureless" / "done.json").read_text())
    done |= {"outputs": {"../run.json": "0", "gone.tif": "0"}, "preview": ["../../whole/preview/before", *LAYERS[1:2]]}
    (folder / "pictureless" / "done.json").write_text(json.dumps(done))
    with (folder / "manifest.csv").open("a") as file:
        file.write("../outside/secret,done,1,\n")
    page = Page(write_report(folder).read_text())
    assert page.all("details", "data-case") == ["whole", "pictureless"]
    assert len(page.all("img", "src")) == 6
    assert len(page.all("a", "href")) == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "cases done 0" in " ".join(Page(write_report(empty).read_text()).text.split())


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (12345.4, "changed_area_m2", "12 345 m²"), (7, "polygons", "7"), (1234567, "valid_pixels", "1 234 567"),
        (0.00001234, "rate", "1.23e-05"), (0.0, "rate", "0"), (float("nan"), "f1", "\N{EN DASH}"),
        ("SAR", "sensor", "SAR"), (3, "s", "3"), (98.54321, "duration_ms", "98.54 ms"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_write_them(value: object, name: str, text: str) -> None:
    assert number(value, name).replace("\u202f", " ") == text


def test_names_and_durations_read_as_people_write_them() -> None:
    names = {"changed_area_m2": "Changed area", "f1": "F1", "iou": "IoU", "overall_accuracy": "Overall accuracy"}
    assert {name: label(name) for name in names} == names
    times = {0.04: "0.0 s", 59.94: "59.9 s", 187.2: "3 min 7 s", 7265: "2 h 1 min", None: "\N{EN DASH}"}
    assert {seconds: duration(seconds).replace("\u202f", " ") for seconds in times} == times


def test_a_metric_called_after_another_is_its_baseline():
    names = [
        "skill",
        "nrmse",
        "time_to_failure_steps",
        "persistence_nrmse",
        "vote_nrmse",
        "persistence_time_to_failure_steps",
    ]
    assert with_baselines(names) == {
        "skill": {},
        "nrmse": {"persistence": "persistence_nrmse", "vote": "vote_nrmse"},
        "time_to_failure_steps": {"persistence": "persistence_time_to_failure_steps"},
    }


def test_baselines_and_charts_stand_with_the_metrics(tmp_path):
    (tmp_path / "charts").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "charts" / "rollout_error.png")
    metrics = {
        "summary": {"nrmse": 0.25, "persistence_nrmse": 1.5},
        "intervals": {"nrmse": [0.2, 0.3]},
        "cases": 2,
        "charts": ["rollout_error", "../../outside", "gone"],
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert re.findall(r'<figure><img src="([^"]+)" width="30" height="20"', page) == ["charts/rollout_error.png"]
    (row,) = re.findall(r'<th scope="row">nRMSE</th>(.*?)</tr>', page, re.DOTALL)
    assert re.findall(r"[\d.]+", re.sub("<[^>]*>", " ", row)) == ["0.250", "0.200", "0.300", "1.500"]
    assert "Persistence nRMSE" not in page
