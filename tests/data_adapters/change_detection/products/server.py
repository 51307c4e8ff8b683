"""An HTTP server on the loopback address that answers range requests and counts what it sends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Files(BaseHTTPRequestHandler):
    root: Path
    sent: list[tuple[str, int]]
    slow: tuple[str, ...] = ()
    moved: dict[str, str]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        name = self.path.partition("?")[0].lstrip("/")
        if name in self.slow:
            time.sleep(30)
            return
        if name in self.moved:
            self.send_response(302)
            self.send_header("Location", self.moved[name])
            self.end_headers()
            return
        file = self.root / name
        if name.endswith("/") or not file.is_file():
            self.sent.append((name, 0))
            self.send_error(404)
            return
        content = file.read_bytes()
        first, last = 0, len(content) - 1
        if span := self.headers.get("Range"):
            start, _, stop = span.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(stop or last), last)
        self.send_response(206 if span else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        if span:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(content[first : last + 1])
            self.sent.append((name, last + 1 - first))


@contextmanager
def serving(root: Path) -> Iterator[tuple[str, type[Files]]]:
    """Serve the files below `root`; yields the address and the handler, which counts the bytes that it sends."""
    handler = type("Handler", (Files,), {"root": root, "sent": [], "moved": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()
