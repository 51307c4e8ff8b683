"""Start MLflow's model server and user interface on the tracking store of Transect."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from transect.pipelines import model_folder
from transect.pipelines.device import choose
from transect.pipelines.store import use_store


def serve(model: str, port: int, roots: list[str], device: str = "auto") -> int:
    """Serve a model on the loopback address until the server ends.

    Args:
        model: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        port: TCP port.
        roots: folders that requests may access; by default the working folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        The exit status of the server.

    Raises:
        UsageError: the model or the device does not exist.
    """
    choose(device)
    use_store()
    roots = [str(Path(root).absolute()) for root in roots or [os.getcwd()]]
    environment = {**os.environ, "TRANSECT_ROOTS": os.pathsep.join(roots), "TRANSECT_DEVICE": device}
    with tempfile.TemporaryDirectory() as scratch:
        if not model.startswith(("models:/", "runs:/")):
            from transect.pipelines.pyfunc_model import save_model

            save_model(model_folder.find(model), Path(scratch, "model"))
            model = str(Path(scratch, "model"))
        address = ["--host", "127.0.0.1", "--port", str(port)]
        return _mlflow("models", "serve", "--model-uri", model, "--env-manager", "local", *address, env=environment)


def ui(port: int) -> int:
    """Run the MLflow UI of the tracking store on the loopback address; returns the exit status of the server."""
    store = use_store()
    # Job execution is only for MLflow's GenAI pages, and starts eight more processes.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return _mlflow("ui", "--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(port), env=environment)


def _mlflow(*arguments: str, env: dict[str, str]) -> int:
    """Run an MLflow command with this environment's programs on the PATH, and end all its processes with it."""
    search_path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "mlflow", *arguments]
    server = subprocess.Popen(command, env={**env, "PATH": search_path}, start_new_session=True)
    try:
        return server.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
