"""The HTTP server of a model: the protocol of MLflow's scoring server, with limits.

MLflow's own server neither limits the size, number and time of requests nor checks their Host, ignores unknown
parameters, and returns stack traces and whole bodies in its errors. It computes in threads, in which matplotlib is not
safe and which cannot be ended; here a request is computed by a process.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from transect.data_adapters.base import BadInput
from transect.pipelines.confine import output_folder
from transect.pipelines.model_process import ModelProcess
from transect.pipelines.request_body import parse

HOSTS = ["127.0.0.1", "localhost"]
"""Names by which a request may address the server. A web page may point its own name at this machine."""

LARGEST_BODY, BODY_SECONDS = 1 << 20, 30.0
RETRY_SECONDS = 5


@dataclass(frozen=True)
class Limits:
    """The requests that a server accepts.

    Args:
        computing: number of requests that are computed at a time, each by a process with the model.
        waiting: number of further requests that wait; any more are refused with status 503.
        seconds: longest time of a request, waiting included; then it is ended with status 504.
    """

    computing: int = 2
    waiting: int = 16
    seconds: float = 600.0


class Server:
    """Answers `/invocations`, `/ping`, `/health` and `/version`.

    Args:
        processes: the processes with the model.
        columns: the names of the files of a case.
        roots: folders that requests may access.
        limits: the requests that are accepted.
    """

    def __init__(
        self, processes: Sequence[ModelProcess], columns: Sequence[str], roots: Sequence[Path], limits: Limits
    ):
        self.columns, self.roots, self.limits = columns, roots, limits
        self.in_progress = 0
        self.free: asyncio.Queue[ModelProcess] = asyncio.Queue()
        for process in processes:
            self.free.put_nowait(process)

    def app(self) -> Starlette:
        """The server as an ASGI application."""
        return Starlette(
            routes=[
                Route("/invocations", self.invocations, methods=["POST"]),
                Route("/ping", _ping),
                Route("/health", _ping),
                Route("/version", _version),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
            exception_handlers={HTTPException: _refused, Exception: _failed},
        )

    async def invocations(self, request: Request) -> Response:
        """Predict the rows of a request."""
        body = await _body(request)
        try:
            rows, parameters = parse(body, request.headers.get("content-type", ""), self.columns)
            out = output_folder(parameters.get("out", "predictions"), self.roots)
        except BadInput as error:
            raise HTTPException(400, str(error)) from None
        if self.in_progress >= self.limits.computing + self.limits.waiting:
            message = f"requests: found {self.in_progress} in progress, expected fewer; try again later"
            raise HTTPException(503, message, {"Retry-After": str(RETRY_SECONDS)})
        self.in_progress += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                return _json({"predictions": await self._compute(request, rows, out)})
        except TimeoutError:
            message = f"time: found over {self.limits.seconds:g} s, expected less; send fewer rows at a time"
            raise HTTPException(504, message) from None
        except asyncio.CancelledError:
            raise HTTPException(503, "the server ends", {"Retry-After": str(RETRY_SECONDS)}) from None
        except ChildProcessError as error:
            raise HTTPException(500, str(error)) from None
        finally:
            self.in_progress -= 1

    async def _compute(self, request: Request, rows: list[list[str]], out: Path) -> list[dict[str, str]]:
        process = await self.free.get()
        try:
            if await request.is_disconnected():
                return []
            return await asyncio.to_thread(process.predict, rows, out, self.roots)
        except BaseException:  # also a cancellation, at the end of the time or of the server
            process.restart()
            raise
        finally:
            self.free.put_nowait(process)


async def _body(request: Request) -> bytes:
    size, body = int(request.headers.get("content-length", "0")), bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            parts = request.stream()
            while size <= LARGEST_BODY and (part := await anext(parts, None)) is not None:
                body += part
                size = max(size, len(body))
    except TimeoutError:
        raise HTTPException(408, f"body: found no end within {BODY_SECONDS:g} s, expected a whole body") from None
    except ClientDisconnect:
        raise HTTPException(400, "body: found no end, expected a whole body") from None
    if size > LARGEST_BODY:
        raise HTTPException(413, f"body: found more than {LARGEST_BODY:,} bytes, expected at most that")
    return bytes(body)


async def _ping(request: Request) -> Response:
    return Response("\n", media_type="application/json")


async def _version(request: Request) -> Response:
    return Response(version("mlflow"), media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "INVALID_PARAMETER_VALUE" if error.status_code < 500 else "TEMPORARILY_UNAVAILABLE"
    return _json({"error_code": code, "message": error.detail}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    message = f"{type(error).__name__}; see the log of the server"
    return _json({"error_code": "INTERNAL_ERROR", "message": message}, 500)


def _json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """As Starlette's own, but in ASCII, because a request may name half of a surrogate pair."""
    return Response(json.dumps(content), status, headers, "application/json")
