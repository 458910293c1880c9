"""A WebSocket that came in to a Cloudflare Worker: the caller's, a page's."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from .base import CarrierClosed
from .flow import lost
from .workers_link import WorkersLink

__all__ = ["AcceptedWebSocket"]

_MANY: Final = 256
"""Messages that wait to be taken before the link holds back more: 5 s of a phone call."""


class AcceptedWebSocket:
    """The Worker's end of a `WebSocketPair`, accepted here; a `PhoneSocket` for the telephony transports.

        client, server = js.WebSocketPair.new().object_values()
        transport = TwilioRealtimeTransportLayer(twilio_websocket=AcceptedWebSocket(server), connect=WorkersCarrier)

    A peer that sends faster than anybody takes is cut off with 1009 once 8 MiB wait.

    Args:
        socket: the JavaScript object, not accepted yet.
        close_timeout: seconds to wait for the peer's goodbye in `close_socket`.
        max_message_bytes: a longer message ends the connection with 1009.
    """

    def __init__(
        self, socket: Any, *, close_timeout: float | None = 5.0, max_message_bytes: int = 1024 * 1024
    ) -> None:
        self._messages: deque[str | bytes] = deque()
        self._changed = asyncio.Event()
        self._how: CarrierClosed | None = None
        self._link = WorkersLink(
            socket, self, close_timeout=close_timeout, max_message_bytes=max_message_bytes
        )
        self._link.start()
        self._link.inbox.opened()

    @property
    def how(self) -> CarrierClosed | None:
        """How it ended; None while it is open."""
        return self._how

    async def receive_message(self) -> str | bytes | None:
        """The next message; None once the socket has ended and everything was taken. For one reader."""
        while not self._messages:
            if self._how is not None:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        if len(self._messages) < _MANY:
            self._link.inbox.resume()
        return message

    async def send_message(self, data: str | bytes, /) -> None:
        """Send one message, and wait until the queue is short.

        Raises:
            ConnectionLost: if the socket has ended.
        """
        if self._how is not None:
            raise lost(self._how)
        self._link.write(data)
        await self._link.drained()

    async def close_socket(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait for the peer's; idempotent."""
        await self._link.leave(code, reason)

    def message(self, data: str | bytes, /) -> None:
        """The link's: a message came."""
        self._messages.append(data)
        self._changed.set()
        if len(self._messages) >= _MANY:
            self._link.inbox.pause()

    def closed(self, how: CarrierClosed, /) -> None:
        """The link's: it ended."""
        self._how = how
        self._changed.set()
