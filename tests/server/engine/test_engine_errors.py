"""Whatever a client sends is answered, and with what the service would say."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.server.engine import ServerEngine, StartResponse
from voxwire.server.engine.client_events import CLIENT_EVENTS
from voxwire.server.engine.errors import ClientError
from voxwire.server.limits import Limits

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}


def session(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def heard(**fields: Any) -> dict[str, Any]:
    return session(audio={"input": fields})


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": fields}


CASES: list[tuple[dict[str, Any], str, str | None]] = [
    ({}, "missing_required_parameter", "type"),
    ({"type": "nonsense"}, "invalid_value", "type"),
    ({"type": 7}, "invalid_value", "type"),
    ({"type": "response.cancel", "event_id": 7}, "invalid_type", "event_id"),
    ({"type": "response.cancel", "event_id": "x" * 513}, "string_above_max_length", "event_id"),
    ({"type": "response.cancel", "extra": 1}, "unknown_parameter", "extra"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": 1}, "invalid_type", "session"),
    ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update", "session": {"type": "other"}}, "invalid_value", "session.type"),
    (
        {"type": "session.update", "session": {"type": "transcription"}},
        "invalid_session_type",
        "session.type",
    ),
    (session(foo=1), "unknown_parameter", "session.foo"),
    (session(model="another"), "cannot_update_model", "session.model"),
    (session(instructions=None), "invalid_type", "session.instructions"),
    (session(tools={}), "invalid_type", "session.tools"),
    (session(tools=[{"type": "function"}]), "missing_required_parameter", "session.tools[0].name"),
    (session(tools=[{"name": "x"}]), "missing_required_parameter", "session.tools[0].type"),
    (session(tool_choice="maybe"), "invalid_value", "session.tool_choice"),
    (session(tool_choice=3), "invalid_type", "session.tool_choice"),
    (session(output_modalities=[]), "array_below_min_length", "session.output_modalities"),
    (session(output_modalities=["text", "audio"]), "array_above_max_length", "session.output_modalities"),
    (session(output_modalities=["smell"]), "invalid_value", "session.output_modalities[0]"),
    (session(max_output_tokens=0), "integer_below_min_value", "session.max_output_tokens"),
    (session(max_output_tokens=4097), "integer_above_max_value", "session.max_output_tokens"),
    (session(audio={"output": {"speed": 2}}), "decimal_above_max_value", "session.audio.output.speed"),
    (session(audio={"output": {"speed": 0.1}}), "decimal_below_min_value", "session.audio.output.speed"),
    (session(audio={"output": {"speed": "1"}}), "invalid_type", "session.audio.output.speed"),
    (session(audio={"output": {"voice": ""}}), "string_below_min_length", "session.audio.output.voice"),
    (heard(format="pcm16"), "invalid_type", "session.audio.input.format"),
    (heard(format={"type": "audio/mp3"}), "invalid_value", "session.audio.input.format.type"),
    (
        heard(format={"type": "audio/pcm", "rate": 4000}),
        "integer_below_min_value",
        "session.audio.input.format.rate",
    ),
    (
        heard(format={"type": "audio/pcmu", "rate": 8000}),
        "unknown_parameter",
        "session.audio.input.format.rate",
    ),
    (
        heard(turn_detection={"threshold": 1}),
        "missing_required_parameter",
        "session.audio.input.turn_detection.type",
    ),
    (
        heard(turn_detection={"type": "server_vad", "threshold": 2}),
        "decimal_above_max_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        heard(turn_detection={"type": "semantic_vad", "eagerness": "very"}),
        "invalid_value",
        "session.audio.input.turn_detection.eagerness",
    ),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
    ({"type": "input_audio_buffer.append", "audio": 5}, "invalid_type", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "a$b"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "é"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
    ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
    (item(type="song"), "invalid_value", "item.type"),
    (item(type="message", content=[]), "missing_required_parameter", "item.role"),
    (item(type="message", role="user"), "missing_required_parameter", "item.content"),
    (
        item(type="message", role="user", content=[{"type": "output_text", "text": "x"}]),
        "invalid_value",
        "item.content[0].type",
    ),
    (
        item(type="message", role="assistant", content=[{"type": "output_audio"}]),
        "invalid_value",
        "item.content[0].type",
    ),
    (
        item(type="message", role="user", content=[{"type": "input_audio"}]),
        "missing_required_parameter",
        "item.content[0].audio",
    ),
    (
        item(type="message", role="user", content=[{"type": "input_audio", "audio": "AAAA"}]),
        "invalid_value",
        "item.content[0].audio",
    ),
    (item(**MESSAGE, id="x" * 33), "string_above_max_length", "item.id"),
    (item(type="function_call", name="x"), "missing_required_parameter", "item.arguments"),
    (item(type="function_call_output", call_id="no", output=""), "invalid_tool_call_id", "item.call_id"),
    (
        item(type="mcp_approval_response", approval_request_id="no", approve=True),
        "invalid_approval_request_id",
        "item.approval_request_id",
    ),
    (
        {**item(**MESSAGE), "previous_item_id": "no"},
        "item_create_invalid_previous_item_id",
        "previous_item_id",
    ),
    ({"type": "conversation.item.delete", "item_id": "no"}, "item_delete_invalid_item_id", "item_id"),
    ({"type": "conversation.item.retrieve", "item_id": "no"}, "item_retrieve_invalid_item_id", "item_id"),
    (
        {"type": "conversation.item.truncate", "item_id": "no", "content_index": 0, "audio_end_ms": 0},
        "item_truncate_invalid_item_id",
        "item_id",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "known", "content_index": 0, "audio_end_ms": 0},
        "invalid_value",
        "item_id",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "said", "content_index": 0, "audio_end_ms": 0},
        "invalid_value",
        "content_index",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "said", "content_index": 0, "audio_end_ms": 1.5},
        "invalid_type",
        "audio_end_ms",
    ),
    ({"type": "response.create", "response": {"foo": 1}}, "unknown_parameter", "response.foo"),
    ({"type": "response.create", "response": {"metadata": {"k": 1}}}, "invalid_type", "response.metadata.k"),
    (
        {"type": "response.create", "response": {"metadata": {str(i): "" for i in range(17)}}},
        "object_above_max_properties",
        "response.metadata",
    ),
    ({"type": "response.cancel"}, "response_cancel_not_active", None),
    ({"type": "response.cancel", "response_id": "resp_no"}, "response_cancel_not_active", None),
    ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
]


@pytest.mark.parametrize(("event", "code", "param"), CASES, ids=lambda value: str(value)[:60])
def test_refused(bench: Any, event: dict[str, Any], code: str, param: str | None) -> None:
    bench.user("x", id="known")
    bench.send(
        "conversation.item.create",
        item={
            "id": "said",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "x"}],
        },
    )
    before = json.dumps(bench.engine.session), len(bench.engine.conversation)
    event = {"event_id": "mine", **event}
    error = bench.error(bench.take(bench.engine.receive(event, bench.now)))
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert error["event_id"] == (event["event_id"] if isinstance(event["event_id"], str) else None)
    assert before == (json.dumps(bench.engine.session), len(bench.engine.conversation))


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[1]",
        "3",
        '"x"',
        "null",
        b"\xff\xfe\xfd",
        '{"type": NaN}',
        "[" * 100_000,
        "9" * 5000,
        '{"type": "\\ud800"}',
    ],
    ids=lambda value: repr(value)[:20],
)
def test_not_an_event(bench: Any, message: str | bytes) -> None:
    events = bench.take(bench.engine.receive_text(message, bench.now))
    assert bench.error(events)["type"] == "invalid_request_error"
    json.dumps(events).encode()
    assert bench.user("still here")[0]["type"] == "conversation.item.added"


def test_too_large_counts_bytes(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(message_bytes=100))
    assert bench.error(bench.take(bench.engine.receive_text("x" * 101, 0)))["code"] == "message_too_large"
    wide = json.dumps({"type": "response.cancel", "event_id": "é" * 40}, ensure_ascii=False)
    assert len(wide) < 100 < len(wide.encode())
    assert bench.error(bench.take(bench.engine.receive_text(wide, 0)))["code"] == "message_too_large"
    fits = json.dumps({"type": "response.cancel"})
    assert bench.error(bench.take(bench.engine.receive_text(fits, 0)))["code"] == "response_cancel_not_active"


def test_deep_nesting_is_refused_not_fatal(bench: Any) -> None:
    for depth, code in ((99, None), (101, "object_above_max_depth"), (5000, None)):
        deep = '{"a":' * depth + "1" + "}" * depth
        tool = f'{{"type":"function","name":"f","parameters":{deep}}}'
        text = f'{{"type":"session.update","session":{{"type":"realtime","tools":[{tool}]}}}}'
        events = bench.take(bench.engine.receive_text(text, bench.now))
        if depth == 99:
            assert events[0]["type"] == "session.updated"
        elif code:
            assert bench.error(events)["code"] == code
            assert bench.error(events)["param"] == "session.tools[0].parameters"
        else:
            assert bench.error(events)["type"] == "invalid_request_error"


def test_update_is_all_or_nothing(bench: Any) -> None:
    before = json.dumps(bench.engine.session)
    bench.error(bench.update(instructions="new", audio={"output": {"speed": 9}}))
    assert json.dumps(bench.engine.session) == before


def test_voice_is_fixed_by_the_first_audio(bench: Any) -> None:
    assert bench.update(audio={"output": {"voice": "cedar"}})[0]["type"] == "session.updated"
    bench.send("response.create")
    bench.say()
    bench.finish()
    assert bench.error(bench.update(audio={"output": {"voice": "ash"}}))["code"] == "cannot_update_voice"
    assert bench.update(audio={"output": {"voice": "cedar"}})[0]["type"] == "session.updated"
    events = bench.send("response.create", response={"audio": {"output": {"voice": "ash"}}})
    assert bench.error(events)["param"] == "response.audio.output.voice"


def test_items_limit(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(items=1))
    bench.send("response.create")
    bench.user("one")
    done = bench.say()[0]["response"]
    assert done["status_details"]["error"]["code"] == "conversation_full"
    assert bench.error(bench.user("two"))["code"] == "conversation_full"
    assert bench.error(bench.utter(800))["code"] == "conversation_full"
    bench.append(500)
    assert bench.error(bench.send("input_audio_buffer.commit"))["code"] == "conversation_full"
    bench.detect(idle_timeout_ms=1000)
    assert bench.error(bench.take(bench.engine.timer("user_quiet", bench.now)))["code"] == "conversation_full"


def test_buffer_limit(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(buffered_audio_ms=1000))
    bench.update(audio={"input": {"turn_detection": None}})
    assert bench.append(900) == []
    assert bench.error(bench.append(200))["code"] == "input_audio_buffer_full"
    assert bench.append(100) == []


def test_retained_audio_forgets_the_oldest(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(retained_audio_ms=1000))
    ids = []
    for _ in range(3):
        bench.send("response.create")
        ids.append(bench.say("One two three four.")[0]["item"]["id"])
        bench.finish()
    kept = [
        "audio" in bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"][0]
        for item_id in ids
    ]
    assert kept == [False, True, True]
    events = bench.send("conversation.item.truncate", item_id=ids[0], content_index=0, audio_end_ms=200)
    assert events[0]["type"] == "conversation.item.truncated"


def test_running_responses_limit(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(responses=1))
    bench.send("response.create", response={"conversation": "none"})
    assert bench.error(bench.send("response.create"))["code"] == "too_many_responses"


def test_duplicate_item(bench: Any) -> None:
    bench.user("x", id="one")
    assert bench.error(bench.user("x", id="one"))["code"] == "item_create_duplicate_id"


def test_the_id_of_a_turn_that_goes_on_is_taken(bench: Any) -> None:
    """Clients know it since `speech_started`; the item comes with the end of the turn."""
    bench.detect()
    started = next(e for e in bench.hear(1.0, 400) if e["type"] == "input_audio_buffer.speech_started")
    (error,) = bench.user("mine", id=started["item_id"])
    assert error["error"]["code"] == "item_create_duplicate_id"
    events = bench.hear(0.0, 600)
    assert [e["item_id"] for e in events if e["type"].endswith("committed")] == [started["item_id"]]


def test_a_number_that_json_could_not_say(bench: Any) -> None:
    message = '{"type": "session.update", "session": {"type": "realtime", "prompt": {"x": 1e999}}}'
    (error,) = bench.take(bench.engine.receive_text(message, bench.now))
    assert error["error"]["code"] == "invalid_json"
    assert "1e999" in error["error"]["message"]


def test_bad_template() -> None:
    with pytest.raises(ClientError, match="Unknown parameter"):
        ServerEngine(ids=lambda p: p, now=0, unix_now=0, template={"type": "realtime", "foo": 1})


# -- anything at all ------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_ids = st.sampled_from(["a", "b", "root", "item_1"]) | st.text(max_size=5)
_audio = st.integers(0, 9600).map(lambda n: base64.b64encode(bytes(n)).decode())
_part = st.sampled_from(
    [
        {"type": "input_text", "text": "hello"},
        {"type": "input_image", "image_url": "data:,"},
        {"type": "input_audio", "audio": base64.b64encode(bytes(960)).decode()},
        {"type": "output_text", "text": "yes"},
        {},
    ]
)
_fields: dict[str, st.SearchStrategy[Any]] = {
    "item_id": _ids,
    "response_id": _ids,
    "previous_item_id": _ids,
    "content_index": st.integers(-1, 2),
    "audio_end_ms": st.integers(-1, 500),
    "audio": _audio | _json,
    "item": st.fixed_dictionaries(
        {
            "type": st.just("message"),
            "role": st.sampled_from(["user", "assistant"]),
            "content": st.lists(_part, max_size=2),
        },
        optional={"id": _ids},
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("function_call"),
            "name": st.just("f"),
            "arguments": st.just("{}"),
            "call_id": st.just("c"),
        }
    )
    | st.fixed_dictionaries(
        {"type": st.just("function_call_output"), "call_id": st.just("c"), "output": st.text(max_size=3)}
    )
    | _json,
    "response": st.fixed_dictionaries(
        {},
        optional={
            "conversation": st.sampled_from(["auto", "none"]),
            "output_modalities": st.sampled_from([["text"], ["audio"]]),
            "max_output_tokens": st.integers(0, 20),
            "input": st.lists(
                st.fixed_dictionaries({"type": st.just("item_reference"), "id": _ids}), max_size=2
            ),
        },
    )
    | _json,
    "session": st.fixed_dictionaries(
        {"type": st.sampled_from(["realtime", "transcription"])},
        optional={
            "audio": st.fixed_dictionaries(
                {},
                optional={
                    "input": st.fixed_dictionaries(
                        {},
                        optional={
                            "format": st.sampled_from(
                                [{"type": "audio/pcmu"}, {"type": "audio/pcm", "rate": 16000}]
                            ),
                            "turn_detection": st.sampled_from(
                                [
                                    None,
                                    {"type": "server_vad", "silence_duration_ms": 100},
                                    {"type": "semantic_vad"},
                                ]
                            ),
                            "transcription": st.sampled_from([None, {"model": "whisper-1"}]),
                        },
                    )
                },
            ),
            "instructions": st.text(max_size=5),
        },
    )
    | _json,
}
_client = st.sampled_from(sorted(CLIENT_EVENTS)).flatmap(
    lambda kind: st.fixed_dictionaries({"type": st.just(kind)}, optional=_fields).map(
        lambda event: {key: value for key, value in event.items() if key == "type" or key in _USED[kind]}
    )
)
_USED = {
    "session.update": {"session"},
    "input_audio_buffer.append": {"audio"},
    "input_audio_buffer.commit": set[str](),
    "input_audio_buffer.clear": set[str](),
    "conversation.item.create": {"item", "previous_item_id"},
    "conversation.item.delete": {"item_id"},
    "conversation.item.retrieve": {"item_id"},
    "conversation.item.truncate": {"item_id", "content_index", "audio_end_ms"},
    "response.create": {"response"},
    "response.cancel": {"response_id"},
    "output_audio_buffer.clear": set[str](),
}
_steps = st.lists(
    _client
    | _json
    | st.sampled_from(["voice", "quiet", "speak", "write", "call", "finish", "fail", "understand", "timers"]),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=_steps)
def test_nothing_raises_and_everything_is_answered(make_bench: Any, steps: list[Any]) -> None:
    world = World(
        make_bench(limits=Limits(items=12, responses=3, buffered_audio_ms=2000, retained_audio_ms=500))
    )
    for step in steps:
        world.step(step)


class World:
    """An engine, what its shell would do, and what must hold throughout."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.ids: set[str] = set()
        self.running: dict[str, bool] = {}
        self.open: dict[str, StartResponse] = {}

    def step(self, step: Any) -> None:
        bench, now = self.bench, self.bench.now
        bench.now += 0.1
        if step == "voice":
            events = bench.take(bench.engine.voice([1.0] * 5, 20, now))
        elif step == "quiet":
            events = bench.take(bench.engine.voice([0.0] * 30, 20, now))
        elif step in ("speak", "write", "call", "finish", "fail"):
            events = self.respond(step)
        elif step == "understand":
            events = []
            for item in list(bench.engine.conversation):
                events += bench.take(bench.engine.partial(item.id, "a b", now))
                events += bench.take(bench.engine.transcribed(item.id, "a b c", 1.0, now))
        elif step == "timers":
            events = bench.take(bench.engine.timer("user_quiet", now))
        else:
            events = bench.take(bench.engine.receive(step, now))
            silent = isinstance(step, dict) and step.get("type") == "input_audio_buffer.append"
            assert events or silent, step
        self.check(events)

    def respond(self, step: str) -> list[dict[str, Any]]:
        bench = self.bench
        plans = bench.of(StartResponse)
        if not plans:
            return []
        name = plans[-1].response_id
        if step == "speak":
            return bench.say() if plans[-1].request.modalities == ("audio",) else []
        if step == "write":
            wanted = plans[-1].request.modalities == ("text",)
            return bench.take(bench.engine.wrote(name, "words ", bench.now)) if wanted else []
        if step == "call":
            return bench.take(bench.engine.called(name, "f", "{}", bench.now))
        if step == "fail":
            return bench.take(bench.engine.failed(name, "no", "server_error", bench.now))
        return bench.finish()

    def check(self, events: list[dict[str, Any]]) -> None:
        json.dumps(events)
        for event in events:
            assert event["event_id"] not in self.ids
            self.ids.add(event["event_id"])
            if event["type"] == "response.created":
                self.running[event["response"]["id"]] = event["response"]["conversation_id"] is not None
            elif event["type"] == "response.done":
                del self.running[event["response"]["id"]]
            elif event["type"] == "error":
                assert event["error"]["message"]
            assert sum(self.running.values()) <= 1
        items = [item.id for item in self.bench.engine.conversation]
        assert len(items) == len(set(items)) <= 12
