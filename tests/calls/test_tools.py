"""Tools that end and transfer calls, once the caller has heard what was said."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse

from voxwire import (
    OpenAIRealtimeSIP,
    OpenAIRealtimeWebSocket,
    RealtimeAgent,
    RealtimeSession,
    end_call,
    transfer_call,
)
from voxwire.errors import UserError
from voxwire.testing import ScriptedServer
from voxwire.transports.base import RealtimeTransportLayer

TARGETS = {"sales": "+1 555 0100", "support": "sip:support@example.com"}


@contextlib.asynccontextmanager
async def talking(phone: Any, *tools: Any) -> AsyncIterator[tuple[RealtimeSession, Any]]:
    """A session on a call, and the service's end of it."""
    phone.calls.add("rtc_1")
    transport = OpenAIRealtimeSIP(url=phone.base_url + "/realtime", api_key="sk-calls", proxy=None)
    session = RealtimeSession(RealtimeAgent("Ava", tools=list(tools)), transport=transport)
    await session.connect(call_id="rtc_1")
    try:
        yield session, await phone.line("rtc_1")
    finally:
        await session.close()


async def closed(session: RealtimeSession) -> Any:
    async with asyncio.timeout(5):
        return await session.wait_closed()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_goodbye_is_heard_before_the_call_ends(phone: Any, until: Any) -> None:
    async with phone.control() as calls, talking(phone, end_call(calls)) as (session, line):
        begun = asyncio.Event()
        session.on("agent_tool_start", lambda _event: begun.set())
        await line.speak("resp_1", call=("end_call", "{}"))
        await begun.wait()
        await settle()
        assert session.transport.speaking
        assert phone.requests == []
        await line.send("output_audio_buffer.stopped", response_id="resp_1")
        ended = await closed(session)
    assert [command for command, _ in phone.requests] == ["hangup"]
    assert (ended.code, ended.reason) == (1000, "ended by hangup")
    assert "response.create" not in [event["type"] for event in line.received]


async def test_without_words_the_call_ends_at_once(phone: Any) -> None:
    async with phone.control() as calls, talking(phone, end_call(calls)) as (session, line):
        call = {
            "id": "item_1", "type": "function_call", "call_id": "call_1", "name": "end_call", "arguments": "{}",
            "status": "completed",
        }  # fmt: skip
        await line.send("response.created", response={"id": "resp_1", "status": "in_progress"})
        await line.send("response.output_item.done", response_id="resp_1", output_index=0, item=call)
        await line.send("response.done", response={"id": "resp_1", "status": "completed", "output": [call]})
        await closed(session)
    assert [command for command, _ in phone.requests] == ["hangup"]


async def test_a_caller_who_interrupts_stays(phone: Any, until: Any) -> None:
    async with phone.control() as calls, talking(phone, transfer_call(calls, TARGETS)) as (session, line):
        begun = asyncio.Event()
        session.on("agent_tool_start", lambda _event: begun.set())
        await line.speak("resp_1", call=("transfer_call", '{"target": "sales"}'))
        await begun.wait()
        await settle()
        await line.send("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=100)
        await line.send("output_audio_buffer.cleared", response_id="resp_1")
        answer = await line.expect("conversation.item.create")
        assert "interrupted you, and was not transferred" in answer["item"]["output"]
        await line.expect("response.create")
        assert session.status == "connected"
    assert phone.requests == []


async def test_a_transfer(phone: Any) -> None:
    async with phone.control() as calls, talking(phone, transfer_call(calls, TARGETS)) as (session, line):
        [described] = (await line.expect("session.update"))["session"]["tools"]
        assert described["parameters"]["properties"]["target"]["enum"] == ["sales", "support"]
        assert "555" not in json.dumps(described), "addresses are not the model's business"
        await line.speak("resp_1", call=("transfer_call", '{"target": "sales"}'))
        await line.send("output_audio_buffer.stopped", response_id="resp_1")
        ended = await closed(session)
    assert phone.requests == [("refer", {"target_uri": "tel:+15550100"})]
    assert ended.reason == "ended by refer"


async def announce(line: Any, response_id: str, call: tuple[str, str]) -> None:
    """A response with words, of which nothing is played yet, and a call of a tool."""
    name, arguments = call
    part = {"type": "audio", "transcript": ""}
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed"}
    item["content"] = [{"type": "output_audio", "transcript": "Bye."}]  # type: ignore[assignment]
    used = {
        "id": "item_2",
        "type": "function_call",
        "call_id": "call_1",
        "name": name,
        "arguments": arguments,
    }
    response = {"id": response_id, "status": "completed", "output": [item, used]}
    await line.send("response.created", response={"id": response_id, "status": "in_progress"})
    await line.send(
        "response.content_part.added",
        response_id=response_id, item_id="item_1", output_index=0, content_index=0, part=part,
    )  # fmt: skip
    for index, done in enumerate((item, used)):
        await line.send("response.output_item.done", response_id=response_id, output_index=index, item=done)
    await line.send("response.done", response=response)


async def test_words_that_are_played_later_are_waited_for(phone: Any) -> None:
    async with phone.control() as calls, talking(phone, end_call(calls)) as (session, line):
        begun, heard = asyncio.Event(), asyncio.Event()
        session.on("agent_tool_start", lambda _event: begun.set())
        session.on("audio_start", lambda _event: heard.set())
        await announce(line, "resp_1", ("end_call", "{}"))
        await begun.wait()
        await settle()
        assert session.transport.will_speak("resp_1")
        assert not session.transport.speaking
        assert phone.requests == []
        await line.send("output_audio_buffer.started", response_id="resp_1")
        await heard.wait()
        await settle()
        assert not session.transport.will_speak("resp_1")
        assert phone.requests == []
        await line.send("output_audio_buffer.stopped", response_id="resp_1")
        await closed(session)
    assert [command for command, _ in phone.requests] == ["hangup"]


async def test_a_caller_who_speaks_before_the_words_begin_stays(phone: Any) -> None:
    async with phone.control() as calls, talking(phone, transfer_call(calls, TARGETS)) as (session, line):
        begun = asyncio.Event()
        session.on("agent_tool_start", lambda _event: begun.set())
        await announce(line, "resp_1", ("transfer_call", '{"target": "sales"}'))
        await begun.wait()
        await line.send("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=100)
        answer = await line.expect("conversation.item.create")
        assert "interrupted you" in answer["item"]["output"]
    assert phone.requests == []


async def test_a_target_that_does_not_exist(phone: Any) -> None:
    async with phone.control() as calls, talking(phone, transfer_call(calls, TARGETS)) as (_, line):
        await line.speak("resp_1", call=("transfer_call", '{"target": "the moon"}'))
        await line.send("output_audio_buffer.stopped", response_id="resp_1")
        answer = await line.expect("conversation.item.create")
        assert answer["item"]["output"] == "There is no target 'the moon'; choose one of sales, support."
    assert phone.requests == []


async def test_a_transfer_that_fails_is_told(phone: Any) -> None:
    refusal = {"error": {"message": "The carrier does not take REFER.", "code": "refer_failed"}}
    phone.refuse("refer", JSONResponse(refusal, 500))
    async with phone.control() as calls, talking(phone, transfer_call(calls, TARGETS)) as (session, line):
        errors: list[Any] = []
        session.on("error", errors.append)
        await line.speak("resp_1", call=("transfer_call", '{"target": "support"}'))
        await line.send("output_audio_buffer.stopped", response_id="resp_1")
        answer = await line.expect("conversation.item.create")
        assert "could not be transferred: " in answer["item"]["output"]
        assert "does not take REFER" in answer["item"]["output"]
        await line.expect("response.create")
        assert [event.error.code for event in errors] == ["refer_failed"]
        assert session.status == "connected"


async def test_an_agent_that_does_not_stop(phone: Any) -> None:
    async with (
        phone.control() as calls,
        talking(phone, end_call(calls, speech_timeout=0.05)) as (session, line),
    ):
        await line.speak("resp_1", call=("end_call", "{}"))
        await closed(session)
    assert [command for command, _ in phone.requests] == ["hangup"]


async def test_a_call_that_ends_meanwhile(phone: Any) -> None:
    async with phone.control() as calls, talking(phone, end_call(calls)) as (session, line):
        begun = asyncio.Event()
        session.on("agent_tool_start", lambda _event: begun.set())
        await line.speak("resp_1", call=("end_call", "{}"))
        await begun.wait()
        await settle()
        await line.hang_up()
        await closed(session)
    assert phone.requests == []


async def test_ending_the_call_where_the_audio_passes_here() -> None:
    """Without call control, the connection is the call; what was said is heard first."""
    async with ScriptedServer() as server:
        transport = OpenAIRealtimeWebSocket(url=server.url, api_key="sk-x", proxy=None)
        session = RealtimeSession(RealtimeAgent("Ava", tools=[end_call()]), transport=transport)
        connecting = asyncio.create_task(session.connect())
        service = await server.accept()
        await service.greet()
        await connecting
        stopped: list[Any] = []
        session.on("audio_stopped", stopped.append)
        await service.respond(audio=bytes(4800), text="Bye.")
        await service.respond(call=("end_call", "{}"), response_id="resp_2", item_id="item_2")
        await service.closed.wait()
        assert [event.interrupted for event in stopped] == [False], "100 ms of audio were heard to their end"
        assert (await closed(session)).status == "disconnected"
        assert service.close_code == 1000
        await session.close()


async def test_a_session_that_is_no_call(phone: Any) -> None:
    async with phone.control() as calls, ScriptedServer() as server:
        transport = OpenAIRealtimeWebSocket(url=server.url, api_key="sk-x", proxy=None)
        session = RealtimeSession(RealtimeAgent("Ava", tools=[end_call(calls)]), transport=transport)
        connecting = asyncio.create_task(session.connect())
        service = await server.accept()
        await service.greet()
        await connecting
        await service.respond(call=("end_call", "{}"))
        answer = await service.expect("conversation.item.create")
        assert "not attached to a call; pass call_id=" in answer["item"]["output"]
        await session.close()
    assert phone.requests == []


async def test_a_call_that_is_named(phone: Any) -> None:
    async with phone.control() as calls:
        with pytest.raises(UserError, match="at least one target"):
            transfer_call(calls, {})
        with pytest.raises(UserError, match="target must be"):
            transfer_call(calls, {"sales": "Bob"})
        named = transfer_call(calls, TARGETS, call_id="rtc_9", name="pass_on", description="Pass on.")
        assert (named.name, named.description) == ("pass_on", "Pass on.")
        async with talking(phone, named) as (session, line):
            await line.speak("resp_1", call=("pass_on", '{"target": "support"}'))
            await line.send("output_audio_buffer.stopped", response_id="resp_1")
            answer = await line.expect("conversation.item.create")
            assert answer["item"]["output"] == "The caller was transferred to support."
            assert session.status == "connected"
    assert phone.requests == [("refer", {"target_uri": "sip:support@example.com"})]


def test_a_transport_that_does_not_know() -> None:
    from voxwire.testing import ScriptedRealtimeTransport

    transport: RealtimeTransportLayer = ScriptedRealtimeTransport()
    assert (transport.speaking, transport.call_id) == (False, None)
