"""What a person at a terminal, or later in a log, sees of long work. Results go to stdout, all of this to stderr."""

import logging
import sys
import time

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LOG_INTERVAL = 10.0  # seconds between progress lines where there is no terminal

_stderr = Console(stderr=True)


def set_up_logging() -> None:
    """Send the log to stderr: with colours on a terminal, else as plain lines with their time."""
    handler: logging.Handler
    if _stderr.is_terminal:
        handler = RichHandler(console=_stderr, show_path=False, show_level=False, log_time_format="%H:%M:%S")
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("transect")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


class Progress:
    """A count of finished units, with rate and time left: a bar on a terminal, a line now and then in a log."""

    def __init__(self, task: str, total: int, unit: str, done: int = 0) -> None:
        self.task, self.total, self.unit, self.done, self.first = task, total, unit, done, done
        self.started = self.shown = time.monotonic()
        self.bar: Bar | None = None
        if _stderr.is_terminal:
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=_stderr,
                transient=True,
            )
            self.bar.add_task(task, total=total, completed=done, rate="", note="")
            self.bar.start()

    def advance(self, note: str = "") -> None:
        """Count one more unit as finished."""
        self.done += 1
        now = time.monotonic()
        rate = (self.done - self.first) / max(now - self.started, 1e-9)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, rate=f"{rate:.3g} {self.unit}/s", note=note)
        elif now - self.shown >= LOG_INTERVAL:
            self.shown = now
            left = _duration((self.total - self.done) / rate)
            logging.getLogger("transect").info(
                "%s: %d of %d %s, %.3g %s/s, %s left %s",
                *(self.task, self.done, self.total, self.unit, rate, self.unit, left, note),
            )

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
