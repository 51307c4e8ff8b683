"""Hand cases to one process or to several, and lose none when a process dies."""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.predict_case import predict_case
from transect.pipelines.results import Outcome


def outcomes_of(
    cases: Sequence[Case],
    model: model_folder.Model,
    out: Path,
    workers: int,
    overrides: list[str],
    watch: Callable[[object], None],
) -> Iterator[Outcome]:
    """Predict `cases` into `out`, in the order in which they finish.

    One worker is this process. Several are processes of their own with a share of the cores each; when one dies, the
    cases that were under way are tried again one by one, and the one that kills its process again fails alone.
    """
    if workers <= 1:
        yield from (predict_case(model, case, out, watch) for case in cases)
        return
    waiting: list[Case] = list(cases)
    suspects: list[Case] = []
    while waiting or suspects:
        # After a worker died, the cases that were under way go one at a time, so that the guilty one fails alone.
        batch, together = (suspects[:1], 1) if suspects else (waiting, workers)
        # By folder, not by name: an alias may move to another version meanwhile.
        name, threads = str(model.folder), (os.cpu_count() or 1) // workers
        left = yield from _run_pool(batch, out, together, name, overrides, threads)
        if batch is waiting:
            waiting, suspects = left[together:], left[:together]
        else:
            suspects = suspects[1:]
            if left:
                yield Outcome(left[0].id, "failed", 0.0, "the worker process died, perhaps out of memory")


def _run_pool(
    cases: Sequence[Case], out: Path, workers: int, name: str, overrides: list[str], threads: int
) -> Generator[Outcome, None, list[Case]]:
    """Outcomes of the cases in a pool; returns those left when a worker died, the ones under way first."""
    queue = list(cases)
    running: dict[Future[Outcome], Case] = {}
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(name, overrides, threads)
    )
    with pool:
        while queue or running:
            try:
                while queue and len(running) < workers:
                    future = pool.submit(_work, queue[0], out)
                    running[future] = queue.pop(0)
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                    del running[future]
            except BrokenProcessPool:
                return [*running.values(), *queue]
    return []


_worker_model: model_folder.Model


def _start_worker(name: str, overrides: list[str], threads: int) -> None:
    import torch

    from transect.pipelines.console import set_up_logging

    global _worker_model
    set_up_logging()
    torch.set_num_threads(max(threads, 1))
    _worker_model = model_folder.load(name, overrides)


def _work(case: Case, out: Path) -> Outcome:
    return predict_case(_worker_model, case, out)
