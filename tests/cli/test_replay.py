from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxwire.cli.replay import run
from voxwire.errors import UserError
from voxwire.protocol.actions import Emit
from voxwire.protocol.engine import RealtimeEngine
from voxwire.protocol.observed import ObservedEngine
from voxwire.protocol.transport_events import ConnectionChange
from voxwire.recording.log import EventLog


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A connection that is opened, asked one thing, and lost."""
    path = tmp_path / "events.jsonl"
    inner = RealtimeEngine(ids=_counter())
    with EventLog(path, options=inner.options) as written:
        engine = ObservedEngine(inner, lambda step: written.step(step, 1.0))
        engine.connect({"instructions": "Hi."}, 1.0)
        engine.opened(1.0)
        engine.receive({"type": "session.created", "session": {}}, 1.1)
        engine.receive({"type": "session.updated", "session": {}}, 1.2)
        engine.send_message("Hello", None, 1.3)
        actions = engine.disconnected(2.0, code=1006)
        assert any(isinstance(a, Emit) and isinstance(a.event, ConnectionChange) for a in actions)
        written.history(inner.history.snapshot(), 2.0)
    return path


def _counter():
    count = 0

    def new(prefix: str) -> str:
        nonlocal count
        count += 1
        return f"{prefix}_{count}"

    return new


def test_the_same_decisions(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(log) == 0
    assert capsys.readouterr().out == (
        "Replayed 6 steps, 1 connections, 3 events sent, 0 interruptions, 1 histories.\n"
        "Every decision is the same.\n"
    )


def test_other_decisions(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = log.read_text().replace("Hello", "Good morning")
    text = text.replace("Good morning", "Hello", 1)  # what was asked for, but not what was sent
    log.write_text(text)
    assert run(log, show=1) == 1
    out = capsys.readouterr().out
    assert "conversation.item.create sent" in out
    assert '"text": "Good morning"' in out
    assert out.endswith("1 differences. One often brings others with it.\n")


def test_a_crash_and_more_than_is_shown(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.replace('"tell"', '"x"') for line in log.read_text().splitlines()]
    log.write_text("\n".join(lines) + '\n{"t_ms": 1')
    assert run(log, show=1) == 1
    out = capsys.readouterr().out
    assert "cut off" in out
    assert ", the first 1 are above" in out


def test_long_values_are_shortened(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"t_ms": 3.0, "history": [{"text": "x" * 1000}]}
    log.write_text(log.read_text() + json.dumps(entry) + "\n")
    assert run(log) == 1
    assert max(map(len, capsys.readouterr().out.splitlines())) < 500


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        run(tmp_path / "none")
    (tmp_path / "other").write_text("{}\n")
    with pytest.raises(UserError, match="not a log"):
        run(tmp_path / "other")
