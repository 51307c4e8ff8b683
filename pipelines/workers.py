"""Distribute cases over worker processes, with an outcome for every case even if a process dies."""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.model_folder import Model

Result = TypeVar("Result")
Work = Callable[[Model, Case], Result]
"""The function that is applied to each case; it and its result can be pickled."""

DIED = "the worker process died, perhaps out of memory"


def in_processes(
    work: Work[Result], cases: Sequence[Case], model: Model, workers: int
) -> Iterator[tuple[Case, Result | None]]:
    """Apply a function to each case in worker processes, which load the model and share the cores equally.

    When a process dies, the cases in progress are retried one by one, so that only a case whose process dies again has
    no result.

    Args:
        work: the function.
        cases: the cases.
        model: the model, loaded from its folder in each worker.
        workers: number of processes.

    Yields:
        Each case with its result, in the order of completion; the result is None if its process died.
    """
    waiting: list[Case] = list(cases)
    suspects: list[Case] = []
    while waiting or suspects:
        batch, processes = (suspects[:1], 1) if suspects else (waiting, workers)
        left = yield from _run_pool(work, batch, processes, model, (os.cpu_count() or 1) // workers)
        if batch is waiting:
            waiting, suspects = left[processes:], left[:processes]
        else:
            suspects = suspects[1:]
            if left:
                yield left[0], None


def _run_pool(
    work: Work[Result], cases: Sequence[Case], workers: int, model: Model, threads: int
) -> Generator[tuple[Case, Result], None, list[Case]]:
    """Yield results of the cases in a pool; return those without one when a worker died, cases in progress first."""
    queue = list(cases)
    running: dict[Future[Result], Case] = {}
    # The folder and not the name, since an alias may move to another version in the meantime.
    model_arguments = (str(model.folder), model.overrides, str(model.device))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(*model_arguments, threads)) as pool:
        while queue or running:
            try:
                while queue and len(running) < workers:
                    future = pool.submit(_do, work, queue[0])
                    running[future] = queue.pop(0)
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running[future], future.result()
                    del running[future]
            except BrokenProcessPool:
                return [*running.values(), *queue]
    return []


_model: Model


def _start_worker(folder: str, overrides: tuple[str, ...], device: str, threads: int) -> None:
    import torch

    from transect.pipelines.console import set_up_logging

    global _model
    set_up_logging()
    torch.set_num_threads(max(threads, 1))
    _model = model_folder.load(folder, overrides, device)


def _do(work: Work[Result], case: Case) -> Result:
    return work(_model, case)
