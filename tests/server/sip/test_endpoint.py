"""The shell around a SIP user agent: sockets, timers, and what is left when something fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from voxwire.server import EmbeddedServer, ServerOptions
from voxwire.server.service import RealtimeService
from voxwire.server.sip.agent import AgentOptions
from voxwire.server.sip.endpoint import SipEndpoint
from voxwire.server.sip.negotiation import codecs_named
from voxwire.server.sip.phone import CallRefused, SipPhone
from voxwire.server.sip.sockets import SipSockets

HOST = "127.0.0.1"


def free_port() -> int:
    """One that is free for UDP and TCP."""
    with socket.create_server((HOST, 0)) as found:
        return int(found.getsockname()[1])


def assert_free(port: int) -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind((HOST, port))


def options(port: int) -> AgentOptions:
    return AgentOptions(port=port, codecs=codecs_named(["PCMU"]))


async def test_opening_that_is_cancelled_leaves_no_socket() -> None:
    for waits in range(1, 4):
        port = free_port()
        sockets = SipSockets(
            lambda _data, _flow: None, lambda _flow: None, public=None, max_bytes=1000, max_connections=1
        )
        opening = asyncio.create_task(sockets.open(HOST, port))
        for _ in range(waits):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
            await sockets.close()  # it was done already
        await asyncio.sleep(0)
        assert_free(port)


async def test_starting_that_is_cancelled_leaves_no_socket() -> None:
    for waits in range(1, 6):
        port = free_port()
        service = RealtimeService(ServerOptions(sip=f"{HOST}:{port}"))
        starting = asyncio.create_task(service.start())
        for _ in range(waits):
            await asyncio.sleep(0)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
            await service.close()  # it was done already
        await asyncio.sleep(0)
        assert_free(port)


async def test_a_connection_that_was_gone_at_once_takes_no_place() -> None:
    """`getpeername` fails for it, and an event loop that asks only then has no name to give."""
    sockets = SipSockets(
        lambda _data, _flow: None, lambda _flow: None, public=None, max_bytes=1000, max_connections=1
    )
    await sockets.open(HOST, 0)
    try:
        assert sockets.admit(_connection(sockets), None) is None
        assert sockets.admit(_connection(sockets), (HOST, 5060)) is not None
    finally:
        await sockets.close()


def _connection(sockets: SipSockets) -> Any:
    from voxwire.server.sip.sockets import _Connection

    return _Connection(sockets)


async def test_a_timer_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = SipEndpoint(options, lambda _news: None)
    await endpoint.open(HOST, 0)
    fired = asyncio.Event()

    def fail(_now: float) -> None:
        raise ZeroDivisionError

    endpoint.agent.timers.set(endpoint.now + 0.01, fail)
    endpoint.agent.timers.set(endpoint.now + 0.02, lambda _now: fired.set())
    endpoint.flush()
    try:
        async with asyncio.timeout(5):
            await fired.wait()
    finally:
        await endpoint.close()
    assert "ZeroDivisionError" in caplog.text


async def test_a_webhook_with_an_address_that_cannot_be_used(kit: dict[str, Any]) -> None:
    """Nobody will ever decide about the call: it must not ring until it is given up."""
    async with (
        EmbeddedServer(
            sip=f"{HOST}:0", webhook="http://\u2603.example/hook", webhook_secret="whsec_c2VjcmV0", **kit
        ) as server,
        SipPhone() as phone,
    ):
        with pytest.raises(CallRefused) as refused:
            await phone.call(f"sip:agent@{server.sip_address}", timeout=10)
    assert refused.value.status == 480


async def test_a_hold_that_is_refused(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with EmbeddedServer(sip=f"{HOST}:0", **kit) as server, SipPhone() as phone:
        call = await phone.call(f"sip:agent@{server.sip_address}", timeout=10)
        line = server.service.phone
        assert line is not None
        (leg,) = line.endpoint.agent.legs
        monkeypatch.setattr(leg.updates, "invite_came", lambda t, _request, now: t.refuse(488, now))
        async with asyncio.timeout(5):
            with pytest.raises(CallRefused, match="488"):
                await call.hold()
            assert not call.ended
            await call.hang_up()
            await call.hold()  # of no call: nothing to wait for
