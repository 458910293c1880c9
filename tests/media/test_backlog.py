from __future__ import annotations

import pytest

from voxwire.media.backlog import LiveBacklog

LOUD, QUIET = b"\x00\x20" * 480, bytes(960)


class Line:
    """A source of 20 ms pieces, sent one at a time every 20 ms."""

    def __init__(self, queued: float = 0.0) -> None:
        self.backlog = LiveBacklog()
        self.queued = queued
        self.sent = 0

    def feed(self, piece: bytes, count: int) -> int:
        """How many were left out."""
        left_out = 0
        for _ in range(count):
            if self.backlog.takes(piece, 20.0, self.queued):
                self.queued += 20
                self.sent += 1
            else:
                left_out += 1
            self.queued = max(0.0, self.queued - 20)
        return left_out


def test_nothing_is_left_out_of_a_queue_that_empties():
    line = Line()
    assert line.feed(LOUD, 300) == line.feed(QUIET, 300) == 0


@pytest.mark.parametrize("queued", [20.0, 60.0, 90.0])
def test_what_stays_is_taken_out_in_a_pause(queued):
    line = Line(queued)
    assert line.feed(LOUD, 60) == 0, "not in the middle of a word"
    assert line.feed(QUIET, 20) == queued // 20
    assert line.queued < 20
    assert line.feed(QUIET, 300) == 0


def test_in_the_end_also_in_speech():
    line = Line(40.0)
    assert line.feed(LOUD, 149) == 0
    assert line.feed(LOUD, 20) == 2
    assert line.queued == 0


def test_a_flood_is_cut_at_once():
    line = Line(300.0)
    assert line.feed(LOUD, 12) == 11
    assert line.queued <= 100


def test_a_source_that_needs_its_queue_keeps_it():
    line = Line()
    for _ in range(100):  # 60 ms at once, every 60 ms
        for _ in range(3):
            assert line.backlog.takes(QUIET, 20.0, line.queued)
            line.queued += 20
        line.queued -= 60
