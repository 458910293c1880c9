from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import weakref

import pytest

from voxwire.media.ticker import MAX_CATCH_UP, TICK, Ticker


class Clock:
    """A loop's timers and time, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due, callback):
        clock = self

        class Handle:
            def cancel(self) -> None:
                clock.timers.remove(timer)

        timer = (due, callback)
        self.timers.append(timer)
        return Handle()

    def run(self, until: float, late: float = 0.0) -> None:
        while self.timers and self.timers[0][0] + late <= until:
            due, callback = self.timers.pop()
            self.now = max(self.now, due + late)
            callback()
        self.now = max(self.now, until)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_everyone_is_called_every_20_ms_with_the_time_it_was_due(clock: Clock):
    ticker = Ticker(clock)
    calls: list[tuple[str, float]] = []
    ticker.add(lambda due: calls.append(("a", due)))
    clock.run(100.05)
    ticker.add(lambda due: calls.append(("b", due)))
    clock.run(100.09)
    assert [(name, round(due, 6)) for name, due in calls] == [
        ("a", 100.02),
        ("a", 100.04),
        ("a", 100.06),
        ("b", 100.06),
        ("a", 100.08),
        ("b", 100.08),
    ]


def test_being_late_does_not_move_the_clock(clock: Clock):
    ticker = Ticker(clock)
    due: list[float] = []
    ticker.add(due.append)
    clock.run(110.0, late=0.003)
    assert len(due) == pytest.approx(500, abs=1)
    assert due[-1] == pytest.approx(100 + len(due) * TICK)
    assert ticker.lag_ms == pytest.approx(3, abs=0.1)
    assert ticker.skipped == 0


def test_a_few_missed_ticks_are_made_up_for(clock: Clock):
    ticker = Ticker(clock)
    due: list[float] = []
    ticker.add(due.append)
    clock.now = 100.065
    clock.run(100.065)
    assert [round(at, 6) for at in due] == [100.02, 100.04, 100.06]
    assert ticker.skipped == 0


def test_many_missed_ticks_are_left_out(clock: Clock):
    ticker = Ticker(clock)
    due: list[float] = []
    ticker.add(due.append)
    clock.now = 103.001
    clock.run(103.001)
    assert len(due) == MAX_CATCH_UP
    assert due[-1] == pytest.approx(103.0)
    assert ticker.skipped == 150 - MAX_CATCH_UP
    assert ticker.lag_ms > 100
    clock.run(103.02)
    assert due[-1] == pytest.approx(103.02)


def test_it_stops_with_the_last_and_starts_again(clock: Clock):
    ticker = Ticker(clock)
    calls: list[float] = []
    first, second = ticker.add(calls.append), ticker.add(calls.append)
    assert len(clock.timers) == 1
    first()
    assert ticker.running
    second()
    second()
    assert not ticker.running
    assert not clock.timers
    clock.now = 200.0
    ticker.add(calls.append)
    clock.run(200.02)
    assert calls == [200.02]


def test_taken_out_from_inside(clock: Clock):
    ticker = Ticker(clock)
    calls: list[str] = []

    def first(due: float) -> None:
        calls.append("first")
        remove_first()
        remove_second()

    remove_first = ticker.add(first)
    remove_second = ticker.add(lambda due: calls.append("second"))
    clock.run(101.0)
    assert calls == ["first"]
    assert not ticker.running


def test_one_that_raises_does_not_stop_the_others(clock: Clock, caplog: pytest.LogCaptureFixture):
    ticker = Ticker(clock)
    calls: list[float] = []

    def bad(due: float) -> None:
        raise RuntimeError("no more")

    ticker.add(bad)
    ticker.add(calls.append)
    with caplog.at_level(logging.ERROR):
        clock.run(100.05)
    assert len(calls) == 2
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("no more",)] * 2


def test_how_busy_the_loop_is(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    ticker = Ticker(clock)
    worked = [0.0]
    monkeypatch.setattr("voxwire.media.ticker.time.thread_time", lambda: worked[0])

    def work(_due: float) -> None:
        worked[0] += 0.015

    stop = ticker.add(work)
    clock.run(clock.now + 0.5)
    assert ticker.load == 0.0, "not known yet"
    clock.run(clock.now + 2.5)
    assert ticker.load == pytest.approx(0.75, abs=0.02)
    worked[0] += 10.0
    clock.run(clock.now + 1.0)
    assert ticker.load == 1.0
    stop()
    ticker.add(lambda _due: None)
    assert ticker.load == 0.0


async def test_one_ticker_for_a_loop():
    ticker = Ticker.of_loop()
    assert Ticker.of_loop() is ticker
    calls: list[float] = []
    enough = asyncio.Event()

    def tick(due: float) -> None:
        calls.append(due)
        if len(calls) == 10:
            enough.set()

    began = asyncio.get_running_loop().time()
    remove = ticker.add(tick)
    await asyncio.wait_for(enough.wait(), 10)
    assert asyncio.get_running_loop().time() - began > 0.15
    assert [b - a for a, b in itertools.pairwise(calls)] == pytest.approx([TICK] * (len(calls) - 1))
    remove()
    assert not ticker.running
    assert len(asyncio.all_tasks()) == 1, "it has no task of its own"


def test_each_loop_has_its_own_and_takes_it_along():
    async def get() -> Ticker:
        return Ticker.of_loop()

    first, second = asyncio.run(get()), asyncio.run(get())
    assert first is not second
    gone = weakref.ref(first)
    del first, second
    gc.collect()
    assert gone() is None


def test_a_loop_that_is_closed_in_the_middle_is_let_go():
    async def leave() -> weakref.ref[Ticker]:
        ticker = Ticker.of_loop()
        ticker.add(lambda due: None)
        return weakref.ref(ticker)

    gone = asyncio.run(leave())
    gc.collect()
    assert gone() is None


def test_outside_of_a_loop_there_is_none():
    with pytest.raises(RuntimeError):
        Ticker.of_loop()
