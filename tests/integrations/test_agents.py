"""The parts of the adapter for openai-agents that need no openai-agents; tests/interop has the rest, with the real one.

Their classes are stood in for by records, which is how far the adapter knows them: by name and fields.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from voxwire import (
    AudioEvent,
    AudioInterrupted,
    ConnectionLost,
    DtmfReceived,
    FunctionCall,
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    ItemTruncation,
    ItemUpdate,
    MessageItem,
    OpenAIRealtimeWebSocket,
    OtherPart,
    OutputAudio,
    OutputText,
    SessionUpdated,
    TranscriptDelta,
    TurnDone,
    TurnStarted,
    Usage,
    UserError,
)
from voxwire.audio import PacedSink
from voxwire.integrations.agents_events import message_item, simple_event, usage_event
from voxwire.integrations.agents_model import MAX_RESPONSES, TransportModel
from voxwire.integrations.agents_settings import settings_to_wire, user_message
from voxwire.integrations.agents_sink import MAX_PARTS, TrackedSink
from voxwire.protocol.formats import PCMU
from voxwire.testing import ScriptedRealtimeTransport, ScriptedServer, response_events


class Records:
    """`records.AnyClass(a=1)` is a record of that class."""

    def __getattr__(self, kind: str) -> Any:
        def make(**fields: Any) -> SimpleNamespace:
            return (
                SimpleNamespace(kind=kind, input_tokens_details=SimpleNamespace(), **fields)
                if (kind == "Usage")
                else SimpleNamespace(kind=kind, **fields)
            )

        return make


RECORDS = Records()


class Model(TransportModel):
    theirs = RECORDS


class Listener:
    def __init__(self) -> None:
        self.events: list[Any] = []

    async def on_event(self, event: Any) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.kind.removeprefix("RealtimeModel").removesuffix("Event") for event in self.events]

    async def until(self, kind: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.kinds.count(kind) < times:
                await asyncio.sleep(0)


class RealtimeModelSendInterrupt:
    def __init__(self, **flags: Any) -> None:
        self.response_id = flags.get("response_id")
        self.playback_only = flags.get("playback_only", False)
        self.cancel_response_only = flags.get("cancel_response_only", False)
        self.force_response_cancel = flags.get("force_response_cancel", False)


class RealtimeModelSendToolOutput:
    def __init__(self, call: Any, output: str, start_response: bool) -> None:
        self.tool_call, self.output, self.start_response = call, output, start_response


class RealtimeModelSendUserInput:
    def __init__(self, user_input: Any) -> None:
        self.user_input = user_input


class RealtimeModelSendRawMessage:
    message = {"type": "x.y", "other_data": {"z": 1}}  # noqa: RUF012


class RealtimeModelSendSessionUpdate:
    session_settings = {"instructions": "New."}  # noqa: RUF012


class Tracker:
    def __init__(self) -> None:
        self.item: tuple[str, int] | None = None
        self.elapsed = 0.0
        self.interrupted = 0
        self.format: str | None = None

    def get_state(self) -> dict[str, Any]:
        item, index = self.item or (None, None)
        elapsed = self.elapsed if self.item else None
        return {"current_item_id": item, "current_item_content_index": index, "elapsed_ms": elapsed}

    def on_interrupted(self) -> None:
        self.interrupted += 1
        self.item = None

    def set_audio_format(self, format: str) -> None:
        self.format = format


# -- settings and messages ---------------------------------------------------------------------


def test_defaults_are_theirs() -> None:
    assert settings_to_wire({}, model="m") == {
        "type": "realtime",
        "model": "m",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
            },
            "output": {"voice": "ash", "format": {"type": "audio/pcm", "rate": 24000}},
        },
        "tools": [],
    }
    attached = settings_to_wire({}, model=None, attached=True)
    assert "model" not in attached
    assert "format" not in attached["audio"]["input"]


def test_formats_by_name_by_mapping_and_by_object() -> None:
    def output(value: Any) -> Any:
        return settings_to_wire({"output_audio_format": value}, model=None)["audio"]["output"].get("format")

    assert output("g711_alaw") == output({"type": "audio/pcma"}) == {"type": "audio/pcma"}
    assert output(SimpleNamespace(type="audio/pcmu")) == {"type": "audio/pcmu"}
    assert output("opus") is output(7) is None


def test_settings_in_channels_win_over_flat_ones() -> None:
    wire = settings_to_wire(
        {
            "voice": "a",
            "speed": 2.0,
            "audio": {
                "input": {"turn_detection": {"type": "server_vad", "createResponse": False}},
                "output": {"voice": "b", "speed": 1.5},
            },
            "turn_detection": None,
            "prompt": {"id": "p"},
            "reasoning": {"effort": "low"},
            "tool_choice": "none",
        },
        model=None,
    )
    assert wire["audio"]["output"]["voice"] == "b"
    assert wire["audio"]["output"]["speed"] == 1.5
    assert wire["audio"]["input"]["turn_detection"] == {"type": "server_vad", "create_response": False}
    assert wire["prompt"] == {"id": "p", "variables": None, "version": None}
    assert (wire["reasoning"], wire["tool_choice"]) == ({"effort": "low"}, "none")
    assert settings_to_wire({"turn_detection": None}, model=None)["audio"]["input"]["turn_detection"] is None


def tool(name: str, **extra: Any) -> SimpleNamespace:
    return SimpleNamespace(name=name, description="", params_json_schema={}, is_enabled=True, **extra)


def test_tools_and_handoffs() -> None:
    entry = SimpleNamespace(
        tool_name="to_leo", tool_description="d", input_json_schema={"a": 1}, is_enabled=True
    )
    off = tool("off")
    off.is_enabled = False
    wire = settings_to_wire({"tools": [tool("a"), off], "handoffs": [entry]}, model=None)
    assert [listed["name"] for listed in wire["tools"]] == ["a", "to_leo"]
    with pytest.raises(UserError, match="Duplicate Realtime tool name"):
        settings_to_wire({"tools": [tool("to_leo")], "handoffs": [entry]}, model=None)
    with pytest.raises(UserError, match="tool 'search' is no function tool"):
        settings_to_wire({"tools": [SimpleNamespace(name="search")]}, model=None)


def test_messages() -> None:
    assert user_message("hi") == "hi"
    image = {"type": "input_image", "image_url": "https://x/y.png", "detail": "huge"}
    message = user_message({"content": [{"type": "input_text", "text": "t"}, image, {"type": "input_image"}]})
    assert message == {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "t"},
            {"type": "input_image", "image_url": "https://x/y.png"},
        ],
    }
    with pytest.raises(UserError, match="a message needs text or an image"):
        user_message({"content": [{"type": "input_text"}]})


# -- items and events --------------------------------------------------------------------------


def test_items_in_their_words() -> None:
    user = message_item(
        RECORDS,
        MessageItem("u", "user", (InputText("a"), InputAudio("b"), InputImage("c", "low"), OtherPart({}))),
    )
    assert user.kind == "UserMessageItem"
    assert [part["type"] for part in user.content] == ["input_text", "input_audio", "input_image"]
    assert user.content[2]["detail"] == "low"
    reply = message_item(
        RECORDS, MessageItem("a", "assistant", (OutputText("x"), OutputAudio("y"), InputText("z")))
    )
    assert [part["type"] for part in reply.content] == ["text", "audio"]
    system = message_item(RECORDS, MessageItem("s", "system", (InputText("a"), InputImage("c"))))
    assert [part["type"] for part in system.content] == ["input_text"]


def test_usage_is_only_told_where_the_service_says_it() -> None:
    assert usage_event(RECORDS, TurnDone("r", "completed", None, (), Usage())) is None
    event = usage_event(
        RECORDS, TurnDone("r", "completed", None, (), Usage(1, 5, 6, input_cached_tokens=2), {"usage": {}})
    )
    assert event.usage.total_tokens == 11
    assert event.usage.input_tokens_details.cached_tokens == 2


def test_what_they_have_no_word_for() -> None:
    event = simple_event(RECORDS, DtmfReceived("5"))
    assert (event.kind, event.data.digit) == ("RealtimeModelOtherEvent", "5")


# -- the sink ----------------------------------------------------------------------------------


async def test_a_tracker_says_what_was_heard() -> None:
    tracker, inner = Tracker(), PacedSink(lambda _frame: None)
    sink = TrackedSink(tracker, inner)
    await sink.open(PCMU)
    for item in ("a", "b"):
        sink.write(bytes(800))
        sink.took(AudioEvent(bytes(800), item, "r", 0, PCMU))
    assert sink.heard_ms() == 0.0
    tracker.item, tracker.elapsed = ("a", 0), 60.0
    assert sink.heard_ms() == 60.0
    tracker.item, tracker.elapsed = ("b", 0), 30.0
    assert sink.heard_ms() == 130.0
    tracker.elapsed = 10.0
    assert sink.heard_ms() == 130.0, "it never goes back"
    tracker.elapsed = 900.0
    assert sink.heard_ms() == 200.0, "nor beyond what there is"
    assert sink.buffered_ms() == pytest.approx(inner.buffered_ms(), abs=50)
    sink.clear(150.0)
    assert tracker.interrupted == 1
    sink.write(bytes(80))
    sink.took(AudioEvent(bytes(80), "c", "r", 0, PCMU))
    tracker.item, tracker.elapsed = ("c", 0), 4.0
    assert sink.heard_ms() == 154.0
    await sink.close()


async def test_a_tracker_without_a_sink_is_bounded() -> None:
    sink = TrackedSink(Tracker(), None)
    await sink.open(PCMU)
    for number in range(MAX_PARTS + 9):
        sink.write(bytes(8))
        sink.took(AudioEvent(bytes(8), f"i{number}", "r", 0, PCMU))
    assert len(sink._begins) == MAX_PARTS
    assert sink.buffered_ms() == 0.0
    sink.clear(1.0)
    await sink.close()


# -- the model ---------------------------------------------------------------------------------


async def test_a_session_on_a_scripted_transport() -> None:
    transport, listener = ScriptedRealtimeTransport(), Listener()
    model = Model(transport)
    model.add_listener(listener)
    model.add_listener(listener)
    await model.connect({"api_key": "k", "initial_model_settings": {"tracing": None}})
    assert "tracing" not in transport.calls[0]["initial_session_config"]
    emit = transport.emit
    emit(SessionUpdated({}))
    emit(TurnStarted("r1"))
    emit(AudioEvent(b"ab", "i1", "r1"))
    emit(FunctionCall("c1", "look", "{}", "i2", "r1"))
    emit(ItemUpdate(FunctionCallItem("i2", "c1", "look")))
    emit(ItemUpdate(MessageItem("i1", "assistant", (OutputAudio("Hi"),))))
    emit({"type": "conversation.item.input_audio_transcription.completed", "item_id": "u", "transcript": "w"})
    emit(AudioInterrupted())
    emit(TurnDone("r1", "completed", None, (), Usage(), {"usage": {}}))
    await listener.until("TurnEnded")
    assert listener.kinds == [
        *("ConnectionStatus", "ConnectionStatus", "Other", "TurnStarted", "Audio"),
        *("ItemUpdated", "ToolCall", "ItemUpdated", "RawServer", "InputAudioTranscriptionCompleted"),
        *("AudioInterrupted", "Usage", "TurnEnded"),
    ]
    call = next(event for event in listener.events if event.kind.endswith("ToolCallEvent"))
    await model.send_event(RealtimeModelSendToolOutput(call, "seen", True))
    assert listener.events[-1].item.status == "completed"
    await model.send_event(RealtimeModelSendRawMessage())
    await model.send_event(RealtimeModelSendSessionUpdate())
    await model.send_event(RealtimeModelSendInterrupt())
    assert await model.send_event_if(RealtimeModelSendUserInput("a"), lambda: True)
    assert not await model.send_event_if(RealtimeModelSendUserInput("b"), lambda: False)
    assert [call.method for call in transport.calls][1:] == [
        *("send_function_call_output", "send_event", "update_session_config", "interrupt", "send_message")
    ]
    with pytest.raises(UserError, match="unknown command object"):
        await model.send_event(object())
    for flags in ({"playback_only": True, "force_response_cancel": True}, {"cancel_response_only": True}):
        with pytest.raises(ValueError, match=r"playback_only|response_id"):
            await model.send_event(RealtimeModelSendInterrupt(**flags))
    await transport.disconnect(ConnectionLost("gone", code=1006))
    await listener.until("Exception")
    with pytest.raises(UserError, match="connected already"):
        await model.connect({})
    model.remove_listener(listener)
    model.remove_listener(listener)
    await model.close()


async def test_one_response_is_silenced() -> None:
    transport, listener = ScriptedRealtimeTransport(), Listener()
    model = Model(transport)
    model.add_listener(listener)
    await model.connect({})
    transport.emit(TurnStarted("r1"))
    transport.emit(AudioEvent(b"ab", "i1", "r1"))
    await listener.until("Audio")
    await model.send_event(RealtimeModelSendInterrupt(response_id="r1", force_response_cancel=True))
    transport.emit(AudioEvent(b"cd", "i1", "r1"))
    transport.emit(AudioInterrupted((ItemTruncation("i1", 0, 0),)))
    transport.emit(TranscriptDelta("late", "i1", "r1"))
    await listener.until("TranscriptDelta")
    assert listener.kinds.count("Audio") == listener.kinds.count("AudioInterrupted") == 1
    assert transport.calls[-1]["event"] == {"type": "response.cancel", "response_id": "r1"}
    model._retire_response_audio("r1")
    for number in range(MAX_RESPONSES + 3):
        transport.emit(AudioEvent(b"ab", "i", f"x{number}"))
    await listener.until("Audio", MAX_RESPONSES + 4)
    assert len(model._audio) == MAX_RESPONSES
    await model.close()


async def test_ends() -> None:
    transport, listener = ScriptedRealtimeTransport(), Listener()
    model = Model(transport)
    model.add_listener(listener)
    await model.connect({"call_id": "rtc_1"})
    await transport.disconnect(ConnectionLost("60 minutes", code=1001))
    await listener.until("EndOfStream")
    await model.close()
    for options in ({"headers": {}}, {"call_id": "c", "initial_model_settings": {"model_name": "m"}}):
        with pytest.raises(UserError):
            await model.connect(options)
    transport.fail_next_call("connect", OSError("no route"))
    with pytest.raises(OSError, match="no route"):
        await model.connect({})

    class Broken:
        async def on_event(self, event: Any) -> None:
            if event.kind == "RealtimeModelTurnStartedEvent":
                raise RuntimeError("listener")

    model.add_listener(Broken())
    await model.connect({})
    transport.emit(TurnStarted("r"))
    await listener.until("Exception")
    assert str(listener.events[-1].exception) == "listener"
    await model.close()


async def test_over_a_socket_one_response_is_cut_where_the_tracker_says() -> None:
    """Two replies: the first is cut by its id; then one is, while the other waits behind it."""
    tracker, listener = Tracker(), Listener()
    async with ScriptedServer() as server, asyncio.timeout(20):
        transport = OpenAIRealtimeWebSocket(url=server.url)
        model = Model(transport)
        model.add_listener(listener)
        connecting = asyncio.ensure_future(model.connect({"api_key": "k", "playback_tracker": tracker}))
        service = await server.accept()
        await service.greet()
        await connecting
        await listener.until("Other", 2)
        assert tracker.format == "pcm16"
        with pytest.raises(UserError, match="set audio_output before connecting"):
            transport.audio_output = None

        async def say(response_id: str, item_id: str) -> None:
            for event in response_events(
                response_id=response_id, item_id=item_id, audio=bytes(48_000), text="w"
            ):
                await service.send(event)

        await say("r1", "i1")
        await listener.until("TurnEnded")
        tracker.item, tracker.elapsed = ("i1", 0), 250.0
        await model.send_event(RealtimeModelSendInterrupt(response_id="r9", playback_only=True))
        await model.send_event(RealtimeModelSendInterrupt(response_id="r1", playback_only=True))
        cut = await service.expect("conversation.item.truncate")
        assert (cut["item_id"], cut["audio_end_ms"]) == ("i1", 250)
        assert tracker.interrupted == 1
        await say("r2", "i2")
        await say("r3", "i3")
        await listener.until("TurnEnded", 3)
        # What the sink has of r2 lies before r3, which must go on.
        await model.send_event(RealtimeModelSendInterrupt(response_id="r2", playback_only=True))
        assert tracker.interrupted == 1
        await service.send({"type": "response.created", "response": {"id": "r4"}})
        await listener.until("TurnStarted", 4)
        await model.send_event(RealtimeModelSendInterrupt(response_id="r4", cancel_response_only=True))
        assert (await service.expect("response.cancel"))["response_id"] == "r4"
        await model.close()
        assert transport.audio_output is None
