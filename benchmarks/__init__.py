"""Reproducible benchmarks: parity with reference implementations, quality, and speed relative to named peers."""

import os

# Set before any benchmark imports torch: huge pages speed up large matrices, idle threads must not spin, and the
# profiler that counts memory should not log.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KINETO_LOG_LEVEL", "5")
