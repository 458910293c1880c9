"""One client of a session: what waits to be sent to it, and the socket that it reads from."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

from .engine import Close
from .limits import Limits

__all__ = ["Channel", "Socket"]

logger = logging.getLogger("voxwire.server")


class Socket(Protocol):
    """A message-based connection to a client."""

    async def receive(self) -> str | bytes | None:
        """The next message; None when the client has gone."""
        ...

    async def send(self, message: str) -> None:
        """Send a message; waits while the client is slow."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket code."""
        ...


class Channel:
    """A socket with a queue before it, so that nobody waits for a client to be told something."""

    def __init__(self, socket: Socket, limits: Limits) -> None:
        self.socket = socket
        self._limits = limits
        self._outgoing: deque[str | Close | None] = deque()  # None: drop the connection
        self._bytes = 0
        self._ending = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def full(self) -> bool:
        """Whether more is waiting than `Limits.outgoing_bytes`."""
        return not self._room.is_set()

    def put(self, message: str | Close | None) -> None:
        """Queue a message, a close, or (None) dropping the connection; nothing follows the last two."""
        if self._ending:
            return
        self._ending = not isinstance(message, str)
        self._outgoing.append(message)
        self._wake.set()
        if isinstance(message, str):
            self._bytes += len(message)
            if self._bytes >= self._limits.outgoing_bytes:
                self._room.clear()

    def give_up(self, close: Close) -> None:
        """Forget what is waiting and close."""
        self._outgoing.clear()
        self._ending = False
        self.put(close)

    async def wait_for_room(self) -> None:
        """Wait while too much is waiting for the client."""
        await self._room.wait()

    async def write(self) -> None:
        """Send what is queued until a close was sent, or the client has gone."""
        while True:
            while not self._outgoing:
                self._wake.clear()
                await self._wake.wait()
            message = self._outgoing.popleft()
            if message is None:
                return
            try:
                async with asyncio.timeout(self._limits.send_seconds):
                    if isinstance(message, Close):
                        await self.socket.close(message.code, message.reason)
                        return
                    await self.socket.send(message)
            except TimeoutError:
                logger.info("a client took longer than %g s for a message", self._limits.send_seconds)
                return
            except (ConnectionError, EOFError):
                return
            self._bytes -= len(message)
            if self._bytes < self._limits.outgoing_bytes:
                self._room.set()
