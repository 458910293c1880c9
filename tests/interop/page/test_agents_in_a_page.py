"""`@openai/agents` as it is meant to be used: in a page, over WebRTC, with the page's microphone and an ephemeral key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voxwire.server import EmbeddedServer
from voxwire.server.speech.phrases import STORIES

pytestmark = [
    pytest.mark.needs_module("aiortc", "playwright"),
    pytest.mark.needs_program("chromium"),
]

STORY = f"Hello, this is Leo. {STORIES[0]}"
BUFFER = "output_audio_buffer."


@pytest.fixture(autouse=True)
async def no_call_is_left(server: EmbeddedServer) -> AsyncIterator[None]:
    """However it ended, the server has nothing of the call any more."""
    service = server.service
    yield
    async with asyncio.timeout(10):
        while service.sessions:
            await asyncio.sleep(0.02)


def buffer_events(report: Any) -> list[str]:
    return [name.removeprefix(BUFFER) for name in report.types() if name.startswith(BUFFER)]


async def test_a_spoken_question(page_client: Any, microphone: Any) -> None:
    """Asked into the machine's microphone, past Chromium's own echo and noise suppression, and answered aloud."""
    report = await page_client.play(
        {"until": "conversation.item.input_audio_transcription.completed"},
        {"until": "output_audio_buffer.stopped"},
        {"quiet_ms": 300},
        microphone=microphone("1-weather.wav", after_ms=3500),
    )
    assert report.of("error") == []
    assert report.of("connected")[0]["call_id"].startswith("rtc_")
    [transcript] = report.wire("conversation.item.input_audio_transcription.completed")
    assert transcript["transcript"] == "What is the weather in Tokyo?"
    assert report.of("tool_start") == [
        {"agent": "Ava", "tool": "get_weather", "arguments": {"city": "Tokyo"}}
    ]
    assert report.of("tool_end") == [
        {"agent": "Ava", "tool": "get_weather", "output": "It is sunny in Tokyo."}
    ]
    assert report.texts("user") == ["What is the weather in Tokyo?"]
    assert report.texts("assistant") == ["It is sunny in Tokyo."]
    assert 500 < report.of("heard")[0]["loud_ms"] < 3000
    assert buffer_events(report) == ["started", "stopped"]
    assert report.wire("response.output_audio.delta") == [], "audio is on the track alone"
    assert report.end["audio_bytes"] == 0
    order = report.types()
    assert order.index("response.output_audio_transcript.done") < order.index(BUFFER + "stopped")


async def test_text_handoff_and_a_stream_of_the_page_s_own(page_client: Any) -> None:
    report = await page_client.play(
        {"text": "Hello!"},
        {"hear_ms": 500},
        {"until": "output_audio_buffer.stopped"},
        {"text": "Please let me talk to the storyteller."},
        {"until": "output_audio_buffer.stopped", "times": 2},
        {"text": "Who are you?"},
        {"until": "output_audio_buffer.stopped", "times": 3},
    )
    assert report.of("error") == []
    assert report.of("handoff") == [{"from": "Ava", "to": "Leo"}]
    assert report.end["agent"] == "Leo"
    hello, greeting, answer = report.texts("assistant")
    assert hello == "Hello! I am Ava. How can I help you?"
    assert greeting.startswith("Hello, this is Leo.")
    assert answer.startswith("I am Leo.")
    assert buffer_events(report) == ["started", "stopped"] * 3
    usage = [event["response"]["usage"]["total_tokens"] for event in report.wire("response.done")]
    assert report.end["tokens"] == sum(usage) > 0
    assert report.of("microphone") == [{"state": "live"}]


async def test_barge_in(page_client: Any) -> None:
    """The user speaks over the story: the server stops by itself, and knows how far it was heard."""
    report = await page_client.play(
        {"text": "Tell me a long story."},
        {"hear_ms": 1800},
        {"audio": "5-stop.wav"},
        {"until": "output_audio_buffer.cleared"},
        {"until": "conversation.item.input_audio_transcription.completed"},
        {"until": "output_audio_buffer.stopped"},
        {"quiet_ms": 300},
    )
    assert report.of("error") == []
    [truncated] = report.wire("conversation.item.truncated")
    assert 1800 <= truncated["audio_end_ms"] <= 9000
    order = [name for name in report.types() if name != "rate_limits.updated"]
    started = order.index("input_audio_buffer.speech_started")
    assert started < order.index(BUFFER + "cleared") < order.index("conversation.item.truncated")
    assert buffer_events(report) == ["started", "cleared", "started", "stopped"]
    told, reply = report.texts("assistant")
    assert told == STORY[: len(told)], "what was heard is the beginning of the story"
    assert len("Hello, this is Leo.") < len(told) < 200
    assert reply.startswith("All right, I will stop.")
    assert report.texts("user") == ["Tell me a long story.", "Stop, please. Thank you."]
    # The story was cut, so that no more was heard than is in the history.
    most = truncated["audio_end_ms"] + 5000
    assert report.of("heard")[0]["loud_ms"] < most


async def test_interrupt_and_mute(page_client: Any) -> None:
    report = await page_client.play(
        {"text": "Tell me a long story."},
        {"hear_ms": 1000},
        {"interrupt": True},
        {"until": "output_audio_buffer.cleared"},
        {"quiet_ms": 300},
        {"mute": True},
        {"audio": "1-weather.wav"},
        {"mute": False},
        {"audio": "6-follow-up.wav"},
        {"until": "conversation.item.input_audio_transcription.completed"},
        {"until": "output_audio_buffer.stopped"},
    )
    assert report.of("error") == []
    assert report.texts("user")[1:] == ["What can you do?"], "not what was said muted"
    assert report.texts("assistant")[-1].startswith("I can ")
    assert len(report.wire("input_audio_buffer.speech_started")) == 1
    [truncated] = report.wire("conversation.item.truncated")
    assert truncated["audio_end_ms"] >= 900


async def test_the_server_stops_in_the_middle_of_a_turn(page_client: Any, server: Any) -> None:
    playing = asyncio.create_task(
        page_client.play({"text": "Tell me a long story."}, {"until": "disconnected"})
    )
    async with asyncio.timeout(30):
        while BUFFER + "started" not in page_client.report(page_client.lines).types():
            await asyncio.sleep(0.02)
    await server.stop()
    report = await playing
    assert report.of("disconnected") == [{}]
    assert buffer_events(report)[0] == "started"


async def test_a_refusal_reaches_the_page(page_client: Any) -> None:
    """Status and words of the service, which a page only sees where CORS lets it."""
    report = await page_client.play(api_key="ek_wrong")
    [refused] = report.of("refused")
    assert "Realtime call request failed with status 401: Incorrect API key provided" in refused["message"]
    assert report.of("connected") == []
