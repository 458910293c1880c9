"""Carriers together with their far ends, for the conformance checks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..carriers.base import Carrier, CarrierFactory, CarrierRequest
from ..carriers.memory import MemoryCarrier, memory_pair
from .receiver import RecordingReceiver

__all__ = ["CarrierEnds", "CarrierPeer", "MakeEnds", "memory_ends", "websocket_ends"]


class CarrierPeer(Protocol):
    """The far end of a carrier, as a check drives it."""

    async def send(self, text: str, /) -> None:
        """Send one message to the carrier."""

    async def receive(self) -> str:
        """The next message the carrier sent."""
        ...

    async def close(self, code: int, reason: str, /) -> None:
        """Close with a code."""

    def drop(self) -> None:
        """Vanish without a goodbye."""

    def pause(self) -> None:
        """Stop reading from the carrier."""

    def resume(self) -> None:
        """Read again."""

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end; the carrier's code and reason."""
        ...


@dataclass(frozen=True, slots=True)
class CarrierEnds:
    """A carrier that is not open yet, and the way to its far end once it is.

    Attributes:
        request: what the check passes to `open`.
        accept: waits for the far end.
        close_codes: whether code and reason of a close reach the other side; a data channel has none.
        max_message_bytes: the longest message that the far end takes; None is no limit.
    """

    carrier: Carrier
    request: CarrierRequest
    accept: Callable[[], Awaitable[CarrierPeer]]
    close_codes: bool = True
    max_message_bytes: int | None = None


MakeEnds: TypeAlias = Callable[[], AbstractAsyncContextManager[CarrierEnds]]


@contextlib.asynccontextmanager
async def websocket_ends(make_carrier: CarrierFactory) -> AsyncGenerator[CarrierEnds, None]:
    """A carrier that speaks WebSocket, and a real server on the loopback interface."""
    from websockets.asyncio.server import ServerConnection, serve

    arrived: asyncio.Queue[_SocketPeer] = asyncio.Queue()

    async def handle(socket: ServerConnection) -> None:
        arrived.put_nowait(_SocketPeer(socket))
        await socket.wait_closed()

    async with serve(
        handle, "127.0.0.1", 0, compression=None, max_size=None, close_timeout=1, ping_interval=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield CarrierEnds(make_carrier(), CarrierRequest(f"ws://127.0.0.1:{port}/", proxy=None), arrived.get)


@contextlib.asynccontextmanager
async def memory_ends() -> AsyncGenerator[CarrierEnds, None]:
    """One end of a `memory_pair`, and the other."""
    left, right = memory_pair()
    peer = _MemoryPeer(right)

    async def accept() -> CarrierPeer:
        await right.open(CarrierRequest("memory:"), peer.receiver)
        return peer

    try:
        yield CarrierEnds(left, CarrierRequest("memory:"), accept)
    finally:
        await right.close()


class _SocketPeer:
    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def send(self, text: str, /) -> None:
        await self._socket.send(text)

    async def receive(self) -> str:
        return str(await self._socket.recv(decode=True))

    async def close(self, code: int, reason: str, /) -> None:
        await self._socket.close(code, reason)

    def drop(self) -> None:
        self._socket.transport.abort()

    def pause(self) -> None:
        self._socket.transport.pause_reading()

    def resume(self) -> None:
        self._socket.transport.resume_reading()

    async def closed(self) -> tuple[int | None, str | None]:
        await self._socket.wait_closed()
        protocol = self._socket.protocol
        return protocol.close_code, protocol.close_reason


class _MemoryPeer:
    def __init__(self, carrier: MemoryCarrier) -> None:
        self.receiver = RecordingReceiver()
        self._carrier = carrier
        self._read = 0

    async def send(self, text: str, /) -> None:
        self._carrier.send(text)

    async def receive(self) -> str:
        await self.receiver.until(lambda: len(self.receiver.messages) > self._read)
        self._read += 1
        return str(self.receiver.messages[self._read - 1])

    async def close(self, code: int, reason: str, /) -> None:
        await self._carrier.close(code, reason)

    def drop(self) -> None:
        self._carrier.drop()

    def pause(self) -> None:
        self._carrier.pause_reading()

    def resume(self) -> None:
        self._carrier.resume_reading()

    async def closed(self) -> tuple[int | None, str | None]:
        how = await self.receiver.ended()
        return how.code, how.reason
