"""Input audio that comes from a file, a program or arithmetic instead of a microphone.

Each is an `AudioSource`. Where a source is paced, a frame comes when a microphone would have it:
on an absolute schedule of the event loop's clock, and after a stall with at most 200 ms at once.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import AsyncIterator, Iterable, Iterator

from ..errors import ConfigError
from ..protocol.formats import AudioFormat
from .pacing import paced, reframe
from .resample import Converter
from .samples import to_pcm
from .wav import WavAudio, read_wav

__all__ = ["SilenceSource", "ToneSource", "WavSource", "clip_pieces", "silence_pieces"]

_STEP_MS = 100
"""How much audio is converted at a time, so that a long file never holds up the loop."""


class _Generated(ABC):
    """Frames out of an iterator of bytes, with or without pacing."""

    def __init__(self, *, realtime: bool, frame_ms: float) -> None:
        if not frame_ms >= 1:
            raise ConfigError(f"frame_ms is {frame_ms!r}; frames last 1 ms or more")
        self.realtime = realtime
        self.frame_ms = frame_ms
        self._closed = False

    @abstractmethod
    def _pieces(self, format: AudioFormat) -> Iterable[bytes]: ...

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """The audio in `format`; a second call (after a reconnection) begins again."""
        frames = reframe(self._pieces(format), format, self.frame_ms)
        async for frame in paced(frames, format) if self.realtime else _at_once(frames):
            if self._closed:
                return
            yield frame

    async def close(self) -> None:
        """End at the next frame."""
        self._closed = True


class WavSource(_Generated):
    """A WAV file as a microphone.

    Args:
        path: anything `read_wav` reads; channels are averaged. Read when the first frame is asked for.
        realtime: False gives frames as fast as they are taken.
        frame_ms: length of a frame, ms.
        lead_silence_ms, tail_silence_ms: silence before and after the file, ms. Turn detection needs
            some behind the last word, or it waits for the turn to end.

    Raises:
        ConfigError, OSError: from the first frame, as `read_wav`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        realtime: bool = True,
        frame_ms: float = 20,
        lead_silence_ms: float = 0,
        tail_silence_ms: float = 0,
    ) -> None:
        super().__init__(realtime=realtime, frame_ms=frame_ms)
        self.path = path
        self.lead_silence_ms = lead_silence_ms
        self.tail_silence_ms = tail_silence_ms

    def _pieces(self, format: AudioFormat) -> Iterable[bytes]:
        return itertools.chain(
            silence_pieces(format, self.lead_silence_ms),
            clip_pieces(read_wav(self.path), format),
            silence_pieces(format, self.tail_silence_ms),
        )


class SilenceSource(_Generated):
    """Digital silence, for `duration_ms` or without end (None)."""

    def __init__(
        self, duration_ms: float | None = None, *, realtime: bool = True, frame_ms: float = 20
    ) -> None:
        super().__init__(realtime=realtime, frame_ms=frame_ms)
        self.duration_ms = duration_ms

    def _pieces(self, format: AudioFormat) -> Iterable[bytes]:
        return silence_pieces(format, self.duration_ms)


class ToneSource(_Generated):
    """A sine tone, for `duration_ms` or without end (None).

    Args:
        hz: its frequency.
        level_dbfs: its peak, dB relative to full scale; at most 0.
        duration_ms: its length, ms.
        realtime, frame_ms: as for `WavSource`.

    Raises:
        ConfigError: if the level is above 0.
    """

    def __init__(
        self,
        hz: float = 440.0,
        *,
        level_dbfs: float = -12.0,
        duration_ms: float | None = None,
        realtime: bool = True,
        frame_ms: float = 20,
    ) -> None:
        super().__init__(realtime=realtime, frame_ms=frame_ms)
        if level_dbfs > 0:
            raise ConfigError(f"level_dbfs is {level_dbfs!r}; nothing is louder than 0")
        self.hz = hz
        self.duration_ms = duration_ms
        self._peak = 32767 * 10 ** (level_dbfs / 20)

    def _pieces(self, format: AudioFormat) -> Iterator[bytes]:
        encoder = Converter(AudioFormat("audio/pcm", format.rate), format)
        total = None if self.duration_ms is None else int(self.duration_ms * format.rate / 1000)
        step = max(1, format.rate * _STEP_MS // 1000)
        turn = 2 * math.pi * self.hz / format.rate
        for begin in itertools.count(0, step) if total is None else range(0, total, step):
            end = begin + step if total is None else min(begin + step, total)
            wave = array("h", [round(self._peak * math.sin(turn * n)) for n in range(begin, end)])
            yield encoder.feed(to_pcm(wave))


def silence_pieces(format: AudioFormat, ms: float | None) -> Iterator[bytes]:
    """`ms` of silence in `format`, or silence without end (None)."""
    left = None if ms is None else format.size_of(ms) // format.sample_bytes
    step = max(1, format.rate * _STEP_MS // 1000)
    while left is None or left > 0:
        count = step if left is None else min(step, left)
        yield format.silence * count
        left = None if left is None else left - count


def clip_pieces(audio: WavAudio, format: AudioFormat) -> Iterator[bytes]:
    """A recording in `format`, converted piece by piece as it is asked for."""
    converter = Converter(audio.format, format)
    step = max(audio.format.sample_bytes, audio.format.size_of(_STEP_MS))
    for begin in range(0, len(audio.pcm), step):
        yield converter.feed(audio.pcm[begin : begin + step])
    yield converter.feed(b"", last=True)


async def _at_once(frames: Iterable[bytes]) -> AsyncIterator[bytes]:
    for frame in frames:
        # Whoever takes frames without ever waiting must not keep the loop to itself.
        await asyncio.sleep(0)
        yield frame
