"""One step ahead: the order, the errors and the end of what is iterated stay as they were."""

import threading
from collections.abc import Iterator

import pytest

from data_adapters.prefetch import prefetch


def test_items_arrive_once_and_in_order() -> None:
    assert list(prefetch(range(100), ahead=3)) == list(range(100))
    assert list(prefetch([])) == []


def test_an_error_arrives_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise KeyError("third")

    seen: list[int] = []
    with pytest.raises(KeyError, match="third"):
        seen.extend(prefetch(items()))
    assert seen == [1, 2]


def test_the_producer_works_in_another_thread_while_the_reader_holds_an_item() -> None:
    second_begun = threading.Event()

    def items() -> Iterator[int]:
        yield threading.get_ident()
        second_begun.set()
        yield 2

    reader = prefetch(items())
    assert next(reader) != threading.get_ident()
    assert second_begun.wait(10)
    assert list(reader) == [2]


def test_the_producer_stays_as_far_ahead_as_told() -> None:
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for item in range(50):
            made.append(item)
            if len(made) == 4:
                full.set()
            yield item

    reader = prefetch(items(), ahead=2)
    assert next(reader) == 0
    assert full.wait(10)  # one read, two in the queue, one that waits for room
    assert not threading.Event().wait(0.3)
    assert len(made) == 4
    reader.close()


def test_an_early_end_stops_the_producer_and_closes_its_generator() -> None:
    closed = threading.Event()
    made: list[int] = []

    def items() -> Iterator[int]:
        try:
            for item in range(1000):
                made.append(item)
                yield item
        finally:
            closed.set()

    threads = threading.active_count()
    reader = prefetch(items())
    next(reader)
    reader.close()
    assert closed.is_set()
    assert len(made) < 10
    assert threading.active_count() == threads
