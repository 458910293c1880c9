"""From RTP packets to 20 ms of PCM at every tick."""

from __future__ import annotations

from collections.abc import Iterable

from .codecs import AudioDecoder
from .rtp import RtpPacket

__all__ = ["MediaReceiver"]


class MediaReceiver:
    """Puts what arrives in order and plays it out: jitter buffer, decoder, concealment.

    Sans-I/O: the owner pushes packets as they come and pulls once per tick (`Ticker`).

    Args:
        decoder: of the stream; stays the caller's.
        payload_types: those the decoder understands; other packets are counted as `ignored`.
        clock_rate: of the RTP timestamps, Hz; None takes the decoder's.
        comfort_type: payload type of comfort noise (RFC 3389; 13 at 8 kHz), where the peer may send it.
        min_ms, max_ms: least and most delay that the jitter buffer adds on purpose.
    """

    def __init__(
        self,
        decoder: AudioDecoder,
        *,
        payload_types: Iterable[int],
        clock_rate: int | None = None,
        comfort_type: int | None = None,
        min_ms: float = 2.0,
        max_ms: float = 500.0,
    ) -> None:
        raise NotImplementedError

    def push(self, packet: RtpPacket, now: float) -> bool:
        """Take a packet that arrived at `now` (seconds); False if it is of no use: another type, late, a duplicate."""
        raise NotImplementedError

    def pull(self, now: float) -> bytes | None:
        """The next 20 ms, mono PCM16 at the decoder's `sample_rate`; None before the first packet."""
        raise NotImplementedError

    @property
    def concealed_ms(self) -> float:
        """Audio made up because a packet was lost or late, ms in all."""
        raise NotImplementedError

    @property
    def recovered_ms(self) -> float:
        """Audio restored by forward error correction, ms in all."""
        raise NotImplementedError

    @property
    def buffer_ms(self) -> float:
        """Audio waiting, ms."""
        raise NotImplementedError

    @property
    def target_ms(self) -> float:
        """Delay that the jitter buffer aims at, ms."""
        raise NotImplementedError

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (RFC 3550 section 6.4.1), ms."""
        raise NotImplementedError

    @property
    def level(self) -> float:
        """Of the last 20 ms pulled, dBFS."""
        raise NotImplementedError
