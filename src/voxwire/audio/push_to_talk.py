"""A microphone that is heard only while a key is held down."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Literal, TypeAlias

from ..errors import ConfigError
from ..protocol.formats import AudioFormat
from .base import AudioSource

__all__ = ["PushToTalk"]

_log = logging.getLogger("voxwire.audio")

OnCommit: TypeAlias = Callable[[], "object | Awaitable[object]"]


class PushToTalk:
    """Wraps a source: its audio passes between `press` and `release`.

    ```python
    source = PushToTalk(Microphone(), on_commit=lambda: session.send_audio(b"", commit=True))
    ```

    For one event loop, like the source in it.

    Args:
        source: where the audio comes from; it runs all the time, so that a press takes effect at once.
        released: what comes while the key is up: "silence", which turn detection at the service needs,
            or "nothing", for sessions without it.
        on_commit: function or coroutine function, called when all audio of a press has been taken by the
            transport: the place to end the turn. An error in it is logged, and the call goes on.
        tail_ms: what is let through after a release, ms: people let go of a key while they still speak,
            and the source itself is late by its latency.

    Raises:
        ConfigError: if `tail_ms` is negative, or `released` is something else.
    """

    def __init__(
        self,
        source: AudioSource,
        *,
        released: Literal["silence", "nothing"] = "silence",
        on_commit: OnCommit | None = None,
        tail_ms: float = 100,
    ) -> None:
        if released not in ("silence", "nothing"):
            raise ConfigError(f"released is {released!r}; it must be 'silence' or 'nothing'")
        if not tail_ms >= 0:
            raise ConfigError(f"tail_ms is {tail_ms!r}; it must be 0 ms or more")
        self.source = source
        self.released = released
        self.tail_ms = tail_ms
        self._on_commit = on_commit
        self._pressed = False
        self._commit = False
        self._tail_left = 0.0

    @property
    def pressed(self) -> bool:
        """Whether the key is down."""
        return self._pressed

    def press(self) -> None:
        """Let audio through. A press during the tail of the one before goes on with the same turn."""
        self._pressed = True

    def release(self, *, commit: bool = True) -> None:
        """Let the tail through and then no more; idempotent.

        Args:
            commit: call `on_commit` behind the tail.
        """
        if not self._pressed:
            return
        self._pressed = False
        self._commit = commit
        self._tail_left = self.tail_ms

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """The source's frames in `format`, or silence, or nothing."""
        frames = self.source.frames(format)
        try:
            async for frame in frames:
                if self._passes(format.duration_ms(len(frame))):
                    yield frame
                elif self.released == "silence":
                    yield format.silence * (len(frame) // format.sample_bytes)
                if self._commit and not self._pressed and self._tail_left <= 0:
                    self._commit = False
                    await self._tell()
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()

    async def close(self) -> None:
        """Close the source."""
        await self.source.close()

    def _passes(self, ms: float) -> bool:
        if self._pressed:
            return True
        passes = self._tail_left > 0
        self._tail_left = max(0.0, self._tail_left - ms)
        return passes

    async def _tell(self) -> None:
        if self._on_commit is None:
            return
        try:
            result = self._on_commit()
            if inspect.isawaitable(result):
                await result
        except Exception:  # noqa: BLE001 - whatever it raises, audio goes on
            _log.exception("on_commit failed; the call goes on")
