"""Calls over TCP whose connection the peer closes: where the next request and response of ours go, and when nowhere."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any, Self

import pytest

from voxwire.server import EmbeddedServer
from voxwire.server.sip.dialog import Dialog
from voxwire.server.sip.message import parse_message
from voxwire.server.sip.negotiation import LocalMedia
from voxwire.server.sip.outputs import Ended, Flow, Transferred, Transmit
from voxwire.server.sip.phone import SipPhone
from voxwire.server.sip.reaching import UnreachableError, flow_anew
from voxwire.server.sip.sockets import MAX_WAITING, SipSockets
from voxwire.server.sip.values import parse_name_addr

HOST = "127.0.0.1"
ALICE, BOB = "192.0.2.1", "192.0.2.2"
WAS = Flow("TCP", BOB, 40_000, ALICE, 7)


def dialog(target: str, *route: str) -> Dialog:
    us, them = parse_name_addr("<sip:a@h>;tag=1"), parse_name_addr("<sip:b@h>;tag=2")
    return Dialog("id", us, them, target=target, route=list(route), sequence=1)


# -- which way ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "route", "flow"),
    [
        (f"sip:b@{BOB}", (), Flow("TCP", BOB, 5060, ALICE)),
        (f"sip:b@{BOB}:5070;transport=tcp", (), Flow("TCP", BOB, 5070, ALICE)),
        (f"sip:b@{BOB}:5070;transport=udp", (), Flow("UDP", BOB, 5070, ALICE)),
        (f"sip:b@x.example;maddr={BOB}", (), Flow("TCP", BOB, 5060, ALICE)),
        ("sip:b@elsewhere.example", (f"<sip:{BOB}:5080;lr>",), Flow("TCP", BOB, 5080, ALICE)),
        ("sip:b@elsewhere.example", (f"<sip:{BOB}:5080>",), Flow("TCP", BOB, 5080, ALICE)),
    ],
)
def test_the_way_to_the_same_host(target: str, route: tuple[str, ...], flow: Flow) -> None:
    found = flow_anew(dialog(target, *route), WAS)
    assert (found, found.connection) == (flow, None)


@pytest.mark.parametrize(
    ("target", "route", "why"),
    [
        ("sip:b@192.0.2.99", (), f"sip:b@192.0.2.99 does not name {BOB}"),
        ("sip:b@bob.example", (), f"sip:b@bob.example does not name {BOB}"),
        (f"sip:b@{BOB}", ("<sip:192.0.2.99;lr>",), f"sip:192.0.2.99;lr does not name {BOB}"),
        (f"sip:b@{BOB};maddr=192.0.2.99", (), f"does not name {BOB}"),
        (f"sips:b@{BOB}", (), "not reached over TCP or UDP"),
        (f"sip:b@{BOB};transport=tls", (), "not reached over TCP or UDP"),
        (f"sip:b@{BOB}", ("<<",), "not reached over TCP or UDP"),
    ],
)
def test_no_way(target: str, route: tuple[str, ...], why: str) -> None:
    with pytest.raises(UnreachableError, match=why):
        flow_anew(dialog(target, *route), WAS)


def test_the_same_host_in_another_spelling() -> None:
    was = replace(WAS, host="2001:db8::1", local="2001:db8::2")
    assert flow_anew(dialog("sip:b@[2001:DB8:0::1]:5062"), was).port == 5062


# -- calls ----------------------------------------------------------------------------------------


@pytest.fixture
def call(sip_world: Any) -> tuple[Any, Any, Any, Any, Any]:
    network = sip_world.Network("TCP")
    alice, bob = network.add(ALICE), network.add(BOB)
    return network, alice, bob, *network.established(alice, bob)


def broken(network: Any, node: Any, flow: Flow) -> None:
    network.perform(node, node.agent.broken(flow, network.now))


def test_a_bye_goes_along_a_new_connection(call: tuple[Any, ...]) -> None:
    network, alice, bob, _ours, theirs = call
    broken(network, bob, theirs.flow)
    assert not theirs.over  # the peer may be back by itself, and the audio goes another way
    theirs.hang_up(network.now)
    (bye,) = [output for output in bob.agent.take() if isinstance(output, Transmit)]
    assert (bye.flow, bye.flow.connection) == (Flow("TCP", ALICE, 5060, BOB), None)
    network.perform(bob, [bye])
    network.run(0.1)
    assert (alice.end.reason, bob.end.reason) == ("the other side hung up", "hung up here")


def test_another_connection_that_breaks_is_not_ours(call: tuple[Any, ...]) -> None:
    network, _alice, bob, _ours, theirs = call
    before = theirs.flow
    broken(network, bob, replace(before, connection=99))
    assert theirs.flow is before


def test_the_peer_comes_back_by_itself(call: tuple[Any, ...]) -> None:
    network, alice, bob, ours, theirs = call
    broken(network, bob, theirs.flow)
    ours.updates.turn("sendonly", network.now)
    network.run(0.1)
    assert theirs.flow.connection == 1  # what the request came along
    ours.hang_up(network.now)
    network.run(0.1)
    assert (len(alice.of(Ended)), len(bob.of(Ended))) == (1, 1)


def unreachable(call: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """The callee, when the caller's connection is gone and its Contact names another host."""
    network, _alice, bob, _ours, theirs = call
    theirs.dialog.target = "sip:alice@192.0.2.99"
    dead = theirs.flow
    broken(network, bob, dead)
    return network, bob, theirs


def send_nowhere(network: Any, node: Any) -> None:
    """What the sockets do with what goes along a closed connection."""
    outputs = node.agent.take()
    flows = [output.flow for output in outputs if isinstance(output, Transmit)]
    network.perform(node, [output for output in outputs if not isinstance(output, Transmit)])
    for flow in flows:
        broken(network, node, flow)


def test_a_call_that_cannot_be_hung_up_ends_here(call: tuple[Any, ...]) -> None:
    network, bob, theirs = unreachable(call)
    assert not theirs.over
    theirs.hang_up(network.now, "enough")
    send_nowhere(network, bob)
    assert bob.end.reason == (
        "enough; the caller was not told, for it has closed its connection: "
        "sip:alice@192.0.2.99 does not name 192.0.2.1, and nothing is sent to another host"
    )
    network.run(120)
    assert (len(bob.agent.legs), bob.agent.next_due) == (0, None)


def test_a_session_that_cannot_be_renewed_ends_here(call: tuple[Any, ...]) -> None:
    network, bob, theirs = unreachable(call)
    theirs.updates.refresh(network.now)
    send_nowhere(network, bob)
    assert "sip:alice@192.0.2.99 does not name 192.0.2.1" in bob.end.reason
    assert bob.end.status == 408


def test_a_transfer_that_cannot_be_asked_for(call: tuple[Any, ...]) -> None:
    network, bob, theirs = unreachable(call)
    assert theirs.refer("sip:other@192.0.2.3", network.now)
    send_nowhere(network, bob)
    (told,) = bob.of(Transferred)
    assert (told.status, told.final) == (408, True)
    assert not theirs.over


def test_an_answer_goes_to_where_the_request_says(sip_world: Any) -> None:
    """RFC 3261 section 18.2.2: to the address it came from, at the port in its Via."""
    network = sip_world.Network("TCP")
    alice, bob = network.add(ALICE), network.add(BOB)
    network.call(alice, bob)
    broken(network, bob, bob.leg.flow)
    bob.leg.accept(LocalMedia(BOB, 30_000), network.now)
    (answer,) = [output for output in bob.agent.take() if isinstance(output, Transmit)]
    assert (answer.flow, answer.flow.connection) == (Flow("TCP", ALICE, 5060, BOB), None)
    network.perform(bob, [answer])
    network.run(0.1)
    assert bob.leg.state == "established"


# -- with sockets ---------------------------------------------------------------------------------


class Line:
    """Sockets, and what came of them."""

    def __init__(self, most: int = 10) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.broken: list[Flow] = []
        self.sockets = SipSockets(
            lambda data, flow: self.messages.append((data, flow)),
            self.broken.append,
            public=None,
            max_bytes=10_000,
            max_connections=most,
        )

    async def __aenter__(self) -> Self:
        await self.sockets.open(HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sockets.close()


def options(number: int) -> bytes:
    return (
        f"OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


async def test_a_connection_is_opened_for_what_is_to_be_sent(until: Any) -> None:
    async with Line() as here, Line() as there:
        flow = Flow("TCP", HOST, there.sockets.port, HOST)
        for number in (1, 2):
            here.sockets.send(options(number), flow)
        await until(lambda: len(there.messages) == 2)
        assert [parse_message(data).cseq[0] for data, _ in there.messages] == [1, 2]
        here.sockets.send(options(3), flow)  # along the one that there is by now
        await until(lambda: len(there.messages) == 3)
        assert len({way.connection for _, way in there.messages}) == 1
        there.sockets.send(options(4), there.messages[0][1])
        await until(lambda: here.messages)
        assert here.broken == []


async def test_one_that_cannot_be_opened_is_told_of(until: Any) -> None:
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    flow = Flow("TCP", HOST, port, HOST)
    async with Line() as here:
        here.sockets.send(options(1), flow)
        await until(lambda: here.broken)
        assert (here.broken, here.broken[0].connection) == ([flow], None)
        here.sockets.send(options(2), flow)  # tried anew
        await until(lambda: len(here.broken) == 2)


async def test_one_that_was_opened_and_is_closed_is_told_of(until: Any) -> None:
    async with Line() as here:
        async with Line() as there:
            flow = Flow("TCP", HOST, there.sockets.port, HOST)
            here.sockets.send(options(1), flow)
            await until(lambda: there.messages)
        await until(lambda: here.broken)
        assert any(way == flow and way.connection is None for way in here.broken)


async def test_what_waits_for_a_connection_is_bounded(until: Any) -> None:
    async with Line() as here, Line() as there:
        flow = Flow("TCP", HOST, there.sockets.port, HOST)
        for number in range(1, MAX_WAITING + 2):
            here.sockets.send(options(number), flow)
        await until(lambda: len(there.messages) == MAX_WAITING)
        assert here.broken == [flow]


async def test_no_more_connections_than_there_may_be(until: Any) -> None:
    async with Line(most=1) as here, Line() as there:
        await here.sockets.connect(HOST, there.sockets.port, "TCP")
        other = Flow("TCP", HOST, here.sockets.port, HOST)
        here.sockets.send(options(1), other)
        await until(lambda: here.broken == [other])


async def test_closing_does_not_wait_for_a_connection() -> None:
    async with Line() as here:
        here.sockets.send(options(1), Flow("TCP", HOST, here.sockets.port, HOST))
        before = asyncio.all_tasks()
    assert not [task for task in before if not task.done() and task is not asyncio.current_task()]


async def test_a_phone_line_says_whom_it_could_not_tell(
    kit: dict[str, Any], until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer(sip=f"{HOST}:0", **kit) as server, SipPhone() as phone:
        await phone.call(f"sip:agent@{server.sip_address};transport=tcp", timeout=10)
        line = server.service.phone
        assert line is not None
        (leg,) = line.endpoint.agent.legs
        await until(lambda: leg.state == "established" and leg.dialog is not None)
        assert leg.dialog is not None
        leg.dialog.target = "sip:caller@192.0.2.99;transport=tcp"
        (connection,) = phone.endpoint.sockets._connections.values()
        connection.close()
        await until(lambda: leg.unreachable)
        (call,) = line._calls.values()
        call.hang_up()
        await until(lambda: leg.over)
    assert f"call {call.id} has ended here alone: it has closed its connection" in caplog.text


async def test_a_phone_line_hangs_up_on_a_caller_that_closed_its_connection(
    kit: dict[str, Any], until: Any
) -> None:
    async with EmbeddedServer(sip=f"{HOST}:0", **kit) as server, SipPhone() as phone:
        call = await phone.call(f"sip:agent@{server.sip_address};transport=tcp", timeout=10)
        sockets = phone.endpoint.sockets
        (connection,) = sockets._connections.values()
        line = server.service.phone
        assert line is not None
        (leg,) = line.endpoint.agent.legs
        await until(lambda: leg.state == "established")
        connection.close()
        await until(lambda: leg.flow.connection is None)
        leg.hang_up(line.now, "enough")
        line.flush()
        async with asyncio.timeout(5):
            assert await call.wait_ended() == "the other side hung up"
