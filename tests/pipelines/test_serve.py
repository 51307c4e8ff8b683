"""The server: what it accepts and refuses, requests at the same time, and its end."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import rasterio

import transect

COMPUTING, WAITING, SECONDS = 2, 6, 20


@dataclass
class Running:
    """A server that answers at `port`, with the folders `data` and `results` below the root `folder`."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    line: str

    def ask(self, content: Any, kind: str | None = "application/json", **headers: str) -> tuple[int, Any, Any]:
        """Status, content and headers of the answer to a request, given as JSON, as bytes, or as parts of bytes."""
        body = json.dumps(content).encode() if isinstance(content, dict) else content
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/invocations", body, {**({"Content-Type": kind} if kind else {}), **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if text.startswith("{") else text, answer.headers

    def predict(self, *rows: tuple[str, str], out: str = "results") -> list[dict[str, str]]:
        records = [dict(zip(("before", "after"), row, strict=True)) for row in rows]
        status, content, _ = self.ask({"dataframe_records": records, "params": {"out": out}})
        assert status == 200, content
        answers: list[dict[str, str]] = content["predictions"]
        return answers


@pytest.fixture(scope="module")
def server(untrained: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    for side in "AB":
        shutil.copytree(pairs / "train" / side, folder / "root" / "data" / side)
    (folder / "outside.csv").write_text("secret_header,candidates\n")
    shutil.copy(pairs / "test" / "A" / "test_11.png", folder / "outside.png")
    command = [sys.executable, "-m", "transect.pipelines.cli", "serve", str(untrained), "--port", "0", "--root", "."]
    command += ["--computing", str(COMPUTING), "--waiting", str(WAITING), "--seconds", str(SECONDS)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder / "root", stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    yield Running(process, folder / "root", int(re.findall(r"127\.0\.0\.1:(\d+)", line)[0]), line)
    process.kill()
    process.wait()


def pair(number: int) -> tuple[str, str]:
    return f"data/A/train_{number}.png", f"data/B/train_{number}.png"


def record(number: int) -> dict[str, str]:
    return dict(zip(("before", "after"), pair(number), strict=True))


def test_the_first_line_names_the_address_and_the_folders(server, untrained):
    assert server.line == f"serving {untrained} at http://127.0.0.1:{server.port}, files below {server.folder}\n"


def test_eight_clients_at_once_get_what_the_command_computes(server, untrained):
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda number: server.predict(pair(number))[0], range(1, 9)))
    assert [answer["status"] for answer in answers] == ["done"] * 8, answers
    model = transect.load(str(untrained), device="cpu")
    model.predict_batch(server.folder / "data", out=server.folder / "expected")
    expected = {path.parent.name: path for path in (server.folder / "expected").glob("*/mask.tif")}
    assert len(expected) == 8
    for answer in answers:
        with (
            rasterio.open(Path(answer["folder"], "mask.tif")) as mask,
            rasterio.open(expected[answer["case"]]) as other,
        ):
            assert (mask.read() == other.read()).all()
    assert {path.name for path in (server.folder / "results").iterdir()} == set(expected)


def test_one_request_too_many_is_asked_to_come_back(server):
    def ask(number: int) -> tuple[int, str | None]:
        rows = [record(1 + (number + row) % 8) for row in range(2)]
        status, content, headers = server.ask({"instances": rows, "params": {"out": f"results_{number}"}})
        assert status == 503 or [row["status"] for row in content["predictions"]] == ["done"] * 2, content
        return status, headers["Retry-After"]

    with ThreadPoolExecutor(24) as clients:
        answers = list(clients.map(ask, range(24)))
    assert {status for status, _ in answers} == {200, 503}
    assert all(retry is not None and int(retry) > 0 for status, retry in answers if status == 503)
    assert sum(status == 200 for status, _ in answers) >= COMPUTING + WAITING


OUTSIDE = [
    "../outside.png", "{}/../outside.png", "/etc/hostname", "file://{}/../outside.png", "file:data/A/train_1.png",
    "http://127.0.0.1:{port}/x.tif", "https://127.0.0.1:{port}/x.tif", "s3://bucket/x.tif", "zip://data/x.zip!x.tif",
    "vrt://data/A/train_1.png", "/vsicurl/http://127.0.0.1:{port}/x.tif", "/vsizip/data/x.zip/x.tif",
    'NETCDF:"{}/data/A/train_1.png":x', "HDF5:data/A/train_1.png://x", "GTIFF_DIR:1:data/A/train_1.png",
    "<VRTDataset rasterXSize='1' rasterYSize='1'/>", "data/A/train_1.png\0.png", "\ud800.png", "linked.png",
    "data/A/train_1.png,../outside.png", "data/A/train_1.png;../outside.csv", "linked/A", "..", "../outside.csv",
]  # fmt: skip


@pytest.fixture(scope="module")
def listening() -> Iterator[socket.socket]:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        here.listen()
        here.setblocking(False)
        yield here


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_path_outside_is_refused_before_anything_opens_it(server, listening, text):
    for link, target in {"linked.png": "../outside.png", "linked": "../root/data"}.items():
        if not (server.folder / link).is_symlink():
            (server.folder / link).symlink_to(target)
    if not (server.folder / "data" / "A" / "link").is_symlink():
        (server.folder / "data" / "A" / "link").symlink_to("../../../outside.png")
    text = text.replace("{}", str(server.folder)).format(port=listening.getsockname()[1])
    for row in ((text, pair(1)[1]), (pair(1)[0], text)):
        (answer,) = server.predict(row)
        assert answer["status"] == "failed"
        assert "outside the served folders" in answer["message"], answer
        assert "secret" not in answer["message"]
    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.mark.parametrize(
    "out", ["../results", "/elsewhere/results", "file:///elsewhere/x", "linked.png", "a\0b", "", "data/A/train_1.png"]
)
def test_results_outside_are_refused(server, out):
    status, content, _ = server.ask({"dataframe_records": [record(1)], "params": {"out": out}})
    assert (status, content["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "out" in content["message"]
    assert "\n" not in content["message"]
    assert {path.name for path in server.folder.parent.iterdir()} == {"root", "outside.csv", "outside.png", "log"}


def test_an_error_names_the_file_as_the_request_does(server):
    (answer,) = server.predict(("data/A/nowhere.png", "data/B/train_1.png"))
    assert answer["message"].startswith("data/A/nowhere.png: ")
    assert str(server.folder) not in answer["message"]


def test_all_forms_of_mlflow_are_understood(server):
    before, after = pair(2)
    for content in (
        {"dataframe_records": [record(2)]},
        {"dataframe_split": {"columns": ["after", "before"], "data": [[after, before]]}},
        {"instances": [record(2)]},
        {"inputs": {"before": [before], "after": [after]}},
        {"inputs": record(2)},
    ):
        status, answer, _ = server.ask(content)
        assert (status, answer["predictions"][0]["status"]) == (200, "done"), answer
        assert answer["predictions"][0]["folder"] == str(server.folder / "predictions" / "train_2")
    status, answer, _ = server.ask(f"before,after\n{before},{after}\n".encode(), "text/csv; charset=utf-8")
    assert (status, answer["predictions"][0]["status"]) == (200, "done"), answer


ROW = {"before": "a", "after": "b"}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "content"), (b"{", "content"), (b"\xff", "content"), (b"[" * 100_000, "content"), (b"[]", "keys"),
        (b"{}", "keys"), ({"prompt": "x"}, "keys"), ({"dataframe_records": [ROW], "inputs": [ROW]}, "keys"),
        ({"dataframe_records": [ROW], "other": 1}, "keys"), ({"dataframe_records": 3}, "dataframe_records"),
        ({"dataframe_records": [3]}, "columns of row 1"), ({"dataframe_records": [ROW, {"before": "a"}]}, "of row 2"),
        ({"dataframe_records": [{**ROW, "after": 3}]}, "after of row 1"), ({"inputs": {"before": ["a"]}}, "columns"),
        ({"inputs": {"before": ["a"], "after": []}}, "inputs"), ({"dataframe_split": {"data": []}}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["before"], "data": [["a", "b"]]}}, "dataframe_split"),
        ({"dataframe_records": [ROW], "params": {"threshold": 1}}, "params"),
        ({"dataframe_records": [ROW], "params": ["out"]}, "params"),
        ({"dataframe_records": [ROW], "params": {"out": 3}}, "out"),
    ],
)  # fmt: skip
def test_a_malformed_request_is_one_line(server, content, field):
    status, answer, _ = server.ask(content)
    assert (status, set(answer)) == (400, {"error_code", "message"}), answer
    assert field in answer["message"]
    assert len(answer["message"]) < 400
    assert "\n" not in answer["message"]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/vnd.apache.parquet"]
)
def test_what_a_web_page_can_send_unasked_is_refused(server, kind):
    status, answer, _ = server.ask({"dataframe_records": [record(1)]}, kind)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "localhost.example.com:80", "", "[::1"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(server, host):
    assert server.ask({"dataframe_records": [record(1)]}, Host=host)[0] == 400
    assert server.ask({"dataframe_records": [record(1)]}, Host="localhost:8080")[0] == 200


def test_a_large_body_is_refused_unread(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Length", str(60_000_000))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    status, answer, _ = server.ask(iter([b" " * 1_048_576, b" "]))
    assert (status, "1,048,576 bytes" in answer["message"]) == (413, True)


def test_a_taken_port_and_a_missing_root_are_one_line(server, untrained, command):
    for arguments, message in ((("--port", server.port), "address already in use"), (("--root", "nowhere"), "nowhere")):
        status, out, err = command("serve", untrained, *arguments)
        assert (status, out, len(err.splitlines())) == (2, "", 1), err
        assert message in err


def test_a_request_that_takes_too_long_is_ended_and_a_signal_ends_the_rest(server):
    """A pair of 36 megapixels takes minutes."""
    with rasterio.open(server.folder / pair(1)[0]) as small:
        pixels, profile = np.tile(small.read(), (1, 24, 24))[:, :6000, :6000], small.profile
    for file in pair(0):
        with rasterio.open(server.folder / file, "w", **{**profile, "height": 6000, "width": 6000}) as large:
            large.write(pixels)
    content = {"dataframe_records": [record(0)]}
    started = time.monotonic()
    status, answer, _ = server.ask(content)
    assert (status, answer["message"].split(":")[0]) == (504, "time")
    assert SECONDS <= time.monotonic() - started < SECONDS + 10
    (answer,) = server.predict(pair(3))
    assert answer["status"] == "done"
    processes = psutil.Process(server.process.pid).children(recursive=True)
    assert len(processes) >= COMPUTING
    with ThreadPoolExecutor(1) as client:
        unfinished = client.submit(server.ask, content)
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 143
        assert unfinished.result()[0] == 503
    _, alive = psutil.wait_procs(processes, 5)
    assert not alive
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", server.port)) != 0
    assert "Traceback" not in (server.folder.parent / "log").read_text()
