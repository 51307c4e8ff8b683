"""Logging and progress of long operations, on stderr; results go to stdout."""

import logging
import sys
import threading
import time

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

log = logging.getLogger("transect")

LOG_INTERVAL = 10.0  # seconds between progress lines without a terminal

_stderr = Console(stderr=True)


def set_up_logging() -> None:
    """Log to stderr: in colour on a terminal, otherwise as plain lines with the time."""
    handler: logging.Handler
    if _stderr.is_terminal:
        handler = RichHandler(console=_stderr, show_path=False, show_level=False, log_time_format="%H:%M:%S")
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


class Progress:
    """Progress of a task with rate and remaining time: a bar on a terminal, otherwise periodic log lines.

    Args:
        task: label of the task.
        total: number of units.
        unit: name of the units, in the plural.
        done: units that an earlier run finished; they do not count in the rate.
    """

    def __init__(self, task: str, total: int, unit: str, done: int = 0) -> None:
        self.task, self.total, self.unit, self.done, self.first, self.note = task, total, unit, done, done, ""
        self.started = self.shown = time.monotonic()
        self.watched: object = None
        self.bar: Bar | None = None
        if _stderr.is_terminal:
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]} {task.fields[rate]}"),
                TextColumn("{task.fields[left]} {task.fields[note]}"),
                console=_stderr,
                transient=True,
            )
            self.bar.add_task(task, total=total, count="", rate="", left="", note="")
            self.bar.start()
        self.closed = threading.Event()
        threading.Thread(target=self._keep_showing, daemon=True).start()

    def watch(self, unit: object) -> None:
        """Include the current unit's attribute `progress`, its finished fraction, where it has one."""
        self.watched = unit

    def advance(self, note: str = "") -> None:
        """Count one more unit as finished; `note` is shown after the remaining time."""
        self.watched = None
        self.done, self.note = self.done + 1, note

    def close(self) -> None:
        """Stop reporting and remove the bar."""
        self.closed.set()
        if self.bar is not None:
            self.bar.stop()

    def _keep_showing(self) -> None:
        while not self.closed.wait(1.0):
            self._show()

    def _show(self) -> None:
        now = time.monotonic()
        done = self.done + float(getattr(self.watched, "progress", 0.0))
        rate = (done - self.first) / max(now - self.started, 1e-9)
        count, speed = f"{done:.4g} of {self.total} {self.unit}", f"{rate:.3g} {self.unit}/s"
        left = f"{_duration((self.total - done) / rate)} left" if rate > 0 else ""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, count=count, rate=speed, left=left, note=self.note)
        elif now - self.shown >= LOG_INTERVAL:
            self.shown = now
            log.info("%s: %s, %s, %s %s", self.task, count, speed, left, self.note)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
