from __future__ import annotations

import asyncio
import itertools

import pytest

from voxwire.audio.pacing import MAX_BURST_MS, Pacer, frame_sizes, paced, reframe
from voxwire.protocol.formats import PCM16, AudioFormat
from voxwire.testing.clock import VirtualTimeLoop, run_virtual


def test_frames_keep_the_rate_when_samples_do_not_fit():
    odd = AudioFormat(rate=11025)
    sizes = list(itertools.islice(frame_sizes(odd, 20), 100))
    assert set(sizes) == {440, 442}
    assert sum(sizes) == 2 * 11025 * 2  # two seconds, to the sample


def test_reframe_keeps_every_byte():
    data = bytes(range(256)) * 20
    pieces = [data[:3], data[3:2000], b"", data[2000:]]
    frames = list(reframe(pieces, PCM16, 20))
    assert [len(frame) for frame in frames] == [960] * 5 + [320]
    assert b"".join(frames) == data


def test_schedule_is_absolute():
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        times = []
        async for _ in paced([bytes(960)] * 50, PCM16):
            times.append(loop.time())
            await asyncio.sleep(0.007)  # a slow consumer
        return times

    times = run_virtual(scenario(), start=7.0)
    assert times == pytest.approx([7 + 0.02 * n for n in range(1, 51)])


def test_a_stall_is_caught_up_in_a_bounded_burst():
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        pacer, times = Pacer(), []
        for n in range(100):
            await pacer.wait(20)
            times.append(loop.time())
            if n == 9:
                loop.jump(3)
        return times

    times = run_virtual(scenario())
    assert times[9] == pytest.approx(0.2)
    burst = [when for when in times[10:] if when == pytest.approx(3.2)]
    assert len(burst) * 20 == pytest.approx(MAX_BURST_MS, abs=20)
    after = times[10 + len(burst) :]
    assert [b - a for a, b in itertools.pairwise(after)] == pytest.approx([0.02] * (len(after) - 1))
