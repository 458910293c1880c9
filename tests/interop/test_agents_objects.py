"""Real objects of `openai-agents` in a voxwire session, on a real socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = """
turns:
  - tool_call: {name: get_weather, arguments: {city: Oslo}}
  - tool_call: {name: get_weather, arguments: {city: OSLO}}
  - tool_call: {name: get_weather, arguments: {city: Area 51}}
  - tool_call: {name: get_weather, arguments: {town: Oslo}}
  - tool_call: {name: delete_account, arguments: {user_id: 3}}
  - tool_call: {name: delete_account, arguments: {user_id: 7}}
  - tool_call: {name: look, arguments: {}}
  - tool_call: {name: slow, arguments: {}}
  - tool_call: {name: shout, arguments: {word: hey}}
  - tool_call: {name: transfer_to_leo, arguments: {reason: none}}
  - tool_call: {name: transfer_to_leo, arguments: {why: stories}}
  - say: I am Leo.
"""


async def test_their_objects_in_our_session(interop_python: Path, run_program: Any) -> None:
    async with EmbeddedServer(
        responder=ScriptResponder(text=SCRIPT), synthesizer="tone", transcriber="none", vad="energy"
    ) as server:
        program = Path(__file__).parent / "agents_objects.py"
        report = await run_program(
            interop_python, program, server.url, server.api_key, env={"PYTHONPATH": str(ROOT / "src")}
        )
    lines = report.lines
    offered = ["get_weather", "delete_account", "look", "slow", "shout", "transfer_to_leo", "transfer_to_mia"]
    assert lines[0] == {"kind": "tools", "names": offered}
    outputs = [(line["name"], line["output"]) for line in lines if line["kind"] == "tool"]
    assert outputs[:3] == [
        ("get_weather", "It is sunny in Oslo, Kim."),
        ("get_weather", "Do not shout."),
        ("get_weather", "(withheld)"),
    ]
    assert outputs[3][0] == "get_weather"
    assert outputs[3][1].startswith("An error occurred while running the tool.")  # their words
    assert outputs[4:] == [
        ("delete_account", "deleted 3"),
        ("delete_account", "deleted 7"),
        ("look", "A pixel:\n(an image, in the message before)"),
        ("slow", "Tool 'slow' timed out after 0.05 s."),
        ("shout", "HEY"),
    ]
    assert [line for line in lines if line["kind"] == "approval"] == [
        {"kind": "approval", "tool": "delete_account", "arguments": {"user_id": 7}}
    ]
    assert [line["error"] for line in lines if line["kind"] == "error"] == [
        "ToolTimeoutError",
        "InvalidArgumentsError",
    ]
    rest = [line for line in lines if line["kind"] not in ("tools", "tool", "approval", "error")]
    assert rest == [
        {"kind": "on_handoff", "why": "stories", "user": "Kim"},
        {"kind": "handoff", "to": "Leo", "tools": ["look"]},
        {"kind": "said", "agent": "Leo", "text": "I am Leo."},
        {"kind": "instructions", "text": "You are Leo."},
        {"kind": "images", "count": 1},
    ]
