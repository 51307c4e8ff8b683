"""Run an iterator one step ahead of its reader, so that reading, computing and writing overlap."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], ahead: int = 1) -> Generator[Item, None, None]:
    """Yield `items`, produced in a thread that stays at most `ahead` items in front of the reader.

    An exception of the producer is raised here, at the place of the item that failed. When the reader stops early,
    the producer stops after the item it is working on. Numpy, torch and GDAL release the interpreter while they work.
    """
    ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None, more: bool) -> None:
        while not stopped.is_set():
            try:
                return ready.put((item, error, more), timeout=0.1)
            except queue.Full:
                continue

    def produce() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item, None, True)
                if stopped.is_set():
                    return
            put(None, None, False)
        except BaseException as error:  # it is raised again in the reader's thread
            put(None, error, False)
        finally:
            if close := getattr(iterator, "close", None):
                close()

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    try:
        while True:
            item, error, more = ready.get()
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        producer.join()
