"""Share cases among worker processes, and lose none when a process dies."""

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
"""What is done with each case; a function that can be pickled, and so can its result."""

DIED = "the worker process died, perhaps out of memory"


def in_processes(
    work: Work[Result], cases: Sequence[Case], model: Model, workers: int
) -> Iterator[tuple[Case, Result | None]]:
    """Each case with the result of `work` on it, in the order in which they finish; None if its process died.

    The workers are processes that load the model anew and share the cores equally. When one dies, the cases that were
    under way are tried again one by one, so that only the one that kills its process again gets no result.
    """
    waiting: list[Case] = list(cases)
    suspects: list[Case] = []
    while waiting or suspects:
        batch, together = (suspects[:1], 1) if suspects else (waiting, workers)
        left = yield from _run_pool(work, batch, together, model, (os.cpu_count() or 1) // workers)
        if batch is waiting:
            waiting, suspects = left[together:], left[:together]
        else:
            suspects = suspects[1:]
            if left:
                yield left[0], None


def _run_pool(
    work: Work[Result], cases: Sequence[Case], workers: int, model: Model, threads: int
) -> Generator[tuple[Case, Result], None, list[Case]]:
    """Results of the cases in a pool; returns those left when a worker died, the ones under way first."""
    queue = list(cases)
    running: dict[Future[Result], Case] = {}
    # By folder, not by name: an alias may move to another version meanwhile.
    of_model = (str(model.folder), model.overrides, str(model.device))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(*of_model, threads)) as pool:
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
