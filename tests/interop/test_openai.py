"""The `openai` package (PyPI): its Realtime connection, its client secrets, its errors."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def openai(interop_python: Path, run_program: Any, server: Any) -> Callable[..., Awaitable[Any]]:
    """`await openai(COMMAND)` runs `openai_client.py` against the server."""

    def run(command: str, *arguments: Path, key: str = server.api_key) -> Awaitable[Any]:
        script = Path(__file__).parent / "openai_client.py"
        return run_program(interop_python, script, command, server.http_url, key, *arguments)

    return run


async def test_every_event_is_what_the_types_say(openai: Any, recording: Any) -> None:
    report = await openai("talk", recording("1-weather.wav", silence_ms=300))
    lines = report.of("wire")
    assert [line for line in lines if line["problem"]] == []

    call = report.wire("response.function_call_arguments.done")[0]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city": "Tokyo"}')
    heard = report.wire("conversation.item.input_audio_transcription.completed")[0]
    assert heard["transcript"] == "What is the weather in Tokyo?"
    texts = [event["text"] for event in report.wire("response.output_text.done")]
    assert texts == ["It is sunny in Tokyo.", "You are welcome! Is there anything else?"]

    whole = report.wire("response.output_audio_transcript.done")[0]["transcript"]
    kept = report.wire("conversation.item.retrieved")[0]["item"]["content"][0]["transcript"]
    assert whole.startswith(kept)
    assert 0 < len(kept) < len(whole), "truncated at 700 ms: a part of it was heard"

    *_, aside, last = [event["response"] for event in report.wire("response.done")]
    assert last["status"] == "completed"
    assert aside["status"] == "cancelled"
    assert aside["status_details"]["reason"] == "client_cancelled"
    assert aside["metadata"] == {"purpose": "aside"}
    assert aside["conversation_id"] is None
    assert report.wire("error")[0]["error"]["event_id"] == "mine"


async def test_client_secret(openai: Any) -> None:
    before = time.time()
    report = await openai("secrets")
    [secret] = report.of("secret")
    assert secret["value"].startswith("ek_")
    assert before + 58 <= secret["expires_at"] <= time.time() + 61
    assert secret["session"] == "RealtimeSessionCreateResponse"
    assert secret["instructions"] == "You are Zoe."
    assert [line for line in report.of("wire") if line["problem"]] == []
    assert report.wire("session.created")[0]["session"]["instructions"] == "You are Zoe."
    assert report.wire("response.output_text.done")[0]["text"].startswith("I am Zoe.")
    # An ephemeral key opens sessions and nothing else.
    [refused] = report.of("refused")
    assert refused == {"error": "AuthenticationError", "status": 401, "code": "invalid_api_key"}


async def test_wrong_key(openai: Any) -> None:
    report = await openai("refused", key="sk-wrong")
    over_http, over_websocket = report.of("refused")
    assert over_http == {"error": "AuthenticationError", "status": 401, "code": "invalid_api_key"}
    assert (over_websocket["error"], over_websocket["status"]) == ("InvalidStatus", 401)
    assert over_websocket["body"]["error"]["code"] == "invalid_api_key"
    assert report.of("connected") == []


async def test_invalid_request(openai: Any) -> None:
    [refused] = (await openai("invalid")).of("refused")
    assert refused == {"error": "BadRequestError", "status": 400, "param": "expires_after.seconds"}


async def test_without_asyncio(openai: Any) -> None:
    report = await openai("blocking")
    [text] = report.of("text")
    assert text["text"].startswith("Hello!")
    models = {line["type"]: line["model"] for line in report.of("typed")}
    assert models["session.created"] == "SessionCreatedEvent"
    assert models["response.output_text.delta"] == "ResponseTextDeltaEvent"
    assert models["response.done"] == "ResponseDoneEvent"
