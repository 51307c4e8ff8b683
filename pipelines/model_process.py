"""A model in a process of its own, which can be ended in the middle of a case."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from transect.pipelines.errors import UsageError


class ModelProcess:
    """Starts a process that loads a model, and predicts rows in it. It ends with this process.

    Args:
        folder: the model folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        threads: number of threads that compute.
    """

    def __init__(self, folder: Path, device: str, threads: int) -> None:
        self._arguments = (str(folder), device, threads)
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()  # so that reading fails once the process has ended
        self._columns: tuple[str, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """The names of the files of a case, once the model is loaded.

        Raises:
            UsageError: the model cannot be loaded.
            ChildProcessError: the process ended.
        """
        if not self._columns:
            loaded = _receive(self._connection)
            if isinstance(loaded, str):
                raise UsageError(loaded)
            self._columns = loaded
        return self._columns

    def predict(self, rows: Sequence[Sequence[str]], out: Path, roots: Sequence[Path]) -> list[dict[str, str]]:
        """As `predict_rows`, in the process.

        Raises:
            UsageError: the model cannot be loaded again.
            ChildProcessError: the process ended.
        """
        connection = self._connection
        self.columns()
        connection.send((rows, out, roots))
        answers: list[dict[str, str]] = _receive(connection)
        return answers

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()

    def restart(self) -> None:
        """End the process at once and start another, which loads the model while this one goes on."""
        self.end()
        self._start()


def _receive(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError):
        raise ChildProcessError("the process with the model died, perhaps out of memory") from None


def _serve(connection: Connection, folder: str, device: str, threads: int) -> None:
    """Load the model, then answer requests until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too, and the server ends it
    import torch

    from transect.pipelines import model_folder
    from transect.pipelines.console import set_up_logging
    from transect.pipelines.predict_rows import predict_rows

    set_up_logging()
    torch.set_num_threads(threads)
    try:
        model = model_folder.load(folder, device=device)
    except UsageError as error:
        connection.send(str(error))
        return
    connection.send(tuple(model.app.adapter.columns))
    while True:
        try:
            rows, out, roots = connection.recv()
            connection.send(predict_rows(model, rows, out, roots))
        except (EOFError, OSError):
            os._exit(0)
