from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxwire.protocol.actions import Send
from voxwire.protocol.items import MessageItem, OutputAudio
from voxwire.protocol.observed import Step
from voxwire.protocol.options import EngineOptions
from voxwire.protocol.redaction import Redaction
from voxwire.recording.log import EventLog


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    redaction = Redaction().with_secrets(['sk-"secret', ""])
    with EventLog(path, redaction, options=EngineOptions(max_items=7), about={"transport": "Mine"}) as log:
        log.write("sent", {"type": "session.update", "note": 'key sk-"secret here'}, 12.345)
        log.write("received", {"type": "session.updated"}, 20)
        log.error(ValueError("bad"), 21)
        log.history([MessageItem("m1", "assistant", (OutputAudio("Hi", audio="AAAA"),))], 22)
        assert len(lines_of(path)) == 5  # before it is closed
    head, sent, received, error, history = lines_of(path)
    assert (head["voxwire_log"], head["transport"], head["options"]["max_items"]) == (1, "Mine", 7)
    assert sent == {
        "t_ms": 12.3,
        "direction": "sent",
        "type": "session.update",
        "event": {"type": "session.update", "note": "key <hidden> here"},
    }
    assert received["direction"] == "received"
    assert error == {"t_ms": 21, "error": "ValueError", "message": "bad"}
    assert history["history"][0]["content"] == [
        {"type": "output_audio", "transcript": "Hi", "audio": "<3 bytes>"}
    ]
    assert log.counts == {"sent": 1, "received": 1}


def test_what_a_step_sends_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event = {"type": "response.create", "event_id": "e1"}
    with EventLog(path) as log:
        log.step(Step("request_response", {"response": None, "now": 1.5}, ("e1",), (Send(event),)), 10)
        log.write("sent", event, 10)
        log.write("sent", dict(event), 11)  # an equal one is another one
    _, step, sent, other = lines_of(path)
    assert step["did"] == [["send", "response.create"]]
    assert (step["ids"], step["arguments"]) == (["e1"], {"response": None, "now": 1.5})
    assert sent["by"] == "engine"
    assert "by" not in other


@pytest.mark.parametrize(("reports", "written"), [([None, None], 0), ([1.0, 1.0, 2.0], 2)])
def test_a_position_is_written_when_it_is_news(
    tmp_path: Path, reports: list[float | None], written: int
) -> None:
    with EventLog(tmp_path / "log") as log:
        for heard in reports:
            log.step(Step("report_heard", {"heard_ms": heard}), 1)
    assert len(lines_of(tmp_path / "log")) == 1 + written


def test_a_received_event_is_told_with_what_it_led_to(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log") as log:
        log.step(Step("receive", {"event": {"type": "x", "delta": "y"}, "now": 2.0}), 5)
    line = lines_of(tmp_path / "log")[1]
    assert line["event"] == {"type": "x", "delta": "y"}
    assert line["arguments"] == {"now": 2.0}
    assert line["direction"] == "received"
