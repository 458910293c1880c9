"""Brings what is played and what is recorded together, in blocks of any size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError
from .resample import Resampler

if TYPE_CHECKING:
    from .echo import EchoCanceller

__all__ = ["DuplexProcessor"]


class _Played(NamedTuple):
    pcm: bytes
    rate: int
    at: float


class DuplexProcessor:
    """One echo canceller between a loudspeaker and a microphone.

    The loudspeaker's thread hands in what it plays (`render`, which only queues), the microphone's side
    takes echo out of what it records (`capture`, where the work is done: about 0.2 ms per 20 ms). Both say when:
    what was played before a recording is given to the canceller before it, however late either is
    processed. One loudspeaker and one microphone; `render` and `capture` may run in two threads.

    Args:
        canceller: does the work.
        max_queue_ms: audio played and not yet used that is kept, ms. Beyond it the oldest is dropped, as
            it has to be while no microphone is open.

    Attributes:
        dropped_ms: played audio that was dropped, ms.

    Raises:
        ConfigError: if the canceller's rate is no multiple of 100 Hz, or `max_queue_ms` is below 100.
    """

    def __init__(self, canceller: EchoCanceller, *, max_queue_ms: float = 1000) -> None:
        if canceller.rate <= 0 or canceller.rate % 100:
            raise ConfigError(f"the canceller's rate is {canceller.rate!r} Hz; it must be a multiple of 100")
        if not max_queue_ms >= 100:
            raise ConfigError(f"max_queue_ms is {max_queue_ms!r}; it must be 100 ms or more")
        self.canceller = canceller
        self.max_queue_ms = max_queue_ms
        self.dropped_ms = 0.0
        self._lock = Lock()
        self._played: deque[_Played] = deque()
        self._queued_ms = 0.0
        self._render = _Framer(canceller.rate)
        self._capture = _Framer(canceller.rate)
        self._latency = {"input": 0.0, "output": 0.0}

    @property
    def rate(self) -> int:
        """Sample rate of what `capture` gives, Hz."""
        return self.canceller.rate

    def set_latency(self, direction: str, ms: float) -> None:
        """How late a device is ("input", "output"), ms: the sum is the canceller's hint."""
        self._latency[direction] = ms
        self.canceller.set_delay(sum(self._latency.values()))

    def render(self, pcm: bytes, *, rate: int, at: float) -> None:
        """A block was given to the loudspeaker.

        Args:
            pcm: mono s16le, silence included: the canceller needs all of it.
            rate: Hz.
            at: when, in seconds of a clock that `capture` uses as well.
        """
        with self._lock:
            self._played.append(_Played(pcm, rate, at))
            self._queued_ms += _ms(pcm, rate)
            while self._queued_ms > self.max_queue_ms and len(self._played) > 1:
                oldest = self._played.popleft()
                self._queued_ms -= _ms(oldest.pcm, oldest.rate)
                self.dropped_ms += _ms(oldest.pcm, oldest.rate)

    def capture(self, pcm: bytes, *, rate: int, at: float) -> bytes:
        """A block came from the microphone.

        Args:
            pcm: mono s16le.
            rate: Hz.
            at: when it was recorded.

        Returns:
            The same without echo, at the canceller's rate. Up to 10 ms, and what resampling holds back,
            come with the next block.
        """
        while (played := self._next_played(at)) is not None:
            for frame in self._render.frames(played.pcm, played.rate):
                self.canceller.render(frame)
        return b"".join(self.canceller.capture(frame) for frame in self._capture.frames(pcm, rate))

    def reset(self) -> None:
        """Forget what is queued: the microphone was closed, or is another one. What was learnt stays."""
        with self._lock:
            self._played.clear()
            self._queued_ms = 0.0
        self._render = _Framer(self.canceller.rate)
        self._capture = _Framer(self.canceller.rate)

    def _next_played(self, until: float) -> _Played | None:
        with self._lock:
            if not self._played or self._played[0].at > until:
                return None
            played = self._played.popleft()
            self._queued_ms -= _ms(played.pcm, played.rate)
            return played


class _Framer:
    """A stream of blocks of any rate and size as frames of 10 ms at one rate."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._size = rate // 100 * 2
        self._held = bytearray()
        self._resampler = Resampler(rate, rate)

    def frames(self, pcm: bytes, rate: int) -> Iterator[bytes]:
        if rate != self._resampler.rate_in:
            self._resampler = Resampler(rate, self._rate)
        self._held += self._resampler.feed(pcm)
        while len(self._held) >= self._size:
            frame = bytes(self._held[: self._size])
            del self._held[: self._size]
            yield frame


def _ms(pcm: bytes, rate: int) -> float:
    return len(pcm) * 500 / rate
