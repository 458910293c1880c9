from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.protocol import client_events, events, response_events, server_events
from voxwire.protocol.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    ClientEvent,
    ConversationItemCreateEvent,
    ConversationItemInputAudioTranscriptionCompletedEvent,
    InputAudioBufferDtmfEventReceivedEvent,
    RawEvent,
    ResponseCreateEvent,
    ResponseOutputAudioDeltaEvent,
    ServerErrorEvent,
    ServerEvent,
    WireEvent,
    parse_client_event,
    parse_server_event,
)
from voxwire.protocol.unset import UNSET

# The API reference's lists (GA).
CLIENT_TYPES = {
    "conversation.item.create",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "input_audio_buffer.append",
    "input_audio_buffer.clear",
    "input_audio_buffer.commit",
    "output_audio_buffer.clear",
    "response.cancel",
    "response.create",
    "session.update",
}
SERVER_TYPES = {
    "error",
    "session.created",
    "session.updated",
    "conversation.created",
    "conversation.item.added",
    "conversation.item.created",
    "conversation.item.deleted",
    "conversation.item.done",
    "conversation.item.retrieved",
    "conversation.item.truncated",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.failed",
    "conversation.item.input_audio_transcription.segment",
    "input_audio_buffer.cleared",
    "input_audio_buffer.committed",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.timeout_triggered",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "output_audio_buffer.cleared",
    "rate_limits.updated",
    "response.created",
    "response.done",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.mcp_call.in_progress",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "mcp_list_tools.in_progress",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
}
ALL = {**CLIENT_EVENTS, **SERVER_EVENTS}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=3)
BY_KIND = {
    "str": st.text(),
    "int": st.integers(),
    "float": st.integers() | st.floats(allow_nan=False),
    "Mapping[str, Any]": objects,
    "tuple[Mapping[str, Any], ...]": st.lists(objects, max_size=3).map(tuple),
    "None": st.none(),
    "UnsetType": st.just(UNSET),
}


def fields_of(cls: type[WireEvent]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.name != "extra"]


def required_of(cls: type[WireEvent]) -> list[str]:
    return [field.name for field in fields_of(cls) if field.default is dataclasses.MISSING]


def build(cls: type[WireEvent]) -> st.SearchStrategy[WireEvent]:
    known = {f.name: st.one_of([BY_KIND[kind] for kind in str(f.type).split(" | ")]) for f in fields_of(cls)}
    names = {*known, "type"}
    extra = st.dictionaries(st.text(max_size=5).filter(lambda key: key not in names), values, max_size=2)
    return st.builds(cls, **known, extra=extra)


def sample(cls: type[WireEvent]) -> dict[str, Any]:
    """A wire event with all fields of the class."""
    by_kind = {"str": "s", "int": 3, "float": 1.5, "Mapping[str, Any]": {"k": [1]}}
    by_kind["tuple[Mapping[str, Any], ...]"] = [{"name": "n"}]
    return {"type": cls.type, **{f.name: by_kind[str(f.type).split(" | ")[0]] for f in fields_of(cls)}}


def parse(data: dict[str, Any]) -> Any:
    return (parse_client_event if data["type"] in CLIENT_EVENTS else parse_server_event)(data)


def test_every_event_of_the_api_has_its_class() -> None:
    assert set(CLIENT_EVENTS) == CLIENT_TYPES
    assert set(SERVER_EVENTS) == SERVER_TYPES
    assert (len(CLIENT_EVENTS), len(SERVER_EVENTS)) == (11, 46)


def test_the_registries_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SERVER_EVENTS["x"] = ServerErrorEvent  # type: ignore[index]


@pytest.mark.parametrize("kind", sorted(ALL))
def test_classes_are_named_after_their_events(kind: str) -> None:
    name = "".join(part.capitalize() for part in kind.replace(".", "_").split("_")) + "Event"
    assert ALL[kind].__name__ == ("ServerErrorEvent" if kind == "error" else name)
    assert issubclass(ALL[kind], ClientEvent if kind in CLIENT_EVENTS else ServerEvent)
    assert getattr(events, ALL[kind].__name__) is ALL[kind]


@pytest.mark.parametrize("kind", sorted(ALL))
def test_classes_are_frozen_slotted_and_documented(kind: str) -> None:
    event = parse(sample(ALL[kind]))
    assert not hasattr(event, "__dict__")
    assert type(event).__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.event_id = "other"


@pytest.mark.parametrize("kind", sorted(ALL))
def test_all_fields_are_read_and_written(kind: str) -> None:
    wire = sample(ALL[kind])
    event = parse(wire)
    assert type(event) is ALL[kind]
    assert event.extra == {}
    assert event.to_wire() == wire
    assert next(iter(event.to_wire())) == "type"


@pytest.mark.parametrize("kind", sorted(ALL))
def test_required_fields_alone_are_enough(kind: str) -> None:
    cls = ALL[kind]
    wire = {key: value for key, value in sample(cls).items() if key in {"type", *required_of(cls)}}
    event = parse(wire)
    assert type(event) is cls
    assert event.event_id is None
    assert parse(event.to_wire()) == event


@pytest.mark.parametrize("kind", sorted(ALL))
def test_43_a_known_event_without_a_required_field_is_raw(kind: str) -> None:
    """Behaviour 43, for known types: the payload stays intact."""
    for name in required_of(ALL[kind]):
        missing = sample(ALL[kind])
        del missing[name]
        wrong = {**sample(ALL[kind]), name: None}
        for wire in (missing, wrong):
            event = parse(wire)
            assert isinstance(event, RawEvent)
            assert event.type == kind
            assert event.data is wire
            assert event.to_wire() == wire


@pytest.mark.parametrize("kind", sorted(ALL))
def test_optional_fields_of_a_wrong_type_are_kept_aside(kind: str) -> None:
    cls = ALL[kind]
    for field in fields_of(cls):
        if field.default is not dataclasses.MISSING:
            wire = {**sample(cls), field.name: ["wrong"]}
            event = parse(wire)
            assert type(event) is cls
            assert event.extra == {field.name: ["wrong"]}
            assert getattr(event, field.name) == field.default
            assert event.to_wire() == wire


@pytest.mark.parametrize("kind", sorted(ALL))
def test_3_unknown_fields_are_kept(kind: str) -> None:
    """Behaviour 3 strips them; here they are in `extra` and go on with `to_wire`."""
    wire = {**sample(ALL[kind]), "brand_new": {"a": 1}, "extra": 5}
    event = parse(wire)
    assert event.extra == {"brand_new": {"a": 1}, "extra": 5}
    assert event.to_wire() == wire


@given(st.one_of([build(cls) for cls in ALL.values()]))
def test_reading_what_was_written_gives_the_event(event: WireEvent) -> None:
    assert parse(event.to_wire()) == event


@given(st.sampled_from(sorted(ALL)), st.dictionaries(st.text(max_size=8), values), st.data())
def test_reading_never_raises(kind: str, noise: dict[str, Any], data: st.DataObject) -> None:
    fields = {f.name: data.draw(values) for f in fields_of(ALL[kind])}
    wire = {**noise, **fields, "type": kind}
    for event in (parse_server_event(wire), parse_client_event(wire)):
        assert event.type == kind
        if isinstance(event, RawEvent):
            assert event.data is wire
        else:
            assert parse(event.to_wire()) == event


def test_43_unknown_events_are_raw_and_intact() -> None:
    """Behaviour 43."""
    wire = {"type": "response.dance.started", "event_id": "ev", "steps": [1, {"left": None}]}
    event = parse_server_event(wire)
    assert event == RawEvent("response.dance.started", wire)
    assert event.event_id == "ev"
    copy = event.to_wire()
    copy["steps"] = None
    assert wire["steps"] == [1, {"left": None}]


@pytest.mark.parametrize("data", [{}, {"type": None}, {"type": ["x"]}, {"kind": "error"}])
def test_42_without_a_type_an_event_is_raw(data: dict[str, Any]) -> None:
    """Behaviour 42, for dicts that did not come through `decode`."""
    event = parse_server_event(data)
    assert isinstance(event, RawEvent)
    assert (event.type, event.event_id) == ("", None)
    assert event.data is data


def test_the_sides_do_not_mix() -> None:
    assert isinstance(parse_client_event({"type": "session.created", "session": {}}), RawEvent)
    assert isinstance(parse_server_event({"type": "response.cancel"}), RawEvent)


@pytest.mark.parametrize(
    "usage",
    [
        {
            "type": "tokens",
            "total_tokens": 9,
            "input_tokens": 7,
            "output_tokens": 2,
            "input_token_details": {},
        },
        {"type": "duration", "seconds": 1.25},
    ],
)
def test_41_both_kinds_of_transcription_usage_are_typed(usage: dict[str, Any]) -> None:
    """Behaviour 41: neither makes the event unknown."""
    event = parse_server_event(
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "event_id": "e",
            "item_id": "i",
            "content_index": 0,
            "transcript": "hi",
            "usage": usage,
        }
    )
    assert isinstance(event, ConversationItemInputAudioTranscriptionCompletedEvent)
    assert event.usage == usage


def test_22_the_error_is_nested_as_on_the_wire() -> None:
    """Behaviour 22."""
    event = parse_server_event({"type": "error", "event_id": "e", "error": {"message": "no", "code": None}})
    assert isinstance(event, ServerErrorEvent)
    assert event.error["message"] == "no"


def test_indices_may_be_missing_or_floats_but_not_truth_values() -> None:
    base = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "AA=="}
    for wire, index in ((base, 0), ({**base, "content_index": 2.0}, 2), ({**base, "content_index": True}, 0)):
        event = parse_server_event(wire)
        assert isinstance(event, ResponseOutputAudioDeltaEvent)
        assert event.content_index == index
        assert type(event.content_index) is int


def test_dtmf_needs_no_event_id() -> None:
    event = parse_server_event(
        {"type": "input_audio_buffer.dtmf_event_received", "event": "#", "received_at": 17}
    )
    assert event == InputAudioBufferDtmfEventReceivedEvent(event="#", received_at=17)


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (ResponseCreateEvent(), {"type": "response.create"}),
        (
            ResponseCreateEvent(response={}, event_id="a"),
            {"type": "response.create", "event_id": "a", "response": {}},
        ),
        (ConversationItemCreateEvent(item={}), {"type": "conversation.item.create", "item": {}}),
        (
            ConversationItemCreateEvent(item={}, previous_item_id=None),
            {"type": "conversation.item.create", "item": {}, "previous_item_id": None},
        ),
    ],
)
def test_unset_is_left_out_and_none_is_null(event: ClientEvent, wire: dict[str, Any]) -> None:
    assert event.to_wire() == wire
    assert parse_client_event(wire) == event


def test_modules_export_their_events() -> None:
    exported = {name for module in (client_events, server_events, response_events) for name in module.__all__}
    assert exported == {cls.__name__ for cls in ALL.values()}
    assert exported < set(events.__all__)
