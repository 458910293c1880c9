"""One connection of a transport: the carrier, and what may only happen while it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..carriers.base import Carrier, CarrierClosed

__all__ = ["Link", "being_cancelled", "how_it_ended"]

FINISH_TIMEOUT = 1.0
"""Seconds to wait for what runs on a connection to take note of its end."""


class Link:
    """A carrier's receiver. Once it was cut, nothing the carrier says reaches the transport.

    Args:
        on_message, on_closed: the transport's methods, called with this link first.
    """

    __slots__ = (
        "_cut",
        "_held",
        "_later",
        "_on_closed",
        "_on_message",
        "_tasks",
        "carrier",
        "how",
        "now",
        "ready",
    )

    def __init__(
        self,
        carrier: Carrier,
        on_message: Callable[[Link, str | bytes], None],
        on_closed: Callable[[Link, CarrierClosed], None],
    ) -> None:
        self.carrier = carrier
        loop = asyncio.get_running_loop()
        # Asked for every message; to ask for the loop first is a system call, before 3.12.
        self.now = loop.time
        self.ready: asyncio.Future[str | None] = loop.create_future()
        self.how: CarrierClosed | None = None
        self._on_message = on_message
        self._on_closed = on_closed
        self._cut = False
        self._held: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: dict[str, asyncio.TimerHandle] = {}
        # Nobody may be waiting for it when it fails.
        self.ready.add_done_callback(lambda future: future.cancelled() or future.exception())

    def message(self, data: str | bytes, /) -> None:
        """The carrier received a message."""
        if not self._cut:
            self._on_message(self, data)

    def closed(self, how: CarrierClosed, /) -> None:
        """The carrier's connection ended."""
        self.how = how
        if not self._cut:
            self._on_closed(self, how)

    def cut(self) -> None:
        """Listen to the carrier no more, and stop what runs on this connection."""
        self._cut = True
        if not self.ready.done():
            self.ready.cancel()
        for task in self._tasks:
            task.cancel()
        for handle in self._later.values():
            handle.cancel()
        self._later.clear()

    async def finish(self) -> None:
        """Wait until what ran on this connection has stopped; after `cut`."""
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=FINISH_TIMEOUT)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the connection lasts."""
        if self._cut:
            coroutine.close()
            return
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, name: str, seconds: float, function: Callable[[], None]) -> None:
        """Call something once, if the connection lasts that long and it is not waiting already."""

        def call() -> None:
            del self._later[name]
            function()

        if not self._cut and name not in self._later:
            self._later[name] = asyncio.get_running_loop().call_later(seconds, call)

    def hold(self, who: object) -> None:
        """Stop reading until `who` is released."""
        if self._cut:
            return
        if not self._held:
            self.carrier.pause_reading()
        self._held.add(id(who))

    def release(self, who: object) -> None:
        """`who` has caught up; read again if nobody else lags behind."""
        if id(who) not in self._held:
            return
        self._held.discard(id(who))
        if not self._held and not self._cut:
            self.carrier.resume_reading()


def being_cancelled() -> bool:
    """Whether it is the current task that was cancelled, and not only what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def how_it_ended(how: CarrierClosed | None) -> str:
    """The end of a connection in words."""
    if how is None:
        return "the connection was closed before it was ready"
    return f"the connection ended with code {how.code}" + (f": {how.reason}" if how.reason else "")
