"""The sockets of a SIP user agent: UDP and TCP on one port (RFC 3261 section 18)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from ...errors import UserError
from .framing import PING, PONG, Framer
from .outputs import Flow
from .values import SipError

__all__ = ["SipSockets"]

_TRIES: Final = 20
MAX_UNSENT: Final = 256 * 1024
"""Bytes waiting on a TCP connection whose peer does not read; beyond it the connection is closed."""
IDLE_SECONDS: Final = 600.0
"""A TCP connection on which nothing came for so long is closed."""
_MAX_LOCAL: Final = 1024
MAX_WAITING: Final = 16
"""Messages that wait until a connection is there; one more is lost, and told of."""
_CONNECT_SECONDS: Final = 32.0
"""After which no transaction waits any more (RFC 3261 section 17.1.1.2, timer B)."""

OnMessage = Callable[[bytes, Flow], None]


class SipSockets:
    """Where messages come in and go out.

    Args:
        on_message: gets every message, whole.
        on_broken: told when what was sent along a flow cannot arrive.
        public: our address as peers reach it, where it is not the local one (NAT).
        max_bytes: of one message.
        max_connections: over TCP; one more is closed at once.
    """

    def __init__(
        self,
        on_message: OnMessage,
        on_broken: Callable[[Flow], None],
        *,
        public: str | None,
        max_bytes: int,
        max_connections: int,
    ) -> None:
        self._on_message = on_message
        self._on_broken = on_broken
        self._public = public
        self._max_bytes = max_bytes
        self._max_connections = max_connections
        self._host = ""
        self.port = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: dict[int, _Connection] = {}
        self._numbers = itertools.count(1)
        self._locals: OrderedDict[str, str] = OrderedDict()
        self._waiting: dict[Flow, list[bytes]] = {}  # for connections that are being opened
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> None:
        """Listen.

        Args:
            port: 0 takes one that is free for both.

        Raises:
            UserError: the address is taken, or none of this machine.
        """
        loop = asyncio.get_running_loop()
        udp, tcp = _bind(host, port)
        self._host, self.port = host, udp.getsockname()[1]
        try:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._datagram), sock=udp)
            self._tcp = await loop.create_server(lambda: _Connection(self), sock=tcp)
        except BaseException:
            await self.close()
            udp.close()
            tcp.close()
            raise

    async def connect(self, host: str, port: int, protocol: str) -> Flow:
        """A way to an address; over TCP it is connected now.

        Raises:
            OSError: it cannot be reached.
        """
        if protocol == "UDP":
            return Flow("UDP", host, port, self.local(host))
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), host, port)
        if connection.flow is None:
            raise ConnectionResetError(f"{host}:{port} closed the connection at once")
        return connection.flow

    def send(self, data: bytes, flow: Flow) -> None:
        """Send one message."""
        if not flow.reliable:
            if self._udp is not None and not self._udp.is_closing():
                self._udp.sendto(data, (flow.host, flow.port))
            return
        connection = self._connection(flow)
        if connection is not None and connection.send(data):
            return
        if flow.connection is not None or not self._wait(data, flow):
            # From the loop, not from within the one who sends.
            asyncio.get_running_loop().call_soon(self._on_broken, flow)

    def _connection(self, flow: Flow) -> _Connection | None:
        if flow.connection is not None:
            return self._connections.get(flow.connection)
        return next((made for made in self._connections.values() if made.flow == flow), None)

    def _wait(self, data: bytes, flow: Flow) -> bool:
        """Send this along a connection that is to be opened; False if there is no room."""
        waiting = self._waiting.get(flow)
        if waiting is not None:
            if len(waiting) < MAX_WAITING:
                waiting.append(data)
                return True
            return False
        if len(self._connections) + len(self._waiting) >= self._max_connections:
            return False
        self._waiting[flow] = [data]
        task = asyncio.create_task(self._open(flow), name="voxwire-sip-connection")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, flow: Flow) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                made = await self.connect(flow.host, flow.port, flow.protocol)
        except OSError:  # TimeoutError is one
            made = flow
        waiting = self._waiting.pop(flow)
        connection = self._connection(made)
        if connection is None or not all(connection.send(data) for data in waiting):
            self._on_broken(flow)

    async def close(self) -> None:
        """Close everything; idempotent."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        connections = list(self._connections.values())
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)  # what was queued goes out, and the transports tell that they are closed

    def local(self, peer: str) -> str:
        """Our address as this peer reaches it."""
        if self._public is not None and not _is_loopback(peer):
            return self._public
        if self._host and not ipaddress.ip_address(self._host).is_unspecified:
            return self._host
        found = self._locals.get(peer)
        if found is None:
            found = self._locals[peer] = _local_address(peer)
            if len(self._locals) > _MAX_LOCAL:
                self._locals.popitem(last=False)
        return found

    # -- what connections tell ------------------------------------------------------------------

    def _datagram(self, data: bytes, address: tuple[Any, ...]) -> None:
        if data.strip(b"\r\n\0 "):  # not just something to keep a NAT's mapping alive
            self._on_message(data, Flow("UDP", address[0], address[1], self.local(address[0])))

    def admit(self, connection: _Connection, peer: tuple[Any, ...] | None) -> Flow | None:
        """A TCP connection was made; None if there are too many, or it is gone again (`peer` is None then)."""
        if peer is None or len(self._connections) >= self._max_connections:
            return None
        number = next(self._numbers)
        self._connections[number] = connection
        return Flow("TCP", peer[0], peer[1], self.local(peer[0]), number)

    def framer(self) -> Framer:
        """For one connection."""
        return Framer(self._max_bytes)

    def came(self, data: bytes, flow: Flow) -> None:
        """A message came over TCP."""
        self._on_message(data, flow)

    def gone(self, flow: Flow) -> None:
        """A TCP connection is closed."""
        anyway = replace(flow, connection=None)
        chosen = self._connection(anyway)
        gone = self._connections.pop(flow.connection or 0, None)
        self._on_broken(flow)
        if gone is chosen:
            self._on_broken(anyway)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, tuple[Any, ...]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._take(data, addr)

    def error_received(self, exc: Exception) -> None:
        pass  # an ICMP error names no message; retransmission and timeouts deal with it


class _Connection(asyncio.Protocol):
    def __init__(self, owner: SipSockets) -> None:
        self._owner = owner
        self._framer = owner.framer()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self.flow: Flow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.flow = self._owner.admit(self, transport.get_extra_info("peername"))
        if self.flow is None:
            self._transport.abort()
            return
        self._watch()

    def _watch(self) -> None:
        left = self._heard + IDLE_SECONDS - self._loop.time()
        if left <= 0:
            self.close()
        else:
            self._idle = self._loop.call_later(left, self._watch)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self.flow is None or self._transport is None:
            return
        try:
            messages = self._framer.feed(data)
        except SipError:
            self._transport.abort()
            return
        for message in messages:
            if message == PING:
                self.send(PONG)
            else:
                self._owner.came(message, self.flow)

    def send(self, data: bytes) -> bool:
        """Whether it could be queued."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MAX_UNSENT:
            transport.abort()
            return False
        transport.write(data)
        return True

    def close(self) -> None:
        """Close it; what is queued goes out first."""
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._idle is not None:
            self._idle.cancel()
        if self.flow is not None:
            self._owner.gone(self.flow)


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    problem: OSError | None = None
    for _ in range(1 if port else _TRIES):
        with contextlib.ExitStack() as stack:
            try:
                udp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                udp.bind((host, port))
                tcp = stack.enter_context(
                    socket.create_server((host, udp.getsockname()[1]), family=family, backlog=128)
                )
            except OSError as error:
                problem = error
                continue
            udp.setblocking(False)
            tcp.setblocking(False)
            stack.pop_all()
            return udp, tcp
    raise UserError(f"cannot listen for SIP on {host}:{port}: {problem}") from problem


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _local_address(peer: str) -> str:
    """The address that packets to this peer leave from; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return "127.0.0.1"
        name: str = probe.getsockname()[0]
        return name
