"""WAV files: everything a telephone, a browser or an editor writes, in; 16 bit PCM out.

The standard library's `wave` refuses G.711 and float samples, so the container is read here.
Source: Microsoft Multimedia Programming Interface (RIFF, WAVE), and `mmreg.h` for the format codes.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from ..errors import ConfigError
from ..protocol.formats import AudioFormat
from . import g711
from .samples import from_pcm, mix_down, to_pcm

__all__ = ["WavAudio", "read_wav"]

_PCM: Final = 1
_FLOAT: Final = 3
_ALAW: Final = 6
_ULAW: Final = 7
_EXTENSIBLE: Final = 0xFFFE

_MAX_BYTES: Final = 256 * 1024 * 1024

PathLike: TypeAlias = str | os.PathLike[str]


class WavAudio(NamedTuple):
    """Mono audio of a file: `format, pcm = read_wav(path)`.

    Attributes:
        format: always `audio/pcm`, at the file's own rate (Hz).
        pcm: mono s16le.
    """

    format: AudioFormat
    pcm: bytes

    @property
    def duration_ms(self) -> float:
        """Length, ms."""
        return self.format.duration_ms(len(self.pcm))


def read_wav(
    source: PathLike | bytes, *, channel: int | None = None, max_bytes: int = _MAX_BYTES
) -> WavAudio:
    """Read a WAV file as mono 16 bit PCM at its own rate.

    Understands PCM of 8, 16, 24 and 32 bits, float of 32 and 64 bits and both G.711 laws, each also behind
    the extensible header, with any number of channels. A file whose writer died early, and whose header
    therefore says less or more than there is, is read to its end. Wider samples are cut to 16 bits.

    Args:
        source: a path, or the bytes of a file.
        channel: which channel to take (0 is left); None averages them.
        max_bytes: the largest file that is read.

    Raises:
        ConfigError: if it is no WAV file, its coding is none of these, or it is too large; says which.
        OSError: if the file cannot be read.
    """
    name, data = _load(source, max_bytes)
    header, body = _chunks(name, data)
    samples = _decode(name, header, body)
    if channel is None:
        samples = mix_down(samples, header.channels)
    elif 0 <= channel < header.channels:
        samples = samples[channel :: header.channels]
    else:
        raise ConfigError(f"{name} has no channel {channel}; it has {header.channels}, counted from 0")
    return WavAudio(AudioFormat("audio/pcm", header.rate), to_pcm(samples))


@dataclass(frozen=True, slots=True)
class _Header:
    code: int
    channels: int
    rate: int
    bits: int


def _load(source: PathLike | bytes, max_bytes: int) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = f"WAV data of {len(source)} bytes", source
    else:
        path = Path(source)
        name = str(path)
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ConfigError(f"{name} is larger than {max_bytes} bytes; pass a larger max_bytes to read it")
    return name, data


def _chunks(name: str, data: bytes) -> tuple[_Header, bytes]:
    """The format and the sample bytes; other chunks are skipped."""
    kind, wave = data[:4], data[8:12]
    if kind in (b"RIFX", b"RF64", b"BW64"):
        raise ConfigError(f"{name} is a {kind.decode()} file; convert it to plain RIFF WAV")
    if kind != b"RIFF" or wave != b"WAVE":
        raise ConfigError(f"{name} is not a WAV file: it begins with {data[:12]!r}")
    header: _Header | None = None
    at = 12
    while at + 8 <= len(data):
        chunk, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if chunk == b"fmt ":
            header = _read_header(name, body)
        elif chunk == b"data":
            if header is None:
                raise ConfigError(f"{name} has samples before its format; it is damaged")
            # A recorder that died, or wrote to a pipe, left 0 or the largest number here.
            return header, body if size else data[at + 8 :]
        at += 8 + size + size % 2
    raise ConfigError(f"{name} has no {'samples' if header else 'format'} in it; it is damaged or cut off")


def _read_header(name: str, body: bytes) -> _Header:
    if len(body) < 16:
        raise ConfigError(f"{name} has a format of {len(body)} bytes where at least 16 belong; it is damaged")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == _EXTENSIBLE:
        if len(body) < 26:
            raise ConfigError(f"{name} has an extensible format without a sub-format; it is damaged")
        (code,) = struct.unpack_from("<H", body, 24)
    if not 1 <= channels <= 64:
        raise ConfigError(f"{name} says it has {channels} channels; 1 to 64 can be read")
    if not 1 <= rate <= 768_000:
        raise ConfigError(f"{name} says it has {rate} samples per second; 1 to 768000 can be read")
    return _Header(code, channels, rate, bits)


def _decode(name: str, header: _Header, body: bytes) -> array[int]:
    decoder = _DECODERS.get((header.code, header.bits))
    if decoder is None:
        raise ConfigError(
            f"{name} is coded as format {header.code} with {header.bits} bits; PCM (1) of 8, 16, 24 or 32 bits, "
            "float (3) of 32 or 64, A-law (6) and mu-law (7) can be read"
        )
    whole = len(body) - len(body) % (header.bits // 8 * header.channels)
    return decoder(body[:whole])


def _from_8(body: bytes) -> array[int]:
    pcm = bytearray(2 * len(body))
    pcm[1::2] = body.translate(bytes(value ^ 0x80 for value in range(256)))  # unsigned, 128 is silence
    return from_pcm(pcm)


def _upper_16(width: int) -> Callable[[bytes], array[int]]:
    def decode(body: bytes) -> array[int]:
        pcm = bytearray(2 * (len(body) // width))
        pcm[0::2] = body[width - 2 :: width]
        pcm[1::2] = body[width - 1 :: width]
        return from_pcm(pcm)

    return decode


def _from_float(code: str) -> Callable[[bytes], array[int]]:
    def decode(body: bytes) -> array[int]:
        values = struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body)
        return array("h", map(_clip, values))

    return decode


def _clip(value: float) -> int:
    if value != value:  # noqa: PLR0124 - NaN
        return 0
    return round(max(-32768.0, min(32767.0, value * 32768.0)))


_DECODERS: Final[dict[tuple[int, int], Callable[[bytes], array[int]]]] = {
    (_PCM, 8): _from_8,
    (_PCM, 16): from_pcm,
    (_PCM, 24): _upper_16(3),
    (_PCM, 32): _upper_16(4),
    (_FLOAT, 32): _from_float("f"),
    (_FLOAT, 64): _from_float("d"),
    (_ALAW, 8): lambda body: from_pcm(g711.decode_alaw(body)),
    (_ULAW, 8): lambda body: from_pcm(g711.decode_ulaw(body)),
}
