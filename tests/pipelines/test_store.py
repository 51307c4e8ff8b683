"""The tracking store: one that cannot be used is named on one line, and processes may create one together."""

import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow import MlflowClient

from transect.pipelines import store, store_check
from transect.pipelines.errors import StoreError, UsageError


class Reply(BaseHTTPRequestHandler):
    """A web server that gives the same answer to every request: the attributes `status` and `body` of the server."""

    def do_POST(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(self.server.body)  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Reply)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def refusal(monkeypatch: pytest.MonkeyPatch, uri: str) -> str:
    """The message of a store that cannot be used."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError) as raised:
        store.check_store()
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert "MLFLOW_TRACKING_URI" in message
    return message


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [(500, b"", "it answers with HTTP 500"), (404, b"no", "error code 404"), (200, b"<html>", "not in a valid JSON")],
)
def test_a_server_that_is_not_mlflow_is_named(monkeypatch, server, status, body, reason):
    server.status, server.body = status, body
    uri = f"http://127.0.0.1:{server.server_port}"
    assert refusal(monkeypatch, uri).startswith(f"tracking store {uri}: ")
    assert reason in refusal(monkeypatch, uri)


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid:5000", "it does not answer (")]
)
def test_a_server_that_is_not_there_is_named(monkeypatch, host, reason):
    assert reason in refusal(monkeypatch, f"http://{host}")


def test_a_server_that_never_answers_is_named_in_time_and_without_its_password(monkeypatch, silent):
    monkeypatch.setattr(store_check, "SERVER_SECONDS", 1.0)
    message = refusal(monkeypatch, f"http://user:secret@127.0.0.1:{silent}")
    assert message.startswith(f"tracking store http://127.0.0.1:{silent}: no answer within 1 s")


def test_a_command_ends_before_it_reads_data(monkeypatch, command, untrained, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    for words in (
        ["train", "change_detection", "--data", "nowhere"],
        ["train", "change_detection", "--resume", "0" * 32],
        ["evaluate", untrained, "--data", "nowhere", "--out", tmp_path / "out"],
        ["predict", "models:/tiny@champion", "nowhere", "--out", tmp_path / "out"],
        ["register", untrained, "--name", "tiny"],
    ):
        status, out, err = command(*words)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        assert err.startswith("transect: tracking store http://127.0.0.1:1: it does not answer (Connection refused)")
    assert not (tmp_path / "out").exists()


def test_a_locked_database_is_named_after_a_while(monkeypatch, tmp_path):
    monkeypatch.setattr(store_check, "LOCK_SECONDS", 0.2)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN EXCLUSIVE")
        message = refusal(monkeypatch, f"sqlite:///{tmp_path}/mlflow.db")
    assert f"{tmp_path}/mlflow.db: database is locked by another program for 0 s" in message


def test_a_file_that_is_no_database_and_a_folder_that_cannot_be_made_are_named(monkeypatch, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"text" * 1000)
    assert "file is not a database" in refusal(monkeypatch, f"sqlite:///{tmp_path}/mlflow.db")
    assert "it cannot be created" in refusal(monkeypatch, f"sqlite:///{tmp_path}/mlflow.db/below/mlflow.db")


def test_processes_create_a_store_together_and_another_version_of_its_schema_is_named(monkeypatch, tmp_path):
    code = "from transect.pipelines.store import use_experiment; print(use_experiment('pde'))"
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert len({out for out, _ in printed}) == 1

    experiment = printed[0][0].strip()
    MlflowClient(uri).delete_experiment(experiment)
    with pytest.raises(UsageError, match=f"mlflow experiments restore --experiment-id {experiment}"):
        store.use_experiment("pde")

    other = tmp_path / "other.db"
    other.write_bytes((tmp_path / "new" / "mlflow.db").read_bytes())
    with closing(sqlite3.connect(other)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'abc'")
        database.commit()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    with pytest.raises(StoreError, match=rf"found version abc, but expected .*mlflow db upgrade sqlite:///{other}"):
        store.use_store()
