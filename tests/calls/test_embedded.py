"""A sideband on a real call: WebRTC against the embedded server, with tools on the other connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire import (
    OpenAIRealtimeSideband,
    OpenAIRealtimeWebRTC,
    RealtimeAgent,
    RealtimeSession,
    end_call,
    tool,
)
from voxwire.calls import Calls
from voxwire.errors import ProviderError
from voxwire.server import EmbeddedServer

pytestmark = pytest.mark.needs_module("aiortc")

KEY = "sk-embedded"


@tool
def get_weather(city: str) -> str:
    """Get the weather for a city."""
    return f"It is sunny in {city}."


async def within(seconds: float, event: asyncio.Event) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()


async def test_a_sideband_has_the_tools_and_ends_the_call() -> None:
    options: dict[str, Any] = {
        "synthesizer": "tone",
        "transcriber": "none",
        "vad": "energy",
        "responder": "rules",
    }
    async with (
        EmbeddedServer(api_keys=[KEY], **options) as server,
        Calls(KEY, base_url=server.http_url) as calls,
    ):
        page = OpenAIRealtimeWebRTC(
            base_url=server.http_url, api_key=KEY, audio_input=None, audio_output=None
        )
        page_over: asyncio.Event = asyncio.Event()
        page.on("disconnected", lambda _event: page_over.set())
        await page.connect(initial_session_config={"instructions": "x"})
        assert page.call_id is not None

        transport = OpenAIRealtimeSideband(url=server.url, api_key=KEY)
        agent = RealtimeAgent("Ava", instructions="You are Ava.", tools=[get_weather, end_call(calls)])
        session = RealtimeSession(agent, transport=transport)
        heard, stopped = asyncio.Event(), asyncio.Event()
        session.on("audio_start", lambda _event: heard.set())
        session.on("audio_stopped", lambda _event: stopped.set())
        used = asyncio.Event()
        session.on("agent_tool_end", lambda _event: used.set())
        await session.connect(call_id=page.call_id)
        assert session.transport.call_id == page.call_id

        await session.send_message("What is the weather in Oslo?")
        await within(20, used)
        await within(20, heard)
        assert transport.speaking
        await within(20, stopped)
        assert "It is sunny in Oslo." in session.export_history("text")

        await calls.hangup(page.call_id)
        async with asyncio.timeout(10):
            ended = await session.wait_closed()
        assert ended is not None
        assert (ended.status, ended.code, ended.error) == ("disconnected", 1000, None)
        assert ended.reason
        await within(10, page_over)
        await session.close()
        await page.close()

        with pytest.raises(ProviderError) as caught:
            await calls.hangup("rtc_unknown")
        assert caught.value.status == 404
        with pytest.raises(ProviderError) as caught:
            await session.connect(call_id="rtc_unknown")
        assert caught.value.status == 404
