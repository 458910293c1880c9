from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from voxwire import OpenAIRealtimeWebRTC, UserError
from voxwire.audio import CallbackSink, ToneSource
from voxwire.errors import AuthenticationError, ConnectTimeout
from voxwire.media.levels import peak_dbfs
from voxwire.testing import ScriptedCallServer, call_server

pytestmark = pytest.mark.needs_module("aiortc", "httpx")


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def client_of(server, **options):
    given = {"audio_input": None, "audio_output": None, "api_key": "sk-1", **options}
    return OpenAIRealtimeWebRTC(base_url=server.url, **given)


@pytest.fixture
async def web():
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("backend", ["aiortc", "wrtc"])
async def test_a_call_with_audio_both_ways(backend):
    pytest.importorskip(backend)
    heard = bytearray()
    async with ScriptedCallServer(backend=backend) as server:
        client = client_of(server, audio_input=ToneSource(440), audio_output=CallbackSink(heard.extend))
        connecting = asyncio.ensure_future(client.connect(initial_session_config={"instructions": "Hum."}))
        service = await server.accept()
        update = await service.greet()
        await connecting
        assert update["session"]["instructions"] == "Hum."
        assert service.path == "/v1/realtime/calls"
        assert service.headers["authorization"] == "Bearer sk-1"
        assert service.headers["content-type"].startswith("multipart/form-data")
        assert client.call_id == "rtc_1"
        await until(lambda: peak_dbfs(service.heard[-4800:]) > -20)
        await service.send({"type": "response.created", "response": {"id": "r1"}})
        await service.send({"type": "output_audio_buffer.started", "response_id": "r1"})
        service.send_audio(service.heard[-9600:])
        await until(lambda: heard and peak_dbfs(bytes(heard)) > -20)
        service.clear_audio()
        await client.close()
        await asyncio.wait_for(service.closed.wait(), 5)
        assert service.close_code == 1000


async def test_the_service_says_goodbye():
    async with ScriptedCallServer() as server:
        client = client_of(server, api_key="ek_1")
        ended = client.events("connection_change")
        connecting = asyncio.ensure_future(client.connect(initial_session_config={"instructions": "Hum."}))
        service = await server.accept()
        await service.greet()
        await connecting
        assert service.headers["content-type"] == "application/sdp", "the key brings the session"
        await service.close()
        async with asyncio.timeout(10):
            while (told := await anext(ended)).status != "disconnected":
                pass
        assert told.code == 1000
        assert told.error is None


async def test_it_refuses_stalls_and_says_what_it_cannot_do():
    async with ScriptedCallServer() as server:
        server.refuse(401, {"error": {"message": "No."}})
        client = client_of(server, open_timeout=0.3)
        with pytest.raises(AuthenticationError, match="No"):
            await client.connect()
        server.stall()
        with pytest.raises(ConnectTimeout):
            await client.connect()
        assert server.connections == []
        connecting = asyncio.ensure_future(client_of(server).connect())
        service = await server.accept()
        for cannot in (service.drop, service.pause_reading):
            with pytest.raises(UserError):
                cannot()
        service.resume_reading()
        connecting.cancel()
        await asyncio.wait([connecting])


async def test_it_has_a_port_while_it_runs():
    with pytest.raises(UserError, match="async with"):
        _ = ScriptedCallServer().port


NO_AUDIO = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"content": "what?"}, "cannot be answered"),
        ({"content": NO_AUDIO}, "cannot be answered"),
        ({"content": b"\xff\xfe"}, "cannot be answered"),
        ({"files": {"session": (None, "{}")}}, "no part 'sdp'"),
    ],
)
async def test_an_offer_that_cannot_be_answered_leaves_nothing_open(monkeypatch, web, given, why):
    closed = []
    close = call_server._Peer.close

    async def noted(peer, *args):
        await close(peer, *args)
        closed.append(peer)

    monkeypatch.setattr(call_server._Peer, "close", noted)
    async with ScriptedCallServer() as server:
        answer = await web.post(server.url, **given)
        assert answer.status_code == 400
        assert why in answer.text
        assert len(closed) == 1
        assert server.connections == []


async def test_leaving_that_is_cancelled_still_ends_the_server_and_its_calls():
    inside, leave = asyncio.Event(), asyncio.Event()
    server = ScriptedCallServer()

    async def test():
        async with server:
            inside.set()
            await leave.wait()

    running = asyncio.create_task(test())
    await inside.wait()
    client = client_of(server)
    connecting = asyncio.ensure_future(client.connect(initial_session_config={"instructions": "Hum."}))
    service = await server.accept()
    await service.greet()
    await connecting
    port = server.port
    leave.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await running
    assert running.cancelled()
    assert service.closed.is_set()
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))
    await client.close()


async def test_a_request_that_waits_at_the_end_gets_no_call(web):
    async with ScriptedCallServer() as server:
        server.stall()
        asking = asyncio.ensure_future(web.post(server.url, content=NO_AUDIO))
        await until(lambda: not server._stalls)
        await server.__aexit__(None, None, None)
        assert (await asking).status_code == 503
        assert server.connections == []
