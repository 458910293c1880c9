from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from voxwire.errors import ConfigError, MissingExtraError
from voxwire.server.speech.base import (
    Delay,
    Disconnect,
    Failure,
    Incomplete,
    ResponseRequest,
    TextPart,
    ToolCallPart,
)
from voxwire.server.speech.responder_script import ScriptResponder

SCRIPT = """
turns:
  - say: Hello!
  - when: weather
    do:
      - say: Let me look.
      - tool_call: {name: get_weather, arguments: {city: Tokyo, days: [{n: 1}]}}
      - tool_call: {name: broken, arguments: "{not json"}
  - do: [{delay: 0.5}, {incomplete: max_output_tokens}]
  - error: {message: out of order, code: oops}
  - error: simply
  - disconnect: {code: null, reason: bye}
  - disconnect:
"""


async def play(script: ScriptResponder, number: int, text: str = "", output: str | None = None) -> list[Any]:
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    ]
    if output is not None:
        items.append({"type": "function_call_output", "call_id": "c", "output": output})
    request = ResponseRequest("", tuple(items), response_number=number)
    return [part async for part in script.respond(request)]


async def test_turns_by_number_and_by_condition() -> None:
    script = ScriptResponder(text=SCRIPT)
    assert await play(script, 0) == [TextPart("Hello!")]
    calls = [
        TextPart("Let me look."),
        ToolCallPart("get_weather", '{"city": "Tokyo", "days": [{"n": 1}]}'),
        ToolCallPart("broken", "{not json"),
    ]
    assert await play(script, 1, "The WEATHER?") == calls
    assert await play(script, 99, "hi", output="weather report") == calls
    assert await play(script, 2) == [Delay(0.5), Incomplete("max_output_tokens")]
    assert await play(script, 3) == [Failure("out of order", "oops")]
    assert await play(script, 4) == [Failure("simply")]
    assert await play(script, 5) == [Disconnect(None, "bye")]
    assert await play(script, 6) == [Disconnect(1011, "")]
    (failure,) = await play(script, 7, "hm")
    assert failure.code == "script_exhausted"
    assert "response 7 (of 7)" in failure.message
    await script.close()


async def test_otherwise_and_file(tmp_path: Path) -> None:
    file = tmp_path / "script.yaml"
    file.write_text("turns: [{when: ^a$, say: 1}]\notherwise: {say: Other}\n")
    assert await play(ScriptResponder(file), 0, "b") == [TextPart("Other")]
    assert await play(ScriptResponder(str(file)), 5, "A") == [TextPart("1")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[1]", "a mapping with `turns`, not a list"),
        ("turn: []", "line 1, the script: 'turn' not understood; possible: otherwise, turns"),
        ("turns: []", "at least one turn"),
        ("turns:\n  - say: x\n  - shout: y", "line 3, turn 1: a step has exactly one of say"),
        ("turns:\n  - hello", "turn 0: a turn is a mapping, not 'hello'"),
        ("turns:\n  - when: '('\n    say: x", "line 2, turn 0: `when` is no regular expression"),
        ("turns:\n  - do: x", "`do` has to be a list"),
        ("turns:\n  - do: [{say: x}]\n    say: y", "'say' not understood; possible: do"),
        (
            "turns:\n  - do:\n    - say: x\n    - tool_call: {arguments: {}}",
            "line 4, turn 0: `tool_call`: 'name' is missing",
        ),
        ("turns:\n  - tool_call: get", "a mapping with arguments, name expected, not 'get'"),
        ("turns:\n  - tool_call: {name: a, args: {}}", "args not understood"),
        ("turns:\n  - delay: -1", "seconds from 0 on expected"),
        ("turns:\n  - delay: soon", "`delay`: could not convert"),
        ("turns:\n  - say: [1]", "`say`: a text expected"),
        ("turns:\n  - incomplete: bored", "max_output_tokens or content_filter"),
        ("turns:\n  - disconnect: {code: 5}", "a close code from 1000 to 4999"),
        ("turns:\n  - say: 'x", "not YAML"),
        ("turns: \x00", "not YAML"),
    ],
)
def test_bad_scripts_are_named_by_line(text: str, match: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ScriptResponder(text=text)
    assert match in str(caught.value)


def test_no_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="needs `path`"):
        ScriptResponder()
    with pytest.raises(ConfigError, match="cannot be read"):
        ScriptResponder(tmp_path / "none.yaml")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match="pyyaml"):
        ScriptResponder(text="turns: []")
