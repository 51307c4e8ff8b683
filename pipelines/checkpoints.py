"""Checkpoints of training: files that are written whole, or whose name is in the error."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from transect.data_adapters.files import writing
from transect.pipelines.errors import UsageError

log = logging.getLogger("transect")


def writable(folder: Path) -> Path:
    """The folder, which is created if necessary.

    Raises:
        OSError: it cannot be written to.
    """
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder}: {error.strerror}; train in a folder that you may write to") from error
    return folder


class Checkpoints(TorchCheckpointIO):
    """Lightning's atomic writing, with the name of the file and the free space in errors."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one checkpoint.

        Raises:
            OSError: it could not be written.
        """
        with writing(Path(path)):
            super().save_checkpoint(checkpoint, path, storage_options)


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        UsageError: it is missing, truncated or damaged.
    """
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of several libraries, and no fixed set
        reason = " ".join(str(error).partition(". ")[0].split()) or type(error).__name__
        raise UsageError(f"{file}: found a file that cannot be read ({reason}), expected a whole checkpoint") from error
    return content


def usable_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the last epoch, or of the best one where that is damaged; None before the first epoch ended.

    Continued from either, a run comes to the same result.

    Raises:
        UsageError: a checkpoint that is needed is damaged; the message names it.
    """
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    if not last.is_file() and not best.is_file():
        return None
    epoch = read_checkpoint(best)["epoch"]  # the result of the run, if no later epoch is better
    try:
        read_checkpoint(last)
    except UsageError as error:
        log.warning("%s; continuing from epoch %d in %s", error, epoch + 1, best)
        return best
    return last
