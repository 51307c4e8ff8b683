"""Atomic writes of files and folders, safe file names, and content hashes."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def safe_name(text: str) -> str:
    """`text` as a portable file name: letters, digits, `.`, `_` and `-`, never hidden, never empty."""
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._") or "unnamed"


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file, or of a folder's files with their relative names, in sorted order."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file_path.relative_to(path).as_posix()}\0{sha256(file_path)}\n".encode())
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Atomically replace the content of `path` by `text`: a reader, or a crash, sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
def whole_folder(folder: Path) -> Iterator[Path]:
    """Write a folder atomically: yield an empty one that is renamed to `folder` at the end, and removed on an error.

    Every file is flushed to disk before the rename, so `folder` is complete whenever it exists, even after a power
    failure. An existing `folder` is replaced. Leftovers of a killed process are removed by the next attempt.
    """
    if folder.is_symlink():
        folder = folder.resolve()
    partial, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _fsync(path)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        _fsync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
