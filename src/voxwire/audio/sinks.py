"""Output audio that goes to a file, a program or nowhere instead of a loudspeaker.

Each is an `AudioSink`. All of them are used from one event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ..errors import UserError
from ..protocol.formats import PCM16, AudioFormat
from .base import AudioSink
from .callbacks import call_logged
from .resample import Converter
from .wav_writer import WavWriter

__all__ = ["CallbackSink", "NullSink", "TeeSink", "WavSink"]


class NullSink:
    """Takes everything and plays nothing. What is heard is modelled by the engine."""

    async def open(self, format: AudioFormat, /) -> None:
        """Nothing to get ready."""

    def write(self, data: bytes, /) -> None:
        """Forget it."""

    def clear(self, heard_ms: float, /) -> None:
        """Nothing is held."""

    def heard_ms(self) -> float | None:
        """None: the engine assumes real-time playback."""
        return None

    def buffered_ms(self) -> float:
        """0."""
        return 0.0

    async def close(self) -> None:
        """Nothing to release."""


class CallbackSink(NullSink):
    """Hands every piece of audio to a function, as it arrives: faster than it can be heard.

    Args:
        on_audio: called with the bytes, in the format given to `open` (also kept in `format`).
        on_clear: called with `heard_ms` when the user interrupts: drop what has not been played.
        heard_ms: your player's position, ms since the first audio without what was dropped; without
            it the engine assumes real-time playback.
        buffered_ms: what your player still has to play, ms; reading pauses while it is beyond `max_buffer_ms`.
        max_buffer_ms: that limit, ms.

    An error in `on_audio` or `on_clear` is logged, and the call goes on.
    """

    def __init__(
        self,
        on_audio: Callable[[bytes], object],
        on_clear: Callable[[float], object] | None = None,
        *,
        heard_ms: Callable[[], float | None] | None = None,
        buffered_ms: Callable[[], float] | None = None,
        max_buffer_ms: float = 120_000,
    ) -> None:
        self.max_buffer_ms = max_buffer_ms
        self.format: AudioFormat | None = None
        self._on_audio = on_audio
        self._on_clear = on_clear
        self._heard_ms = heard_ms
        self._buffered_ms = buffered_ms

    async def open(self, format: AudioFormat, /) -> None:
        """Remember the format."""
        self.format = format

    def write(self, data: bytes, /) -> None:
        """Call `on_audio`."""
        call_logged(self._on_audio, data)

    def clear(self, heard_ms: float, /) -> None:
        """Call `on_clear`."""
        if self._on_clear is not None:
            call_logged(self._on_clear, heard_ms)

    def heard_ms(self) -> float | None:
        """The function's answer, or None."""
        return self._heard_ms() if self._heard_ms is not None else None

    def buffered_ms(self) -> float:
        """The function's answer, or 0."""
        return self._buffered_ms() if self._buffered_ms is not None else 0.0


class WavSink(NullSink):
    """A WAV file (16 bit, mono) of what was heard: what an interruption cut off is not in it.

    Replies follow each other without the pauses between them (`StereoRecorder` keeps those), and what
    has arrived when the sink is closed stays, heard or not. Audio goes straight to disk, so nothing queues here.

    Args:
        path: replaced if it exists.
        rate: of the file, Hz; None takes the rate of the first `open`.

    Raises:
        OSError: from `open`, if the file cannot be written.
        UserError: from `open`, after `close`: it would overwrite the recording.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int | None = None) -> None:
        self.path = path
        self._rate = rate
        self._format = PCM16
        self._writer: WavWriter | None = None
        self._converter: Converter | None = None
        self._closed = False

    async def open(self, format: AudioFormat, /) -> None:
        """Open the file, or go on in it with audio in another format."""
        if self._closed:
            raise UserError(f"the WavSink for {os.fspath(self.path)} is closed; make a new one")
        if self._writer is None:
            self._writer = WavWriter(self.path, self._rate or format.rate)
        elif format != self._format:
            self._finish_piece()
        self._format = format

    def write(self, data: bytes, /) -> None:
        """Append to the file.

        Raises:
            UserError: before `open` and after `close`.
            OSError: if the disk refuses it.
        """
        writer = self._opened()
        if self._converter is None:
            self._converter = Converter(self._format, AudioFormat("audio/pcm", writer.rate))
        writer.write(self._converter.feed(data))

    def clear(self, heard_ms: float, /) -> None:
        """Cut the file at `heard_ms`."""
        if self._writer is not None:
            self._finish_piece()
            self._writer.truncate(round(heard_ms * self._writer.rate / 1000))

    async def close(self) -> None:
        """Finish the file; idempotent."""
        self._closed = True
        if self._writer is not None:
            try:
                self._finish_piece()
            finally:
                writer, self._writer = self._writer, None
                writer.close()

    def _finish_piece(self) -> None:
        """Bring what the resampler holds back into the file."""
        if self._converter is not None:
            self._opened().write(self._converter.feed(b"", last=True))
            self._converter = None

    def _opened(self) -> WavWriter:
        if self._writer is None:
            raise UserError(f"the WavSink for {os.fspath(self.path)} is not open")
        return self._writer


class TeeSink:
    """One stream into several sinks. The first is the one that is heard; the others follow it.

    Args:
        primary: says what was heard.
        others: get the same audio and the same interruptions.
    """

    def __init__(self, primary: AudioSink, *others: AudioSink) -> None:
        self.sinks = (primary, *others)

    @property
    def max_buffer_ms(self) -> float:
        """The smallest limit among the sinks, ms."""
        return min(float(getattr(sink, "max_buffer_ms", 120_000)) for sink in self.sinks)

    async def open(self, format: AudioFormat, /) -> None:
        """Open all of them; if one fails, those opened before are closed."""
        opened: list[AudioSink] = []
        try:
            for sink in self.sinks:
                await sink.open(format)
                opened.append(sink)
        except BaseException:
            for sink in reversed(opened):
                await sink.close()
            raise

    def write(self, data: bytes, /) -> None:
        """Write to all of them."""
        for sink in self.sinks:
            sink.write(data)

    def clear(self, heard_ms: float, /) -> None:
        """Clear all of them at the same position."""
        for sink in self.sinks:
            sink.clear(heard_ms)

    def heard_ms(self) -> float | None:
        """What the first sink says."""
        return self.sinks[0].heard_ms()

    def buffered_ms(self) -> float:
        """The most that any of them has to play, ms."""
        return max(sink.buffered_ms() for sink in self.sinks)

    async def close(self) -> None:
        """Close all of them, also if one fails; its error is raised in the end."""
        results = await asyncio.gather(*(sink.close() for sink in self.sinks), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
