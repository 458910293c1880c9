"""The simulated phone itself, in virtual time: what is promised of Twilio is kept."""

from __future__ import annotations

import asyncio

import pytest

from voxwire.protocol.formats import PCMU
from voxwire.testing import StreamPlayout, run_virtual


def test_audio_is_played_in_real_time_and_marks_come_when_it_was() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        marks: list[tuple[str, float]] = []
        playout = StreamPlayout(lambda name: marks.append((name, round(loop.time(), 6))))
        playout.mark("nothing before")
        for number in range(10):
            playout.media(bytes([number]) * 160)
            playout.mark(str(number))
        assert playout.waiting_ms == 200
        await asyncio.sleep(0.05)
        assert playout.heard_ms == pytest.approx(50)
        assert playout.waiting_ms == pytest.approx(150)
        await asyncio.sleep(0.5)
        assert marks == [("nothing before", 0.0), *((str(n), round(0.02 * (n + 1), 6)) for n in range(10))]
        assert bytes(playout.heard) == b"".join(bytes([n]) * 160 for n in range(10))
        playout.media(bytes(160))
        await asyncio.sleep(0.05)
        assert playout.heard_ms == 220, "after a pause it goes on"

    run_virtual(scenario())


def test_clear_drops_what_waits_and_returns_its_marks() -> None:
    async def scenario() -> None:
        marks: list[str] = []
        playout = StreamPlayout(marks.append, PCMU)
        for number in range(10):
            playout.media(bytes(160))
            playout.mark(str(number))
        await asyncio.sleep(0.05)
        playout.clear()
        assert marks == [str(number) for number in range(10)]
        assert (playout.heard_ms, playout.cleared) == (pytest.approx(50), 1200)
        await asyncio.sleep(1)
        assert playout.heard_ms == pytest.approx(50)
        playout.clear()
        playout.mark("at once")
        assert marks[-1] == "at once"
        playout.media(bytes(160))
        await asyncio.sleep(1)
        assert playout.heard_ms == pytest.approx(70)
        playout.close()

    run_virtual(scenario())
