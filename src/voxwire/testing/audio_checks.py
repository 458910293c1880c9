"""What `check_sink` and `check_source` check: the promises of `voxwire.audio.base`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..audio.base import AudioSink, AudioSource
from ..protocol.formats import PCM16, AudioFormat
from .promise import promise

__all__ = ["check_sink", "check_source"]

PIECE_MS = 20
PATIENCE = 10.0


async def check_sink(make_sink: Callable[[], AudioSink], format: AudioFormat = PCM16) -> None:
    """Check an audio sink with half a second of silence.

    Args:
        make_sink: gives a new sink; it is opened, used and closed here.

    Raises:
        AssertionError: naming the promise that was not kept.
    """
    piece = format.silence * (format.size_of(PIECE_MS) // format.sample_bytes)
    sink = make_sink()
    async with asyncio.timeout(PATIENCE):
        await sink.open(format)
        promise(sink.buffered_ms() == 0, f"a new sink has {sink.buffered_ms()} ms buffered")
        promise(sink.heard_ms() in (None, 0), f"a new sink claims {sink.heard_ms()} ms heard")
        before = 0.0
        for count in range(1, 26):
            sink.write(piece)
            before = _heard(sink, before, count * PIECE_MS)
            await asyncio.sleep(0)
        _heard(sink, before, 25 * PIECE_MS)
        sink.clear(sink.heard_ms() or 0)
        left = sink.buffered_ms()
        promise(left <= PIECE_MS * 2, f"after clear() {left:.0f} ms are still buffered")
        sink.write(piece)
        sink.clear(sink.heard_ms() or 0)
        await sink.open(format)
        sink.write(b"")
        await sink.close()
        await sink.close()


async def check_source(
    make_source: Callable[[], AudioSource],
    format: AudioFormat = PCM16,
    *,
    realtime: bool = True,
    frames: int = 5,
) -> None:
    """Check an audio source by its first frames.

    Args:
        make_source: gives a new source each time; it is closed here.
        realtime: whether it promises not to be faster than its audio lasts.
        frames: how many to read; a shorter source may end earlier.

    Raises:
        AssertionError: naming the promise that was not kept.
    """
    async with asyncio.timeout(PATIENCE):
        await _reads(make_source(), format, realtime=realtime, frames=frames)
        await _can_be_cancelled(make_source(), format)


def _heard(sink: AudioSink, before: float, written: float) -> float:
    heard = sink.heard_ms()
    if heard is None:
        return before
    promise(heard >= before, f"heard_ms() went back from {before} to {heard}")
    promise(heard <= written, f"{heard} ms heard of {written} ms written")
    return heard


async def _reads(source: AudioSource, format: AudioFormat, *, realtime: bool, frames: int) -> None:
    loop = asyncio.get_running_loop()
    started, got, count = loop.time(), 0, 0
    iterator = source.frames(format)
    try:
        async for frame in iterator:
            promise(len(frame) % format.sample_bytes == 0, f"a frame of {len(frame)} bytes splits a sample")
            got += len(frame)
            count += 1
            if count == frames:
                break
    finally:
        await _end(iterator)
    passed = (loop.time() - started) * 1000
    # The first frame may come at once, and a timer may fire a little early.
    early = format.duration_ms(got) - passed
    if realtime and count > 1:
        allowed = format.duration_ms(got) / count + 5
        promise(early <= allowed, f"{format.duration_ms(got):.0f} ms of audio came within {passed:.0f} ms")
    await source.close()
    await source.close()


async def _can_be_cancelled(source: AudioSource, format: AudioFormat) -> None:
    async def read() -> None:
        async for _ in source.frames(format):
            pass

    task = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE / 2)
    promise(done, "a cancelled source does not end")
    promise(task.cancelled() or task.exception() is None, f"a cancelled source raised {task!r}")
    await source.close()


async def _end(iterator: object) -> None:
    close: Callable[[], Awaitable[None]] | None = getattr(iterator, "aclose", None)
    if close is not None:
        await close()
