"""What peers have in common whatever library is under them: the promises of `RtcEvents`, and a sure end."""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from ..errors import ConnectionLost, UserError, VoxwireError
from ..media.ticker import Ticker
from .base import PeerState, RtcEvents, RtcOptions
from .capacity import process_capacity

__all__ = ["CLOSED_HERE", "MAX_UNSENT_BYTES", "PEER_CLOSED", "BasePeer", "Stage", "as_connect_error"]

logger = logging.getLogger("voxwire")

CLOSED_HERE = "closed here"
"""The reason of an end that `close()` made."""
PEER_CLOSED = "the peer closed the connection"
"""The reason of an end by the peer's goodbye (a DTLS close_notify, RFC 8446, 6.1)."""
MAX_UNSENT_BYTES = 16 * 1024 * 1024
"""Bytes that may wait on the data channel for a peer that takes nothing; beyond it the peer is closed."""

_CLOSE_SECONDS = 4.0
_LONG_QUEUE = 64 * 1024

Stage: TypeAlias = Literal["new", "offering", "offered", "negotiated"]


class BasePeer(abc.ABC):
    """Half an `RtcPeer`: state, the end, and the data channel's rules; a subclass has the library.

    Args:
        options: how to connect.
        events: told everything, on the running event loop. What it raises is logged.

    Raises:
        CapacityError: if this process takes no further peer.
    """

    def __init__(self, options: RtcOptions, events: RtcEvents) -> None:
        ticker = Ticker.of_loop()
        self._release = process_capacity().take(ticker.lag_ms if ticker.running else 0.0)
        self._options = options
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._state: PeerState = "new"
        self._stage: Stage = "new"
        self._channel_state: Literal["new", "open", "closed"] = "new"
        self._writable = asyncio.Event()  # the channel's queue is short, or there is no channel any more
        self._max_message = 0
        self._ending: asyncio.Task[None] | None = None
        self._reason = ""
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def state(self) -> PeerState:
        """Where the connection is."""
        return self._state

    async def close(self) -> None:
        """Say goodbye and close everything; idempotent, never raises, returns within 5 s."""
        await asyncio.shield(self._end(CLOSED_HERE))

    def send(self, text: str, /) -> None:
        """Queue one message; see `RtcPeer.send`.

        Raises:
            ConnectionLost: if the channel is not open, or the peer took nothing of 16 MiB.
            UserError: if the message is longer than the peer takes (`a=max-message-size` in its SDP).
        """
        if self._channel_state != "open":
            raise self._not_open()
        limit = self._max_message
        if limit and len(text) * 4 > limit and (size := len(text.encode())) > limit:
            raise UserError(f"a message of {size} bytes is longer than the peer takes ({limit} bytes)")
        unsent = self._unsent_bytes()
        if unsent > MAX_UNSENT_BYTES:
            self._fail(f"the peer does not read: {unsent} bytes wait on the data channel")
            raise self._not_open()
        self._write(text)
        if unsent > _LONG_QUEUE:
            self._writable.clear()

    async def drain(self) -> None:
        """Return once at most 64 KiB wait.

        Raises:
            ConnectionLost: if the channel is not open, or closes meanwhile.
        """
        while self._channel_state == "open" and self._unsent_bytes() > _LONG_QUEUE:
            self._writable.clear()
            await self._writable.wait()
        if self._channel_state != "open":
            raise self._not_open()

    @abc.abstractmethod
    def _write(self, text: str) -> None:
        """Put one message on the open channel."""

    @abc.abstractmethod
    def _unsent_bytes(self) -> int:
        """Bytes waiting on the channel."""

    @abc.abstractmethod
    async def _close_library(self, *, politely: bool) -> None:
        """Close what the library has open; politely means that what is queued on the channel goes out first."""

    @abc.abstractmethod
    def _cut(self) -> None:
        """Close the sockets, now: `_close_library` failed or took too long."""

    @abc.abstractmethod
    def _stop_media(self) -> None:
        """Send and deliver no more audio; idempotent."""

    def _start(self, stage: Stage, after: Stage) -> None:
        if self._stage != after or self._ending is not None:
            raise UserError(
                f"this peer is {self._stage if self._ending is None else 'closed'}; use a new one"
            )
        self._stage = stage

    def _watch_connecting(self) -> None:
        """From now on it connects within `connect_timeout`, or fails."""
        seconds = self._options.connect_timeout
        if self._deadline is None and self._state in ("new", "connecting"):
            self._deadline = self._loop.call_later(
                seconds, lambda: self._fail(f"not connected within {seconds:g} s; {self._where_it_stands()}")
            )

    def _where_it_stands(self) -> str:
        """What a connection that does not come about is waiting for."""
        return f"it is {self._state}"

    def _change(self, state: PeerState, reason: str = "") -> None:
        """Tell a new state; nothing comes after "closed", and only that after "failed"."""
        if self._state in (state, "closed") or (self._state == "failed" and state != "closed"):
            return
        self._state = state
        if state not in ("new", "connecting") and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._tell(self._events.state, state, reason)

    def _opened(self) -> None:
        if self._channel_state == "new" and self._ending is None:
            self._channel_state = "open"
            self._writable.set()
            self._tell(self._events.channel, "open")

    def _channel_closed(self) -> None:
        was, self._channel_state = self._channel_state, "closed"
        self._writable.set()
        if was == "open":
            self._tell(self._events.channel, "closed")

    def _arrived(self, data: str | bytes) -> None:
        if self._ending is not None:
            return
        limit = self._options.max_message_bytes
        if len(data) * 4 > limit:
            size = len(data.encode()) if isinstance(data, str) else len(data)
            if size > limit:
                self._fail(f"the peer sent a message of {size} bytes; {limit} are allowed")
                return
        self._tell(self._events.message, data)

    def _fail(self, reason: str) -> None:
        """The connection is of no more use: say so, and close."""
        if self._ending is None:
            self._stop_media()
            self._change("failed", reason)
            self._end(reason)

    def _end(self, reason: str) -> asyncio.Task[None]:
        """Begin the end, if it has not begun; the first reason counts."""
        if self._ending is None:
            self._reason = reason
            self._ending = self._loop.create_task(self._shut_down(), name="voxwire: close a WebRTC peer")
        return self._ending

    async def _shut_down(self) -> None:
        self._stop_media()
        politely = self._reason == CLOSED_HERE and self._state == "connected"
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._close_library(politely=politely)
        except Exception:
            logger.exception("a WebRTC peer did not close as it should; its sockets are cut")
            self._cut()
        finally:
            self._release()
            self._channel_closed()
            self._change("closed", self._reason)
            if self._deadline is not None:
                self._deadline.cancel()

    def _closing(self) -> ConnectionLost:
        """The error for a channel that the library says is closing: the peer has gone, and we are told in a moment."""
        self._reason = self._reason or "the peer is closing it"
        return self._not_open()

    def _not_open(self) -> ConnectionLost:
        if self._channel_state == "new" and self._ending is None:
            return ConnectionLost("the data channel is not open yet")
        words = self._reason or "the data channel closed"
        return ConnectionLost(f"the data channel is closed: {words}", reason=words)

    def _tell(self, listener: Callable[..., None], *what: Any) -> None:
        try:
            listener(*what)
        except Exception:
            logger.exception("a WebRTC peer's owner failed on %s", getattr(listener, "__name__", listener))


def as_connect_error(error: Exception, what: str) -> Exception:
    """A library's exception as one of ours; ours stay as they are."""
    from .sdp import SdpError

    if isinstance(error, VoxwireError):
        return error
    return SdpError(f"{what}: {str(error) or type(error).__name__}")
