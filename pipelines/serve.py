"""Serve a model over HTTP, or start MLflow's user interface on the tracking store of Transect."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.model_process import ModelProcess
from transect.pipelines.server import Limits, Server

HOST = "127.0.0.1"
GRACE_SECONDS = 10
"""Time that requests in progress have to end once the server is asked to end."""


def serve(model: str, port: int, roots: list[str], limits: Limits, device: str = "auto") -> int:
    """Serve a model on the loopback address until a signal ends the server.

    Args:
        model: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        port: TCP port; 0 for any that is free.
        roots: folders that requests may access; by default the working folder.
        limits: the requests that are accepted.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        The exit status, 0.

    Raises:
        UsageError: the model, the device or a root does not exist, or the port is taken.
    """
    import uvicorn

    folders = [Path(root).absolute() for root in roots or [os.getcwd()]]
    for root in folders:
        if not root.is_dir():
            raise UsageError(f"serve: --root: found {root}, expected a folder")
    with ExitStack() as ending:
        listening = ending.enter_context(_listen(port))
        folder, threads = model_folder.find(model), max((os.cpu_count() or 1) // limits.computing, 1)
        processes = [ModelProcess(folder.absolute(), device, threads) for _ in range(limits.computing)]
        for process in processes:
            ending.callback(process.end)
        columns = [process.columns() for process in processes][-1]
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        print(f"serving {model} at {address}, files below {', '.join(map(str, folders))}", flush=True)
        config = uvicorn.Config(
            Server(processes, columns, folders, limits).app(),
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"serve: --port: found {port}, expected a free port ({str(reason).lower()})") from error
    return listening


def ui(port: int) -> int:
    """Run the MLflow UI of the tracking store on the loopback address; returns the exit status of the server."""
    from transect.pipelines.store import use_store

    store = use_store()
    # Job execution is only for MLflow's GenAI pages, and starts eight more processes.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    search_path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store, "--host", HOST, "--port", str(port)]
    server = subprocess.Popen(command, env={**environment, "PATH": search_path}, start_new_session=True)
    try:
        return server.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
