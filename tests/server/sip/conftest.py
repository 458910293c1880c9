"""Two user agents on a network of the tests' own, in virtual time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import types
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from voxwire.server.sip.agent import AgentOptions, UserAgent
from voxwire.server.sip.caller import OutgoingLeg
from voxwire.server.sip.leg import Leg
from voxwire.server.sip.message import Message, parse_message
from voxwire.server.sip.negotiation import LocalMedia, codecs_named
from voxwire.server.sip.outputs import Ended, Flow, Invited, Output, Transmit
from voxwire.server.sip.values import NameAddr, parse_uri

LATENCY = 0.01
ALICE, BOB = "192.0.2.1", "192.0.2.2"


class Node:
    """One user agent with what it told."""

    def __init__(self, host: str, seed: int, **options: Any) -> None:
        self.host = host
        settings: dict[str, Any] = {"port": 5060, "codecs": codecs_named(("opus", "PCMU", "PCMA"))}
        self.agent = UserAgent(AgentOptions(**(settings | options)), Random(seed))
        self.news: list[Output] = []

    def of(self, kind: type[Any]) -> list[Any]:
        return [output for output in self.news if isinstance(output, kind)]

    @property
    def leg(self) -> Leg:
        return self.of(Invited)[-1].leg  # type: ignore[no-any-return]

    @property
    def end(self) -> Ended:
        (end,) = self.of(Ended)
        return end  # type: ignore[no-any-return]


class Network:
    """Carries messages between nodes with a delay; `lose` may drop some."""

    def __init__(self, protocol: str = "UDP") -> None:
        self.protocol = protocol
        self.now = 100.0
        self.nodes: dict[str, Node] = {}
        self.log: list[tuple[str, str]] = []
        self.messages: list[tuple[str, Message]] = []
        self.lose: Callable[[str, Message], bool] = lambda _sender, _message: False
        self._flight: list[tuple[float, int, str, str, bytes]] = []
        self._count = itertools.count()

    def add(self, host: str, **options: Any) -> Node:
        node = self.nodes[host] = Node(host, len(self.nodes), **options)
        return node

    def flow(self, local: str, peer: str) -> Flow:
        return Flow(self.protocol, peer, 5060, local, 1 if self.protocol == "TCP" else None)

    def collect(self) -> None:
        for node in self.nodes.values():
            self.perform(node, node.agent.take())

    def perform(self, node: Node, outputs: list[Output]) -> None:
        for output in outputs:
            if not isinstance(output, Transmit):
                node.news.append(output)
                continue
            message = parse_message(output.data)
            self.log.append((node.host, describe(message)))
            self.messages.append((node.host, message))
            if not self.lose(node.host, message) and output.flow.host in self.nodes:
                due = self.now + LATENCY
                flight = (due, next(self._count), node.host, output.flow.host, output.data)
                heapq.heappush(self._flight, flight)

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        end = self.now + seconds
        while True:
            self.collect()
            dues = [node.agent.next_due for node in self.nodes.values()]
            due = min([d for d in dues if d is not None] + [f[0] for f in self._flight[:1]], default=end + 1)
            if due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            while self._flight and self._flight[0][0] <= self.now:
                _, _, sender, receiver, data = heapq.heappop(self._flight)
                node = self.nodes[receiver]
                self.perform(node, node.agent.receive(data, self.flow(receiver, sender), self.now))
            for node in self.nodes.values():
                self.perform(node, node.agent.run(self.now))

    def call(self, caller: Node, callee: Node, **more: Any) -> OutgoingLeg:
        leg = caller.agent.call(
            f"sip:bob@{callee.host}",
            self.flow(caller.host, callee.host),
            LocalMedia(caller.host, 20_000),
            self.now,
            from_=NameAddr(parse_uri(f"sip:alice@{caller.host}"), "Alice"),
            **more,
        )
        self.run(3 * LATENCY)
        return leg

    def established(self, caller: Node, callee: Node) -> tuple[OutgoingLeg, Leg]:
        ours = self.call(caller, callee)
        theirs = callee.leg
        theirs.accept(LocalMedia(callee.host, 30_000), self.now)
        self.run(4 * LATENCY)
        assert (ours.state, theirs.state) == ("established", "established")
        return ours, theirs

    def sent(self, host: str) -> list[str]:
        return [what for sender, what in self.log if sender == host]


def describe(message: Message) -> str:
    _number, method = message.cseq
    return f"{message.status} {method}" if hasattr(message, "status") else method


@pytest.fixture(params=["UDP", "TCP"])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(request.param)


@pytest.fixture
def udp() -> Network:
    return Network("UDP")


@pytest.fixture
def pair(network: Network) -> tuple[Network, Node, Node]:
    return network, network.add(ALICE), network.add(BOB)


@pytest.fixture
def sip_world() -> types.SimpleNamespace:
    return types.SimpleNamespace(Network=Network, ALICE=ALICE, BOB=BOB, LATENCY=LATENCY, describe=describe)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits until something is true."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    return wait
