from __future__ import annotations

import logging
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from voxwire.audio.base import AudioSink
from voxwire.audio.paced_sink import PacedSink
from voxwire.audio.resample import convert
from voxwire.audio.sinks import CallbackSink, NullSink, TeeSink, WavSink
from voxwire.audio.wav import read_wav
from voxwire.errors import UserError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat

NARROW = AudioFormat(rate=8000)


def ramp(ms: int, start: int = 0) -> bytes:
    count = 8 * ms
    return struct.pack(f"<{count}h", *(start + n for n in range(count)))


class Failing(NullSink):
    async def open(self, format: AudioFormat, /) -> None:
        raise OSError("no device")

    async def close(self) -> None:
        raise OSError("no device")


def test_all_are_sinks(tmp_path):
    for sink in (
        NullSink(),
        CallbackSink(print),
        WavSink(tmp_path / "a.wav"),
        TeeSink(NullSink()),
        PacedSink(),
    ):
        assert isinstance(sink, AudioSink)


async def test_null_sink_leaves_the_model_to_the_engine():
    sink = NullSink()
    await sink.open(PCM16)
    sink.write(bytes(960))
    sink.clear(10)
    assert sink.heard_ms() is None
    assert sink.buffered_ms() == 0
    await sink.close()


async def test_callback_sink_passes_everything_on():
    audio: list[bytes] = []
    cleared: list[float] = []
    sink = CallbackSink(audio.append, cleared.append)
    await sink.open(PCMU)
    assert sink.format == PCMU
    sink.write(b"a")
    sink.clear(12.5)
    assert (audio, cleared) == ([b"a"], [12.5])
    assert sink.heard_ms() is None
    assert sink.buffered_ms() == 0
    assert sink.max_buffer_ms == 120_000
    CallbackSink(audio.append).clear(1)


def test_callback_sink_asks_the_player():
    sink = CallbackSink(print, heard_ms=lambda: 40.0, buffered_ms=lambda: 60.0)
    assert sink.heard_ms() == 40
    assert sink.buffered_ms() == 60


def test_a_failing_callback_is_logged(caplog):
    def fail(data: Any) -> None:
        raise RuntimeError("boom")

    sink = CallbackSink(fail, fail)
    with caplog.at_level(logging.ERROR, "voxwire.audio"):
        sink.write(b"a")
        sink.clear(1)
    assert len(caplog.records) == 2
    assert "boom" in caplog.text


async def test_wav_sink_has_what_was_heard(tmp_path):
    path = tmp_path / "heard.wav"
    sink = WavSink(path)
    sink.clear(0)
    await sink.open(NARROW)
    sink.write(ramp(100))
    sink.write(ramp(100, 800))
    sink.clear(150)
    sink.write(ramp(50, 5000))
    sink.clear(1000)  # all of it had been heard
    sink.write(ramp(10, 9000))
    assert sink.heard_ms() is None
    await sink.close()
    await sink.close()
    audio = read_wav(path)
    assert audio.format == NARROW
    assert audio.pcm == ramp(150) + ramp(50, 5000) + ramp(10, 9000)


async def test_wav_sink_converts_and_goes_on_in_another_format(tmp_path):
    path = tmp_path / "heard.wav"
    sink = WavSink(path, rate=8000)
    pcm = struct.pack("<2400h", *(round(8000 * math.sin(n / 20)) for n in range(2400)))
    await sink.open(PCM16)
    sink.write(pcm)
    await sink.open(PCM16)
    await sink.open(PCMU)
    sink.write(b"\x80" * 80)
    await sink.close()
    audio = read_wav(path)
    assert audio.format.rate == 8000
    assert audio.pcm == convert(pcm, PCM16, NARROW) + convert(b"\x80" * 80, PCMU, NARROW)


async def test_wav_sink_misuse(tmp_path):
    sink = WavSink(tmp_path / "a.wav")
    with pytest.raises(UserError, match="not open"):
        sink.write(b"\0\0")
    await sink.close()
    with pytest.raises(UserError, match="closed"):
        await sink.open(PCM16)
    assert not (tmp_path / "a.wav").exists()


async def test_tee_follows_the_first(tmp_path):
    audio: list[bytes] = []
    primary = CallbackSink(audio.append, heard_ms=lambda: 7.0, buffered_ms=lambda: 1.0, max_buffer_ms=50)
    other = CallbackSink(audio.append, buffered_ms=lambda: 9.0)
    wav = WavSink(tmp_path / "a.wav")
    tee = TeeSink(primary, other, wav)
    await tee.open(NARROW)
    tee.write(ramp(20))
    tee.clear(10)
    assert audio == [ramp(20), ramp(20)]
    assert tee.heard_ms() == 7
    assert tee.buffered_ms() == 9
    assert tee.max_buffer_ms == 50
    await tee.close()
    assert read_wav(tmp_path / "a.wav").pcm == ramp(10)


async def test_tee_cleans_up(tmp_path):
    wav = WavSink(tmp_path / "a.wav")
    with pytest.raises(OSError, match="no device"):
        await TeeSink(wav, Failing()).open(PCM16)
    with pytest.raises(UserError, match="closed"):
        await wav.open(PCM16)
    second = WavSink(tmp_path / "b.wav")
    await second.open(PCM16)
    with pytest.raises(OSError, match="no device"):
        await TeeSink(Failing(), second).close()
    with pytest.raises(UserError, match="not open"):
        second.write(b"\0\0")


async def test_a_wav_sink_on_a_full_disk_leaves_no_file_open(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    sink = WavSink(tmp_path / "a.wav", rate=24_000)
    await sink.open(NARROW)
    sink.write(ramp(100))
    sink._writer._file.close()
    sink._writer._file = full.open("wb", buffering=0)
    with pytest.raises(OSError, match="No space"):
        await sink.close()
    await sink.close()  # it is over
