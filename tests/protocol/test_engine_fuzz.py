"""Known types with fields of any value: whatever a service sends, `receive` does not raise."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.protocol.actions import Send
from voxwire.protocol.audio_gate import HoldBack
from voxwire.protocol.engine import RealtimeEngine
from voxwire.protocol.handlers import HANDLERS

IDS = st.sampled_from(["a", "b", "r1", "c1", "", "event_1"])
NAMES = st.sampled_from(
    [
        "id",
        "item",
        "item_id",
        "response",
        "response_id",
        "call_id",
        "previous_item_id",
        "content_index",
        "audio_end_ms",
        "delta",
        "transcript",
        "text",
        "session",
        "audio",
        "input",
        "output",
        "format",
        "type",
        "rate",
        "turn_detection",
        "interrupt_response",
        "role",
        "content",
        "status",
        "name",
        "arguments",
        "error",
        "code",
        "message",
        "event_id",
        "usage",
        "seconds",
        "total_tokens",
        "input_token_details",
        "conversation_id",
        "tools",
        "server_label",
        "status_details",
        "event",
        "received_at",
    ]
)
WORDS = st.sampled_from(
    [
        "message",
        "function_call",
        "function_call_output",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "output_audio",
        "input_audio",
        "output_text",
        "input_image",
        "user",
        "assistant",
        "completed",
        "incomplete",
        "duration",
        "tokens",
        "audio/pcm",
        "audio/pcmu",
        "AAAA",
        "conversation_already_has_active_response",
        "response_cancel_not_active",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 10**9, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    IDS,
    WORDS,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=6)),
    max_leaves=12,
)
EVENTS = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(sorted(HANDLERS)),
    st.dictionaries(NAMES, VALUES, max_size=8),
)
STEPS = st.one_of(
    EVENTS,
    EVENTS,
    EVENTS,
    st.sampled_from(["message", "interrupt", "wait", "restore", "release", "withhold"]),
)


def engine() -> RealtimeEngine:
    count = itertools.count(1)
    made = RealtimeEngine(ids=lambda prefix: f"{prefix}_{next(count)}")
    made.connect({"instructions": "x"}, 0.0)
    made.opened(0.0)
    made.receive({"type": "session.updated", "session": {}}, 0.0)
    return made


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=12), st.sampled_from([None, HoldBack(), HoldBack(900, "stop", 1)]))
def test_nothing_a_service_sends_raises(steps: list[Any], limits: HoldBack | None) -> None:
    made, now = engine(), 0.0
    made.hold_back_audio(limits, now)
    for step in steps:
        now += 0.5
        match step:
            case dict():
                made.receive(step, now)
            case "message":
                made.send_message("hi", None, now)
            case "interrupt":
                for action in made.interrupt(now):
                    assert not isinstance(action, Send) or action.event["event_id"]
            case "wait":
                for timer in ("configure", "response", "stall", "playback", "hold_back"):
                    made.timer(timer, now + 100)
            case "release":
                made.release_audio("r1", "a", 5, now)
            case "withhold":
                made.withhold_audio("r1", now)
            case _:
                made.reset_history(made.history.snapshot(), ())
    items = made.history.snapshot()
    assert len({item.item_id for item in items}) == len(items)
    assert len(made.playback) <= len(steps)
    assert made.gate is None or len(made.gate) <= len(steps)


@given(EVENTS, st.sampled_from(["disconnected", "opening", "greeting", "closing"]))
def test_nor_in_any_other_state(event: dict[str, Any], state: str) -> None:
    made = RealtimeEngine(ids=lambda prefix: prefix)
    if state != "disconnected":
        made.connect({"instructions": "x"}, 0.0)
    if state in ("greeting", "closing"):
        made.opened(0.0)
    if state == "closing":
        made.timer("configure", 9.0)
    assert made.connection == state
    actions = made.receive(event, 0.0)
    if state in ("disconnected", "opening", "closing"):
        assert actions == []
    if state == "opening":
        made.opened(1.0)


@given(
    st.dictionaries(NAMES, VALUES), st.one_of(st.text(), st.integers(), st.none(), st.lists(st.integers()))
)
def test_nor_with_an_unknown_type(fields: dict[str, Any], kind: Any) -> None:
    if kind not in ("error", "message"):
        assert engine().receive({**fields, "type": kind}, 0.0) == []
