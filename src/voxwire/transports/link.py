"""One connection of a transport: the carrier, and what may only happen while it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..carriers.base import Carrier, CarrierClosed

__all__ = ["Link"]


class Link:
    """A carrier's receiver. Once it was cut, nothing the carrier says reaches the transport.

    Args:
        on_message, on_closed: the transport's methods, called with this link first.
    """

    def __init__(
        self,
        carrier: Carrier,
        on_message: Callable[[Link, str | bytes], None],
        on_closed: Callable[[Link, CarrierClosed], None],
    ) -> None:
        self.carrier = carrier
        self.ready: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.closing = False
        self._on_message = on_message
        self._on_closed = on_closed
        self._cut = False
        self._held: set[int] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        # Nobody may be waiting for it when it fails.
        self.ready.add_done_callback(lambda future: future.cancelled() or future.exception())

    def message(self, data: str | bytes, /) -> None:
        """The carrier received a message."""
        if not self._cut:
            self._on_message(self, data)

    def closed(self, how: CarrierClosed, /) -> None:
        """The carrier's connection ended."""
        if not self._cut:
            self._on_closed(self, how)

    def cut(self) -> None:
        """Listen to the carrier no more, and stop what runs on this connection."""
        self._cut = True
        if not self.ready.done():
            self.ready.cancel()
        for task in self._tasks:
            task.cancel()

    def start(self, coroutine: Any) -> None:
        """Run something for as long as the connection lasts."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def hold(self, who: object) -> None:
        """Stop reading until `who` is released."""
        if not self._held:
            self.carrier.pause_reading()
        self._held.add(id(who))

    def release(self, who: object) -> None:
        """`who` has caught up; read again if nobody else lags behind."""
        self._held.discard(id(who))
        if not self._held and not self._cut:
            self.carrier.resume_reading()
