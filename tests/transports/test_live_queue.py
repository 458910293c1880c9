from __future__ import annotations

from voxwire.transports.live_queue import ALLOWED_MS, APART_MS, PATIENCE_MS, WINDOW_MS, LiveQueue

FRAME = 20.0


class Call:
    """A queue that gives out in real time what a live source puts in."""

    def __init__(self, waiting: float) -> None:
        self.waiting = waiting
        self.left_out: list[float] = []
        self.at = 0.0
        self._live = LiveQueue()

    def run(self, ms: float, *, quiet: bool) -> None:
        end = self.at + ms
        while self.at < end:
            if self._live.leaves_out(self.waiting, FRAME, quiet=quiet):
                self.left_out.append(self.at)
            else:
                self.waiting += FRAME
            self.waiting = max(0.0, self.waiting - FRAME)
            self.at += FRAME


def test_what_a_stall_left_is_gone_after_a_pause() -> None:
    call = Call(300.0)
    call.run(1000, quiet=True)
    assert call.waiting <= ALLOWED_MS
    assert len(call.left_out) == (300 - ALLOWED_MS) / FRAME


def test_a_queue_that_comes_to_rest_by_itself_loses_nothing() -> None:
    live = LiveQueue()
    bursts = [0.0, 20.0, 40.0, 60.0, 80.0] * 100  # five frames at a time, as wireless headsets do it
    assert not any(live.leaves_out(queued, FRAME, quiet=True) for queued in bursts)


def test_speech_is_left_whole_for_a_while_and_then_thinned() -> None:
    call = Call(200.0)
    call.run(WINDOW_MS + PATIENCE_MS - 2 * FRAME, quiet=False)
    assert call.left_out == []
    call.run(2000, quiet=False)
    assert call.waiting <= ALLOWED_MS
    apart = [after - before for before, after in zip(call.left_out, call.left_out[1:], strict=False)]
    assert len(apart) >= 5
    assert min(apart) >= APART_MS


def test_a_pause_in_speech_is_used_at_once() -> None:
    call = Call(100.0)
    call.run(800, quiet=False)
    call.run(FRAME, quiet=True)
    assert call.left_out == [800.0]


def test_a_clock_that_runs_too_fast_does_not_fill_the_queue() -> None:
    call = Call(0.0)
    for _ in range(200):
        call.run(400, quiet=True)
        call.waiting += 5.0  # a microphone that is 1.25 % too fast
    assert call.waiting <= 100
