from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.protocol.playout import PlayoutModel


def test_nothing_written_is_nothing_heard():
    model = PlayoutModel()
    assert model.heard_ms(5.0) == 0
    assert model.remaining_ms(5.0) == 0
    assert model.idle_at() is None
    assert model.clear(5.0) == 0
    assert model.idle_at() is None


def test_drains_one_ms_per_ms():
    model = PlayoutModel()
    assert model.write(1000, now=10.0) == 10.0
    assert model.heard_ms(10.0) == 0
    assert model.heard_ms(10.25) == pytest.approx(250)
    assert model.remaining_ms(10.25) == pytest.approx(750)
    assert model.idle_at() == pytest.approx(11.0)
    assert model.heard_ms(11.0) == 1000
    assert model.heard_ms(99.0) == 1000


def test_a_burst_is_played_in_order():
    model = PlayoutModel()
    starts = [model.write(200, now=1.0) for _ in range(5)]
    assert starts == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8])
    assert model.heard_ms(1.5) == pytest.approx(500)


def test_an_underrun_pauses():
    model = PlayoutModel()
    model.write(100, now=0.0)
    assert model.write(100, now=0.5) == 0.5
    assert model.heard_ms(0.5) == pytest.approx(100)
    assert model.heard_ms(0.55) == pytest.approx(150)
    assert model.idle_at() == pytest.approx(0.6)


def test_clear_drops_what_was_not_heard():
    model = PlayoutModel()
    model.write(1000, now=0.0)
    assert model.clear(0.3) == pytest.approx(700)
    assert model.heard_ms(0.3) == pytest.approx(300)
    assert model.heard_ms(0.35) == pytest.approx(300)
    assert model.dropped_ms == pytest.approx(700)
    assert model.idle_at() == 0.3
    model.write(100, now=0.4)
    assert model.heard_ms(0.45) == pytest.approx(350)


def test_clear_when_idle_changes_nothing():
    model = PlayoutModel()
    model.write(100, now=0.0)
    assert model.clear(1.0) == 0
    assert model.idle_at() == pytest.approx(0.1)
    assert model.heard_ms(1.0) == 100


def test_a_clock_that_steps_back_does_not_unhear():
    model = PlayoutModel()
    model.write(1000, now=10.0)
    heard = model.heard_ms(10.5)
    assert model.heard_ms(10.2) == heard
    assert model.clear(10.1) == pytest.approx(500)


@pytest.mark.parametrize("ms", [-1, math.nan, math.inf])
def test_refuses_impossible_lengths(ms):
    with pytest.raises(ValueError, match="cannot last"):
        PlayoutModel().write(ms, 0.0)


class ReferenceSpeaker:
    """The same speaker as a queue of pieces, stepped through time."""

    def __init__(self) -> None:
        self.queue: list[float] = []
        self.heard = 0.0
        self.now = 0.0

    def to(self, now: float) -> None:
        budget = (now - self.now) * 1000
        self.now = now
        while self.queue and budget > 0:
            step = min(budget, self.queue[0])
            self.heard += step
            budget -= step
            self.queue[0] -= step
            if self.queue[0] <= 0:
                self.queue.pop(0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "clear", "look"]),
        st.integers(0, 500),  # ms of audio
        st.integers(0, 400),  # ms of time before the step
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([0, 1_000_000]))
def test_agrees_with_a_queue_stepped_through_time(steps, start):
    model, speaker = PlayoutModel(), ReferenceSpeaker()
    ticks = 0
    last = 0.0
    for what, ms, wait in steps:
        ticks += wait
        now = start + ticks / 1000
        speaker.to(ticks / 1000)
        if what == "write":
            model.write(ms, now)
            speaker.queue.append(ms)
        elif what == "clear":
            assert model.clear(now) == pytest.approx(sum(speaker.queue), abs=1e-3)
            speaker.queue.clear()
        heard = model.heard_ms(now)
        assert heard == pytest.approx(speaker.heard, abs=1e-3)
        assert model.remaining_ms(now) == pytest.approx(sum(speaker.queue), abs=1e-3)
        assert heard + model.remaining_ms(now) + model.dropped_ms == pytest.approx(model.written_ms, abs=1e-6)
        assert heard >= last - 1e-6
        last = heard
