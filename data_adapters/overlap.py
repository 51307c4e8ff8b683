"""Overlap reading, computing and writing by threads with bounded queues.

torch's DataLoader serves training; this passes one case's blocks in order, without copies between processes.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(items: Iterable[Item], ahead: int = 1) -> Generator[Item, None, None]:
    """Yield `items` from a background thread that stays at most `ahead` items in front of the consumer.

    An exception of the producer is raised here in place of the item that failed. When the consumer stops early, the
    producer stops after its current item. NumPy, torch and GDAL release the GIL while they work.

    Args:
        items: Iterated in the background thread.
        ahead: Size of the queue between the threads.

    Yields:
        The items in order.
    """
    stopped = threading.Event()
    handover = _Handover[Item](ahead, stopped.is_set)

    def produce() -> None:
        with suppress(BaseException):  # raised in the consumer's thread
            handover.send(items)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    try:
        yield from handover.received()
    finally:
        stopped.set()
        producer.join()


def consume_in_thread(items: Iterable[Item], consume: Callable[[Iterator[Item]], Result], ahead: int = 1) -> Result:
    """Produce `items` in this thread while `consume` runs in another.

    Heavy computation belongs in the calling thread: memory that other threads free is returned to the operating system
    and has to be zeroed again for every large array. When either side raises, the other is stopped before the error is
    raised here.

    Args:
        items: Iterated in this thread.
        consume: Takes an iterator over the items, in the other thread.
        ahead: Size of the queue between the threads.

    Returns:
        The result of `consume`.
    """
    with ThreadPoolExecutor(1) as pool:
        handover = _Handover[Item](ahead, lambda: consumed.done())
        try:
            consumed = pool.submit(consume, handover.received())
            handover.send(items)
        except BaseException as error:
            # An interrupt while the thread starts: the pool does not know it yet, and it would wait forever.
            with suppress(queue.Full):
                handover.waiting.put_nowait((None, error, False))
            raise
        return consumed.result()


class _Handover(Generic[Item]):
    """A bounded queue between two threads that also transmits the end of the items or the error that ended them.

    Args:
        ahead: Size of the queue.
        given_up: Returns whether the receiver has stopped, so that the sender does not wait for room.
    """

    def __init__(self, ahead: int, given_up: Callable[[], bool]) -> None:
        self.waiting: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(maxsize=ahead)
        self.given_up = given_up

    def send(self, items: Iterable[Item]) -> None:
        """Send all items, or those before the receiver stops, and close their iterator; errors are re-raised."""
        iterator = iter(items)
        try:
            for item in iterator:
                if not self._put(item, None, True):
                    return
            self._put(None, None, False)
        except BaseException as error:
            self._put(None, error, False)
            raise
        finally:
            if close := getattr(iterator, "close", None):
                close()

    def received(self) -> Iterator[Item]:
        """Iterate over the items in the receiver's thread; ends or raises where the sender did."""
        while True:
            item, error, more = self.waiting.get()
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]

    def _put(self, item: Item | None, error: BaseException | None, more: bool) -> bool:
        while not self.given_up():
            try:
                self.waiting.put((item, error, more), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
