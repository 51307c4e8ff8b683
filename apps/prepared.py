"""Temporary copies of training cases, prepared once and read in parts from then on."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path


class PreparedCopies:
    """A temporary folder with one folder for each training case, written when the case is first read.

    Loading processes share the folder. It is removed with the object that made it, in the process that made it.

    Args:
        name: What is in the folder, such as "volumes".
    """

    def __init__(self, name: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix=f"transect-{name}-"))
        weakref.finalize(self, _remove, self.root, os.getpid())

    def folder(self, number: int, write: Callable[[Path], None]) -> Path:
        """The folder of a case.

        Args:
            number: Of the case.
            write: Writes the files of the case to an empty folder; called unless they exist.
        """
        folder = self.root / str(number)
        if not folder.exists():
            partial = Path(tempfile.mkdtemp(dir=self.root))
            write(partial)
            try:
                partial.rename(folder)
            except OSError:  # another process was first
                shutil.rmtree(partial)
        return folder


def _remove(folder: Path, owner: int) -> None:
    """Remove the copies, unless this is a loading process, which shares them."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
