"""Audio formats of the wire, and how bytes and milliseconds of them relate.

The GA dialect names formats with objects (`{"type": "audio/pcm", "rate": 24000}`,
`{"type": "audio/pcmu"}`, `{"type": "audio/pcma"}`); the older dialect, and people,
with the strings `pcm16`, `g711_ulaw` and `g711_alaw`. Source: Realtime API reference,
`session.audio.input.format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..errors import ConfigError

__all__ = ["PCM16", "PCMA", "PCMU", "AudioFormat", "parse_format"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One mono audio format.

    Attributes:
        type: `audio/pcm` (16 bit little endian), `audio/pcmu` or `audio/pcma`;
            an unknown type is kept and treated as 16 bit PCM.
        rate: samples per second, Hz.
    """

    type: str = "audio/pcm"
    rate: int = 24_000

    @property
    def sample_bytes(self) -> int:
        """Bytes per sample: 1 for G.711, 2 otherwise."""
        return 1 if self.type in ("audio/pcmu", "audio/pcma") else 2

    @property
    def bytes_per_ms(self) -> float:
        """Bytes in one millisecond of audio."""
        return self.rate * self.sample_bytes / 1000

    def duration_ms(self, size: int) -> float:
        """How long `size` bytes last, ms."""
        return size / self.bytes_per_ms

    def size_of(self, ms: float) -> int:
        """Bytes in `ms` milliseconds, rounded down to a whole sample."""
        return int(ms * self.rate / 1000) * self.sample_bytes

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        return {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}.get(self.type, b"\x00\x00")

    def to_wire(self) -> dict[str, Any]:
        """The GA object; G.711 has no `rate` there."""
        if self.sample_bytes == 1:
            return {"type": self.type}
        return {"type": self.type, "rate": self.rate}


PCM16 = AudioFormat("audio/pcm", 24_000)
PCMU = AudioFormat("audio/pcmu", 8_000)
PCMA = AudioFormat("audio/pcma", 8_000)

_BY_NAME = {
    "pcm16": PCM16,
    "audio/pcm": PCM16,
    "g711_ulaw": PCMU,
    "audio/pcmu": PCMU,
    "g711_alaw": PCMA,
    "audio/pcma": PCMA,
}


def parse_format(value: object, default: AudioFormat = PCM16) -> AudioFormat:
    """Read a format in any of its spellings.

    Args:
        value: an `AudioFormat`, a name, a GA object, or None for `default`.

    Raises:
        ConfigError: if it is none of these, or the rate is not between 8000 and 48000 Hz.
    """
    if value is None:
        return default
    if isinstance(value, AudioFormat):
        return value
    if isinstance(value, str):
        if value in _BY_NAME:
            return _BY_NAME[value]
        raise ConfigError(f"audio format {value!r} is unknown; use one of {', '.join(sorted(_BY_NAME))}")
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        kind = given.get("type")
        if isinstance(kind, str):
            known = _BY_NAME.get(kind)
            if known is not None and known.sample_bytes == 1:
                return known
            return AudioFormat("audio/pcm" if known else kind, _rate(given.get("rate")))
    raise ConfigError(f"audio format {value!r} is neither a name nor an object with a 'type'")


def _rate(value: object) -> int:
    if value is None:
        return PCM16.rate
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"audio rate {value!r} is not a number of Hz")
    if not 8_000 <= value <= 48_000:
        raise ConfigError(f"audio rate {value!r} Hz is outside 8000 to 48000")
    return int(value)
