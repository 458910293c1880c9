"""An accepted WebSocket of a Cloudflare Worker, whichever side opened it.

Two things a Worker's WebSocket (Cloudflare's "WebSockets" runtime API) cannot do, and what is done instead:

- It cannot be told to stop reading. What comes while reading is paused is held, up to `MAX_HELD`; more than that ends
  the connection with 1009.
- It has no event for "the queue is short again". `drained` looks at `bufferedAmount` every `POLL` seconds; beyond
  `MAX_UNSENT_BYTES` the connection is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from .base import CarrierClosed, CarrierReceiver
from .flow import Inbox, closing_words, lost
from .js import Proxies, js_words, to_array, to_bytes

__all__ = ["MAX_HELD", "MAX_UNSENT_BYTES", "WorkersLink"]

MAX_HELD: Final = 8 * 1024 * 1024
"""Characters of messages held back while reading is paused; a Worker has 128 MB for everything."""
MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024
"""Bytes that may wait for a peer that does not read; beyond that the connection is dropped."""
SHORT: Final = 32 * 1024
"""Bytes in the send queue that `drained` does not wait for."""
POLL: Final = 0.01
"""Seconds between two looks at the send queue."""


class WorkersLink:
    """The listeners on one, and what they tell a receiver.

    Args:
        socket: not accepted yet.
        close_timeout: seconds to wait for the peer's goodbye; None waits for ever.
        max_message_bytes: a longer message ends the connection with 1009.
    """

    def __init__(
        self,
        socket: Any,
        receiver: CarrierReceiver,
        *,
        close_timeout: float | None,
        max_message_bytes: int,
    ) -> None:
        self.inbox = Inbox(receiver, stop=_nothing, go=_nothing)
        self.proxies = Proxies()
        self.how: CarrierClosed | None = None
        self._socket = socket
        self._max_bytes = max_message_bytes
        self._close_timeout = close_timeout
        self._leaving = False
        self._ended = asyncio.Event()

    def start(self) -> None:
        """Listen, then let it begin."""
        handlers: Mapping[str, Callable[[Any], object]] = {
            "message": self._message,
            "close": self._close,
            "error": self._error,
        }
        self._socket.binaryType = "arraybuffer"  # a Blob since compatibility date 2026-03-17
        self.proxies.listen(self._socket, handlers)
        self._socket.accept()

    def write(self, data: str | bytes) -> None:
        """Send a text or a binary message, or raise ConnectionLost."""
        if self.how is not None or self._leaving:
            raise lost(self.how)
        if self._unsent() > MAX_UNSENT_BYTES:
            self._give_up(CarrierClosed(1006, "the peer does not read", clean=False), 1008)
            raise lost(self.how)
        try:
            self._socket.send(data if isinstance(data, str) else to_array(data))
        except Exception as error:
            self._end(CarrierClosed(1006, js_words(error), clean=False))
            raise lost(self.how) from error

    def write_text(self, text: str) -> None:
        """Send a text message, or raise ConnectionLost."""
        self.write(text)

    async def drained(self) -> None:
        """Wait until the send queue is short."""
        while self.how is None and self._unsent() > SHORT:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(POLL)
        if self.how is not None:
            raise lost(self.how)

    async def leave(self, code: int, reason: str) -> None:
        """Say goodbye, wait for the peer's."""
        self.inbox.discard()
        if self.how is None and not self._leaving:
            self._leaving = True
            self._say_goodbye(code, reason)
        try:
            async with asyncio.timeout(self._close_timeout):
                await self._ended.wait()
        except TimeoutError:
            self._end(CarrierClosed(1006, "", clean=False))

    def _message(self, event: Any) -> None:
        data = event.data
        message = data if isinstance(data, str) else to_bytes(data)
        if _is_longer(message, self._max_bytes):
            words = f"a message of {len(message)} is longer than {self._max_bytes} bytes"
            self._give_up(CarrierClosed(1009, words, clean=False), 1009)
            return
        held = self.inbox.held + len(message)
        if held > MAX_HELD and self.inbox.paused:
            words = f"{held} characters of messages came while reading was paused"
            self._give_up(CarrierClosed(1009, words, clean=False), 1009)
        elif self.how is None:
            self.inbox.push(message)

    def _close(self, event: Any) -> None:
        code, reason = int(event.code), str(event.reason)
        if not self._leaving:
            self._say_goodbye(code, "")  # without it the peer waits for us
        self._end(CarrierClosed(code, reason, clean=code != 1006))

    def _error(self, event: Any) -> None:
        words = getattr(event, "message", None)
        self._end(CarrierClosed(1006, str(words) if words else "", clean=False))

    def _give_up(self, how: CarrierClosed, code: int) -> None:
        self._say_goodbye(code, how.reason)
        self._end(how)

    def _say_goodbye(self, code: int, reason: str) -> None:
        try:
            self._socket.close(*closing_words(code, reason))
        except Exception as error:  # noqa: BLE001 - it is closed already
            self._end(CarrierClosed(1006, js_words(error), clean=False))

    def _end(self, how: CarrierClosed) -> None:
        if self.how is not None:
            return
        self.how = how
        self._ended.set()
        self.inbox.end(how)
        asyncio.get_running_loop().call_soon(self.proxies.destroy)  # after the event that is being told

    def _unsent(self) -> int:
        return int(getattr(self._socket, "bufferedAmount", 0) or 0)


def _is_longer(message: str | bytes, limit: int) -> bool:
    if len(message) > limit:
        return True
    return isinstance(message, str) and not message.isascii() and len(message.encode()) > limit


def _nothing() -> None:
    """A Worker's WebSocket cannot be told to wait: what comes while reading is paused is held in the inbox."""
