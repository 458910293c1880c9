"""Replaying what an engine was told gives what it decided."""

from __future__ import annotations

import base64
import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConnectionLost, UserError
from voxwire.protocol.actions import Send
from voxwire.protocol.audio_gate import HoldBack
from voxwire.protocol.engine import EngineOptions, RealtimeEngine
from voxwire.protocol.history_json import item_to_dict
from voxwire.protocol.items import McpApprovalRequestItem, MessageItem, OutputText
from voxwire.protocol.observed import STEPS, ObservedEngine, Step
from voxwire.protocol.redaction import Redaction
from voxwire.protocol.replay import header, replay
from voxwire.protocol.step_codec import encode_step
from voxwire.protocol.transport_events import FunctionCall, McpApprovalRequest

AUDIO = base64.b64encode(bytes(48_000)).decode()


class Logged:
    """An engine whose steps are written down, as a recorder does it."""

    def __init__(self, redaction: Redaction | None = None, **options: Any) -> None:
        self.redaction = redaction or Redaction()
        self.count = 0
        self.inner = RealtimeEngine(ids=self._id, options=EngineOptions(**options))
        self.engine: Any = ObservedEngine(self.inner, self.step)
        self.lines = [json.dumps(header(self.inner.options, self.redaction))]

    def _id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def write(self, entry: dict[str, Any]) -> None:
        self.lines.append(self.redaction.line(self.redaction.event(entry)))

    def step(self, step: Step) -> None:
        entry = encode_step(step)
        if step.name == "receive":
            event = entry["arguments"].pop("event")
            entry = {"type": event.get("type"), "event": self.redaction.event(event), **entry}
            self.lines.append(self.redaction.line(entry))
        else:
            self.write(entry)
        for action in step.actions:
            if isinstance(action, Send):
                event = self.redaction.event(action.event)
                self.lines.append(json.dumps({"by": "engine", "type": event["type"], "event": event}))

    def save_history(self) -> None:
        items = [self.redaction.event(item_to_dict(item)) for item in self.inner.history.snapshot()]
        self.lines.append(json.dumps({"history": items}))


def conversation(log: Logged) -> None:
    """A call in which nearly everything happens."""
    engine = log.engine
    engine.connect({"instructions": "Be short."}, 1.0)
    engine.opened(1.1)
    engine.receive({"type": "session.created", "session": {}}, 1.2)
    engine.receive({"type": "session.updated", "session": {"audio": {}}}, 1.3)
    engine.send_message("Tell me a story", None, 2.0, trigger_response=True)
    engine.receive({"type": "response.created", "response": {"id": "r1"}}, 2.1)
    words = {"response_id": "r1", "item_id": "i1", "content_index": 0}
    text = "Once upon a time there was a lighthouse keeper."
    engine.receive({"type": "response.output_audio_transcript.delta", "delta": text, **words}, 2.2)
    engine.receive({"type": "response.output_audio.delta", "delta": AUDIO, **words}, 2.2)
    engine.receive({"type": "response.output_audio.delta", "delta": "no base64", **words}, 2.2)
    engine.report_heard(300.25)
    started = {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 900}
    engine.receive(started, 2.6)
    done = {"id": "r1", "status": "cancelled", "output": []}
    engine.receive({"type": "response.done", "response": done}, 2.7)
    item = {"id": "f1", "type": "function_call", "call_id": "c1", "name": "go", "arguments": '{"to": "Oslo"}'}
    engine.receive({"type": "response.output_item.done", "response_id": "r2", "item": item}, 3.0)
    engine.send_function_call_output(FunctionCall("c1", "go", "{}", "f1", "r2"), "gone", 3.1)
    with pytest.raises(UserError):
        engine.send_function_call_output(FunctionCall("c1", "go", "{}", "f1", "r2"), "again", 3.2)
    engine.reset_history(log.inner.history.snapshot(), [MessageItem("m1", "assistant", (OutputText("Hm."),))])
    engine.send_mcp_response(McpApprovalRequest(McpApprovalRequestItem("q1", "s", "n")), True, None)
    engine.hold_back_audio(HoldBack(timeout_ms=500), 3.5)
    engine.receive({"type": "response.created", "response": {"id": "r3"}}, 3.6)
    later = {"response_id": "r3", "item_id": "i3", "content_index": 0}
    engine.receive({"type": "response.output_audio.delta", "delta": AUDIO, **later}, 3.6)
    engine.release_audio("r3", None, None, 3.7)
    engine.withhold_audio("r3", 3.8)
    engine.timer("response", 20.0)
    log.save_history()
    engine.disconnected(21.0, code=1006, error=ConnectionLost("gone", code=1006))


@pytest.mark.parametrize("redaction", [Redaction(), Redaction(transcripts=True)])
def test_the_same_engine_decides_the_same(redaction: Redaction) -> None:
    log = Logged(redaction)
    conversation(log)
    result = replay(log.lines)
    assert result.differences == []
    assert result.same
    assert (result.connections, result.cuts, result.histories) == (1, 2, 1)
    assert result.steps == 24
    assert result.sent > 8
    assert result.complete
    everything = "\n".join(log.lines)
    assert AUDIO[:40] not in everything
    assert ("lighthouse" in everything) != redaction.transcripts
    assert ("Oslo" in everything) != redaction.transcripts
    assert [item.item_id for item in result.history] == [
        item.item_id for item in log.inner.history.snapshot()
    ]


def test_another_decision_is_found() -> None:
    log = Logged()
    conversation(log)
    where = next(
        n for n, line in enumerate(log.lines) if '"conversation.item.truncate"' in line and '"by"' in line
    )
    entry = json.loads(log.lines[where])
    entry["event"]["audio_end_ms"] += 20
    log.lines[where] = json.dumps(entry)
    result = replay(log.lines)
    assert result.different == 1
    (difference,) = result.differences
    assert difference.line == where + 1
    assert difference.what == "conversation.item.truncate sent"
    assert difference.logged["audio_end_ms"] == difference.replayed["audio_end_ms"] + 20


@pytest.mark.parametrize("kind", ["step", "by", "history"])
def test_nothing_can_be_left_out(kind: str) -> None:
    """Each kind of line is compared: without one of them, or with one too many, the replay differs."""
    log = Logged()
    conversation(log)
    where = [n for n, line in enumerate(log.lines) if kind in json.loads(line)]
    for number in where[1:-1] or where:
        entry = json.loads(log.lines[number])
        changed = {**entry, "did": [["else"]]} if kind == "step" else {**entry, "history": []}
        if kind == "by":
            fewer = [*log.lines[:number], *log.lines[number + 1 :]]
        else:
            fewer = [*log.lines[:number], json.dumps(changed), *log.lines[number + 1 :]]
        assert not replay(fewer).same, log.lines[number]
    if kind == "by":
        number = where[0]
        assert not replay([*log.lines[:number], log.lines[number], *log.lines[number:]]).same


def test_many_differences_are_counted_and_the_first_kept() -> None:
    log = Logged()
    conversation(log)
    lines = [line.replace('"tell"', '"sing"') for line in log.lines]
    result = replay(lines, max_differences=2)
    assert len(result.differences) == 2
    assert result.different > 2
    assert result.differences[0].what == "what connect led to"


def test_the_log_of_a_crash_ends_within_a_line() -> None:
    log = Logged()
    conversation(log)
    result = replay([*log.lines[:-3], log.lines[-3][:20]])
    assert result.same
    assert not result.complete


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "not a log"),
        (['{"type": "session.created"}'], "not a log"),
        (['{"voxwire_log": 99}'], "format 99"),
        (['{"voxwire_log": 1, "steps": false, "transport": "Mine"}'], "no steps to replay"),
        (['{"voxwire_log": 1, "status": "connected"}'], "in the middle of a connection"),
        (['{"voxwire_log": 1}', "{", "{}"], "line 2"),
        (['{"voxwire_log": 1}', '{"step": "dance"}'], "'dance'"),
        (['{"voxwire_log": 1}', '{"step": "timer", "arguments": {}}'], "line 2"),
        (
            [
                '{"voxwire_log": 1}',
                '{"step": "timer", "arguments": {"name": {"$": "unknown", "class": "X"}}}',
            ],
            "'X'",
        ),
    ],
)
def test_what_is_no_log_is_refused(lines: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        replay(lines)


def test_every_way_into_the_engine_is_watched() -> None:
    own = {"status", "take_session", "become_ready", "fail", "send_creates", "go_on", "note_dropped"}
    public = {name for name, value in vars(RealtimeEngine).items() if not name.startswith("_")}
    assert public - own == set(STEPS)
    for name in STEPS:
        assert inspect.isfunction(getattr(RealtimeEngine, name))


def test_an_engine_is_let_go() -> None:
    log = Logged()
    ids = log.inner.ids
    assert ids != log._id
    assert log.engine.release() is log.inner
    assert log.inner.ids == log._id
    assert log.engine.status == "disconnected"


_EVENTS = st.sampled_from(
    [
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.created", "response": {"id": "r2", "conversation_id": None}},
        {"type": "response.done", "response": {"id": "r1", "status": "completed", "output": []}},
        {"type": "response.output_audio.delta", "response_id": "r1", "item_id": "i1", "delta": AUDIO},
        {
            "type": "response.output_audio_transcript.delta",
            "response_id": "r1",
            "item_id": "i1",
            "delta": "Yes no",
        },
        {"type": "response.output_audio.done", "response_id": "r1", "item_id": "i1"},
        {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 1},
        {"type": "error", "error": {"code": "conversation_already_has_active_response"}},
        {"type": "conversation.item.deleted", "item_id": "i1"},
    ]
)


@given(
    st.lists(
        st.tuples(st.one_of(_EVENTS, st.sampled_from(["message", "ask", "stop", "timer"])), st.floats(0, 2))
    )
)
def test_any_conversation_replays(moves: list[tuple[Any, float]]) -> None:
    log = Logged(Redaction(transcripts=True), configure_required=False)
    engine, now = log.engine, 0.0
    engine.connect(None, now)
    engine.opened(now)
    engine.receive({"type": "session.created", "session": {}}, now)
    for move, pause in moves:
        now += pause
        match move:
            case "message":
                engine.send_message("Hello", None, now)
            case "ask":
                engine.request_response({"conversation": "none"}, now)
            case "stop":
                engine.interrupt(now)
            case "timer":
                engine.timer("playback", now)
            case _:
                engine.receive(move, now)
    log.save_history()
    assert replay(log.lines).differences == []
