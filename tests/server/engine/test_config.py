from __future__ import annotations

import copy
from typing import Any

import pytest

from voxwire.server.engine.config import default_session, merge_session, turn_detection
from voxwire.server.engine.errors import ClientError


def merged(**fields: Any) -> dict[str, Any]:
    return merge_session(default_session("m", voice="marin"), {"type": "realtime", **fields})


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    before = default_session("m", voice="marin")
    kept = copy.deepcopy(before)
    after = merge_session(before, {"type": "realtime", "audio": {"output": {"speed": 1.2}}})
    assert before == kept
    expected = copy.deepcopy(kept)
    expected["audio"]["output"]["speed"] = 1.2
    assert after == expected


@pytest.mark.parametrize("name", ["turn_detection", "transcription", "noise_reduction"])
def test_null_switches_off_and_is_kept(name: str) -> None:
    session = merged(
        audio={"input": {"transcription": {"model": "x"}, "noise_reduction": {"type": "near_field"}}}
    )
    session = merge_session(session, {"type": "realtime", "audio": {"input": {name: None}}})
    assert session["audio"]["input"][name] is None
    again = merge_session(session, {"type": "realtime", "instructions": "x"})
    assert again["audio"]["input"][name] is None


def test_turn_detection_merges_within_its_type() -> None:
    session = merged(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}})
    assert turn_detection(session) == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    session = merge_session(
        session,
        {
            "type": "realtime",
            "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}},
        },
    )
    assert (turn_detection(session) or {})["threshold"] == 0.7
    session = merge_session(
        session, {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    )
    assert turn_detection(session) == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }


def test_tools_are_replaced_and_can_be_cleared() -> None:
    session = merged(tools=[{"type": "function", "name": "a", "description": None, "strict": True}])
    assert [tool["name"] for tool in session["tools"]] == ["a"]
    assert merge_session(session, {"type": "realtime", "tools": []})["tools"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": {"type": "function", "name": "x"}},
        {"tracing": "auto"},
        {"tracing": {"workflow_name": "x"}},
        {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}},
        {"max_output_tokens": "inf"},
        {"reasoning": {"effort": "low"}},
        {"prompt": {"id": "p"}},
        {"include": ["item.input_audio_transcription.logprobs"]},
        {"parallel_tool_calls": True},
        {"model": "m"},
    ],
)
def test_known_fields(fields: dict[str, Any]) -> None:
    session = merged(**fields)
    assert {name: session[name] for name in fields} == fields


def test_formats() -> None:
    session = merged(
        audio={"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcm"}}}
    )
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}


def test_whole_numbers_may_be_written_as_decimals() -> None:
    session = merged(max_output_tokens=100.0)
    assert session["max_output_tokens"] == 100
    with pytest.raises(ClientError, match="expected an integer"):
        merged(audio={"input": {"format": {"type": "audio/pcm", "rate": 8000.5}}})


def test_numbers_beyond_all_bounds() -> None:
    with pytest.raises(ClientError, match="above maximum"):
        merged(audio={"output": {"speed": 10**400}})
    with pytest.raises(ClientError, match="expected a decimal"):
        merged(audio={"output": {"speed": float("inf")}})
