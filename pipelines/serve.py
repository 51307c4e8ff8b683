"""MLflow's own server and pages, started the way Transect keeps its store."""

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
    """Serve `model` on the loopback address, confined to the folders `roots`; returns the server's exit status.

    Raises:
        UsageError: there is no such model or device.
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
        where = ["--host", "127.0.0.1", "--port", str(port)]
        return _mlflow("models", "serve", "--model-uri", model, "--env-manager", "local", *where, env=environment)


def ui(port: int) -> int:
    """Show the tracking store's pages on the loopback address; returns the server's exit status."""
    store = use_store()
    # MLflow's jobs serve its GenAI pages alone and start eight more processes.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return _mlflow("ui", "--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(port), env=environment)


def _mlflow(*arguments: str, env: dict[str, str]) -> int:
    """Run MLflow's command; it starts programs by name and as processes of their own, which end with this one."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "mlflow", *arguments]
    server = subprocess.Popen(command, env={**env, "PATH": beside}, start_new_session=True)
    try:
        return server.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
