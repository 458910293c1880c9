from __future__ import annotations

import math
import struct
import uuid
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.audio import g711
from voxwire.audio.wav import read_wav
from voxwire.errors import ConfigError
from voxwire.protocol.formats import AudioFormat


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def wav(
    code: int, bits: int, body: bytes, *, channels: int = 1, rate: int = 8000, extensible: bool = False
) -> bytes:
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else code, channels, rate, rate * frame, frame, bits)
    if extensible:
        guid = uuid.UUID("00000000-0000-0010-8000-00aa00389b71").bytes_le
        head += struct.pack("<HHI", 22, bits, 0) + struct.pack("<H", code) + guid[2:]
    return riff(chunk(b"fmt ", head) + chunk(b"data", body))


def riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def samples(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("code", "bits", "body", "expected"),
    [
        (1, 8, bytes([128, 255, 0, 129]), [0, 32512, -32768, 256]),
        (1, 16, struct.pack("<3h", 0, 32767, -32768), [0, 32767, -32768]),
        (1, 24, b"\x00\x00\x00\xff\xff\x7f\x00\x00\x80\x34\x12\x00", [0, 32767, -32768, 0x12]),
        (1, 32, struct.pack("<3i", 0, 2**31 - 1, -(2**31)), [0, 32767, -32768]),
        (3, 32, struct.pack("<6f", 0, 0.5, 1.0, -1.0, 7.0, math.nan), [0, 16384, 32767, -32768, 32767, 0]),
        (3, 64, struct.pack("<3d", -0.25, 1e-9, -math.inf), [-8192, 0, -32768]),
        (6, 8, b"\xd5\x55\xaa", [8, -8, 32256]),
        (7, 8, b"\xff\x7f\x80", [0, 0, 32124]),
    ],
)
def test_codings(code, bits, body, expected, extensible):
    kind, pcm = read_wav(wav(code, bits, body, rate=16000, extensible=extensible))
    assert kind == AudioFormat("audio/pcm", 16000)
    assert samples(pcm) == expected


def test_the_standard_library_writes_what_is_read(tmp_path):
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(struct.pack("<6h", 100, 200, -300, -100, 32767, 32767))
    audio = read_wav(path)
    assert audio.format.rate == 44100
    assert samples(audio.pcm) == [150, -200, 32767]
    assert audio.duration_ms == pytest.approx(3000 / 44100)
    assert samples(read_wav(str(path), channel=0).pcm) == [100, -300, 32767]
    assert samples(read_wav(path, channel=1).pcm) == [200, -100, 32767]
    with pytest.raises(ConfigError, match="no channel 2; it has 2"):
        read_wav(path, channel=2)


def test_other_chunks_and_padding_are_skipped():
    head = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    data = riff(
        chunk(b"LIST", b"odd") + chunk(b"fmt ", head) + chunk(b"fact", bytes(4)) + chunk(b"data", b"\x01\x00")
    )
    assert read_wav(data + chunk(b"LIST", b"tail")).pcm == b"\x01\x00"


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 1000])
def test_a_header_that_lies_about_the_length(size):
    head = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    data = riff(chunk(b"fmt ", head) + chunk(b"data", b"\x01\x00\x02\x00\x03", size=size))
    assert samples(read_wav(data).pcm) in ([1, 2], [1, 2, 3])
    # An odd last byte is padding here; as half a sample it is dropped otherwise.
    assert samples(read_wav(data[:-1]).pcm) == [1, 2]


def test_incomplete_frames_are_dropped():
    body = struct.pack("<3h", 1, 3, 5)
    assert samples(read_wav(wav(1, 16, body, channels=2)).pcm) == [2]
    assert samples(read_wav(wav(1, 16, body, channels=2), channel=1).pcm) == [3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a WAV file"),
        (b"ID3\x04 something else", "not a WAV file"),
        (b"RIFF\0\0\0\0AVI LIST", "not a WAV file"),
        (b"RF64\xff\xff\xff\xffWAVE", "RF64"),
        (riff(b""), "no format"),
        (riff(chunk(b"data", b"\0\0")), "samples before its format"),
        (riff(chunk(b"fmt ", bytes(8))), "format of 8 bytes"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))), "no samples"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 16000, 2, 16))), "sub-format"),
        (wav(2, 4, b"\0"), "format 2 with 4 bits"),
        (wav(1, 16, b"\0\0", channels=0), "0 channels"),
        (wav(1, 16, b"\0\0", rate=0), "0 samples per second"),
    ],
)
def test_says_what_is_wrong(data, message):
    with pytest.raises(ConfigError, match=message):
        read_wav(data)


def test_size_is_bounded(tmp_path):
    path = tmp_path / "big.wav"
    path.write_bytes(wav(7, 8, g711.encode_ulaw(bytes(2000))))
    assert len(read_wav(path).pcm) == 2000
    with pytest.raises(ConfigError, match=r"big\.wav is larger than 500 bytes"):
        read_wav(path, max_bytes=500)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "nothing.wav")


@given(st.binary(max_size=120), st.integers(0, 60))
def test_damage_never_surprises(noise, at):
    data = wav(1, 16, bytes(20), extensible=True)
    damaged = data[:at] + noise + data[at + len(noise) :]
    try:
        audio = read_wav(damaged)
    except ConfigError:
        return
    assert len(audio.pcm) % 2 == 0
