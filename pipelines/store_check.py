"""Check that the tracking store can be used, and turn errors of MLflow and its database into one line."""

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from transect.pipelines.errors import StoreError

SQLITE = "sqlite:///"
SERVER_SECONDS = 10.0
LOCK_SECONDS = 20.0  # as long as MLflow itself waits for a locked database


def check(uri: str) -> None:
    """Check that the store at `uri` answers; creates nothing.

    Raises:
        StoreError: a server does not answer as MLflow does, or a database is locked, no database or cannot be created.
    """
    if uri.startswith(SQLITE):
        _check_sqlite(Path(uri.removeprefix(SQLITE)))
    elif uri.startswith(("http://", "https://")):
        _check_server(uri)


def _check_server(uri: str) -> None:
    errors: list[Exception] = []

    def ask() -> None:
        try:
            MlflowClient(uri).search_experiments(max_results=1)
        except Exception as error:
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)  # resolving a host name has no timeout
    with impatient():
        asking.start()
        asking.join(SERVER_SECONDS)
    if asking.is_alive():
        raise _error(uri, f"no answer within {SERVER_SECONDS:.0f} s")
    if errors:
        raise _error(uri, _reason(errors[0])) from errors[0]


@contextmanager
def impatient() -> Iterator[None]:
    """Requests to a server are made once in this context, instead of for several minutes."""
    settings = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{SERVER_SECONDS:.0f}"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _check_sqlite(file: Path) -> None:
    if not file.exists():
        folder = next(parent for parent in file.parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise _error(file, f"it cannot be created, since {folder} is not a folder that you may write to")
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=LOCK_SECONDS)) as database:
            database.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if "readonly" in str(error):
            return  # enough to read
        locked = f" by another program for {LOCK_SECONDS:.0f} s" if "locked" in str(error) else ""
        raise _error(file, f"{error}{locked}") from error


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn errors of the tracking store at `uri` into a StoreError of one line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException) as error:
        raise _error(uri, _reason(error)) from error


def _error(store: object, reason: str) -> StoreError:
    name = str(store)
    address = urlsplit(name)
    shown = name.replace(f"{address.netloc.rpartition('@')[0]}@", "") if "@" in address.netloc else name
    reason = " ".join(reason.replace("<database_uri>", name).replace(name, shown).split())[:400].rstrip("; .")
    return StoreError(f"tracking store {shown}: {reason}; mend it, or set MLFLOW_TRACKING_URI to another")


def _reason(error: BaseException) -> str:
    """The first cause in the words of the operating system where it has one, else the start of MLflow's message."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, RequestException) and cause.strerror:
            return f"it does not answer ({cause.strerror})"
        if isinstance(cause, TimeoutError):
            return f"no answer within {SERVER_SECONDS:.0f} s"
        cause = cause.__cause__ or cause.__context__
    if code := re.search(r"too many (\d+) error responses", str(error)):
        return f"it answers with HTTP {code[1]}"
    return str(error).partition(" NOTE:")[0].partition("[SQL:")[0]
