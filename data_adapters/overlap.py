"""Let reading, computing and writing overlap: each in a thread of its own, a few items apart."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def consume_aside(items: Iterable[Item], consume: Callable[[Iterator[Item]], Result], ahead: int = 1) -> Result:
    """Produce `items` in this thread while `consume` takes them in another, at most `ahead` behind; its result.

    Heavy computing belongs in the thread that calls this: the memory that other threads free goes back to the system
    and has to be cleared again for every large array. When either side raises, the other is ended before the error is
    raised here.
    """
    ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(maxsize=ahead)

    def coming() -> Iterator[Item]:
        while True:
            item, error, more = ready.get()
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]

    with ThreadPoolExecutor(1) as pool:
        consumed = pool.submit(consume, coming())

        def put(item: Item | None, error: BaseException | None, more: bool) -> bool:
            while not consumed.done():
                try:
                    ready.put((item, error, more), timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        try:
            for item in items:
                if not put(item, None, True):
                    break
            put(None, None, False)
        except BaseException as error:
            put(None, error, False)
            raise
        finally:
            if close := getattr(items, "close", None):
                close()
        return consumed.result()
