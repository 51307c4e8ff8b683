"""Figures that anyone can print again: parity with reference numbers, quality, and speed as ratios to named peers."""

import os

# Before torch is imported by any of them: huge pages make large matrices cheaper, waiting threads must not spin, and
# the profiler that counts memory need not tell of itself.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KINETO_LOG_LEVEL", "5")
