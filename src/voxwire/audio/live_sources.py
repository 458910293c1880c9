"""Input audio that is handed in while the connection is open."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias

from ..errors import ConfigError, UserError
from ..protocol.formats import PCM16, AudioFormat
from .pacing import Pacer, frame_sizes
from .resample import Converter
from .sources import clip_pieces
from .wav import WavAudio, read_wav

__all__ = ["QueueSource", "SequenceSource"]


class QueueSource:
    """Audio that a program pushes: from a socket, a callback, another library.

    The pusher is the clock: frames leave as soon as they are there, cut to `frame_ms` at most. With
    `realtime=True` they leave no faster than they are heard. For one event loop; from another thread
    use `asyncio.run_coroutine_threadsafe(source.push(pcm), loop)`.

    Args:
        format: of what is pushed; frames come out in whatever format the transport asks for.
        max_ms: how much audio is held, ms. When it is full `push` waits: audio is never dropped.
        realtime: pace the frames.
        frame_ms: length of a frame, ms.

    Raises:
        ConfigError: if `max_ms` or `frame_ms` is below 1.
    """

    def __init__(
        self,
        format: AudioFormat = PCM16,
        *,
        max_ms: float = 10_000,
        realtime: bool = False,
        frame_ms: float = 20,
    ) -> None:
        for name, value in (("max_ms", max_ms), ("frame_ms", frame_ms)):
            if not value >= 1:
                raise ConfigError(f"{name} is {value!r}; it must be 1 ms or more")
        self.format = format
        self.realtime = realtime
        self.frame_ms = frame_ms
        self._limit = max(format.sample_bytes, format.size_of(max_ms))
        self._held = bytearray()
        self._ended = False
        self._pushing = asyncio.Lock()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    def buffered_ms(self) -> float:
        """Audio pushed and not yet taken, ms."""
        return self.format.duration_ms(len(self._held))

    async def push(self, pcm: bytes) -> None:
        """Append audio in `format`, waiting for room as long as it takes.

        Calls from several tasks do not mix: one is through before the next begins. A call that is cancelled
        may have appended a part.

        Raises:
            UserError: after `end` or `close`, also when that happens while it waits.
        """
        async with self._pushing:
            rest = memoryview(pcm)
            self._append(rest[:0])
            while rest:
                while not self._ended and len(self._held) >= self._limit:
                    self._writable.clear()
                    await self._writable.wait()
                room = self._limit - len(self._held)
                self._append(rest[:room])
                rest = rest[room:]

    def try_push(self, pcm: bytes) -> bool:
        """Append audio now, or nothing of it if there is no room (False); for callbacks.

        Raises:
            UserError: after `end` or `close`.
        """
        if self._pushing.locked() or len(self._held) + len(pcm) > self._limit:
            return False
        self._append(pcm)
        return True

    def end(self) -> None:
        """No more audio follows: frames end behind what is held; idempotent."""
        self._ended = True
        self._readable.set()
        self._writable.set()

    async def close(self) -> None:
        """Drop what is held and end; idempotent."""
        self._held.clear()
        self.end()

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """What is pushed, in `format`. What was not yet taken stays for the next connection."""
        converter = Converter(self.format, format)
        sizes = frame_sizes(self.format, self.frame_ms)
        pacer = Pacer()
        while piece := await self._take(next(sizes)):
            if frame := converter.feed(piece):
                yield frame
            if self.realtime:
                await pacer.wait(self.format.duration_ms(len(piece)))
        if rest := converter.feed(b"", last=True):
            yield rest

    def _append(self, data: bytes | memoryview) -> None:
        if self._ended:
            raise UserError("the QueueSource has ended; make a new one for more audio")
        self._held += data
        self._readable.set()

    async def _take(self, size: int) -> bytes:
        while not self._held and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._writable.set()
        return piece


class SequenceSource:
    """Silence without end, into which clips are spoken at chosen moments: a stand-in for a person.

    ```python
    source = SequenceSource()
    ...                                   # the session iterates it
    await source.say("question.wav")      # returns when its last sample was sent
    ```

    Args:
        frame_ms: length of a frame, ms.
        max_clips: how many clips may wait; beyond it `say` raises.

    Raises:
        ConfigError: if `frame_ms` is below 1.
    """

    def __init__(self, *, frame_ms: float = 20, max_clips: int = 64) -> None:
        if not frame_ms >= 1:
            raise ConfigError(f"frame_ms is {frame_ms!r}; frames last 1 ms or more")
        self.frame_ms = frame_ms
        self.max_clips = max_clips
        self._waiting: deque[_Clip] = deque()
        self._closed = False

    @property
    def speaking(self) -> bool:
        """Whether a clip is being spoken or waits to be."""
        return bool(self._waiting)

    def say(
        self, clip: str | os.PathLike[str] | WavAudio | bytes, *, format: AudioFormat = PCM16
    ) -> asyncio.Future[None]:
        """Speak `clip` behind what is being spoken already.

        A clip whose connection ends in the middle of it is spoken again, from its beginning, in the next.

        Args:
            clip: a WAV file, or audio in `format`.
            format: of a clip that is given as bytes.

        Returns:
            A future that is done when the last sample was taken, and cancelled by `close`. Not to wait
            for it, or to cancel it, does not stop the clip.

        Raises:
            UserError: if the source is closed or too many clips wait.
            ConfigError, OSError: as `read_wav`.
        """
        if self._closed:
            raise UserError("the SequenceSource is closed; make a new one to say more")
        if len(self._waiting) >= self.max_clips:
            raise UserError(f"{self.max_clips} clips are waiting to be spoken; await one of them first")
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((_as_audio(clip, format), done))
        return done

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """Silence and clips in `format`, in real time, until the source is closed."""
        voice = _Voice(self._waiting, format)
        pacer = Pacer()
        for size in frame_sizes(format, self.frame_ms):
            await pacer.wait(format.duration_ms(size))
            if self._closed:
                return
            yield voice.frame(size)
            voice.sent()

    async def close(self) -> None:
        """End at the next frame; clips not spoken are cancelled. Idempotent."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft()[1].cancel()


_Clip: TypeAlias = tuple[WavAudio, "asyncio.Future[None]"]


class _Voice:
    """What one connection hears of the clips. A clip leaves the queue when its last sample was taken."""

    def __init__(self, waiting: deque[_Clip], format: AudioFormat) -> None:
        self._waiting = waiting
        self._format = format
        self._clip: _Clip | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._held = bytearray()
        self._exhausted = False

    def frame(self, size: int) -> bytes:
        """The next `size` bytes; silence follows the end of a clip up to the end of its frame."""
        if self._clip is None and self._waiting:
            self._clip = self._waiting[0]
            self._pieces = clip_pieces(self._clip[0], self._format)
            self._exhausted = False
        # One byte more than needed, to know whether this frame is the clip's last.
        while self._clip is not None and not self._exhausted and len(self._held) <= size:
            piece = next(self._pieces, None)
            self._exhausted = piece is None
            self._held += piece or b""
        frame = bytes(self._held[:size])
        del self._held[:size]
        return frame + self._format.silence * ((size - len(frame)) // self._format.sample_bytes)

    def sent(self) -> None:
        """The last frame was taken."""
        if self._clip is None or not self._exhausted or self._held:
            return
        clip, self._clip = self._clip, None
        if self._waiting and self._waiting[0] is clip:
            self._waiting.popleft()
        if not clip[1].done():
            clip[1].set_result(None)


def _as_audio(clip: str | os.PathLike[str] | WavAudio | bytes, format: AudioFormat) -> WavAudio:
    if isinstance(clip, WavAudio):
        return clip
    if isinstance(clip, bytes):
        return WavAudio(format, clip)
    return read_wav(clip)
