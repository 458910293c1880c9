"""A bad network between two peers: a UDP relay that loses, delays, reorders and repeats what it carries.

It stands between WebRTC peers, which it is made known to by their descriptions, or before any UDP service:

    async with FaultyRelay(Faults(loss=0.05, delay_ms=30), seed=7) as relay:
        answer = await right.answer(await relay.offer(await left.offer()))
        await left.take_answer(await relay.answer(answer))

Each address of a peer gets a stand-in, a socket of the relay that the other peer sends to; what arrives there
goes on from the stand-in of its sender. So each peer sees one address of the other for each that it has, and none
of the real ones.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Literal, Self, TypeAlias, cast

from ..carriers.base import CarrierRequest
from ..carriers.signalling import Answer, Signalling
from ..errors import UserError
from .fault_path import Faults, FaultyPath, is_media, is_rtp

__all__ = ["Faults", "FaultyPath", "FaultyRelay", "is_media", "is_rtp"]

Address: TypeAlias = tuple[str, int]
Side: TypeAlias = Literal["offering", "answering"]

MAX_STAND_INS: Final = 64
"""Addresses that one relay stands for; datagrams of others are dropped."""
MAX_UNDER_WAY: Final = 10_000
"""Datagrams that wait for their time in one relay; beyond it they are dropped."""
_MAX_FROM_UNKNOWN: Final = 32
"""Datagrams kept of a sender that was not known, until there is a stand-in for it."""
_BUFFER_BYTES: Final = 1 << 20


class FaultyRelay:
    """Carries datagrams between two peers, with faults. Use it with `async with`.

    Args:
        there: what happens from the offering peer (or the client) to the answering one (or the service).
        back: what happens on the way back; the same faults if left out.
        seed: of what is random in them, each direction with its own.

    Attributes:
        dropped: datagrams that found no room in the relay itself, or were sent to a peer it knows nothing of.
    """

    def __init__(self, there: Faults | None = None, back: Faults | None = None, *, seed: int = 0) -> None:
        there = there or Faults()
        now = asyncio.get_running_loop().time()
        self._paths: dict[Side, FaultyPath] = {  # by where they lead to
            "answering": FaultyPath(there, f"{seed} there", now),
            "offering": FaultyPath(there if back is None else back, f"{seed} back", now),
        }
        self._loop = asyncio.get_running_loop()
        self._stand_ins: dict[Address, _StandIn] = {}
        self._unknown: dict[Address, list[tuple[bytes, Address]]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._closed = False
        self.dropped = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def there(self) -> FaultyPath:
        """From the offering peer to the answering one: what it did so far."""
        return self._paths["answering"]

    @property
    def back(self) -> FaultyPath:
        """From the answering peer to the offering one."""
        return self._paths["offering"]

    def change(self, there: Faults, back: Faults | None = None) -> None:
        """Do something else from now on; without `back` in both directions."""
        now = self._loop.time()
        self.there.change(there, now)
        self.back.change(there if back is None else back, now)

    def interrupt(self, seconds: float) -> None:
        """Lose everything in both directions for so long, from now on."""
        for path in self._paths.values():
            path.interrupt(seconds, self._loop.time())

    async def offer(self, sdp: str) -> str:
        """The offer with stand-ins for the addresses in it, to be given to the answering peer.

        Raises:
            UserError: if there is no address of this machine in it.
        """
        return await self._with_stand_ins(sdp, "offering")

    async def answer(self, sdp: str) -> str:
        """The answer with stand-ins, to be given to the offering peer.

        Raises:
            UserError: if there is no address of this machine in it.
        """
        return await self._with_stand_ins(sdp, "answering")

    def signalling(self, inner: Signalling) -> Signalling:
        """The same for a `WebRTCCarrier`: what `inner` takes to the service and brings back goes through here."""

        async def through(request: CarrierRequest, offer: str) -> Answer:
            answer = await inner(request, await self.offer(offer))
            return Answer(await self.answer(answer.sdp), answer.call_id)

        return through

    async def open(self, host: str, port: int) -> Address:
        """Stand before a UDP service (SIP, RTP): where to send to instead. Each client gets a stand-in of its own."""
        return (await self._stand_in((host, port), "answering")).bound

    async def close(self) -> None:
        """Close all sockets; what is under way is dropped. Idempotent."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        stand_ins = tuple(self._stand_ins.values())
        self._stand_ins.clear()
        for stand_in in stand_ins:
            stand_in.transport.close()
        for task in tuple(self._opening):
            task.cancel()
        if self._opening:
            await asyncio.wait(self._opening)
        for stand_in in stand_ins:
            await stand_in.gone.wait()

    async def _with_stand_ins(self, sdp: str, side: Side) -> str:
        lines: list[str] = []
        found = False
        for line in sdp.splitlines():
            if line.startswith("a=candidate:"):
                changed = await self._candidate(line, side)
                if changed is None:
                    continue
                line, found = changed, True
            lines.append(line)
        if not found:
            raise UserError(
                "the description has no UDP address of this machine to stand in for; let the peer gather first, "
                "with RtcOptions(loopback=True) if it has no network"
            )
        return "\r\n".join(lines) + "\r\n"

    async def _candidate(self, line: str, side: Side) -> str | None:
        """A candidate (RFC 8839 section 5.1) with its stand-in; None for one that would lead around the relay."""
        words = line.split()
        if len(words) < 8 or words[2].lower() != "udp" or words[7] != "host":
            return None
        try:
            stand_in = await self._stand_in((words[4], int(words[5])), side)
        except (OSError, ValueError):  # another machine's, a `.local` name
            return None
        return " ".join([*words[:4], stand_in.bound[0], str(stand_in.bound[1]), *words[6:]])

    async def _stand_in(self, address: Address, side: Side) -> _StandIn:
        if self._closed:
            raise UserError("this relay has been closed")
        known = self._stand_ins.get(address)
        if known is not None:
            return known
        _, stand_in = await self._loop.create_datagram_endpoint(
            lambda: _StandIn(self._received, address, side), local_addr=(address[0], 0)
        )
        first = self._stand_ins.setdefault(address, stand_in)
        if first is not stand_in or self._closed:  # somebody else was quicker
            stand_in.transport.close()
        return first

    def _received(self, at: _StandIn, datagram: bytes, source: Address) -> None:
        """For whom `at` stands, a datagram came from `source`."""
        sender = self._stand_ins.get(source)
        if sender is None:
            self._from_unknown(at, datagram, source)
            return
        for when in self._paths[at.side].send(datagram, self._loop.time()):
            self._deliver_at(when, sender, datagram, at.stands_for)

    def _deliver_at(self, when: float, sender: _StandIn, datagram: bytes, target: Address) -> None:
        if when <= self._loop.time():
            sender.transport.sendto(datagram, target)
        elif len(self._timers) >= MAX_UNDER_WAY:
            self.dropped += 1
        else:

            def deliver() -> None:
                self._timers.discard(timer)
                sender.transport.sendto(datagram, target)

            timer = self._loop.call_at(when, deliver)
            self._timers.add(timer)

    def _from_unknown(self, at: _StandIn, datagram: bytes, source: Address) -> None:
        """Somebody sends from an address that was not in its description: it gets a stand-in, too."""
        waiting = self._unknown.get(source)
        if waiting is None:
            if self._closed or len(self._stand_ins) + len(self._unknown) >= MAX_STAND_INS:
                self.dropped += 1
                return
            waiting = self._unknown[source] = []
            side: Side = "offering" if at.side == "answering" else "answering"
            task = self._loop.create_task(self._get_to_know(source, side))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        if len(waiting) < _MAX_FROM_UNKNOWN:
            waiting.append((datagram, at.stands_for))
        else:
            self.dropped += 1

    async def _get_to_know(self, source: Address, side: Side) -> None:
        try:
            await self._stand_in(source, side)
        except OSError:  # not an address of this machine: nothing can stand in for it
            self.dropped += len(self._unknown.pop(source))
            return
        for datagram, stands_for in self._unknown.pop(source):
            self._received(self._stand_ins[stands_for], datagram, source)


class _StandIn(asyncio.DatagramProtocol):
    """A socket in place of one address."""

    def __init__(
        self, received: Callable[[_StandIn, bytes, Address], None], stands_for: Address, side: Side
    ) -> None:
        self._received = received
        self.stands_for = stands_for
        self.side: Side = side
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        handle: socket.socket = transport.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self.bound: Address = handle.getsockname()[:2]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received(self, data, addr[:2])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is gone either way
        self.gone.set()

    def error_received(self, exc: Exception) -> None:
        """A peer that is gone already; what it would have got is lost."""
