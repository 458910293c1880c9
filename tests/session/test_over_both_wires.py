"""The session on the real transports, against a scripted service: on a WebSocket, and on a peer connection.

The session must not notice the difference; where the wires differ by nature, the test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voxwire import (
    AudioEvent,
    AuthenticationError,
    HistoryUpdated,
    OpenAIRealtimeWebRTC,
    OpenAIRealtimeWebSocket,
    ProviderError,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    tool,
)
from voxwire.protocol.items import item_text
from voxwire.testing import ScriptedCallServer, ScriptedConnection, ScriptedServer, response_events

SOUND = bytes(9600)
TUTOR = RealtimeAgent("Math Tutor", instructions="Do sums.", voice="cedar")


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city."""
    return f"It is sunny in {city}."


GREETER = RealtimeAgent(
    "Greeter", instructions="Greet.", tools=[get_weather], handoffs=[TUTOR], voice="marin"
)


WEBRTC = pytest.param(ScriptedCallServer, id="webrtc", marks=pytest.mark.needs_module("aiortc"))
ON_WEBSOCKET = pytest.mark.parametrize("server", [ScriptedServer], ids=["websocket"], indirect=True)


@pytest.fixture(params=[pytest.param(ScriptedServer, id="websocket"), WEBRTC])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedServer]:
    async with request.param() as running:
        yield running


def session_on(server: ScriptedServer, agent: RealtimeAgent, **options: Any) -> RealtimeSession:
    if isinstance(server, ScriptedCallServer):
        transport: Any = OpenAIRealtimeWebRTC(base_url=server.url, audio_input=None, audio_output=None)
    else:
        transport = OpenAIRealtimeWebSocket(url=server.url)
    return RealtimeSession(agent, transport=transport, **options)


async def joined(
    session: RealtimeSession, server: ScriptedServer
) -> tuple[ScriptedConnection, dict[str, Any]]:
    """Connect; the service's end, and the first configuration it got."""
    connecting = asyncio.ensure_future(session.connect(api_key="test"))
    service = await server.accept()
    update = await service.greet()
    await connecting
    return service, update["session"]


async def test_a_conversation(server: ScriptedServer) -> None:
    session = session_on(server, GREETER, model="gpt-realtime")
    service, config = await joined(session, server)
    assert service.headers["authorization"] == "Bearer test"
    assert config["instructions"] == "Greet."
    assert config["audio"]["output"]["voice"] == "marin"
    assert config["tracing"] == "auto"
    assert [entry["name"] for entry in config["tools"]] == ["get_weather", "transfer_to_Math_Tutor"]
    heard: list[bytes] = []
    saved: list[int] = []
    ends: list[str] = []

    async def listen() -> None:
        async for event in session:
            match event:
                case AudioEvent(data=pcm):
                    heard.append(pcm)
                case HistoryUpdated(history=items):
                    saved.append(len(items))
                case _ if event.name == "agent_end":
                    ends.append(event.text)
                case _:
                    pass

    listening = asyncio.ensure_future(listen())
    await session.send_message("Hello")
    await service.expect("conversation.item.create")
    await service.expect("response.create")
    await service.respond(audio=SOUND, text="Hello there.")
    await service.respond(call=("get_weather", '{"city": "Oslo"}'), response_id="r2", item_id="i2")
    answer = await service.expect("conversation.item.create")
    assert answer["item"] == {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": "It is sunny in Oslo.",
    }
    await service.expect("response.create")
    await service.respond(
        call=("transfer_to_Math_Tutor", "{}"), response_id="r3", item_id="i3", call_id="call_2"
    )
    update = await service.confirm_update()
    # The voice is settled once the agent has spoken, so only the rest changes.
    assert update["session"] == {"type": "realtime", "instructions": "Do sums.", "tools": []}
    answer = await service.expect("conversation.item.create")
    assert answer["item"]["output"] == '{"assistant": "Math Tutor"}'
    await service.expect("response.create")
    assert session.current_agent is TUTOR
    assert session.usage.requests == 3
    assert [item.type for item in session.history] == ["message", "function_call", "function_call"]
    await service.close(1001, "enough")
    await listening
    # Over WebRTC audio is on the track, and what a service says in events is not played.
    assert b"".join(heard) == (b"" if isinstance(server, ScriptedCallServer) else SOUND)
    assert ends == ["Hello there.", "", ""]
    assert saved[-1] == 3
    how = await session.wait_closed()
    assert how is not None
    if isinstance(server, ScriptedCallServer):
        assert how.code == 1000, "a peer connection has no codes"
        assert how.reason
    else:
        assert (how.code, how.reason) == (1001, "enough")
    await session.close()


async def test_siblings_are_answered_before_the_model_goes_on(server: ScriptedServer) -> None:
    """A tool and a handoff in one response: the tool is the first agent's, and one response follows both."""
    finish = asyncio.Event()

    @tool
    async def slow(context: RunContext[Any]) -> str:
        await finish.wait()
        return f"{context.agent.name}, while {context.session.current_agent.name} talks"

    agent = RealtimeAgent("Greeter", tools=[slow], handoffs=[TUTOR])
    session = session_on(server, agent)
    service, _ = await joined(session, server)
    one = list(response_events(response_id="r1", item_id="i1", call=("slow", "{}"), call_id="c1"))
    two = list(
        response_events(response_id="r1", item_id="i2", call=("transfer_to_Math_Tutor", "{}"), call_id="c2")
    )
    for event in (*one[:-1], *two[1:]):
        await service.send(event)
    await service.confirm_update()
    answer = await service.expect("conversation.item.create")
    assert answer["item"]["call_id"] == "c2"
    finish.set()
    answer = await service.expect("conversation.item.create")
    assert answer["item"]["output"] == "Greeter, while Math Tutor talks"
    await service.expect("response.create")
    await session.send_message("Go on", trigger_response=False)
    await service.expect("conversation.item.create")  # no second response.create before it
    await session.close()


async def test_a_barge_in_stops_a_tool_and_the_call_is_answered_once(server: ScriptedServer) -> None:
    entered = asyncio.Event()

    @tool
    async def search() -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    agent = RealtimeAgent("Greeter", tools=[search])
    session = session_on(server, agent, cancel_tools_on_interrupt=True)
    service, _ = await joined(session, server)
    await service.respond(call=("search", "{}"))
    await entered.wait()
    started = {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 10}
    await service.send(started)
    answer = await service.expect("conversation.item.create")
    assert answer["item"]["output"].startswith("The user interrupted")
    await service.send(started)
    await session.send_message("And?", trigger_response=False)
    await service.expect("conversation.item.create", {"item": {"type": "message"}})
    await session.close()


async def test_a_refused_configuration_leaves_the_session_usable(server: ScriptedServer) -> None:
    session = session_on(server, GREETER)
    connecting = asyncio.ensure_future(session.connect(api_key="test"))
    service = await server.accept()
    await service.send({"type": "session.created", "session": {}})
    update = await service.expect("session.update")
    error = {"type": "invalid_request_error", "message": "no such voice", "event_id": update["event_id"]}
    await service.send({"type": "error", "error": error})
    with pytest.raises(ProviderError, match="no such voice"):
        await connecting
    service, _ = await joined(session, server)
    assert session.status == "connected"
    await session.close()
    await service.closed.wait()


async def test_a_new_connection_has_a_new_history(server: ScriptedServer) -> None:
    session = session_on(server, GREETER)
    service, _ = await joined(session, server)
    await service.respond(text="Hello.")
    await service.respond(
        call=("transfer_to_Math_Tutor", "{}"), response_id="r2", item_id="i2", call_id="call_2"
    )
    await service.confirm_update()
    await service.expect("conversation.item.create")
    if isinstance(server, ScriptedCallServer):
        await service.close()  # that a call is cut off takes seconds to notice; see tests/carriers
    else:
        service.drop()
    how = await asyncio.wait_for(session.wait_closed(), 5)
    assert how is not None
    assert (how.error is None) == isinstance(server, ScriptedCallServer)
    assert len(session.history) == 2
    service, config = await joined(session, server)
    assert config["instructions"] == "Greet."
    assert session.history == ()
    assert session.current_agent is GREETER
    await session.close()


@ON_WEBSOCKET
async def test_a_slow_loop_is_felt_by_the_service(server: ScriptedServer) -> None:
    """Events nobody takes stop the reading, so that they do not pile up here."""
    session = session_on(server, GREETER)
    service, _ = await joined(session, server)
    held = asyncio.Event()
    hold = session.transport.hold  # type: ignore[attr-defined]
    session.transport.hold = lambda who: (held.set(), hold(who))  # type: ignore[attr-defined]
    stream = session.events("audio")
    pieces = 600
    await service.send({"type": "response.created", "response": {"id": "r1"}})
    delta = {
        "type": "response.output_audio.delta",
        "response_id": "r1",
        "item_id": "i1",
        "content_index": 0,
        "delta": "AAAA" * 32,
    }
    sending = asyncio.ensure_future(_send_all(service, delta, pieces))
    async with asyncio.timeout(20):
        await held.wait()
        for _ in range(pieces):
            await anext(stream)
        await sending
    await session.close()


async def _send_all(service: ScriptedConnection, event: dict[str, Any], count: int) -> None:
    for _ in range(count):
        await service.send(event)


async def test_a_refusal_in_the_service_s_words(server: ScriptedServer) -> None:
    server.refuse(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})
    session = session_on(server, GREETER)
    with pytest.raises(AuthenticationError, match="Incorrect API key provided"):
        await session.connect(api_key="wrong")
    service, _ = await joined(session, server)
    assert session.status == "connected"
    await session.close()
    await service.closed.wait()


async def test_an_approval_outlives_the_turn_and_is_answered_once(server: ScriptedServer) -> None:
    @tool(needs_approval=True)
    async def delete_account(user_id: str) -> str:
        return f"{user_id} is gone"

    session = session_on(server, RealtimeAgent("Greeter", tools=[delete_account]))
    asked = session.events("tool_approval_requested")
    service, _ = await joined(session, server)
    await service.respond(call=("delete_account", '{"user_id": "u1"}'))
    request = await asyncio.wait_for(anext(asked), 5)
    await session.approve(request)
    answer = await service.expect("conversation.item.create")
    assert answer["item"]["output"] == "u1 is gone"
    await service.expect("response.create")
    await session.close()


async def test_history_is_changed_at_the_service(server: ScriptedServer) -> None:
    session = session_on(server, GREETER)
    updates = session.events("history_updated")
    service, _ = await joined(session, server)
    await service.respond(text="Hello.")
    async with asyncio.timeout(5):
        while "Hello." not in [item_text(item) for item in (await anext(updates)).history]:
            pass
    await session.update_history([])
    await service.expect("conversation.item.delete", {"item_id": "item_1"})
    await service.send({"type": "conversation.item.deleted", "item_id": "item_1"})
    async with asyncio.timeout(5):
        while (await anext(updates)).history:
            pass
    assert session.history == ()
    await session.close()
