"""Two carriers in one process, connected to each other.

Messages are delivered by `loop.call_soon`, so order, re-entrancy and the moment at which
backpressure is felt are those of a socket. For tests and for an agent that lives in the
same process as its service.
"""

# ruff: noqa: SLF001 - the two ends are one thing

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import ConnectionLost, UserError
from .base import CarrierClosed, CarrierReceiver, CarrierRequest
from .flow import Inbox, SendGate, closing_words, lost

__all__ = ["MemoryCarrier", "memory_pair"]

_LONG = 64
"""Undelivered messages at which `drain` waits."""


class MemoryCarrier:
    """One end; `peer` is the other. Make them with `memory_pair`.

    What is sent before the other end is open waits for it.

    Args:
        limit: messages that may wait for the other end; one more drops the connection.
    """

    peer: MemoryCarrier

    def __init__(self, *, limit: int = 4096) -> None:
        self._limit = limit
        self._queue: deque[str | CarrierClosed] = deque()  # on its way to this end
        self._inbox: Inbox | None = None
        self._gate = SendGate()
        self._how: CarrierClosed | None = None  # why this end cannot send any more
        self._max_bytes = 0
        self._stopped = False
        self._scheduled = False

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Start receiving; never fails on a fresh pair. The URL is not looked at."""
        if self._inbox is not None:
            raise UserError("a carrier is used once; make a new pair to connect again")
        self._max_bytes = request.max_message_bytes
        self._inbox = Inbox(receiver, stop=self._stop, go=self._go)
        self._inbox.opened()
        self._schedule()

    def send(self, text: str, /) -> None:
        """Queue a message for the other end."""
        if self._inbox is None or self._how is not None:
            raise lost(self._how)
        if len(self.peer._queue) >= self._limit:
            self.drop()
            raise ConnectionLost(f"the peer did not read {self._limit} messages", code=1006)
        self.peer._arrive(text)
        if len(self.peer._queue) >= _LONG:
            self._gate.close()

    async def drain(self) -> None:
        """Return once the other end has nearly caught up."""
        if self._inbox is None:
            raise lost(None)
        await self._gate.wait()

    def pause_reading(self) -> None:
        """Let messages wait."""
        if self._inbox is not None:
            self._inbox.pause()

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._inbox is not None:
            self._inbox.resume()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Tell both ends. The other end reads what was sent before; this one reads no more."""
        if self._inbox is not None and self._how is None:
            how = CarrierClosed(*closing_words(code, reason))
            self.peer._arrive(how)
            self._queue.clear()
            self._inbox.discard()
            self._end(how)
        await asyncio.sleep(0)

    def drop(self) -> None:
        """Cut the connection: both ends see code 1006, and what was under way is gone."""
        how = CarrierClosed(1006, "", clean=False)
        for end in (self, self.peer):
            if end._how is None:
                end._queue.clear()
                end._arrive(how)
                end._cannot_send(how)

    def _arrive(self, what: str | CarrierClosed) -> None:
        self._queue.append(what)
        self._schedule()

    def _schedule(self) -> None:
        if self._queue and self._inbox is not None and not self._stopped and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        inbox = self._inbox
        if inbox is None:
            return
        for _ in range(len(self._queue)):  # what comes meanwhile has its turn later
            if self._stopped or not self._queue:
                break
            what = self._queue.popleft()
            if isinstance(what, CarrierClosed):
                self._end(what)
            elif len(what) * 4 > self._max_bytes and len(what.encode()) > self._max_bytes:
                self._too_big(len(what.encode()))
            else:
                inbox.push(what)
        if len(self._queue) < _LONG // 4:
            self.peer._gate.open()
        self._schedule()

    def _too_big(self, size: int) -> None:
        how = CarrierClosed(1009, f"message of {size} bytes, {self._max_bytes} allowed")
        self._queue.clear()
        self.peer._arrive(how)
        self._end(how)

    def _end(self, how: CarrierClosed) -> None:
        self._cannot_send(how)
        if self._inbox is not None:
            self._inbox.end(how)

    def _cannot_send(self, how: CarrierClosed) -> None:
        if self._how is None:
            self._how = how
            self._gate.end(how)

    def _stop(self) -> None:
        self._stopped = True

    def _go(self) -> None:
        self._stopped = False
        self._schedule()


def memory_pair(*, limit: int = 4096) -> tuple[MemoryCarrier, MemoryCarrier]:
    """Two connected carriers; `open` each with its own receiver."""
    left, right = MemoryCarrier(limit=limit), MemoryCarrier(limit=limit)
    left.peer, right.peer = right, left
    return left, right
