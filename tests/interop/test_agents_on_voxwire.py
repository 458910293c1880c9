"""`RealtimeRunner` of openai-agents on our transports: what the shared scenarios of test_agents.py do not reach."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(__file__).parent / "agents_on_voxwire_parts.py"

APPROVAL = """
turns:
  - tool_call: {name: delete, arguments: {name: a.txt}}
  - tool_call: {name: delete, arguments: {name: b.txt}}
  - say: Done.
"""
GUARDRAIL = """
turns:
  - say: This is a forbidden word, and a long sentence that goes on for quite some time after it has been said.
otherwise: {say: Sorry.}
"""
LONG = """
turns:
  - say: One two three four five six seven eight nine ten.
"""


@pytest.fixture
def play(interop_python: Path, run_program: Any) -> Any:
    async def run(name: str, script: str | None = None) -> Any:
        env = {"PYTHONPATH": str(ROOT / "src")}
        if script is None:
            return await run_program(interop_python, PROGRAM, name, env=env)
        async with EmbeddedServer(
            responder=ScriptResponder(text=script), synthesizer="tone", transcriber="none", vad="energy"
        ) as server:
            return await run_program(interop_python, PROGRAM, name, server.url, env=env)

    return run


async def test_approval(play: Any) -> None:
    report = await play("approval", APPROVAL)
    assert [line["arguments"] for line in report.of("asked")] == ['{"name": "a.txt"}', '{"name": "b.txt"}']
    assert report.of("history") == [{"outputs": ["deleted a.txt", "Better not."]}]


async def test_an_output_guardrail_cuts_the_reply_and_corrects_it(play: Any) -> None:
    [seen] = (await play("guardrail", GUARDRAIL)).of("seen")
    assert {"guardrail_tripped", "audio_interrupted", "truncated"} <= set(seen["events"])


async def test_the_playback_tracker_says_where_to_cut(play: Any) -> None:
    report = await play("tracker", LONG)
    [played] = report.of("format")
    assert played["format"] == "g711_ulaw"
    assert report.of("untouched") == [{"state": 240.0}]
    assert report.of("cut") == [{"at": 240, "same": True, "told": None}]
    assert report.of("interrupted") == [{"times": 1}]
    assert report.of("given back") == [{"same": True}]


async def test_the_contract_of_a_model(play: Any) -> None:
    report = await play("scripted")
    assert report.of("connect") == [{"url": "wss://x", "tracing": "auto", "instructions": "Hi."}]
    assert report.of("base") == [{"subclass": "RealtimeModel"}]
    [events] = report.of("events")
    assert events["types"] == [
        *["connection_status"] * 2,
        "turn_started",
        "audio",
        "transcript_delta",
        *("item_updated", "function_call"),  # in this order
        "other",
        "item_deleted",
        "raw_server_event",
        *("usage", "turn_ended"),
    ]
    assert report.of("call") == [{"item": "in_progress", "id": "i2", "previous": "i1"}]
    assert report.of("usage") == [{"total": 7, "audio": 2}]
    assert report.of("output") == [{"output": "seen", "start": False, "item": ["completed", "seen", "c1"]}]
    assert report.of("calls") == [
        {"methods": ["send_event", "send_audio", "send_message", "update_session_config", "interrupt"]}
    ]
    assert report.of("message") == [
        {
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            ]
        }
    ]
    assert report.of("if") == [{"answers": [True, False], "sent": ["fix"]}]
    assert report.of("scoped") == [
        {"types": ["turn_started", "audio", "audio_interrupted", "transcript_delta"]}
    ]
    assert report.of("cancel") == [{"event": {"type": "response.cancel", "response_id": "r2"}}]
    assert report.of("lost") == [{"types": ["error", "exception"], "error": "gone"}]
    assert report.of("expired") == [{"types": ["connection_status", "end_of_stream"]}]
    assert report.of("closed") == [{"events": 0, "status": "disconnected"}]
    assert report.of("failed") == [{"error": "no route"}]
    assert report.of("broken") == [{"error": "listener"}]
    assert [line["error"] for line in report.of("refused")] == [
        *["playback_only cannot be combined with explicit cancellation modes"] * 2,
        "cancel_response_only requires response_id",
        "headers belong to the transport: give them to its constructor",
        "call_id='c' and model_name='m': a call has its model already",
        "the model is connected already; close it before connecting again",
        "unknown command object",
    ]


async def test_settings_become_the_same_wire_as_theirs(play: Any) -> None:
    compared = (await play("settings")).of("settings")
    assert len(compared) == 12
    for case in compared:
        assert case["ours"] == case["theirs"], (case["name"], case["attached"])


async def test_the_code_of_the_guide_runs(interop_python: Path, run_program: Any, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guide" / "openai-agents.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python[^\n]*\n(.*?)```", page, re.DOTALL)
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    assert (await run_program(interop_python, script, env={"PYTHONPATH": str(ROOT / "src")})).lines == []
