"""Atomic writes of files and folders, safe file names, and content hashes."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from transect.data_adapters.locks import Lock, acquire


def safe_name(text: str) -> str:
    """`text` as a file name: letters and digits of any script, `.`, `_` and `-`, never hidden, never empty."""
    composed = unicodedata.normalize("NFC", text)
    kept = (char if char in "._-" or unicodedata.category(char)[0] in "LMN" else "\0" for char in composed)
    return re.sub("\0+", "_", "".join(kept)).strip("._") or "unnamed"


def sha256(path: Path, files: Iterable[Path] | None = None) -> str:
    """The hexadecimal SHA-256 of a file, or of a folder's files with their relative names, in sorted order.

    Args:
        path: The file or folder.
        files: Files in the folder; all by default.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()) if files is None else sorted(files):
        digest.update(f"{file_path.relative_to(path).as_posix()}\0{sha256(file_path)}\n".encode())
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Atomically replace the content of `path` by `text`: a reader, or a crash, sees the old file or the new one."""
    while (lock := acquire(path.with_name(f".{path.name}.{_token()}.partial"), wait=False)) is None:
        pass  # `clear_leftovers` came first
    try:
        with lock.path.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        lock.path.replace(path)
    finally:
        lock.release()


@contextmanager
def writing(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Re-raise errors while writing `path` as an OSError that names it and the free space on its disk.

    Args:
        path: The file or folder that is being written.
        errors: Exceptions of a library to convert, in addition to OSError and RuntimeError.

    Raises:
        OSError: in place of any of these.
    """
    failures: tuple[type[Exception], ...] = (OSError, RuntimeError, *errors)
    try:
        yield
    except failures as error:
        reason = " ".join(str(error.__cause__ or error).split())
        free = shutil.disk_usage(path.parent).free
        raise OSError(f"{path}: could not be written whole: {reason} ({free:,} bytes are free there)") from error


def write_json(path: Path, content: object) -> None:
    """Write `content` atomically as indented JSON."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def reserved(folder: Path, wait: bool = True) -> Iterator[Path | None]:
    """Reserve the name of a folder for one writer among threads, processes and machines.

    Args:
        folder: the folder to write; it need not exist.
        wait: whether to wait for another writer to end.

    Yields:
        A folder for attempts, `.NAME.partial` next to `folder`, without what a killed writer left in it; None if
        another writer has the name and `wait` is False.
    """
    folder = _target(folder)
    attempts = folder.with_name(f".{folder.name}.partial")
    lock = _lock_in(attempts, wait)
    if lock is None:
        yield None
        return
    try:
        if lock.exclusive:
            _clear(attempts, folder)
        yield attempts
    finally:
        lock.release()
        with suppress(OSError):
            attempts.rmdir()


@contextmanager
def whole_folder(
    folder: Path, check: Callable[[Path], object] = lambda folder: None, attempts: Path | None = None
) -> Iterator[Path]:
    """Write a folder atomically: yield an empty one that is renamed to `folder` at the end, and removed on an error.

    Every file is flushed to disk before the rename, so `folder` is complete whenever it exists, even after a power
    failure. An existing `folder` is replaced. One that a killed process was replacing is restored by the next attempt.

    Args:
        folder: the folder.
        check: raises an exception if the existing folder must not be replaced.
        attempts: what `reserved` yielded for `folder`; by default it is reserved here.

    Raises:
        FileExistsError: `folder` is a file.
    """
    folder = _target(folder)
    with reserved(folder) if attempts is None else nullcontext(attempts) as place:
        assert place is not None
        attempt = place / _token()
        attempt.mkdir()
        try:
            yield attempt
            for path in [*attempt.rglob("*"), attempt]:
                _fsync(path)
            _put(attempt, folder, check)
            _fsync(folder.parent)
        finally:
            _discard(attempt, folder)


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left of `write_whole` and `whole_folder` in a folder; running ones keep theirs."""
    for path in list(folder.glob(".*.partial")):
        with suppress(FileNotFoundError):  # its process has ended in the meantime
            if not path.is_dir():
                lock = acquire(path, wait=False) if re.search(rf"\.{TOKEN}\.partial$", path.name) else None
                if lock is not None and lock.exclusive:
                    lock.release()
            elif all(re.fullmatch(rf"lock|{TOKEN}(\.old)?", entry.name) for entry in path.iterdir()):
                with reserved(folder / path.name.removeprefix(".").removesuffix(".partial"), wait=False):
                    pass


TOKEN = r"\d+-[0-9a-f]{8}"
"""What `_token` returns."""


def _token() -> str:
    """A name for an attempt that no other process or thread uses."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _target(folder: Path) -> Path:
    return folder.resolve() if folder.is_symlink() else folder


def _lock_in(attempts: Path, wait: bool) -> Lock | None:
    while True:
        attempts.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # an earlier holder has removed the folder in the meantime
            return acquire(attempts / "lock", wait)


def _put(attempt: Path, folder: Path, check: Callable[[Path], object]) -> None:
    """Rename `attempt` to `folder`, and an earlier `folder` to what `_discard` removes."""
    while True:
        try:
            attempt.rename(folder)  # also replaces an empty folder
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        check(folder)
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder}: found a file, expected a folder or nothing")
        old = attempt.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):  # another writer without a lock has just renamed it
            folder.rename(old)


def _discard(attempt: Path, folder: Path) -> None:
    """Remove an attempt, and the folder that it replaced; that one is restored where nothing is in its place."""
    old = attempt.with_suffix(".old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(attempt, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _clear(attempts: Path, folder: Path) -> None:
    for path in list(attempts.iterdir()):
        if path.is_dir():
            _discard(path.with_suffix(""), folder)
        elif path.name != "lock":
            path.unlink()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
