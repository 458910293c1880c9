"""Frames on time, by the event loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from ..protocol.formats import AudioFormat

__all__ = ["MAX_BURST_MS", "Pacer", "frame_sizes", "paced", "reframe"]

MAX_BURST_MS: Final = 200
"""After a stall, at most this much audio is made up for at once; the rest of the stream comes later."""


def frame_sizes(format: AudioFormat, frame_ms: float) -> Iterator[int]:
    """Bytes of each frame, without end.

    A frame that is no whole number of samples (20 ms at 11025 Hz) alternates between two sizes, so
    that the stream keeps its rate.
    """
    index = begin = 0
    while True:
        index += 1
        end = format.size_of(index * frame_ms)
        yield end - begin
        begin = end


def reframe(pieces: Iterable[bytes], format: AudioFormat, frame_ms: float) -> Iterator[bytes]:
    """The same audio in frames of `frame_ms`; the last one may be shorter."""
    sizes = frame_sizes(format, frame_ms)
    size = next(sizes)
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
            size = next(sizes)
    if held:
        yield bytes(held)


class Pacer:
    """Waits out audio on an absolute schedule, so that small delays do not add up."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()

    async def wait(self, ms: float) -> None:
        """Return when `ms` more of audio are over."""
        earliest = self._loop.time() - MAX_BURST_MS / 1000
        self._due = max(self._due + ms / 1000, earliest)
        await asyncio.sleep(max(0.0, self._due - self._loop.time()))


async def paced(frames: Iterable[bytes], format: AudioFormat) -> AsyncIterator[bytes]:
    """Each frame at the moment at which a microphone would have it: when its last sample is over."""
    pacer = Pacer()
    for frame in frames:
        await pacer.wait(format.duration_ms(len(frame)))
        yield frame
