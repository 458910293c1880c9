"""What the carriers on a socket have in common: everything but opening it."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .flow import lost

__all__ = ["SocketCarrier"]


class SocketCarrier:
    """Half a carrier: a subclass has `open`, which calls `_use` and sets `_link`.

    The link is an object of the WebSocket library's making with `inbox`, `gate`, `write_text` and
    `leave`; its class exists only once that library is imported.
    """

    def __init__(self) -> None:
        self._link: Any = None
        self._used = False

    def _use(self) -> None:
        if self._used:
            raise UserError("a carrier is used once; make a new one to connect again")
        self._used = True

    def send(self, text: str, /) -> None:
        """Queue one text message; see `Carrier.send`.

        More than 64 MiB that the peer does not read drop the connection.
        """
        if self._link is None:
            raise lost(None)
        self._link.write_text(text)

    async def drain(self) -> None:
        """Return once less than 32 KiB wait to be sent."""
        if self._link is None:
            raise lost(None)
        gate = self._link.gate
        if gate.shut or gate.how is not None:  # else there is nothing to wait for
            await gate.wait()

    def pause_reading(self) -> None:
        """Stop delivering; no pong is expected meanwhile, since none is read."""
        if self._link is not None:
            self._link.inbox.pause()

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._link is not None:
            self._link.inbox.resume()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait for the peer's, at most `close_timeout`; then cut the connection."""
        if self._link is not None:
            await self._link.leave(code, reason)
