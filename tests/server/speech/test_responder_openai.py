from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from voxwire.server.speech.base import Failure, Incomplete, ResponseRequest, TextPart, ToolCallPart
from voxwire.server.speech.chat_messages import chat_body
from voxwire.server.speech.responder_openai import OpenAIResponder

ITEMS = (
    {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": "Weather?"}]},
    {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Rome"}'},
    {"type": "function_call", "call_id": "c2", "name": "get_time", "arguments": ""},
    {"type": "function_call", "call_id": "c3", "name": "still_running", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "Hm."}]},
    {"type": "function_call_output", "call_id": "c2", "output": "noon"},
    {"type": "mcp_list_tools"},
    {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "And this?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA"},
        ],
    },
)
TOOL = {"type": "function", "name": "get_weather", "description": "w", "parameters": {"type": "object"}}


def stream(*events: Any) -> bytes:
    return b"".join(
        b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events
    )


def delta(finish: str | None = None, **values: Any) -> dict[str, Any]:
    return {"choices": [{"delta": values, "finish_reason": finish}]}


async def answer(service: Any, status: int, body: bytes, pieces: int = 5) -> list[Any]:
    service.answer("chat/completions", status, body, pieces=pieces)
    responder = OpenAIResponder(base_url=service.url, api_key="", model="m")
    request = ResponseRequest(
        "Be kind.", ITEMS, (TOOL,), options={"max_output_tokens": 50, "temperature": 0.5}
    )
    found = [part async for part in responder.respond(request)]
    await responder.close()
    return found


async def test_text_and_calls(service: Any) -> None:
    body = stream(
        delta(role="assistant", content=""),
        delta(content="Hello "),
        delta(content="there."),
        delta(tool_calls=[{"index": 0, "id": "x", "function": {"name": "get_weather", "arguments": '{"ci'}}]),
        delta(tool_calls=[{"index": 1, "function": {"name": "other"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": 'ty": "Rome"}'}}]),
        delta("tool_calls"),
        {"choices": [], "usage": {}},
        b"[DONE]",
    )
    assert await answer(service, 200, body) == [
        TextPart("Hello "),
        TextPart("there."),
        ToolCallPart("get_weather", '{"city": "Rome"}'),
        ToolCallPart("other", "{}"),
    ]
    sent = json.loads(service.requests[0][2])
    assert sent["stream"] is True
    assert sent["max_tokens"] == 50
    assert "authorization" not in service.requests[0][1]


def test_messages() -> None:
    body = chat_body(
        "m", ResponseRequest("Be kind.", ITEMS, (TOOL,), {"type": "function", "name": "get_weather"})
    )
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    calls = body["messages"][2]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"city": "Rome"}', "{}"]
    assert [message["content"] for message in body["messages"][3:5]] == ["sunny", "noon"]
    assert body["messages"][6]["content"] == [
        {"type": "text", "text": "And this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert body["tools"][0]["function"]["name"] == "get_weather"
    plain = chat_body("m", ResponseRequest("", (), (TOOL,), "sometimes"))
    assert (plain["messages"], plain["tool_choice"]) == ([], "auto")
    orphan = {"type": "function_call_output", "call_id": "gone", "output": "x"}
    assert chat_body("m", ResponseRequest("", (orphan,)))["messages"] == []


@pytest.mark.parametrize(
    ("status", "body", "last"),
    [
        (200, stream(delta(content="a"), delta("length")), Incomplete("max_output_tokens")),
        (200, stream(delta("content_filter")), Incomplete("content_filter")),
        (200, stream({"error": {"message": "overloaded", "code": 529}}), Failure("overloaded", "529")),
        (200, stream({"error": "bad"}), Failure("bad")),
        (200, stream(delta(content="a")), Failure("The model's answer broke off before its end.")),
        (200, stream(b"nonsense"), Failure("The model sent something that is not JSON: 'nonsense'")),
        (200, stream(b"[1]"), Failure("The model sent '[1]' instead of an object.")),
        (200, b"data: " + json.dumps(delta("stop", content="a")).encode(), TextPart("a")),
    ],
)
async def test_endings(service: Any, status: int, body: bytes, last: Any) -> None:
    assert (await answer(service, status, body))[-1] == last


async def test_failures(service: Any) -> None:
    (failure,) = await answer(service, 404, b'{"error": {"message": "no model", "code": "model_not_found"}}')
    assert failure.code == "model_not_found"
    assert "404: no model" in failure.message
    calls = [delta(tool_calls=[{"index": i, "function": {"name": "x"}}]) for i in range(200)]
    (failure,) = await answer(service, 200, stream(*calls))
    assert "more than 128" in failure.message
    responder = OpenAIResponder(base_url="http://127.0.0.1:9", model="m")
    (failure,) = [part async for part in responder.respond(ResponseRequest("", ()))]
    assert "cannot be reached" in failure.message
    await responder.close()


async def test_slow_model_times_out(service: Any) -> None:
    release = threading.Event()
    service.answers["/v1/chat/completions"] = lambda handler: release.wait(10)
    responder = OpenAIResponder(base_url=service.url, model="m", timeout=0.1)
    (failure,) = [part async for part in responder.respond(ResponseRequest("", ()))]
    release.set()
    assert "did not answer within 0.1 s" in failure.message
    await responder.close()
