"""Questions beside the conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from voxwire import (
    ConnectionLost,
    ErrorEvent,
    FunctionCall,
    GuardrailResult,
    GuardrailTripped,
    ModelBehaviorError,
    NotConnectedError,
    OutputGuardrail,
    ProviderError,
    RealtimeAgent,
    RealtimeSession,
    TurnDone,
    TurnStarted,
    Usage,
    UserError,
    tool,
)
from voxwire.protocol.items import FunctionCallItem, InputText, MessageItem
from voxwire.server import EmbeddedServer
from voxwire.session import asking as module


class Weather(BaseModel):
    city: str
    degrees: int


@dataclass
class Mood:
    name: str


@tool
async def lookup(word: str) -> str:
    """Look a word up."""
    return f"{word} means {word[::-1]}"


@tool(needs_approval=True)
async def dangerous() -> str:
    """Do it."""
    return ""


def text_item(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }


class Service:
    """The service's side of questions, on a scripted transport."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.answered = 0

    def creates(self) -> list[dict[str, Any]]:
        events = [call["event"] for call in self.stage.sent("send_event")]
        return [event for event in events if event["type"] == "response.create"]

    def cancels(self) -> list[str]:
        events = [call["event"] for call in self.stage.sent("send_event")]
        return [event["response_id"] for event in events if event["type"] == "response.cancel"]

    async def next(self) -> dict[str, Any]:
        self.answered += 1
        await self.stage.until(lambda: len(self.creates()) >= self.answered)
        return self.creates()[self.answered - 1]

    def begin(self, create: dict[str, Any], response_id: str) -> None:
        response = {"id": response_id, "metadata": create["response"]["metadata"]}
        self.stage.transport.emit(TurnStarted(response_id, response))

    def end(
        self, response_id: str, *output: dict[str, Any], status: str = "completed", details: Any = None
    ) -> None:
        self.stage.transport.emit(
            TurnDone(response_id, status, details, output, Usage(), {"id": response_id})
        )

    async def answer(self, *output: dict[str, Any], **more: Any) -> dict[str, Any]:
        create = await self.next()
        response_id = f"ask{self.answered}"
        self.begin(create, response_id)
        self.end(response_id, *output, **more)
        return create["response"]


@pytest.fixture
async def service(stage: Any) -> Service:
    await stage.connect(RealtimeAgent("Ava"), listen=("agent_start", "agent_end", "agent_tool_start"))
    return Service(stage)


async def test_a_text(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("How are you?", instructions="Be brief."))
    response = await service.answer(text_item("Fine."))
    assert await asked == "Fine."
    assert response["conversation"] == "none"
    assert response["output_modalities"] == ["text"]
    assert response["instructions"] == "Be brief."
    assert response["tools"] == []
    assert response["input"][0]["content"] == [{"type": "input_text", "text": "How are you?"}]
    assert stage.seen == []  # no agent has spoken
    assert stage.session._asking.running == 0


async def test_several_at_once_get_their_own_answers(stage: Any, service: Service) -> None:
    one, two = (asyncio.ensure_future(stage.session.ask(text)) for text in ("1?", "2?"))
    first, second = await service.next(), await service.next()
    service.begin(second, "b")
    service.begin(first, "a")
    service.end("a", text_item("one"))
    stage.start("r1")
    service.end("b", text_item("two"))
    stage.done("r1")
    assert (await one, await two) == ("one", "two")
    assert stage.names() == ["agent_start", "agent_end"]


@pytest.mark.parametrize(
    ("output_type", "answer", "value"),
    [
        (Weather, '{"city": "Oslo", "degrees": 3}', Weather(city="Oslo", degrees=3)),
        (Weather, '```json\n{"city": "Oslo", "degrees": 3}\n```', Weather(city="Oslo", degrees=3)),
        (Mood, ' {"name": "good"} ', Mood("good")),
        (list[str], '["a", "b"]', ["a", "b"]),
        (str, '"quoted"', '"quoted"'),
    ],
)
async def test_a_value(stage: Any, service: Service, output_type: Any, answer: str, value: Any) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?", output_type=output_type, instructions="Now."))
    response = await service.answer(text_item(answer))
    assert await asked == value
    assert response["instructions"].startswith("Now.")
    assert ("JSON schema" in response["instructions"]) == (output_type is not str)


async def test_a_second_attempt(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?", output_type=Weather))
    await service.answer(text_item("It is cold."))
    response = await service.answer(text_item('{"city": "Oslo", "degrees": 3}'))
    assert await asked == Weather(city="Oslo", degrees=3)
    assert [item["role"] for item in response["input"]] == ["user", "assistant", "user"]
    assert "does not match" in response["input"][2]["content"][0]["text"]


async def test_no_third_attempt(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?", output_type=Weather))
    await service.answer(text_item("cold"))
    await service.answer(text_item("very cold"))
    with pytest.raises(ModelBehaviorError, match=r"second attempt(.|\n)*'very cold'"):
        await asked


async def test_tools_of_its_own(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?", tools=[lookup]))
    call = {
        "type": "function_call",
        "id": "f",
        "call_id": "c1",
        "name": "lookup",
        "arguments": '{"word": "ab"}',
    }
    other = {**call, "call_id": "c2", "name": "nothing"}
    create = await service.next()
    assert [entry["name"] for entry in create["response"]["tools"]] == ["lookup"]
    service.begin(create, "ask1")
    stage.transport.emit(FunctionCall("c1", "lookup", call["arguments"], "f", "ask1"))
    service.end("ask1", call, other)
    response = await service.answer(text_item("done"))
    assert await asked == "done"
    assert [item["type"] for item in response["input"]] == [
        "message",
        "function_call",
        "function_call_output",
        "function_call",
        "function_call_output",
    ]
    assert [item.get("output") for item in response["input"][2::2]] == [
        "ab means ba",
        "Tool nothing not found",
    ]
    assert stage.sent() == []  # nothing goes into the conversation


async def test_a_model_that_only_calls_tools(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?", tools=[lookup]))
    call = {"type": "function_call", "id": "f", "call_id": "c1", "name": "lookup", "arguments": "{}"}
    for _ in range(module.MAX_TOOL_ROUNDS):
        await service.answer(call)
    with pytest.raises(ModelBehaviorError, match="8 times"):
        await asked


async def test_items_and_history(stage: Any, service: Service) -> None:
    said = MessageItem("m1", "user", (InputText("Hi"),))
    stage.transport.items = [said, FunctionCallItem("f1", "c1", "go", output="gone", output_item_id="o1")]
    asked = asyncio.ensure_future(
        stage.session.ask([said, {"role": "user", "content": []}], with_history=True, timeout=None)
    )
    response = await service.answer(text_item("ok"))
    assert response["input"] == [
        {"type": "item_reference", "id": "m1"},
        {"type": "item_reference", "id": "f1"},
        {"type": "item_reference", "id": "o1"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "user", "content": []},
    ]
    await asked
    one = asyncio.ensure_future(stage.session.ask({"content": [{"type": "input_text", "text": "x"}]}))
    assert (await service.answer(text_item("y")))["input"][0]["role"] == "user"
    assert await one == "y"


@pytest.mark.parametrize(
    ("status", "details", "code"),
    [
        ("failed", {"error": {"code": "boom", "type": "server_error", "message": "no"}}, "boom"),
        ("incomplete", {"reason": "max_output_tokens"}, "response_incomplete"),
        ("cancelled", None, "response_cancelled"),
    ],
)
async def test_no_answer(stage: Any, service: Service, status: str, details: Any, code: str) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?"))
    await service.answer(text_item("half"), status=status, details=details)
    with pytest.raises(ProviderError) as caught:
        await asked
    assert caught.value.code == code


async def test_a_refused_question(stage: Any, service: Service) -> None:
    one, two = (asyncio.ensure_future(stage.session.ask(text)) for text in ("1?", "2?"))
    create = await service.next()
    second = await service.next()
    refusal = ProviderError("no such tool", event_id=create["event_id"])
    stage.transport.emit(ErrorEvent(refusal))
    with pytest.raises(ProviderError, match="no such tool"):
        await one
    service.begin(second, "b")
    service.end("b", text_item("two"))
    assert await two == "two"


async def test_cancelling_the_caller(stage: Any, service: Service) -> None:
    early, late = (asyncio.ensure_future(stage.session.ask(text)) for text in ("1?", "2?"))
    first, second = await service.next(), await service.next()
    service.begin(second, "b")
    early.cancel()
    late.cancel()
    await asyncio.gather(early, late, return_exceptions=True)
    await stage.until(lambda: service.cancels() == ["b"])
    service.begin(first, "a")  # it is only now known by name
    await stage.until(lambda: service.cancels() == ["b", "a"])
    service.end("a", status="cancelled")
    service.end("b", status="cancelled")
    assert stage.session._asking.running == 0
    assert stage.seen == []


async def test_a_cancelled_question_may_be_refused(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?"))
    create = await service.next()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert stage.session._asking.running == 1
    other = asyncio.ensure_future(stage.session.ask("!"))
    await service.next()
    stage.transport.emit(ErrorEvent(ProviderError("no", event_id=create["event_id"])))
    assert stage.session._asking.running == 1
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


async def test_a_time_limit(stage: Any, service: Service) -> None:
    with pytest.raises(ProviderError, match=r"0\.01 s") as caught:
        await stage.session.ask("?", timeout=0.01)
    assert caught.value.code == "ask_timeout"


async def test_the_connection_ends(stage: Any, service: Service) -> None:
    asked = asyncio.ensure_future(stage.session.ask("?"))
    await service.next()
    await stage.transport.disconnect()
    with pytest.raises(ConnectionLost, match="before there was an answer"):
        await asked


async def test_questions_that_could_not_be_sent_take_no_place() -> None:
    session = RealtimeSession(RealtimeAgent("Ava"), transport="websocket")
    for _ in range(module.MAX_QUESTIONS + 1):
        with pytest.raises(NotConnectedError):
            await session.ask("?")
    assert session._asking.running == 0


async def test_what_cannot_be_asked(stage: Any, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="approval"):
        await stage.session.ask("?", tools=[dangerous])
    with pytest.raises(UserError, match="function tools"):
        await stage.session.ask("?", tools=["x"])
    with pytest.raises(UserError, match="no items"):
        await stage.session.ask([])
    with pytest.raises(UserError, match="JSON schema"):
        await stage.session.ask("?", output_type=Service)
    monkeypatch.setattr(module, "MAX_QUESTIONS", 0)
    with pytest.raises(UserError, match="questions"):
        await stage.session.ask("?")


# -- over a real socket ------------------------------------------------------------------------------


class Clerk:
    """A responder that tells a long story, and answers questions about JSON."""

    async def respond(self, request: Any, /) -> AsyncIterator[Any]:
        from voxwire.server.speech.base import TextPart, ToolCallPart

        words = json.dumps(request.items)
        if "degrees" in request.instructions:
            yield TextPart('{"city": "Oslo", "degrees": 3}')
        elif request.tools and "means" not in words:
            yield ToolCallPart("lookup", '{"word": "ab"}')
        elif "How many" in words:
            yield TextPart(f"{len(request.items)} items")
        else:
            yield TextPart("means ba" if "means ba" in words else "Once upon a time. " * 10)

    async def close(self) -> None:
        pass


async def test_beside_a_running_response_over_a_real_socket() -> None:
    async with EmbeddedServer(
        responder=Clerk(), synthesizer="tone", transcriber="none", vad="energy", pace=1.0
    ) as server:
        session = RealtimeSession(RealtimeAgent("Ava"), url=server.url, api_key="k", transport="websocket")
        async with session:
            started, ended = asyncio.Event(), asyncio.Event()
            session.on("audio_start", lambda _: started.set())
            session.on("agent_end", lambda _: ended.set())
            await session.send_message("A story")
            await asyncio.wait_for(started.wait(), 20)
            before = list(session.history)
            weather, found, counted = await asyncio.gather(
                session.ask("Weather in Oslo?", output_type=Weather),
                session.ask("What does ab mean?", tools=[lookup]),
                session.ask("How many?", with_history=True),
            )
            assert not ended.is_set()
            assert weather == Weather(city="Oslo", degrees=3)
            assert found == "means ba"
            assert counted == "3 items"
            assert [item.item_id for item in session.history] == [item.item_id for item in before]


async def test_guardrails_watch_what_the_user_hears_not_what_was_asked_beside_it() -> None:
    async with EmbeddedServer(
        responder=Clerk(), synthesizer="tone", transcriber="none", vad="energy"
    ) as server:
        looked_at: list[str] = []

        def nothing_passes(text: str, _context: Any) -> GuardrailResult:
            looked_at.append(text)
            return GuardrailResult(tripped=True)

        session = RealtimeSession(
            RealtimeAgent("Ava"),
            url=server.url,
            api_key="k",
            transport="websocket",
            output_guardrails=[OutputGuardrail("Nothing passes", nothing_passes)],
        )
        async with session:
            tripped: list[GuardrailTripped] = []
            session.on("guardrail_tripped", tripped.append)
            assert await session.ask("How many?") == "1 items"
            assert (looked_at, tripped, list(session.history)) == ([], [], [])
