"""Distribute cases over worker processes, with an outcome for every case even if a process dies."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import Model

Result = TypeVar("Result")
Work = Callable[[Model, Case], Result]
"""The function that is applied to each case; it and its result can be pickled."""
Failed = Callable[[Case, str], Result]
"""The result of a case that failed with a message."""

DIED = "the worker process died, perhaps out of memory"


class _CannotStart(RuntimeError):
    """A worker process could not load the model."""


def in_processes(
    work: Work[Result], cases: Sequence[Case], model: Model, workers: int, failed: Failed[Result]
) -> Iterator[tuple[Case, Result]]:
    """Apply a function to each case in worker processes, which load the model and share the cores equally.

    When a process dies, the cases in progress are retried one by one, so that only a case whose process dies again
    fails. So does a case whose function raises any exception, SystemExit included, or returns what cannot be pickled.

    Args:
        work: the function.
        cases: the cases.
        model: the model, loaded from its folder in each worker.
        workers: number of processes.
        failed: makes the result of a case that failed.

    Yields:
        Each case with its result, in the order of completion.

    Raises:
        UsageError: a worker cannot load the model.
    """
    waiting: list[Case] = list(cases)
    suspects: list[Case] = []
    while waiting or suspects:
        batch, processes = (suspects[:1], 1) if suspects else (waiting, workers)
        left = yield from _run_pool(work, batch, processes, model, (os.cpu_count() or 1) // workers, failed)
        if batch is waiting:
            waiting, suspects = left[processes:], left[:processes]
        else:
            suspects = suspects[1:]
            if left:
                yield left[0], failed(left[0], DIED)


def _run_pool(
    work: Work[Result], cases: Sequence[Case], workers: int, model: Model, threads: int, failed: Failed[Result]
) -> Generator[tuple[Case, Result], None, list[Case]]:
    """Yield results of the cases in a pool; return those without one when a worker died, cases in progress first."""
    queue = list(cases)
    running: dict[Future[Result], Case] = {}
    # The folder and not the name, since an alias may move to another version in the meantime.
    name = model.name if model.folder == Path() else str(model.folder)
    model_arguments = (name, model.overrides, str(model.device))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(*model_arguments, threads)) as pool:
        while queue or running:
            try:
                while queue and len(running) < workers:
                    future = pool.submit(_do, work, queue[0])
                    running[future] = queue.pop(0)
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running[future], _result(future, running[future], failed)
                    del running[future]
            except BrokenProcessPool:
                return [*running.values(), *queue]
    return []


def _result(future: Future[Result], case: Case, failed: Failed[Result]) -> Result:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, BrokenProcessPool):
        raise error
    if isinstance(error, _CannotStart):
        raise UsageError(f"--workers: found a worker that cannot load the model ({error}); try fewer") from error
    return failed(case, case.shown(f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")))


_model: Model | str
"""The model of this worker, or why it could not be loaded."""


def _start_worker(folder: str, overrides: tuple[str, ...], device: str, threads: int) -> None:
    global _model
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import torch

        from transect.pipelines.console import set_up_logging

        set_up_logging()
        torch.set_num_threads(max(threads, 1))
        _model = model_folder.load(folder, overrides, device)
    except Exception as error:
        _model = f"{type(error).__name__}: {' '.join(str(error).split())}"


def _end_with_parent() -> None:
    """End this process when its parent was killed; it would wait for cases forever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _do(work: Work[Result], case: Case) -> Result:
    if isinstance(_model, str):
        raise _CannotStart(_model)
    return work(_model, case)
