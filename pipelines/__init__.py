"""Pipelines that every app shares: train, track, evaluate, register, predict, serve and report."""

import os

# Libraries read these when they are imported; what the user has set stands.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads make two cores slower than one
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages speed up large matrix products
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("DO_NOT_TRACK", "true")
