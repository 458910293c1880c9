from __future__ import annotations

import asyncio
import math
from array import array
from pathlib import Path

import pytest

from voxwire.audio import SequenceSource, StereoRecorder, read_wav
from voxwire.cli.stage import RecordedSource, RecorderSink, recording_facts
from voxwire.protocol.formats import PCM16


def tone(ms: float, peak: int = 8000) -> bytes:
    count = round(ms * 24)
    return array("h", [round(peak * math.sin(n * 0.1)) for n in range(count)]).tobytes()


class Hands:
    """A clock turned by hand, s."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_both_sides_are_recorded_as_heard_and_measured_there(play, tmp_path: Path) -> None:
    """The user speaks from 0.5 to 1.5 s; the agent from 2 s on, cut at 3 s of what would end at 7 s."""
    path, clock = tmp_path / "r.wav", Hands()
    recorder = StereoRecorder(path, start=100.0)
    sink = RecorderSink(recorder, clock)
    await sink.open(PCM16)
    clock.now = 101.5
    recorder.user(tone(1000), PCM16, clock.now)
    clock.now = 102.0
    sink.write(tone(5000))
    clock.now = 103.0
    sink.clear(1000)
    clock.now = 104.0
    recorder.close(clock.now)

    play.timeline.user_begins("Hello", 500)
    play.timeline.user_ends(1500)
    play.begin("r1", 1900)
    play.speak("r1", "a1", "Well, well", 2000, 5000)
    play.interrupt("a1", 1000, "Well,", "Well, well", 3000)
    play.timeline.finish((), 4000)
    facts = recording_facts(path, play.timeline)
    assert (facts.channels, facts.rate, facts.duration_ms) == (2, 24_000, 4000)
    level = 20 * math.log10(8000 / 32768 / math.sqrt(2))
    assert facts.user_dbfs == pytest.approx(level, abs=0.5)
    assert facts.agent_dbfs == pytest.approx(level, abs=0.5)
    assert facts.after_cut_dbfs == (-96.0,)


def test_nobody_spoke(play, tmp_path: Path) -> None:
    StereoRecorder(tmp_path / "r.wav", start=0.0).close(0.5)
    facts = recording_facts(tmp_path / "r.wav", play.timeline)
    assert (facts.user_dbfs, facts.agent_dbfs, facts.after_cut_dbfs) == (None, None, ())


async def test_what_the_microphone_gives_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    loop = asyncio.get_running_loop()
    recorder = StereoRecorder(path, start=loop.time())
    inner = SequenceSource()
    source = RecordedSource(inner, recorder, loop.time)
    said = inner.say(tone(100))
    frames: list[bytes] = []
    async for frame in source.frames(PCM16):
        frames.append(frame)
        if said.done():
            await source.close()
    recorder.close(loop.time())
    left = read_wav(path, channel=0).pcm
    assert b"".join(frames).startswith(tone(100))
    assert tone(100)[:200] in left
    assert read_wav(path, channel=1).pcm.strip(b"\0") == b""
