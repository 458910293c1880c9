"""A sideband on a real call: WebRTC against the embedded server, with tools on the other connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire import (
    OpenAIRealtimeSideband,
    OpenAIRealtimeSIP,
    OpenAIRealtimeWebRTC,
    OutputGuardrail,
    RealtimeAgent,
    RealtimeSession,
    end_call,
    tool,
)
from voxwire.calls import Calls
from voxwire.errors import ProviderError
from voxwire.server import EmbeddedServer
from voxwire.server.sip.phone import SipPhone
from voxwire.server.speech.responder_script import ScriptResponder

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


async def test_a_guardrail_silences_a_phone_call_whose_audio_is_elsewhere() -> None:
    secret = "The secret is butter, " + "and more butter, " * 10
    script = ScriptResponder(
        text=f"turns: [{{say: '{secret}'}}]\notherwise: {{say: Let us talk of bread.}}\n"
    )
    guardrail = OutputGuardrail("No recipes", lambda text, _context: "secret" in text)
    async with (
        EmbeddedServer(
            sip="127.0.0.1:0",
            api_keys=[KEY],
            synthesizer="tone",
            transcriber="none",
            vad="energy",
            responder=script,
        ) as server,
        SipPhone() as phone,
    ):
        call = await phone.call(f"sip:ava@{server.sip_address}")
        (call_id,) = server.service.calls._calls
        agent = RealtimeAgent("Ava", instructions="You are Ava.")
        session = RealtimeSession(
            agent, transport=OpenAIRealtimeSIP(url=server.url, api_key=KEY), output_guardrails=[guardrail]
        )
        events = session.events("guardrail_tripped", "audio_interrupted", "agent_end")
        wire: list[str] = []
        session.transport.on("*", lambda event: wire.append(event["type"]))
        await session.connect(call_id=call_id)
        await session.send_message("How do you do it?")
        seen: list[str] = []
        async with asyncio.timeout(20):
            async for event in events:
                seen.append(event.name)
                if event.name == "agent_end" and "bread" in event.text:
                    break
        assert set(seen[:2]) == {"guardrail_tripped", "audio_interrupted"}
        starts = [n for n, kind in enumerate(wire) if kind == "output_audio_buffer.started"]
        cleared, cut = (
            wire.index(kind) for kind in ("output_audio_buffer.cleared", "conversation.item.truncated")
        )
        assert starts[0] < cleared < cut < starts[1], "silent before anything else is said"
        await session.close()
        assert not call.ended
