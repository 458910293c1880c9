from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import weakref

import pytest

from voxwire.media.ticker import MAX_CATCH_UP, PHASE, PHASES, TICK, Ticker


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
        while self.timers and min(self.timers, key=lambda timer: timer[0])[0] + late <= until:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0] + late)
            timer[1]()
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
        ("b", 100.065),
        ("a", 100.08),
        ("b", 100.085),
    ]


def test_calls_are_spread_over_the_phases(clock: Clock):
    ticker = Ticker(clock)
    calls: list[tuple[int, float]] = []
    beats = [
        ticker.add(lambda due, number=number: calls.append((number, round(due - 100, 6))))
        for number in range(2 * PHASES)
    ]
    assert len(clock.timers) == PHASES, "one for each phase"
    clock.run(100.0201)
    assert calls == [
        (number, pytest.approx(phase * PHASE))
        for phase in (1, 2, 3, 4)
        for number in (phase % 4, phase % 4 + 4)
    ]
    for beat in beats[1:]:
        beat.stop()
    assert len(clock.timers) == 1
    calls.clear()
    ticker.add(lambda due: calls.append((99, round(due - 100, 6))))
    clock.run(100.0401)
    assert calls == [(99, 0.025), (0, 0.04)], "where the fewest are"


@pytest.mark.parametrize("steps", [-3, -2, -1, 0, 1, 2, 3, 4, 7])
def test_a_call_moves_to_another_phase_and_stays_there(clock: Clock, steps: int):
    ticker = Ticker(clock)
    due: list[float] = []
    beat = ticker.add(due.append)
    other: list[float] = []
    ticker.add(other.append)
    clock.run(100.021)
    assert beat.move(steps * PHASE + 0.001) == pytest.approx(steps * PHASE)
    clock.run(100.2)
    first = 100.04 + steps * PHASE
    assert due == [100.02, *(pytest.approx(first + TICK * index) for index in range(len(due) - 1))]
    assert due[-1] > 100.2 - TICK
    assert [b - a for a, b in itertools.pairwise(other)] == pytest.approx([TICK] * (len(other) - 1))


def test_a_call_that_would_have_to_come_in_the_past_comes_a_tick_later(clock: Clock):
    ticker = Ticker(clock)
    due: list[float] = []
    beat = ticker.add(due.append)
    clock.run(100.038)
    assert beat.move(-3 * PHASE) == pytest.approx(PHASE)
    clock.run(100.05)
    assert due == [pytest.approx(100.02), pytest.approx(100.045)]
    assert beat.due == pytest.approx(100.065)


def test_moved_from_inside(clock: Clock):
    ticker = Ticker(clock)
    due: list[float] = []

    def call(at: float) -> None:
        due.append(round(at - 100, 6))
        if len(due) == 3:
            assert beat.move(PHASE) == PHASE

    beat = ticker.add(call)
    clock.run(100.11)
    assert due == [0.02, 0.04, 0.06, 0.085, 0.105]
    beat.stop()
    assert beat.move(PHASE) == 0.0, "it is over"
    assert not ticker.running


def test_moved_while_ticks_are_made_up_for(clock: Clock):
    """Neither called twice for the same time, nor left behind."""
    ticker = Ticker(clock)
    due: list[float] = []

    def call(at: float) -> None:
        due.append(round(at - 100, 6))
        if len(due) == 2:
            beat.move(PHASE)

    beat = ticker.add(call)
    clock.now = 100.09
    clock.run(100.13)
    assert due == [0.02, 0.04, 0.105, 0.125]


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
    assert len(clock.timers) == 2
    first.stop()
    assert ticker.running
    second.stop()
    second.stop()
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
        one.stop()
        two.stop()

    one = ticker.add(first)
    others = [ticker.add(lambda _due: None) for _ in range(PHASES - 1)]
    two = ticker.add(lambda due: calls.append("second"))
    assert two.due == one.due
    for other in others:
        other.stop()
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
    assert len(calls) == 3
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("no more",)] * 2


def test_how_busy_the_loop_is(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    ticker = Ticker(clock)
    worked = [0.0]
    monkeypatch.setattr("voxwire.media.ticker.time.thread_time", lambda: worked[0])

    def work(_due: float) -> None:
        worked[0] += 0.015

    beat = ticker.add(work)
    clock.run(clock.now + 0.5)
    assert ticker.load == 0.0, "not known yet"
    clock.run(clock.now + 2.5)
    assert ticker.load == pytest.approx(0.75, abs=0.02)
    worked[0] += 10.0
    clock.run(clock.now + 1.0)
    assert ticker.load == 1.0
    beat.stop()
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
    beat = ticker.add(tick)
    await asyncio.wait_for(enough.wait(), 10)
    assert asyncio.get_running_loop().time() - began > 0.15
    assert [b - a for a, b in itertools.pairwise(calls)] == pytest.approx([TICK] * (len(calls) - 1))
    beat.stop()
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
