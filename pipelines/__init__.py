"""Pipelines shared by all apps: train, track, evaluate, register, predict, serve and report."""

import os

# Libraries read these variables on import; values that the user has set are kept.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads can make two cores slower than one
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages speed up large matrix products
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("DO_NOT_TRACK", "true")
