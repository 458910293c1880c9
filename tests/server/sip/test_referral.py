"""Being transferred: REFER to a call of ours, in virtual time, and to a `SipPhone`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire.errors import UserError
from voxwire.server import EmbeddedServer
from voxwire.server.sip import CallRefused, PhoneCall, PhoneEvent, Ringing, SipPhone, TransferRequested
from voxwire.server.sip.outputs import Referred, Transferred
from voxwire.server.sip.referral import referred_to
from voxwire.server.sip.values import SipError

SIP = "127.0.0.1:0"


# -- the machine --------------------------------------------------------------------------------------


@pytest.fixture
def talking(sip_world: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Alice, who can be transferred, has called Bob."""
    network = sip_world.Network()
    alice, bob = network.add(sip_world.ALICE, takes_referrals=True), network.add(sip_world.BOB)
    return network, alice, bob, *network.established(alice, bob)


def told(bob: Any) -> list[tuple[int, bool]]:
    return [(news.status, news.final) for news in bob.of(Transferred)]


def test_how_it_goes(talking: Any) -> None:
    network, alice, bob, ours, theirs = talking
    assert theirs.refer("sip:office@192.0.2.3", network.now)
    network.run(0.1)
    (asked,) = alice.of(Referred)
    assert asked.target == "sip:office@192.0.2.3"
    assert [name for name, _ in asked.headers] == ["Referred-By"]
    assert told(bob) == [(100, False)]
    ours.referral.report(180, network.now)
    network.run(0.1)
    ours.referral.report(200, network.now)
    network.run(0.1)
    assert told(bob) == [(100, False), (180, False), (200, True)]
    ours.referral.report(486, network.now)  # nobody listens any more
    network.run(0.1)
    assert len(told(bob)) == 3
    notifies = [m for s, m in network.messages if s == alice.host and getattr(m, "method", "") == "NOTIFY"]
    states = [notify.headers.get("Subscription-State") for notify in notifies]
    assert states == ["active;expires=90", "active;expires=90", "terminated;reason=noresource"]
    assert notifies[-1].body == b"SIP/2.0 200 OK\r\n"
    assert {notify.headers.get("Event") for notify in notifies} == {"refer"}


def test_a_second_one_is_named(talking: Any) -> None:
    network, alice, bob, ours, theirs = talking
    for status in (486, 200):
        assert theirs.refer("sip:office@192.0.2.3", network.now)
        network.run(0.1)
        ours.referral.report(status, network.now)
        network.run(0.1)
    assert told(bob) == [(100, False), (486, True), (100, False), (200, True)]
    refers = [m for s, m in network.messages if s == bob.host and getattr(m, "method", "") == "REFER"]
    last = [m for s, m in network.messages if s == alice.host and getattr(m, "method", "") == "NOTIFY"][-1]
    assert last.headers.get("Event") == f"refer;id={refers[1].cseq[0]}"


def test_one_at_a_time(talking: Any) -> None:
    network, alice, _bob, _ours, theirs = talking
    statuses: list[int] = []
    for _ in range(2):
        request = theirs.dialog.request("REFER")
        request.headers.add("Refer-To", "<sip:office@192.0.2.3>")
        theirs.request(request, network.now, lambda r, n: statuses.append(r.status), lambda n: None)
        network.run(0.1)
    assert statuses == [202, 491]
    assert len(alice.of(Referred)) == 1


@pytest.mark.parametrize("values", [[], ["nonsense"], ["<sip:a@192.0.2.3>", "<sip:b@192.0.2.3>"]])
def test_a_refer_that_cannot_be_read(talking: Any, values: list[str]) -> None:
    network, alice, _bob, _ours, theirs = talking
    statuses: list[int] = []
    request = theirs.dialog.request("REFER")
    for value in values:
        request.headers.add("Refer-To", value)
    theirs.request(request, network.now, lambda r, n: statuses.append(r.status), lambda n: None)
    network.run(0.1)
    assert statuses == [400]
    assert not alice.of(Referred)


def test_nothing_is_told_when_the_call_is_over(talking: Any) -> None:
    network, alice, _bob, ours, theirs = talking
    theirs.refer("sip:office@192.0.2.3", network.now)
    network.run(0.1)
    theirs.hang_up(network.now)
    network.run(0.1)
    before = len(network.messages)
    ours.referral.report(200, network.now)
    network.run(0.1)
    assert len(network.messages) == before
    assert alice.end.reason == "the other side hung up"


def test_allow_says_so(talking: Any) -> None:
    network, alice, bob, *_ = talking
    invite = next(m for s, m in network.messages if s == alice.host)
    answer = next(m for s, m in network.messages if s == bob.host and getattr(m, "status", 0) == 200)
    assert "refer" in invite.headers.tokens("Allow")
    assert "refer" not in answer.headers.tokens("Allow")


@pytest.mark.parametrize(
    ("text", "target", "headers"),
    [
        ("sip:a@192.0.2.3", "sip:a@192.0.2.3", []),
        ('"A" <sip:a@192.0.2.3;method=INVITE>', "sip:a@192.0.2.3;method=INVITE", []),
        ("<tel:+15550100>", "tel:+15550100", []),
        (
            "<sip:a@192.0.2.3?Subject=x&Replaces=1%40b%3Bto-tag%3D2%3Bfrom-tag%3D3>",
            "sip:a@192.0.2.3",
            [("Replaces", "1@b;to-tag=2;from-tag=3")],
        ),
    ],
)
def test_whom_it_means(text: str, target: str, headers: list[tuple[str, str]]) -> None:
    assert referred_to(text) == (target, headers)


@pytest.mark.parametrize("text", ["<sip:a@b;method=BYE>", "<sip:a@b?Replaces=1%0d%0aX:%201>", "nonsense"])
def test_what_it_cannot_mean(text: str) -> None:
    with pytest.raises(SipError):
        referred_to(text)


# -- the phone ----------------------------------------------------------------------------------------


async def wait_for(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def refer(server: EmbeddedServer, target: str) -> Any:
    """Have the only call transferred, as soon as our ACK is there."""
    (call,) = server.service.calls._calls.values()
    await wait_for(lambda: call._leg.state == "established" and not call._leg._transfer.under_way)
    call.refer(target)
    return call


@contextlib.asynccontextmanager
async def referred(
    server: EmbeddedServer, target: str, **options: Any
) -> AsyncIterator[tuple[SipPhone, PhoneCall, TransferRequested]]:
    """A call whose other side asks to call somebody else."""
    events: asyncio.Queue[PhoneEvent] = asyncio.Queue()
    async with SipPhone(takes_transfers=True, **options) as phone:
        call = await phone.call(f"sip:agent@{server.sip_address}", on_event=events.put_nowait)
        await refer(server, target)
        async with asyncio.timeout(5):
            while not isinstance(asked := await events.get(), TransferRequested):
                assert isinstance(asked, Ringing)
        yield phone, call, asked


async def test_following(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip=SIP, **kit) as server, EmbeddedServer(sip=SIP, **kit) as office:
        target = f"sip:office@{office.sip_address}"
        async with referred(server, target) as (phone, call, asked):
            assert asked.target == target
            other = await phone.follow(call, asked)
            async with asyncio.timeout(5):
                assert await call.wait_ended() == "the other side hung up"
            assert len(office.service.calls) == 1
            assert not other.ended


async def test_a_target_that_is_busy(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip=SIP, **kit) as server, SipPhone() as office:
        target = f"sip:office@127.0.0.1:{office.endpoint.sockets.port}"
        async with referred(server, target) as (phone, call, asked):
            with pytest.raises(CallRefused, match="480"):
                await phone.follow(call, asked)
            assert not call.ended
            await refer(server, target)  # it may be asked for again: the first one is over


async def test_a_target_that_cannot_be_called(kit: dict[str, Any]) -> None:
    async with (
        EmbeddedServer(sip=SIP, **kit) as server,
        referred(server, "tel:+15550100") as (phone, call, asked),
    ):
        with pytest.raises(UserError, match="only sip: URIs"):
            await phone.follow(call, asked)
        assert not call.ended


async def test_a_phone_that_is_not_transferred(kit: dict[str, Any]) -> None:
    events: list[PhoneEvent] = []
    async with EmbeddedServer(sip=SIP, **kit) as server, SipPhone() as phone:
        call = await phone.call(f"sip:agent@{server.sip_address}", on_event=events.append)
        theirs = await refer(server, "sip:office@127.0.0.1")
        await wait_for(lambda: not theirs._leg._transfer.under_way)
        assert not [event for event in events if not isinstance(event, Ringing)]
        assert not call.ended
