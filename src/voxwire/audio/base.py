"""Where input audio comes from and where output audio goes, on one page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from ..protocol.formats import AudioFormat

__all__ = ["AudioSink", "AudioSource"]


@runtime_checkable
class AudioSource(Protocol):
    """Input audio. A transport iterates it once per connection."""

    def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """Audio in `format`, normally 20 ms a piece, no faster than real time unless asked for.

        Ends when the source has nothing more; cancelled when the connection closes.
        """
        ...

    async def close(self) -> None:
        """Give up what was opened; idempotent."""


@runtime_checkable
class AudioSink(Protocol):
    """Output audio. All methods but `open` and `close` are plain calls that never block."""

    async def open(self, format: AudioFormat, /) -> None:
        """Get ready for audio in `format`; called again if the format changes."""

    def write(self, data: bytes, /) -> None:
        """Queue audio behind what is there already."""

    def clear(self, heard_ms: float, /) -> None:
        """Drop what has not been played; `heard_ms` is what the engine takes as heard."""

    def heard_ms(self) -> float | None:
        """Audio that has left the listener's end since the first `open`, ms.

        Audio dropped by `clear` does not count. None if the sink cannot know: the engine
        then assumes real-time playback from the first sample on.
        """
        ...

    def buffered_ms(self) -> float:
        """Audio written and not yet played, ms; reading pauses while this is beyond the sink's limit.

        The limit is its attribute `max_buffer_ms` where it has one, else 120 000.
        """
        ...

    async def close(self) -> None:
        """Stop and release; idempotent."""
