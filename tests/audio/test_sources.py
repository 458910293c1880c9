from __future__ import annotations

import asyncio
import itertools
import math
import struct

import pytest

from voxwire.audio.base import AudioSource
from voxwire.audio.levels import peak_dbfs, rms_dbfs
from voxwire.audio.resample import convert
from voxwire.audio.sources import SilenceSource, ToneSource, WavSource
from voxwire.audio.wav_writer import WavWriter
from voxwire.errors import ConfigError
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat
from voxwire.testing.clock import run_virtual


def tone(ms: int, rate: int = 16000) -> bytes:
    count = rate * ms // 1000
    return struct.pack(
        f"<{count}h", *(round(9000 * math.sin(2 * math.pi * 500 * n / rate)) for n in range(count))
    )


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    with WavWriter(path, 16000) as writer:
        writer.write(tone(130))
    return path


async def collect(source, format, limit=10_000) -> list[tuple[float, bytes]]:
    loop = asyncio.get_running_loop()
    frames = []
    async for frame in source.frames(format):
        frames.append((loop.time(), frame))
        if len(frames) == limit:
            break
    return frames


def test_all_are_sources(clip):
    for source in (WavSource(clip), SilenceSource(), ToneSource()):
        assert isinstance(source, AudioSource)


def test_wav_in_real_time(clip):
    frames = run_virtual(collect(WavSource(clip), AudioFormat(rate=16000)))
    assert [len(frame) for _, frame in frames] == [640] * 6 + [320]
    assert [when for when, _ in frames] == pytest.approx([0.02 * n for n in range(1, 7)] + [0.13])
    assert b"".join(frame for _, frame in frames) == tone(130)


@pytest.mark.parametrize("format", [PCM16, PCMU, PCMA])
def test_wav_in_the_format_asked_for(clip, format):
    source = WavSource(clip, realtime=False, lead_silence_ms=40, tail_silence_ms=60)
    frames = run_virtual(collect(source, format))
    assert frames[-1][0] == 0  # no time passed
    data = b"".join(frame for _, frame in frames)
    lead, tail = format.size_of(40), format.size_of(60)
    assert format.duration_ms(len(data)) == pytest.approx(230, abs=1)
    assert set(data[:lead]) == set(format.silence)
    assert set(data[-tail:]) == set(format.silence)
    assert data[lead:-tail] == convert(tone(130), AudioFormat(rate=16000), format)
    # A second connection hears it again.
    again = run_virtual(collect(source, format))
    assert b"".join(frame for _, frame in again) == data


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_virtual(collect(WavSource(tmp_path / "none.wav"), PCM16))


def test_silence_with_and_without_end():
    frames = run_virtual(collect(SilenceSource(50), PCMU))
    assert b"".join(frame for _, frame in frames) == b"\xff" * 400
    endless = run_virtual(collect(SilenceSource(realtime=False, frame_ms=10), PCM16, limit=500))
    assert {frame for _, frame in endless} == {bytes(480)}


def test_tone_has_its_level_and_frequency():
    frames = run_virtual(collect(ToneSource(1000, level_dbfs=-20, duration_ms=250), PCM16))
    pcm = b"".join(frame for _, frame in frames)
    assert len(pcm) == PCM16.size_of(250)
    assert peak_dbfs(pcm) == pytest.approx(-20, abs=0.05)
    assert rms_dbfs(pcm) == pytest.approx(-23.01, abs=0.05)
    values = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    rising = sum(a < 0 <= b for a, b in itertools.pairwise(values))
    assert rising == pytest.approx(250, abs=1)


def test_endless_tone_is_continuous():
    frames = run_virtual(collect(ToneSource(440, realtime=False), PCM16, limit=100))
    values = struct.unpack(f"<{100 * 480}h", b"".join(frame for _, frame in frames))
    steepest = 32767 * 10 ** (-12 / 20) * 2 * math.pi * 440 / 24000
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) <= steepest + 1


def test_close_ends_the_frames():
    async def scenario() -> int:
        source = SilenceSource()
        count = 0
        async for _ in source.frames(PCM16):
            count += 1
            if count == 5:
                await source.close()
                await source.close()
        return count

    assert run_virtual(scenario()) == 5


def test_misuse():
    with pytest.raises(ConfigError, match="frame_ms is 0"):
        SilenceSource(frame_ms=0)
    with pytest.raises(ConfigError, match="level_dbfs is 3"):
        ToneSource(level_dbfs=3)
