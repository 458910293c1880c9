"""Which addresses and ports a peer offers: `aioice`'s gathering, with a say in it.

aioice binds any port of every address, asks one STUN server, and its tasks outlive their caller when it
gives up. Here ports, addresses, loopback and a public address are options.

A description does not wait for slow servers: it goes out with what there is (half trickle, RFC 8838 section 16). What a STUN
server says later is of no use then: the peer finds that address out by itself, from the checks that come from it. A relay
that comes later is used all the same: checks go out through it, and the peer learns its address from them.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import secrets
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

from ..errors import ConnectError
from .base import RtcOptions

__all__ = ["Gathering", "port_order", "public_host"]

_BUFFER_BYTES = 256 * 1024


class Gathering:
    """In place of `Connection.get_component_candidates`.

    Args:
        connection: the `aioice.Connection` to gather for.
        keep: makes a `StunProtocol`, with its socket, the connection's own.
        late: told that a relay was kept after the description went out.
    """

    def __init__(
        self, connection: Any, options: RtcOptions, keep: Callable[[Any], None], late: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._options = options
        self._keep = keep
        self._late = late
        self._waiting: asyncio.Task[None] | None = None  # for a late relay
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def candidates(self, component: int, addresses: list[str]) -> list[Any]:
        """Open the sockets, ask the ICE servers, and return what to tell the peer.

        Args:
            addresses: those that aioice found on this machine.

        Raises:
            ConnectError: if no socket could be bound.
        """
        self._idle.clear()
        try:
            hosts = await self._bind(component, _addresses(addresses, self._options))
            found = [protocol.local_candidate for protocol in hosts]
            shown = [_with_host(c, public_host(c.host, self._options.public_address)) for c in found]
            return shown + await self._ask_servers(component, hosts)
        finally:
            self._idle.set()

    def enough(self) -> None:
        """A relay that has not come yet is not needed any more."""
        self._closing.set()

    async def stop(self) -> None:
        """End a gathering under way with what it has found, and wait for its end."""
        self._closing.set()
        await self._idle.wait()
        if self._waiting is not None:
            await self._waiting

    async def _bind(self, component: int, addresses: Iterable[str]) -> list[Any]:
        hosts: list[Any] = []
        failure: OSError | None = None
        for address in addresses:
            try:
                hosts.append(await self._bind_one(component, address))
            except OSError as error:  # an interface that is down; the others may do
                failure = error
        if failure is not None and not hosts and self._options.ports is not None:
            low, high = self._options.ports
            raise ConnectError(f"no UDP port from {low} to {high} could be bound: {failure.strerror}")
        return hosts

    async def _bind_one(self, component: int, address: str) -> Any:
        from aioice import ice
        from aioice.candidate import Candidate, candidate_foundation, candidate_priority

        loop = asyncio.get_running_loop()
        failure = OSError("no port")
        for port in port_order(self._options.ports, secrets.randbelow(1 << 16)):
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: ice.StunProtocol(self._connection), local_addr=(address, port)
                )
            except OSError as error:
                failure = error
                continue
            self._keep(protocol)
            handle = transport.get_extra_info("socket")
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            host, bound = transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host"),
                host=host,
                port=bound,
                type="host",
            )
            return protocol
        raise failure

    async def _ask_servers(self, component: int, hosts: list[Any]) -> list[Any]:
        """Reflexive and relayed candidates, as many as come before the time is over."""
        questions = [asyncio.ensure_future(question) for question in self._reflexive(hosts)]
        relay = self._relayed(component)
        if relay is not None:
            questions.append(asyncio.ensure_future(relay))
        if not questions:
            return []
        unanswered: set[asyncio.Future[Any]] = set(questions)
        try:
            await self._wait_for(asyncio.gather(*questions, return_exceptions=True))
            if relay is not None and not questions[-1].done() and not self._closing.is_set():
                unanswered.discard(questions[-1])
                self._waiting = asyncio.create_task(self._wait_for_relay(questions[-1]))
        finally:
            # Also where we were cancelled: a relay that has been allocated is closed with the connection.
            found = await self._finish(unanswered)
        return [candidate for candidate, _ in found]

    async def _wait_for(self, answers: asyncio.Future[Any]) -> None:
        """Until they are there, time is over, or somebody wants us to stop. They go on if nobody cancels them."""
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait(
                (answers, closing),
                timeout=self._options.gather_timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            closing.cancel()

    async def _finish(self, questions: set[asyncio.Future[Any]]) -> list[tuple[Any, Any]]:
        """What has been answered; the rest is given up."""
        if not questions:
            return []
        for question in questions:
            question.cancel()
        # A relay's socket closes as its task is cancelled; a server that does not answer is no error.
        await asyncio.wait(questions)
        answers = [q.result() for q in questions if not q.cancelled() and q.exception() is None]
        for _, relay in answers:
            if relay is not None:
                self._keep(relay)
        return answers

    async def _wait_for_relay(self, question: asyncio.Future[Any]) -> None:
        """A relay takes several round trips to get: it may still come while the peer is asked, or answers."""
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((question, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            wanted = not self._closing.is_set()
            if await self._finish({question}) and wanted:
                self._late()

    def _reflexive(self, hosts: list[Any]) -> list[Coroutine[Any, Any, Any]]:
        from aioice import ice

        server = self._connection.stun_server
        return [
            ice.server_reflexive_candidate(protocol, server)
            for protocol in hosts
            if server and ipaddress.ip_address(protocol.local_candidate.host).version == 4
        ]

    def _relayed(self, component: int) -> Coroutine[Any, Any, Any] | None:
        from aioice import ice

        connection = self._connection
        if not connection.turn_server:
            return None
        relayed = ice.relayed_candidate(
            component=component,
            hide_related_address=False,
            protocol_factory=lambda: ice.StunProtocol(connection),
            turn_server=connection.turn_server,
            turn_username=connection.turn_username,
            turn_password=connection.turn_password,
            turn_ssl=connection.turn_ssl,
            turn_transport=connection.turn_transport,
        )
        return cast("Coroutine[Any, Any, Any]", relayed)


def port_order(ports: tuple[int, int] | None, start: int) -> Iterable[int]:
    """The ports to try: from somewhere in the range round to the same place, so that one just left rests."""
    if ports is None:
        return (0,)
    low, high = ports
    size = high - low + 1
    return (low + (start + n) % size for n in range(size))


def public_host(host: str, public: str | None) -> str:
    """The address to tell the peer for a local one (one-to-one NAT)."""
    if public is None:
        return host
    local, outside = ipaddress.ip_address(host), ipaddress.ip_address(public)
    return public if local.version == outside.version and not local.is_loopback else host


def _addresses(found: list[str], options: RtcOptions) -> list[str]:
    chosen = list(options.addresses) or list(found)
    if options.loopback and "127.0.0.1" not in chosen:
        chosen.append("127.0.0.1")
    return chosen


def _with_host(candidate: Any, host: str) -> Any:
    shown = copy.copy(candidate)
    shown.host = host
    return shown
