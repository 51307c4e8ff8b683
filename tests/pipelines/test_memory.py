"""Training keeps freed memory."""

import subprocess
import sys

import pytest

BLOCKS = """
import resource, sys
import torch
from transect.pipelines.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def step():
    torch.ones(1 << 26).sum()  # 256 MB

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_a_step_maps_the_memory_of_the_one_before_no_more():
    faults = {}
    for mode in ("keep", "return"):
        done = subprocess.run([sys.executable, "-c", BLOCKS, mode], capture_output=True, text=True, check=True)
        faults[mode] = int(done.stdout)
    assert faults["keep"] * 10 < faults["return"]
