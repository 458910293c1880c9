"""The listeners on a page's WebSocket (WHATWG WebSockets Standard), and what they tell a receiver.

It is like an accepted one of a Worker but for its beginning and its goodbye: it opens by itself, and a program may
say no codes but 1000 and those of its own (3000-4999).
"""

from __future__ import annotations

import asyncio
from typing import Any

from .base import CarrierClosed, CarrierReceiver
from .workers_link import WorkersLink

__all__ = ["PageSocketLink"]


class PageSocketLink(WorkersLink):
    """The listeners on one; takes the arguments of `WorkersLink`.

    Attributes:
        opened: done when it is open (True), or has ended before (False).
    """

    def __init__(
        self,
        socket: Any,
        receiver: CarrierReceiver,
        *,
        close_timeout: float | None,
        max_message_bytes: int,
    ) -> None:
        super().__init__(socket, receiver, close_timeout=close_timeout, max_message_bytes=max_message_bytes)
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Listen. Not for "error": "close" follows, and says more."""
        self._socket.binaryType = "arraybuffer"
        self.proxies.listen(
            self._socket, {"open": self._open, "message": self._message, "close": self._close}
        )

    def abandon(self) -> None:
        """Nobody waits for it to open any more."""
        self._give_up(CarrierClosed(1006, "not opened", clean=False), 1000)

    def _open(self, _event: Any) -> None:
        if not self.opened.done():
            self.opened.set_result(True)

    def _say_goodbye(self, code: int, reason: str) -> None:
        own = 3000 <= code < 5000
        super()._say_goodbye(code if own else 1000, reason)

    def _end(self, how: CarrierClosed) -> None:
        super()._end(how)
        if not self.opened.done():
            self.opened.set_result(False)
