"""Latency and throughput of the server: `python -m benchmarks.serving [--clients N] [--requests N] [--computing N]`.

Starts `transect serve` on a small untrained model of change detection, sends one synthetic pair in each request from
several clients at once, and prints percentiles of the latency, with waiting, and the throughput. Returns 1 if a request
fails.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import Config
from transect.apps.change_detection.models.config import ModelConfig
from transect.data_adapters.base import Case
from transect.pipelines import model_folder

CASES = 20


def main() -> int:
    """Measure and print; returns 1 if a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8, help="number of clients at once (default 8)")
    parser.add_argument("--requests", type=int, default=80, help="number of requests in all (default 80)")
    parser.add_argument("--computing", type=int, default=2, help="requests computed at a time (default 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cases = _prepare(Path(scratch))
        command = [sys.executable, "-m", "transect.pipelines.cli", "serve", "model", "--port", "0"]
        command += ["--computing", str(arguments.computing), "--waiting", str(arguments.clients)]
        server = subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            (address,) = re.findall(r"http://[\d.:]+", server.stdout.readline())
            for number in range(arguments.computing):
                _ask(address, cases[number], "warm-up")
            started = time.perf_counter()
            with ThreadPoolExecutor(arguments.clients) as clients:
                jobs = [
                    clients.submit(_ask, address, cases[number % CASES], f"results_{number // CASES}")
                    for number in range(arguments.requests)
                ]
            wall = time.perf_counter() - started
        finally:
            server.terminate()
            server.wait()
    answers = [job.result() for job in jobs]
    failed = [message for _, message in answers if message]
    low, middle, high = np.percentile([seconds for seconds, _ in answers], [50, 95, 99])
    print(f"{arguments.clients} clients, {arguments.computing} computing, {os.cpu_count()} cores")
    print(f"requests    {len(answers):8d}   failed {len(failed)} {failed[0] if failed else ''}".rstrip())
    print(f"latency     {low:8.3f} s p50   {middle:.3f} s p95   {high:.3f} s p99")
    print(f"throughput  {len(answers) / wall:8.2f} requests/s")
    return int(bool(failed))


def _prepare(folder: Path) -> list[Case]:
    """Write a model folder and synthetic pairs; returns the pairs."""
    torch.manual_seed(0)
    app = ChangeDetection(Config(model=ModelConfig(name="unet"), threshold=1.0))
    model_folder.save(folder / "model", "change_detection", app, app.model().eval(), "Random weights.\n")
    app.adapter.phantom(folder / "pairs", CASES, 0)
    return list(app.adapter.cases(str(folder / "pairs")))


def _ask(address: str, case: Case, out: str) -> tuple[float, str]:
    """Seconds of a request, and why it failed."""
    row = dict(zip(("before", "after"), case.files[:2], strict=True))
    body = json.dumps({"dataframe_records": [row], "params": {"out": out}}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request) as answer:
            (result,) = json.load(answer)["predictions"]
    except OSError as error:
        return time.perf_counter() - started, str(error)
    return time.perf_counter() - started, result["message"]


if __name__ == "__main__":
    sys.exit(main())
