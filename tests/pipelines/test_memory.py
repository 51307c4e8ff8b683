"""Training keeps freed memory."""

import subprocess
import sys

import pytest

FREE = """
import ctypes, sys
import torch
from transect.pipelines.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
Statistics = type("Statistics", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in names.split()]})
mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Statistics
torch.ones(1 << 26)  # 256 MB, freed at once
print(mallinfo().fordblks >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_malloc_keeps_a_large_block_that_is_freed():
    free = {}
    for mode in ("keep", "return"):
        done = subprocess.run([sys.executable, "-c", FREE, mode], capture_output=True, text=True, check=True)
        free[mode] = int(done.stdout)  # MB
    assert free["return"] < 256 <= free["keep"]
