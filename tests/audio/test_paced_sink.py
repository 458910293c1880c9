from __future__ import annotations

import asyncio
import logging
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.audio.paced_sink import PacedSink
from voxwire.errors import ConfigError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.testing.clock import VirtualTimeLoop, run_virtual

NARROW = AudioFormat(rate=8000)


def ramp(ms: int, start: int = 0) -> bytes:
    count = 8 * ms
    return struct.pack(f"<{count}h", *((start + n) % 30000 for n in range(count)))


class Speaker:
    """A PacedSink whose frames are kept with their times."""

    def __init__(self, **options: Any) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.sink = PacedSink(
            lambda data: self.frames.append((asyncio.get_running_loop().time(), data)), **options
        )

    @property
    def heard(self) -> bytes:
        return b"".join(data for _, data in self.frames)


def test_plays_in_real_time():
    async def scenario() -> None:
        speaker = Speaker()
        sink = speaker.sink
        await sink.open(NARROW)
        sink.write(ramp(100))
        sink.write(ramp(30, 800))  # all at once: the service sends faster than anyone listens
        assert sink.heard_ms() == 0
        assert sink.buffered_ms() == 130
        await asyncio.sleep(0.055)
        assert sink.heard_ms() == pytest.approx(55)
        assert [when for when, _ in speaker.frames] == pytest.approx([0.02, 0.04])
        await sink.drain()
        assert asyncio.get_running_loop().time() == pytest.approx(0.13)
        assert [when for when, _ in speaker.frames] == pytest.approx(
            [0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.13]
        )
        assert speaker.heard == ramp(130)
        assert sink.heard_ms() == 130
        assert sink.buffered_ms() == 0

    run_virtual(scenario())


def test_an_underrun_pauses():
    async def scenario() -> None:
        speaker = Speaker()
        await speaker.sink.open(NARROW)
        speaker.sink.write(ramp(30))
        await asyncio.sleep(1)
        assert [when for when, _ in speaker.frames] == pytest.approx([0.02, 0.03])
        speaker.sink.write(ramp(20, 240))
        await asyncio.sleep(1)
        assert speaker.frames[-1][0] == pytest.approx(1.02)
        assert speaker.heard == ramp(50)
        assert speaker.sink.heard_ms() == 50

    run_virtual(scenario())


def test_interruption_cuts_at_the_sample():
    async def scenario() -> None:
        speaker = Speaker()
        sink = speaker.sink
        await sink.open(NARROW)
        sink.write(ramp(2000))
        await asyncio.sleep(0.333)
        sink.clear(sink.heard_ms())
        assert speaker.heard == ramp(333)
        assert sink.heard_ms() == pytest.approx(333)
        assert sink.buffered_ms() == 0
        await asyncio.sleep(1)
        assert speaker.heard == ramp(333)
        sink.write(ramp(20, 100))
        await sink.drain()
        assert speaker.heard == ramp(333) + ramp(20, 100)
        assert sink.heard_ms() == pytest.approx(353)

    run_virtual(scenario())


def test_a_stall_of_the_process_stops_nothing():
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        speaker = Speaker()
        await speaker.sink.open(NARROW)
        speaker.sink.write(ramp(200))
        loop.jump(0.11)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert speaker.heard == ramp(100)  # whole frames
        assert speaker.sink.heard_ms() == pytest.approx(110)
        await speaker.sink.drain()
        assert speaker.heard == ramp(200)
        assert loop.time() == pytest.approx(0.2)

    run_virtual(scenario())


def test_full_means_dropped_and_logged(caplog):
    async def scenario() -> None:
        speaker = Speaker(max_buffer_ms=100)
        sink = speaker.sink
        await sink.open(NARROW)
        with caplog.at_level(logging.WARNING, "voxwire.audio"):
            for _ in range(5):
                sink.write(ramp(60))
        assert sink.buffered_ms() == 120
        assert sink.dropped_ms == 180
        assert len(caplog.records) == 1
        await sink.drain()
        assert speaker.heard == ramp(60) * 2

    run_virtual(scenario())


def test_another_format_starts_anew():
    async def scenario() -> None:
        speaker = Speaker()
        sink = speaker.sink
        await sink.open(NARROW)
        sink.write(ramp(100))
        await asyncio.sleep(0.05)
        await sink.open(NARROW)  # the same: nothing happens
        assert sink.buffered_ms() == pytest.approx(50)
        await sink.open(PCMU)
        assert sink.buffered_ms() == 0
        sink.write(b"\x80" * 80)
        await sink.drain()
        assert speaker.heard == ramp(50) + b"\x80" * 80
        assert sink.heard_ms() == pytest.approx(60)

    run_virtual(scenario())


def test_close_falls_silent():
    async def scenario() -> None:
        speaker = Speaker()
        await speaker.sink.open(PCM16)
        speaker.sink.write(bytes(48000))
        await asyncio.sleep(0.1)
        await speaker.sink.close()
        await speaker.sink.close()
        await asyncio.sleep(1)
        assert len(speaker.heard) == 4800

    run_virtual(scenario())


def test_a_failing_callback_does_not_stop_the_clock(caplog):
    def fail(data: bytes) -> None:
        raise RuntimeError("boom")

    async def scenario() -> float:
        sink = PacedSink(fail)
        await sink.open(NARROW)
        sink.write(ramp(60))
        await sink.drain()
        return sink.heard_ms()

    with caplog.at_level(logging.ERROR, "voxwire.audio"):
        assert run_virtual(scenario()) == 60
    assert len(caplog.records) == 3


def test_no_callback_is_needed():
    async def scenario() -> float:
        sink = PacedSink()
        await sink.open(PCM16)
        sink.write(bytes(4800))
        await sink.drain()
        return sink.heard_ms()

    assert run_virtual(scenario()) == 100


def test_misuse():
    with pytest.raises(ConfigError, match="frame_ms is 0"):
        PacedSink(frame_ms=0)
    with pytest.raises(ConfigError, match="max_buffer_ms is 0"):
        PacedSink(max_buffer_ms=0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "clear", "stall"]), st.integers(0, 300), st.integers(0, 200)),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_frames_put_together_are_what_was_heard(steps):
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        speaker = Speaker()
        sink = speaker.sink
        await sink.open(NARROW)
        written = 0
        for what, ms, wait in steps:
            if what == "write":
                sink.write(ramp(ms, written))
                written += 8 * ms
            elif what == "clear":
                sink.clear(0)
                assert len(speaker.heard) / 16 == pytest.approx(sink.heard_ms(), abs=0.1)
            else:
                loop.jump(ms / 1000)
            await asyncio.sleep(wait / 1000)
            behind = sink.heard_ms() - len(speaker.heard) / 16
            assert -0.1 <= behind <= 20.1
        await sink.drain()
        assert len(speaker.heard) / 16 == pytest.approx(sink.heard_ms(), abs=0.1)

    run_virtual(scenario())
