from __future__ import annotations

import asyncio

import pytest

from voxwire import OpenAIRealtimeWebRTC, UserError
from voxwire.audio import CallbackSink, ToneSource
from voxwire.errors import AuthenticationError, ConnectTimeout
from voxwire.media.levels import peak_dbfs
from voxwire.testing import ScriptedCallServer

pytestmark = pytest.mark.needs_module("aiortc", "httpx")


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def client_of(server, **options):
    given = {"audio_input": None, "audio_output": None, "api_key": "sk-1", **options}
    return OpenAIRealtimeWebRTC(base_url=server.url, **given)


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
