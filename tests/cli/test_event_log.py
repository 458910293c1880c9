from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.cli.event_log import EventLog, shortened

AUDIO = base64.b64encode(bytes(1000)).decode()


@given(st.binary(max_size=100))
def test_audio_becomes_its_size(audio: bytes) -> None:
    text = base64.b64encode(audio).decode()
    event = {"type": "input_audio_buffer.append", "audio": text}
    assert shortened(event) == {"type": event["type"], "audio": f"<{len(audio)} bytes>"}
    assert event["audio"] == text


@pytest.mark.parametrize(
    ("event", "short"),
    [
        ({"type": "response.output_audio.delta", "delta": AUDIO}, "<1000 bytes>"),
        ({"type": "response.audio.delta", "delta": AUDIO}, "<1000 bytes>"),
        ({"type": "response.output_audio_transcript.delta", "delta": "Hello"}, "Hello"),
    ],
)
def test_only_audio_deltas_are_audio(event: dict[str, str], short: str) -> None:
    assert shortened(event)["delta"] == short


def test_payloads_and_secrets_deep_inside() -> None:
    event = {
        "type": "conversation.item.create",
        "item": {
            "content": [{"audio": AUDIO}, {"image_url": f"data:image/png;base64,{AUDIO}"}, {"text": "hi"}]
        },
        "session": {"tools": [{"authorization": "Bearer x", "headers": {"X-Key": "y"}, "server_label": "z"}]},
        "audio": {"input": {"format": None}},
    }
    assert shortened(event) == {
        "type": "conversation.item.create",
        "item": {
            "content": [
                {"audio": "<1000 bytes>"},
                {"image_url": "data:image/png;base64,<1000 bytes>"},
                {"text": "hi"},
            ]
        },
        "session": {"tools": [{"authorization": "<hidden>", "headers": "<hidden>", "server_label": "z"}]},
        "audio": {"input": {"format": None}},
    }


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path, ['sk-"secret', ""]) as log:
        log.write("sent", {"type": "session.update", "note": 'key sk-"secret here'}, 12.345)
        log.write("received", {"type": "session.updated"}, 20)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        "t_ms": 12.3,
        "direction": "sent",
        "type": "session.update",
        "event": {"type": "session.update", "note": "key <hidden> here"},
    }
    assert [line["direction"] for line in lines] == ["sent", "received"]
    assert log.counts == {"sent": 1, "received": 1}
