"""What plays and hears the audio of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..protocol.formats import PCM16
from ..rtc.base import RtcPeer

__all__ = ["MediaPlane", "RtcMedia"]


class MediaPlane(Protocol):
    """Two streams of audio in real time, both 24 kHz PCM16 little endian, mono.

    A plane that runs at another rate (a telephone's 8 or 16 kHz) resamples at its edge; positions
    are milliseconds, so that they mean the same everywhere.
    """

    def write(self, pcm: bytes, /) -> None:
        """Queue audio; it is played in real time, without a gap while there is some."""

    def clear(self) -> float:
        """Drop what was not played; return `played_ms`."""
        ...

    @property
    def played_ms(self) -> float:
        """How much of what was written has been played since the beginning, ms; silence does not count."""
        ...

    def listen(self, hear: Callable[[bytes], None], /) -> None:
        """Give everything heard from now on to this, on the event loop, in pieces of 20 ms."""


class RtcMedia:
    """The audio of a peer connection.

    Played is what has been sent: the network and the jitter buffer of the other side come on top.
    """

    def __init__(self) -> None:
        self._peer: RtcPeer | None = None
        self._written_ms = 0.0
        self._hear: Callable[[bytes], None] | None = None

    def connect(self, peer: RtcPeer) -> None:
        """Play to this peer."""
        self._peer = peer

    def heard(self, pcm: bytes) -> None:
        """The peer's next audio; nobody listens before the session has begun."""
        if self._hear is not None:
            self._hear(pcm)

    def write(self, pcm: bytes, /) -> None:
        """Send audio."""
        if self._peer is not None:
            self._peer.send_audio(pcm)
            self._written_ms += PCM16.duration_ms(len(pcm))

    def clear(self) -> float:
        """Drop what was not sent."""
        if self._peer is not None:
            self._written_ms = self.played_ms
            self._peer.clear_audio()
        return self._written_ms

    @property
    def played_ms(self) -> float:
        """How much was sent, ms."""
        # By what is left: a packet that was filled up with silence does not count for more than it holds.
        waiting = self._peer.queued_ms if self._peer is not None else 0.0
        return max(self._written_ms - waiting, 0.0)

    def listen(self, hear: Callable[[bytes], None], /) -> None:
        """Give the peer's audio to this."""
        self._hear = hear
