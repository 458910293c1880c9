"""What waits for a loudspeaker, and how much of it was heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final, NamedTuple

__all__ = ["PlayBuffer"]

MAX_BLOCKS: Final = 1024
"""Blocks on their way through a device; beyond that the oldest is taken as heard."""


class _Block(NamedTuple):
    """Audio that the device has taken: `size` bytes from position `start`, heard from `at` (s) on."""

    at: float
    start: int
    size: int


class PlayBuffer:
    """A queue between an event loop, which writes and asks, and a device's thread, which reads.

    Position is counted in audio, without the silence that fills gaps. `now` and `heard_at` are seconds of
    one monotonic clock, handed in by the caller.

    Args:
        rate: of the device, Hz.
        frame_bytes: bytes of one sample of all channels.
        prebuffer: after the queue ran dry it starts to play when this much is there (s), or when its
            first piece has waited that long: absorbs the jitter of audio that arrives in real time.
    """

    def __init__(self, rate: int, frame_bytes: int = 2, *, prebuffer: float = 0.0) -> None:
        self._bytes_per_second = rate * frame_bytes
        self._prebuffer = prebuffer
        self._lock = Lock()
        self._pieces: deque[bytes] = deque()
        self._used = 0
        self._size = 0
        self._dry = True
        self._dry_until = 0.0
        self._before = 0.0  # heard on devices before this one, s
        self._taken = 0
        self._heard = 0.0
        self._blocks: deque[_Block] = deque()

    def write(self, pcm: bytes, now: float) -> None:
        """Append audio in the device's format."""
        if not pcm:
            return
        with self._lock:
            if not self._pieces:
                self._dry_until = now + self._prebuffer
            self._pieces.append(pcm)
            self._size += len(pcm)

    def read(self, size: int, now: float, heard_at: float) -> bytes:
        """`size` bytes for the device, silence where there is no audio.

        Args:
            size: in bytes.
            now: the time.
            heard_at: when the first of these samples is heard.
        """
        with self._lock:
            if self._dry and now < self._dry_until and self._seconds(self._size) < self._prebuffer:
                return bytes(size)
            audio = self._pop(size)
            self._dry = len(audio) < size
            if audio:
                self._blocks.append(_Block(heard_at, self._taken, len(audio)))
                self._taken += len(audio)
                if len(self._blocks) > MAX_BLOCKS:
                    self._pass_oldest()
        return audio if len(audio) == size else audio + bytes(size - len(audio))

    def clear(self, now: float) -> None:
        """Drop what waits. What the device has taken already is past recall, but does not count as heard."""
        with self._lock:
            self._advance(now)
            self._pieces.clear()
            self._used = self._size = 0
            self._blocks.clear()
            self._before += self._seconds(self._heard)
            self._taken = self._heard = 0
            self._dry = True

    def lost(self) -> None:
        """The device is gone: what it had taken counts as heard, so that the position does not stick."""
        with self._lock:
            self._blocks.clear()
            self._heard = self._taken

    def reformat(self, rate: int, frame_bytes: int, convert: Callable[[bytes], bytes]) -> None:
        """Another device, after `lost`: `convert` makes of what waits what it takes."""
        with self._lock:
            waiting = self._pop(self._size)
            self._before += self._seconds(self._taken)
            self._taken = self._heard = 0
            self._blocks.clear()
            self._bytes_per_second = rate * frame_bytes
            if waiting:
                converted = convert(waiting)
                self._pieces.append(converted)
                self._size = len(converted)

    def heard(self, now: float) -> float:
        """Audio heard until now, s; never decreases."""
        with self._lock:
            self._advance(now)
            return self._before + self._seconds(self._heard)

    def waiting(self) -> float:
        """Audio the device has not taken yet, s."""
        with self._lock:
            return self._seconds(self._size)

    def unheard(self, now: float) -> float:
        """Audio written and not heard yet, s."""
        with self._lock:
            self._advance(now)
            return self._seconds(self._taken - self._heard + self._size)

    def _seconds(self, size: float) -> float:
        return size / self._bytes_per_second

    def _pop(self, size: int) -> bytes:
        parts: list[bytes] = []
        wanted = size = min(size, self._size)
        while wanted:
            piece = self._pieces[0]
            part = piece[self._used : self._used + wanted]
            parts.append(part)
            wanted -= len(part)
            self._used += len(part)
            if self._used == len(piece):
                self._pieces.popleft()
                self._used = 0
        self._size -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _advance(self, now: float) -> None:
        while self._blocks and self._blocks[0].at + self._seconds(self._blocks[0].size) <= now:
            self._pass_oldest()
        if self._blocks:
            block = self._blocks[0]
            self._heard = max(self._heard, block.start + (now - block.at) * self._bytes_per_second)

    def _pass_oldest(self) -> None:
        block = self._blocks.popleft()
        self._heard = max(self._heard, block.start + block.size)
