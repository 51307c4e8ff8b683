"""Overlapping iteration preserves order, errors and the end of an iterator."""

import threading
import time
from collections.abc import Iterator

import pytest

from transect.data_adapters.overlap import consume_in_thread, prefetch


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
    assert full.wait(10)  # one consumed, two in the queue, one waiting for room
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


def test_aside_items_are_produced_here_and_consumed_elsewhere_in_order():
    here, seen = threading.get_ident(), []

    def produce():
        for number in range(20):
            seen.append(threading.get_ident())
            yield number

    result = consume_in_thread(produce(), lambda items: (list(items), threading.get_ident()))
    assert result[0] == list(range(20))
    assert set(seen) == {here}
    assert result[1] != here


def test_aside_the_producer_stays_close():
    produced, taken = [], threading.Event()

    def produce():
        for number in range(10):
            produced.append(number)
            yield number

    def consume(items):
        next(items)
        time.sleep(0.3)
        taken.count = len(produced)
        return sum(1 for _ in items)

    assert consume_in_thread(produce(), consume) == 9
    assert taken.count <= 3  # one consumed, one in the queue, one waiting for room


def test_aside_an_error_of_the_producer_ends_the_consumer_and_comes_out():
    ended = []

    def produce():
        yield 1
        raise LookupError("no more")

    def consume(items):
        try:
            return list(items)
        finally:
            ended.append(True)

    with pytest.raises(LookupError, match="no more"):
        consume_in_thread(produce(), consume)
    assert ended == [True]


def test_aside_an_error_of_the_consumer_stops_the_producer_and_comes_out():
    produced, closed = [], []

    def produce():
        try:
            for number in range(1000):
                produced.append(number)
                yield number
        finally:
            closed.append(True)

    def consume(items):
        next(items)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        consume_in_thread(produce(), consume)
    assert len(produced) < 10
    assert closed == [True]


def test_an_interrupt_while_the_consumer_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start, ended = threading.Thread.start, threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    def consume(items: Iterator[int]) -> list[int]:
        try:
            return list(items)
        finally:
            ended.set()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        consume_in_thread([1, 2], consume)
    assert ended.wait(10)
