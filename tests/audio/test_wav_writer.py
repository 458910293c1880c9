from __future__ import annotations

import struct
import wave
from pathlib import Path

import pytest

from voxwire.audio import wav_writer
from voxwire.audio.wav import read_wav
from voxwire.audio.wav_writer import WavWriter
from voxwire.errors import ConfigError, UserError


def contents(path) -> tuple[int, int, bytes]:
    with wave.open(str(path)) as file:  # strict about the header
        return file.getnchannels(), file.getframerate(), file.readframes(file.getnframes())


def test_writes_what_the_standard_library_reads(tmp_path):
    path = tmp_path / "a.wav"
    with WavWriter(path, 24000, channels=2) as writer:
        writer.write(struct.pack("<4h", 1, 2, 3, 4))
        assert writer.frames == 2
        writer.write(struct.pack("<2h", 5, 6))
        assert writer.duration_ms == pytest.approx(0.125)
    assert contents(path) == (2, 24000, struct.pack("<6h", 1, 2, 3, 4, 5, 6))


def test_is_valid_before_it_is_closed(tmp_path):
    path = tmp_path / "a.wav"
    writer = WavWriter(path, 8000, flush_ms=100)
    assert contents(path) == (1, 8000, b"")
    writer.write(b"\x01\x00" * 799)
    assert len(contents(path)[2]) == 0  # not yet a flush's worth
    writer.write(b"\x01\x00")
    assert contents(path)[2] == b"\x01\x00" * 800
    writer.write(b"\x02\x00")
    assert len(read_wav(path).pcm) == 1600
    writer.flush()
    assert contents(path)[2] == b"\x01\x00" * 800 + b"\x02\x00"
    writer.close()


def test_truncate(tmp_path):
    path = tmp_path / "a.wav"
    with WavWriter(path, 8000) as writer:
        writer.write(struct.pack("<4h", 1, 2, 3, 4))
        writer.truncate(10)
        writer.truncate(2)
        assert contents(path)[2] == struct.pack("<2h", 1, 2)
        writer.write(struct.pack("<h", 5))
        assert writer.frames == 3
    assert contents(path)[2] == struct.pack("<3h", 1, 2, 5)
    with WavWriter(path, 8000) as writer:
        writer.write(b"\x01\x00")
        writer.truncate(-1)
    assert contents(path)[2] == b""


def test_beyond_the_container_the_length_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(wav_writer, "_UNKNOWN", 100)
    path = tmp_path / "a.wav"
    with WavWriter(path, 8000) as writer:
        writer.write(bytes(62))
        writer.flush()
        assert struct.unpack_from("<I", path.read_bytes(), 4) == (98,)
        writer.write(bytes(20))
    assert struct.unpack_from("<I", path.read_bytes(), 4) == (100,)
    assert path.stat().st_size == 44 + 82


def test_misuse(tmp_path):
    with pytest.raises(ConfigError, match="3 channels"):
        WavWriter(tmp_path / "a.wav", 8000, channels=3)
    with pytest.raises(ConfigError, match="0 samples"):
        WavWriter(tmp_path / "a.wav", 0)
    writer = WavWriter(tmp_path / "a.wav", 8000, channels=2)
    with pytest.raises(UserError, match="whole number of frames"):
        writer.write(b"\0\0")
    writer.close()
    writer.close()
    with pytest.raises(UserError, match="closed"):
        writer.write(b"\0\0\0\0")


FULL = Path("/dev/full")
needs_a_full_disk = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@needs_a_full_disk
def test_a_full_disk_leaves_no_file_open(tmp_path):
    with pytest.raises(OSError, match="No space"):  # an open file would warn when it is collected
        WavWriter(FULL, 8000)
    writer = WavWriter(tmp_path / "a.wav", 8000)
    writer._file.close()
    writer._file = FULL.open("wb")
    with pytest.raises(OSError, match="No space"):
        writer.close()
    assert writer.closed
    writer.close()
