"""What an audio codec is, for everything here that sends and receives."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["FRAME_MS", "AudioDecoder", "AudioEncoder", "DecodeError"]

FRAME_MS = 20
"""Length of what is encoded and played out at once, ms."""


class DecodeError(ValueError):
    """A payload that the codec cannot decode."""


@runtime_checkable
class AudioEncoder(Protocol):
    """Turns mono PCM16 (little endian) into payloads, one stream."""

    @property
    def sample_rate(self) -> int:
        """Of the PCM it takes, Hz."""
        ...

    @property
    def clock_rate(self) -> int:
        """Of the RTP timestamps, Hz (Opus: always 48 000, RFC 7587 section 4.1)."""
        ...

    def encode(self, pcm: bytes, /) -> bytes:
        """The payload of one frame (20 ms)."""
        ...

    def close(self) -> None:
        """Free what it holds; idempotent. Encoding afterwards is an error."""


@runtime_checkable
class AudioDecoder(Protocol):
    """Turns payloads into mono PCM16 (little endian), one stream; lengths are samples at `sample_rate`."""

    @property
    def sample_rate(self) -> int:
        """Of the PCM it gives, Hz."""
        ...

    @property
    def clock_rate(self) -> int:
        """Of the RTP timestamps, Hz."""
        ...

    def samples(self, payload: bytes, /) -> int:
        """How much a payload decodes to; 0 if it is none of this codec."""
        ...

    def has_fec(self, payload: bytes, /) -> bool:
        """Whether `decode_fec` can restore the frame before this payload."""
        ...

    def is_dtx(self, payload: bytes, /) -> bool:
        """Whether the sender falls silent with this payload, so that none may follow for a while."""
        ...

    def decode(self, payload: bytes, /) -> bytes:
        """The payload's audio.

        Raises:
            DecodeError: if it cannot be decoded.
        """
        ...

    def decode_fec(self, payload: bytes, samples: int, /) -> bytes:
        """The lost audio just before `payload`, from the copy in it.

        Raises:
            DecodeError: if it cannot be decoded.
        """
        ...

    def conceal(self, samples: int, /) -> bytes:
        """Made-up audio in place of what was lost, going on from what was decoded last and fading."""
        ...

    def comfort(self, samples: int, /) -> bytes:
        """What is heard while the sender is silent."""
        ...

    def learn_comfort(self, payload: bytes, /) -> None:
        """Take the level for `comfort` from a comfort noise packet (RFC 3389), where the codec has none of its own."""

    def close(self) -> None:
        """Free what it holds; idempotent. Decoding afterwards is an error."""
