"""The session on a scripted transport. Numbers are those of the JavaScript SDK's behaviours."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from voxwire import (
    AudioEvent,
    AudioStarted,
    AudioStopped,
    ConfigError,
    ConnectError,
    ConnectionLost,
    ErrorEvent,
    GuardrailSettings,
    HistoryAdded,
    HistoryUpdated,
    InputText,
    MessageItem,
    NotConnectedError,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    Usage,
    UsageUpdate,
    UserError,
    UserSpeechStarted,
    UserSpeechStopped,
    tool,
)
from voxwire.protocol.transport_events import ConnectionChange
from voxwire.session.events import RELAYED, SESSION_EVENTS, TransportEvent
from voxwire.testing import ConnectionSupersededError, ScriptedRealtimeTransport
from voxwire.transports.shell import EngineShell
from voxwire.transports.webrtc import OpenAIRealtimeWebRTC
from voxwire.transports.websocket import OpenAIRealtimeWebSocket

A = RealtimeAgent("A", instructions="I am A.")
B = RealtimeAgent("B", instructions="I am B.")
HELLO = MessageItem("i1", "user", (InputText("Hello"),))
BYE = MessageItem("i2", "user", (InputText("Bye"),))


# -- construction


KINDS = {"webrtc": OpenAIRealtimeWebRTC, "websocket": OpenAIRealtimeWebSocket}


@pytest.mark.parametrize("kind", ["webrtc", "websocket"])
def test_a_transport_by_name(kind: Any) -> None:
    session = RealtimeSession(A, transport=kind)
    assert type(session.transport) is KINDS[kind]
    assert session.status == "disconnected"
    stored = RealtimeSession(A, transport=kind, history_store_audio=True).transport
    assert isinstance(stored, EngineShell)
    assert stored.engine_options.store_audio is True
    assert stored.engine_options.media_plane is (kind == "webrtc")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "webrtc"),
        ({"url": "http://127.0.0.1:1/v1"}, "webrtc"),
        ({"url": "ws://127.0.0.1:1/v1/realtime"}, "websocket"),
        ({"url": "wss://127.0.0.1:1/v1/realtime"}, "websocket"),
        ({"output_guardrail_settings": GuardrailSettings()}, "webrtc"),
        ({"output_guardrail_settings": GuardrailSettings(hold_back_ms=500)}, "websocket"),
    ],
)
def test_the_best_transport(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], kind: str) -> None:
    monkeypatch.setattr(
        "voxwire.session.choice.find_spec", lambda name: object() if name == "aiortc" else None
    )
    assert type(RealtimeSession(A, **options).transport) is KINDS[kind]
    monkeypatch.setattr("voxwire.session.choice.find_spec", lambda name: None)
    assert isinstance(RealtimeSession(A, **options).transport, OpenAIRealtimeWebSocket)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transport": "carrier pigeon"}, "got 'carrier pigeon'"),
        (
            {"transport": ScriptedRealtimeTransport(), "history_store_audio": True},
            "history_store_audio is for",
        ),
        ({"tool_timeout": 0}, "tool_timeout must be more than 0 s or None, got 0"),
    ],
)
def test_values_that_cannot_be_used(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        RealtimeSession(A, **options)


def test_what_is_no_agent_and_no_configuration() -> None:
    with pytest.raises(UserError, match="a session needs a RealtimeAgent, got 'A'"):
        RealtimeSession("A")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        RealtimeSession(A, config={"audio": {"output": {"speed": 9}}})


def test_before_the_first_connection() -> None:
    session = RealtimeSession(A, transport=ScriptedRealtimeTransport(), context={"a": 1})
    assert session.current_agent is session.initial_agent is A
    assert session.context.context == {"a": 1}
    assert (session.context.session, session.context.call) == (session, None)
    assert session.context.history == ()
    assert session.context.usage == Usage()


# -- the connection


async def test_connect_passes_on_what_was_given(stage: Any) -> None:
    await stage.connect(A, model="m", api_key="k", url="ws://one")
    (call,) = stage.transport.calls
    assert call["api_key_provided"]
    assert (call["model"], call["url"], call["call_id"]) == ("m", "ws://one", None)
    assert call["initial_session_config"]["instructions"] == "I am A."
    assert call["initial_session_config"]["model"] == "m"


async def test_connect_arguments_win() -> None:
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(A, transport=transport, config={"model": "m"}, url="ws://one")
    await session.connect(api_key="k", model="n", url="ws://two", call_id="rtc_1")
    (call,) = transport.calls
    assert call["api_key_provided"]
    assert (call["model"], call["url"], call["call_id"]) == ("n", "ws://two", "rtc_1")
    assert call["initial_session_config"]["model"] == "n"
    await session.close()


async def test_as_a_context_manager() -> None:
    transport = ScriptedRealtimeTransport()
    async with RealtimeSession(A, transport=transport) as session:
        assert session.status == "connected"
    transport.assert_closed()
    await session.close()
    assert [call.method for call in transport.calls] == ["connect", "close"]


async def test_a_second_connect_is_refused(stage: Any) -> None:
    await stage.connect(A)
    with pytest.raises(UserError, match="the session is connected already"):
        await stage.session.connect()
    assert stage.session.status == "connected"


async def test_a_second_connect_during_the_first_is_refused(stage: Any) -> None:
    stage.session = RealtimeSession(A, transport=stage.transport)
    first = asyncio.ensure_future(stage.session.connect())
    await asyncio.sleep(0)
    with pytest.raises(UserError, match="the session is connecting already"):
        await stage.session.connect()
    await first
    assert stage.session.status == "connected"


async def test_errors_in_the_agent_come_before_the_transport_is_touched() -> None:
    """115."""
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(RealtimeAgent("A", handoffs=[B, B]), transport=transport)
    with pytest.raises(UserError, match="Duplicate"):
        await session.connect()
    assert transport.calls == ()
    assert await asyncio.wait_for(session.wait_closed(), 1) is None


async def test_a_failed_connect_may_be_repeated(stage: Any) -> None:
    stage.transport.fail_next_call("connect", ConnectError("no"))
    stage.session = RealtimeSession(A, transport=stage.transport)
    with pytest.raises(ConnectError, match="no"):
        await stage.session.connect()
    await asyncio.wait_for(stage.session.wait_closed(), 1)
    await stage.session.connect()
    assert stage.session.status == "connected"


async def test_close_while_the_transport_connects(stage: Any) -> None:
    stage.transport.connecting.clear()
    stage.session = RealtimeSession(A, transport=stage.transport)
    first = asyncio.ensure_future(stage.session.connect())
    await stage.until(lambda: stage.session.status == "connecting")
    await stage.session.close()
    stage.transport.connecting.set()
    await stage.session.connect()  # at once
    with pytest.raises(ConnectionSupersededError):
        await first
    assert stage.session.status == "connected"


async def test_close_while_the_agent_is_asked(stage: Any) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def instructions(context: RunContext[Any], agent: RealtimeAgent) -> str:
        asked.set()
        await answer.wait()
        return ""

    stage.session = RealtimeSession(RealtimeAgent("A", instructions), transport=stage.transport)
    first = asyncio.ensure_future(stage.session.connect())
    await asked.wait()
    await stage.session.close()
    answer.set()
    with pytest.raises(ConnectError, match="closed before this was done"):
        await first
    assert stage.transport.calls == ()


async def test_cancelling_connect(stage: Any) -> None:
    stage.transport.connecting.clear()
    stage.session = RealtimeSession(A, transport=stage.transport)
    first = asyncio.ensure_future(stage.session.connect())
    await stage.until(lambda: stage.session.status == "connecting")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    stage.transport.connecting.set()
    await stage.session.connect()


async def test_wait_closed(stage: Any) -> None:
    stage.session = RealtimeSession(A, transport=stage.transport)
    assert await stage.session.wait_closed() is None
    await stage.session.connect()
    waiting = asyncio.ensure_future(stage.session.wait_closed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await stage.transport.disconnect(ConnectionLost("gone", code=1006))
    how = await asyncio.wait_for(waiting, 1)
    assert isinstance(how, ConnectionChange)
    assert (how.status, how.code) == ("disconnected", 1006)
    assert isinstance(how.error, ConnectionLost)


async def test_a_new_connection_begins_anew(stage: Any) -> None:
    """With the first agent, and listeners registered once (47)."""
    await stage.connect(A, listen=("user_speech_started", "connection_change"))
    await stage.session.update_agent(B)
    await stage.transport.disconnect()
    await stage.session.connect()
    assert stage.session.current_agent is A
    assert stage.sent("connect")[1]["initial_session_config"]["instructions"] == "I am A."
    stage.transport.emit(UserSpeechStarted("i", 0))
    assert stage.names().count("user_speech_started") == 1
    changes = [event.status for event in stage.seen if event.name == "connection_change"]
    assert changes == ["connecting", "connected", "disconnected", "connecting", "connected"]


async def test_a_closed_session_leaves_the_transport(stage: Any) -> None:
    await stage.connect(A, listen=("user_speech_started", "transport_event"))
    await stage.session.close()
    for name in (*RELAYED, "*"):
        assert not stage.transport.listeners.has(name)
    stage.transport.emit(UserSpeechStarted("i", 0))
    assert stage.seen == []


async def test_close_goes_on_when_the_transport_fails(stage: Any) -> None:
    await stage.connect(A)
    stream = stage.session.events()
    stage.transport.fail_next_call("close", OSError("stuck"))
    with pytest.raises(OSError, match="stuck"):
        await stage.session.close()
    assert {event.name async for event in stream} == {"connection_change"}  # it ends


# -- agents


async def test_update_agent(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", "I am A.", handoffs=[B]), listen=("agent_handoff",))
    await stage.session.update_agent(B)
    assert stage.session.current_agent is B
    assert stage.sent("update_session_config")[0]["config"] == {"instructions": "I am B.", "tools": []}
    (event,) = stage.seen
    assert (event.from_agent.name, event.to_agent) == ("A", B)


async def test_update_agent_needs_a_connection() -> None:
    session = RealtimeSession(A, transport=ScriptedRealtimeTransport())
    with pytest.raises(NotConnectedError, match="the session is disconnected"):
        await session.update_agent(B)


async def test_an_agent_that_cannot_be_used_changes_nothing(stage: Any) -> None:
    await stage.connect(A)
    with pytest.raises(UserError, match="Duplicate"):
        await stage.session.update_agent(RealtimeAgent("C", handoffs=[A, A]))
    assert stage.session.current_agent is A
    stage.transport.fail_next_call("update_session_config", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        await stage.session.update_agent(B)
    assert stage.session.current_agent is A
    await stage.session.update_agent(B)
    assert stage.session.current_agent is B


async def test_what_the_user_changed_on_the_transport_stays(stage: Any) -> None:
    """17."""
    await stage.connect(A, config={"audio": {"output": {"format": "g711_ulaw"}}})
    await stage.session.update_agent(B)
    (update,) = stage.sent("update_session_config")
    assert "audio" not in update["config"]


async def test_agent_events(stage: Any) -> None:
    await stage.connect(A, listen=("agent_start", "agent_end"))
    stage.start("r1")
    await stage.session.update_agent(B)
    message = {"id": "i1", "type": "message", "role": "assistant"}
    spoken = {**message, "content": [{"type": "output_audio", "transcript": "Bye."}]}
    call = {"id": "i2", "type": "function_call", "name": "x", "arguments": "{}", "call_id": "c"}
    stage.done("r1", spoken, call, status="cancelled")
    stage.start("r2")
    stage.done("r2", {**message, "content": []}, call)
    one, one_end, two, two_end = stage.seen
    assert (one.agent, one.response_id) == (A, "r1")
    # 45: the words, whatever calls come after them. By the agent that began.
    assert (one_end.agent, one_end.text, one_end.status) == (A, "Bye.", "cancelled")
    assert (two.agent, two_end.agent, two_end.text) == (B, B, "")


async def test_responses_under_way_are_bounded(stage: Any) -> None:
    await stage.connect(A, listen=("agent_end",))
    for number in range(100):
        stage.start(f"r{number}")
    assert len(stage.session._turns._bound) == 64
    stage.done("r0")
    assert stage.seen[0].agent is A


async def test_events_of_a_transport_before_any_connection_are_nobodys() -> None:
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(A, transport=transport)
    session._relay.attach()
    seen: list[Any] = []
    session.on("agent_start", seen.append)
    session.on("agent_end", seen.append)
    from voxwire import FunctionCall, TurnDone, TurnStarted

    transport.emit(TurnStarted("r1"))
    transport.emit(FunctionCall("c1", "x", "{}", "i1", "r1"))
    transport.emit(TurnDone("r1", "completed", None, (), Usage()))
    assert seen == []
    assert session._dispatcher.running == 0


# -- events


async def test_events_are_relayed_as_they_are(stage: Any) -> None:
    """46, 48."""
    events = [
        AudioStarted("i1", "r1"),
        AudioEvent(b"\0\0", "i1", "r1"),
        AudioStopped(),
        HistoryAdded(HELLO),
        HistoryUpdated((HELLO,)),
        UserSpeechStarted("i2", 5),
        UserSpeechStopped("i2", 9),
        UsageUpdate(Usage(requests=1, input_tokens=3)),
        ErrorEvent(ConnectionLost("x")),
    ]
    await stage.connect(A, listen=tuple(event.name for event in events))
    for event in events:
        stage.transport.emit(event)
    assert len(stage.seen) == len(events)
    assert all(one is other for one, other in zip(stage.seen, events, strict=True))


def test_every_event_of_a_transport_is_relayed() -> None:
    from voxwire.audio import devices
    from voxwire.protocol import transport_events

    names = {
        cls.name
        for cls in transport_events.TransportEventBase.__subclasses__()
        if cls.__module__ in (transport_events.__name__, devices.__name__)
    }
    assert names == {*RELAYED, "audio_sent"}, "what the user says goes out, and is told by the transport only"
    assert set(SESSION_EVENTS) > set(RELAYED)


async def test_usage_adds_up_over_connections(stage: Any) -> None:
    await stage.connect(A)
    stage.transport.emit(UsageUpdate(Usage(requests=1, input_tokens=3)))
    await stage.transport.disconnect()
    await stage.session.connect()
    stage.transport.emit(UsageUpdate(Usage(requests=1, input_tokens=4)))
    assert stage.session.usage == stage.session.context.usage == Usage(requests=2, input_tokens=7)


async def test_wire_events_are_relayed_to_those_who_ask(stage: Any) -> None:
    wire = {"type": "rate_limits.updated"}
    stage.session = RealtimeSession(A, transport=stage.transport)
    await stage.session.connect()
    assert not stage.transport.listeners.has("*")
    stage.session.once("transport_event", stage.seen.append)
    stage.session.on("transport_event", stage.seen.append)
    stage.transport.emit(wire)
    assert stage.seen == [TransportEvent(wire)] * 2
    stage.transport.emit(wire)
    assert len(stage.seen) == 3


async def test_a_loop_gets_events_and_ends_with_the_connection(stage: Any) -> None:
    stage.session = RealtimeSession(A, transport=stage.transport)
    everything = stage.session.events()
    wire = stage.session.events("transport_event")
    await stage.session.connect()
    stage.transport.emit({"type": "x"})
    stage.start()
    await stage.transport.disconnect()
    names = [event.name async for event in everything]
    assert names == [
        "connection_change",
        "connection_change",
        "agent_start",
        "turn_started",
        "connection_change",
        "error",
        "turn_metrics",
    ]
    assert [event.event async for event in wire] == [{"type": "x"}]
    assert [event async for event in stage.session] == []  # over, and not waited for


async def test_a_loop_of_an_ended_connection_that_was_begun_again(stage: Any) -> None:
    await stage.connect(A)
    reconnected: list[asyncio.Task[None]] = []

    async def again(event: ConnectionChange) -> None:
        if event.status == "disconnected" and not reconnected:
            reconnected.append(asyncio.ensure_future(stage.session.connect()))

    stage.session.on("connection_change", again)
    await stage.transport.disconnect()
    await stage.until(lambda: reconnected and reconnected[0].done())
    stream = stage.session.events("agent_start")
    stage.start()
    event = await asyncio.wait_for(anext(stream), 1)
    assert event.agent is A
    await stage.session.close()


async def test_listeners_may_be_removed_and_may_raise(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Any) -> None:
        raise KeyError("listener")

    await stage.connect(A)
    stage.session.on("user_speech_started", broken)
    stage.session.on("user_speech_started", stage.seen.append)
    with caplog.at_level(logging.ERROR, "voxwire"):
        stage.transport.emit(UserSpeechStarted("i", 0))
    assert "a listener raised KeyError" in caplog.text
    assert len(stage.seen) == 1
    stage.session.off("user_speech_started", stage.seen.append)
    stage.session.off("user_speech_started", broken)
    stage.transport.emit(UserSpeechStarted("i", 0))
    assert len(stage.seen) == 1


async def test_unheard_errors_are_logged_heard_ones_not(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    await stage.connect(A)
    with caplog.at_level(logging.WARNING, "voxwire"):
        stage.transport.emit(ErrorEvent(ConnectionLost("secret", code=1006)))
        assert "unheard error: ConnectionLost (1006)" in caplog.text
        assert "secret" not in caplog.text
        caplog.clear()
        stage.session.on("error", stage.seen.append)
        stage.transport.emit(ErrorEvent(ConnectionLost("secret")))
        stage.session.report(ValueError("mine"))
    assert not caplog.records
    assert [type(event.error) for event in stage.seen] == [ConnectionLost, ValueError]


# -- commands


async def test_commands_are_passed_on(stage: Any) -> None:
    await stage.connect(A)
    session = stage.session
    await session.send_message("Hello", {"event_id": "e"}, trigger_response=False)
    await session.send_audio(b"\0\0", commit=True)
    await session.add_image("data:image/png;base64,AA==", detail="low", trigger_response=False)
    await session.interrupt()
    await session.mute(True)
    assert session.muted is True
    calls = [(call.method, dict(call.arguments)) for call in stage.transport.calls[1:]]
    assert calls == [
        (
            "send_message",
            {"message": "Hello", "other_event_data": {"event_id": "e"}, "trigger_response": False},
        ),
        ("send_audio", {"pcm": b"\0\0", "commit": True}),
        ("add_image", {"image": "data:image/png;base64,AA==", "detail": "low", "trigger_response": False}),
        ("interrupt", {}),
        ("mute", {"muted": True}),
    ]


async def test_update_history(stage: Any) -> None:
    async def later(items: Any) -> Any:
        return [*items, BYE]

    await stage.connect(A)
    stage.transport.items.append(HELLO)
    assert stage.session.history == (HELLO,)
    await stage.session.update_history([BYE])
    await stage.session.update_history(lambda items: [i for i in items if i.item_id != "i1"])
    await stage.session.update_history(later)
    changes = [(call["old"], call["new"]) for call in stage.sent("reset_history")]
    assert changes == [((HELLO,), (BYE,)), ((HELLO,), ()), ((HELLO,), (HELLO, BYE))]


async def test_an_initial_config_does_not_disturb_a_running_session(stage: Any) -> None:
    @tool
    def act() -> None: ...

    await stage.connect(RealtimeAgent("A", tools=[act]))
    await stage.session.update_agent(B)
    wire = await stage.session.get_initial_session_config()
    assert wire["tools"][0]["name"] == "act"
    assert stage.session.current_agent is B
