"""What every carrier needs: a receiver that can be paused, a send queue that can be full.

`Inbox` stands between a socket and a `CarrierReceiver`: it keeps the order and the
promises of `carriers.base` (`closed` once and last, nothing delivered while paused). What it
holds is bounded by one read of the socket, since reading stops while it is paused.
`SendGate` is where `drain` waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from ..errors import ConnectionLost
from .base import CarrierClosed, CarrierReceiver

__all__ = ["MAX_UNSENT_BYTES", "Inbox", "SendGate", "closing_words", "lost"]

logger = logging.getLogger("voxwire")

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""Bytes that may wait for a peer that does not read; beyond that the connection is dropped."""

_SENDABLE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_MAX_REASON_BYTES = 123
_RECEIVER_FAILED = "a carrier's receiver failed on a message of %d characters"


class Inbox:
    """Messages and the end of one connection, on their way to the receiver.

    Args:
        receiver: gets them; what it raises is logged, since a bad message must not end a call.
        stop: pauses reading from the socket.
        go: resumes it.
    """

    __slots__ = (
        "_blocked",
        "_go",
        "_held",
        "_held_size",
        "_how",
        "_loop",
        "_muted",
        "_opened",
        "_paused",
        "_receiver",
        "_stop",
    )

    def __init__(
        self, receiver: CarrierReceiver, *, stop: Callable[[], None], go: Callable[[], None]
    ) -> None:
        self._receiver = receiver
        self._stop = stop
        self._go = go
        self._loop = asyncio.get_running_loop()
        self._held: deque[str | bytes] = deque()
        self._held_size = 0
        self._how: CarrierClosed | None = None
        self._opened = False
        self._paused = False
        self._blocked = False  # paused, or about to catch up: new messages queue behind old ones
        self._muted = False

    @property
    def paused(self) -> bool:
        """Whether the receiver asked for a pause."""
        return self._paused

    @property
    def held(self) -> int:
        """Characters and bytes of the messages that are held back."""
        return self._held_size

    def push(self, message: str | bytes) -> None:
        """A message arrived."""
        if self._blocked:
            self._held.append(message)
            self._held_size += len(message)
        elif not self._muted:
            try:  # `_deliver`, fifty times a second: a call less
                self._receiver.message(message)
            except Exception:
                logger.exception(_RECEIVER_FAILED, len(message))

    def opened(self) -> None:
        """`open` succeeded; an end that came before is reported in a moment."""
        self._opened = True
        if self._how is not None:
            self._loop.call_soon(self._catch_up)

    def end(self, how: CarrierClosed) -> None:
        """The connection ended; the first word counts."""
        if self._how is None:
            self._how = how
            if self._opened and not self._blocked:
                self._report()

    def pause(self) -> None:
        """Hold back what arrives."""
        if not self._paused and not self._muted:
            self._paused = self._blocked = True
            self._stop()

    def resume(self) -> None:
        """Deliver what was held back, then go on reading."""
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._catch_up)

    def discard(self) -> None:
        """Deliver nothing more but the end: we are closing, and the goodbye has to be read."""
        self._muted = True
        self._held.clear()
        self._held_size = 0
        self._paused = self._blocked = False
        self._go()

    def _catch_up(self) -> None:
        while self._held and not self._paused:
            message = self._held.popleft()
            self._held_size -= len(message)
            self._deliver(message)
        if self._paused:
            return
        if self._blocked:
            self._blocked = False
            self._go()
        if self._how is not None and self._opened:
            self._report()

    def _deliver(self, message: str | bytes) -> None:
        try:
            self._receiver.message(message)
        except Exception:
            logger.exception(_RECEIVER_FAILED, len(message))

    def _report(self) -> None:
        if self._how is None:
            return
        how, self._opened = self._how, False  # once
        self._muted = True
        try:
            self._receiver.closed(how)
        except Exception:
            logger.exception("a carrier's receiver failed on the end of the connection")


class SendGate:
    """Shut while the send queue is long.

    Attributes:
        shut: whether it is.
        how: how the connection ended, once it has.
    """

    __slots__ = ("_waiter", "how", "shut")

    def __init__(self) -> None:
        self.shut = False
        self._waiter: asyncio.Future[None] | None = None
        self.how: CarrierClosed | None = None

    def close(self) -> None:
        """The queue is long."""
        self.shut = True

    def open(self) -> None:
        """It is short again."""
        self.shut = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end(self, how: CarrierClosed) -> None:
        """The connection ended: nobody waits any more."""
        self.how = how
        self.open()

    async def wait(self) -> None:
        """Return when the queue is short.

        Raises:
            ConnectionLost: if the connection has ended, or ends meanwhile.
        """
        while self.shut and self.how is None:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            # Shielded: several may wait, and one who is cancelled leaves the others alone.
            await asyncio.shield(self._waiter)
        if self.how is not None:
            raise lost(self.how)


def lost(how: CarrierClosed | None) -> ConnectionLost:
    """The error for using a connection that is not open."""
    if how is None:
        return ConnectionLost("the connection is not open")
    words = f": {how.reason}" if how.reason else ""
    return ConnectionLost(
        f"the connection has ended, code {how.code}{words}", code=how.code, reason=how.reason
    )


def closing_words(code: int, reason: str) -> tuple[int, str]:
    """A close code and reason that may be put on the wire (RFC 6455, 5.5 and 7.4).

    A reserved code becomes 1000, since closing never fails; a reason is cut at 123 bytes.
    """
    if code not in _SENDABLE_CODES and not 3000 <= code < 5000:
        code = 1000
    return code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
