from __future__ import annotations

import asyncio
import struct

import pytest

from voxwire.audio.base import AudioSource
from voxwire.audio.live_sources import QueueSource, SequenceSource
from voxwire.audio.resample import convert
from voxwire.audio.wav import WavAudio
from voxwire.audio.wav_writer import WavWriter
from voxwire.errors import ConfigError, UserError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.testing.clock import run_virtual

NARROW = AudioFormat(rate=8000)


def ramp(ms: int, format: AudioFormat = PCM16) -> bytes:
    count = format.rate * ms // 1000
    return struct.pack(f"<{count}h", *(n % 30000 + 1 for n in range(count)))


async def collect(source, format, into: list[tuple[float, bytes]]) -> None:
    loop = asyncio.get_running_loop()
    async for frame in source.frames(format):
        into.append((loop.time(), frame))  # noqa: PERF401 - what came before a cancellation counts


def joined(frames: list[tuple[float, bytes]]) -> bytes:
    return b"".join(frame for _, frame in frames)


def test_they_are_sources():
    assert isinstance(QueueSource(), AudioSource)
    assert isinstance(SequenceSource(), AudioSource)


# QueueSource


def test_pushed_audio_comes_out_at_once():
    async def scenario() -> None:
        source, frames = QueueSource(), []
        reader = asyncio.create_task(collect(source, PCM16, frames))
        await asyncio.sleep(1)
        await source.push(ramp(5))
        await asyncio.sleep(1)
        assert frames == [(1, ramp(5))]
        await source.push(ramp(50))
        source.end()
        await reader
        assert [len(frame) for _, frame in frames[1:]] == [960, 960, 480]
        assert joined(frames[1:]) == ramp(50)

    run_virtual(scenario())


def test_it_converts():
    async def scenario() -> None:
        source, frames = QueueSource(NARROW), []
        await source.push(ramp(100, NARROW))
        source.end()
        await collect(source, PCM16, frames)
        assert joined(frames) == convert(ramp(100, NARROW), NARROW, PCM16)

    run_virtual(scenario())


def test_push_waits_for_room_and_loses_nothing():
    async def scenario() -> None:
        source, frames = QueueSource(max_ms=100), []
        first = asyncio.create_task(source.push(ramp(250)))
        second = asyncio.create_task(source.push(b"\xff\x7f" * 240))
        await asyncio.sleep(1)
        assert not first.done()
        assert source.buffered_ms() == 100
        assert not source.try_push(b"\0\0")
        reader = asyncio.create_task(collect(source, PCM16, frames))
        await asyncio.gather(first, second)
        source.end()
        await reader
        assert joined(frames) == ramp(250) + b"\xff\x7f" * 240  # in order, unmixed

    run_virtual(scenario())


def test_try_push_takes_all_or_nothing():
    async def scenario() -> None:
        source = QueueSource(max_ms=100)
        assert source.try_push(ramp(80))
        assert not source.try_push(ramp(21))
        assert source.buffered_ms() == 80
        assert source.try_push(ramp(20))
        source.end()
        with pytest.raises(UserError, match="has ended"):
            source.try_push(b"")

    run_virtual(scenario())


def test_paced_when_asked_for():
    async def scenario() -> None:
        source, frames = QueueSource(realtime=True), []
        await source.push(ramp(100))
        source.end()
        await collect(source, PCM16, frames)
        assert [when for when, _ in frames] == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])

    run_virtual(scenario())


def test_ending_wakes_a_waiting_push():
    async def scenario() -> None:
        source = QueueSource(max_ms=20)
        await source.push(ramp(20))
        waiting = asyncio.create_task(source.push(ramp(20)))
        await asyncio.sleep(1)
        await source.close()
        with pytest.raises(UserError, match="has ended"):
            await waiting
        with pytest.raises(UserError, match="has ended"):
            await source.push(b"")
        frames: list[tuple[float, bytes]] = []
        await collect(source, PCM16, frames)
        assert frames == []

    run_virtual(scenario())


def test_what_is_held_survives_a_reconnection():
    async def scenario() -> None:
        source, frames = QueueSource(), []
        reader = asyncio.create_task(collect(source, PCM16, frames))
        await source.push(ramp(20))
        await asyncio.sleep(0.1)
        reader.cancel()
        await asyncio.wait([reader])
        await source.push(ramp(40))
        source.end()
        await collect(source, PCM16, frames)
        assert joined(frames) == ramp(20) + ramp(40)

    run_virtual(scenario())


def test_queue_misuse():
    with pytest.raises(ConfigError, match="max_ms is 0"):
        QueueSource(max_ms=0)
    with pytest.raises(ConfigError, match="frame_ms is -1"):
        QueueSource(frame_ms=-1)


# SequenceSource


def spoken(frames: list[tuple[float, bytes]], format: AudioFormat) -> list[tuple[float, bytes]]:
    return [(when, frame) for when, frame in frames if frame.strip(format.silence)]


def test_silence_until_something_is_said():
    async def scenario() -> None:
        source, frames = SequenceSource(), []
        reader = asyncio.create_task(collect(source, PCM16, frames))
        await asyncio.sleep(1.009)
        assert joined(frames) == bytes(50 * 960)
        assert not source.speaking
        done = source.say(ramp(50))
        assert source.speaking
        await done
        assert asyncio.get_running_loop().time() == pytest.approx(1.06)
        assert not source.speaking
        speech = spoken(frames, PCM16)
        assert [when for when, _ in speech] == pytest.approx([1.02, 1.04, 1.06])
        assert joined(speech) == ramp(50) + bytes(480)  # silence fills the last frame
        await asyncio.sleep(0.11)
        await source.close()
        await reader
        assert len({round(when * 1000) for when, _ in frames}) == len(frames) == 58

    run_virtual(scenario())


def test_clips_follow_each_other(tmp_path):
    path = tmp_path / "clip.wav"
    with WavWriter(path, 8000) as writer:
        writer.write(ramp(40, NARROW))

    async def scenario() -> None:
        source, frames = SequenceSource(), []
        reader = asyncio.create_task(collect(source, NARROW, frames))
        clips = [
            source.say(path),
            source.say(WavAudio(NARROW, ramp(20, NARROW))),
            source.say(b"", format=NARROW),
        ]
        ends = []
        for clip in clips:
            await clip
            ends.append(asyncio.get_running_loop().time())
        assert ends == pytest.approx([0.04, 0.06, 0.08])
        assert joined(frames[:3]) == ramp(40, NARROW) + ramp(20, NARROW)
        reader.cancel()

    run_virtual(scenario())


def test_spoken_in_the_format_asked_for():
    async def scenario() -> None:
        source, frames = SequenceSource(), []
        reader = asyncio.create_task(collect(source, PCMU, frames))
        await source.say(ramp(30))
        expected = convert(ramp(30), PCM16, PCMU)
        assert joined(frames) == expected + b"\xff" * (320 - len(expected))
        reader.cancel()

    run_virtual(scenario())


def test_an_interrupted_clip_is_said_again():
    async def scenario() -> None:
        source, frames = SequenceSource(), []
        reader = asyncio.create_task(collect(source, PCM16, []))
        done = source.say(ramp(100))
        await asyncio.sleep(0.05)
        reader.cancel()
        await asyncio.wait([reader])
        assert not done.done()
        reader = asyncio.create_task(collect(source, PCM16, frames))
        await done
        assert joined(frames) == ramp(100)
        reader.cancel()

    run_virtual(scenario())


def test_closing_cancels_what_waits():
    async def scenario() -> None:
        source = SequenceSource()
        reader = asyncio.create_task(collect(source, PCM16, []))
        one, two = source.say(ramp(100)), source.say(ramp(100))
        await asyncio.sleep(0.05)
        await source.close()
        await reader
        assert one.cancelled()
        assert two.cancelled()
        with pytest.raises(UserError, match="closed"):
            source.say(b"")

    run_virtual(scenario())


def test_a_cancelled_wait_does_not_stop_the_clip():
    async def scenario() -> None:
        source, frames = SequenceSource(), []
        reader = asyncio.create_task(collect(source, PCM16, frames))
        source.say(ramp(60)).cancel()
        await source.say(ramp(20))
        assert joined(frames) == ramp(60) + ramp(20)
        reader.cancel()

    run_virtual(scenario())


def test_closed_while_the_last_frame_is_out():
    async def scenario() -> None:
        source = SequenceSource()
        done = source.say(ramp(20))
        async for frame in source.frames(PCM16):
            assert frame == ramp(20)
            await source.close()
        assert done.cancelled()

    run_virtual(scenario())


def test_clips_are_bounded():
    async def scenario() -> None:
        source = SequenceSource(max_clips=2)
        source.say(b"")
        source.say(b"")
        with pytest.raises(UserError, match="2 clips are waiting"):
            source.say(b"")
        await source.close()

    run_virtual(scenario())
    with pytest.raises(ConfigError, match="frame_ms"):
        SequenceSource(frame_ms=0)
