"""Calls whose peer does not do what it should; the peers here are broken on purpose."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from voxwire.errors import ConnectError
from voxwire.rtc.base import RtcEvents, RtcOptions
from voxwire.server import EmbeddedServer
from voxwire.server import calls as calls_module
from voxwire.server import rtc_call as rtc_call_module
from voxwire.server.calls import Call, Calls
from voxwire.server.limits import Limits

OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:1",
        "a=sctp-port:5000",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "",
    ]
)


class Peer:
    """A peer that answers with what `reply` does, and is good for nothing else."""

    queued_ms = 0.0

    def __init__(self, reply: Callable[[], Any]) -> None:
        self.reply = reply
        self.closed = 0
        self.options: RtcOptions | None = None

    def __call__(self, options: RtcOptions, events: RtcEvents) -> Any:
        self.options = options
        return self

    async def answer(self, offer: str) -> str:
        answer: str = await self.reply()
        return answer

    def send_audio(self, pcm: bytes, /) -> None:
        pass

    def clear_audio(self) -> None:
        pass

    async def close(self) -> None:
        self.closed += 1


async def post(server: EmbeddedServer) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(
            f"{server.http_url}/realtime/calls?model=m",
            content=OFFER,
            headers={"Content-Type": "application/sdp"},
        )


async def unusable() -> str:
    raise ConnectError("no candidate pair is possible")


async def faulty() -> str:
    raise RuntimeError("a defect")


async def never() -> str:
    await asyncio.Event().wait()
    return ""


async def fine() -> str:
    return "v=0"


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [(unusable, 400, "invalid_offer"), (never, 504, "answer_timeout")],
)
async def test_no_answer(
    kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch, reply: Any, status: int, code: str
) -> None:
    monkeypatch.setattr(rtc_call_module, "ANSWER_SECONDS", 0.1)
    peer = Peer(reply)
    async with EmbeddedServer(rtc_backend=peer, **kit) as server:
        answer = await post(server)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert (server.service.sessions, len(server.service.calls), peer.closed) == (0, 0, 1)


@pytest.mark.parametrize("where", ["answer", "speech"])
async def test_a_defect_leaves_no_peer_behind(kit: dict[str, Any], where: str) -> None:
    def deaf() -> Any:
        raise RuntimeError("a defect")

    peer = Peer(faulty if where == "answer" else fine)
    kit["vad"] = kit["vad"] if where == "answer" else deaf
    async with EmbeddedServer(rtc_backend=peer, **kit) as server:
        answer = await post(server)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "server_error")
        assert (server.service.sessions, len(server.service.calls), peer.closed) == (0, 0, 1)


async def test_options_reach_the_peer(kit: dict[str, Any]) -> None:
    peer = Peer(fine)
    settings: dict[str, Any] = {
        "ice_servers": ["stun:s.example"],
        "public_address": "192.0.2.7",
        "udp_ports": (40000, 40010),
    }
    async with EmbeddedServer(rtc_backend=peer, **settings, **kit) as server:
        answer = await post(server)
        assert (answer.status_code, answer.text) == (201, "v=0")
        options = peer.options
        assert options is not None
        assert options.ice_servers[0].urls == ("stun:s.example",)
        assert (options.public_address, options.ports, options.loopback) == (
            "192.0.2.7",
            (40000, 40010),
            True,
        )
        assert options.max_queue_ms is None
    assert peer.closed


async def test_an_offer_that_comes_as_the_server_stops(kit: dict[str, Any]) -> None:
    answering, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        answering.set()
        await go.wait()
        return "v=0"

    peer = Peer(slow)
    async with EmbeddedServer(rtc_backend=peer, **kit) as server:
        service = server.service
        posting = asyncio.create_task(post(server))
        await answering.wait()
        service.shut_down()
        go.set()
        assert (await posting).status_code == 201
        refused = await post(server)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_shutdown")
        await service.drain(5)
    assert (service.sessions, len(service.calls), bool(peer.closed)) == (0, 0, True)


class Stuck(Call):
    def __init__(self, fault: bool = False) -> None:
        super().__init__("rtc_stuck")
        self.fault = fault
        self.ends: list[int] = []

    async def run(self) -> None:
        if self.fault:
            raise RuntimeError("a defect")
        await asyncio.Event().wait()

    def end(self, code: int, reason: str) -> None:
        self.ends.append(code)

    def check_attach(self) -> None:
        pass

    async def attach(self, socket: Any) -> None:
        pass


async def test_a_call_that_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "STOP_SECONDS", 0.05)
    calls, call, left = Calls(Limits()), Stuck(), []
    await calls.close()
    calls.take()
    calls.carry(call, lambda: left.append(1))
    await asyncio.sleep(0)
    calls.end_all(1001, "bye")
    await calls.close()
    assert (call.ends, left, len(calls)) == ([1001], [1], 0)


async def test_a_call_that_fails_is_logged_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    calls, left = Calls(Limits()), []
    calls.take()
    with caplog.at_level(logging.ERROR):
        calls.carry(Stuck(fault=True), lambda: left.append(1))
        await calls.close()
    assert "a call failed" in caplog.text
    assert (left, len(calls)) == ([1], 0)
