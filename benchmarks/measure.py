"""Time and memory of short computations, robust to other load on the machine."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]
#: Minimum ratio of CPU time to wall time of a sample; below it the machine was busy.
QUIET = 0.93


class Clock:
    """CPU seconds of this process, without those spent while paused."""

    def __init__(self) -> None:
        self.start = time.process_time()

    def seconds(self) -> float:
        """CPU seconds since the start."""
        return time.process_time() - self.start

    def excluding(self, run: Callable[[], Any]) -> Any:
        """What `run` returns; its time does not count."""
        before = time.process_time()
        done = run()
        self.start += time.process_time() - before
        return done


def seconds(
    runs: Mapping[str, Run],
    device: torch.device,
    rounds: int,
    budget: float = 30.0,
    pick: Callable[[Iterable[float]], float] = statistics.median,
) -> dict[str, float]:
    """Seconds of each run, the median or what `pick` gives: CPU time of one thread, on a GPU wall time until the end.

    The runs alternate, so that load affects all of them, and samples taken while the machine was busy are repeated, up
    to three times as many. After `budget` seconds the samples so far are used.
    """
    samples: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    _wait(device)
    start = time.perf_counter()
    for attempt in range(3 * rounds):
        for name, run in runs.items():
            if len(samples[name]) == rounds:
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            _wait(device)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if device.type == "cuda":
                samples[name].append(wall)
            else:
                (samples if cpu >= QUIET * wall else busy)[name].append(cpu)
        if attempt and time.perf_counter() - start > budget:
            break
    return {name: pick(samples[name] or busy[name]) for name in runs}


def peak_bytes(run: Run, device: torch.device) -> int:
    """Peak memory allocated by torch during the run, beyond what was allocated before, in bytes."""
    run()
    if device.type == "cuda":
        _wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        _wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of one large matrix product, the reference rate of the device."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds({"matmul": lambda: F.linear(left, right)}, device, rounds=5, budget=10.0)["matmul"]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
