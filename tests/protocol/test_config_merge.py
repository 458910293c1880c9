from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.protocol.config import (
    changed_only,
    input_format,
    interrupt_response,
    merge_wire,
    output_format,
)
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat

leaves = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b"])
small = st.dictionaries(st.sampled_from(["type", "model", "x"]), leaves, max_size=2)
anything = leaves | small | st.lists(leaves | small, max_size=2)
side = st.dictionaries(
    st.sampled_from(["format", "turn_detection", "transcription", "voice", "speed"]), anything, max_size=4
)
audio = st.dictionaries(st.sampled_from(["input", "output", "x"]), side | leaves, max_size=3)
sessions = st.builds(
    lambda rest, sound: {**rest, **sound},
    st.dictionaries(
        st.sampled_from(["tools", "tracing", "truncation", "reasoning", "instructions", "new"]),
        anything,
        max_size=4,
    ),
    st.fixed_dictionaries({}, optional={"audio": audio | leaves}),
)


@settings(max_examples=500)
@given(sessions, sessions)
def test_the_update_gives_what_was_wanted(sent: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = copy.deepcopy((sent, wanted))
    update = changed_only(sent, wanted)
    result = merge_wire(sent, update)
    assert result == merge_wire(sent, wanted)
    assert repr(result) == repr(merge_wire(sent, wanted))  # True is not 1
    assert (sent, wanted) == before


@settings(max_examples=500)
@given(sessions, sessions)
def test_the_update_has_nothing_too_much(sent: dict[str, Any], wanted: dict[str, Any]) -> None:
    goal = merge_wire(sent, wanted)
    update = changed_only(sent, wanted)

    def without(node: dict[str, Any], path: tuple[str, ...]) -> None:
        for key in list(node):
            value = node.pop(key)
            assert repr(merge_wire(sent, update)) != repr(goal), f"{(*path, key)} changes nothing"
            node[key] = value
            if (*path, key) in {("audio",), ("audio", "input"), ("audio", "output")} and isinstance(
                value, dict
            ):
                without(value, (*path, key))

    without(update, ())


@given(sessions, sessions)
def test_a_second_update_is_empty(sent: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert changed_only(merge_wire(sent, wanted), wanted) == {}


@given(sessions, sessions)
def test_nothing_is_shared(base: dict[str, Any], update: dict[str, Any]) -> None:
    before = copy.deepcopy((base, update))
    merged, changed = merge_wire(base, update), changed_only(base, update)
    for result in (merged, changed):
        stack: list[Any] = [result]
        while stack:
            node = stack.pop()
            if isinstance(node, dict):
                stack.extend(node.values())
                node["spoiled"] = True
            elif isinstance(node, list):
                stack.extend(node)
                node.append("spoiled")
    assert (base, update) == before


@pytest.mark.parametrize(
    ("base", "update", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
        ({"tools": [1, 2]}, {"tools": []}, {"tools": []}),
        (
            {"reasoning": {"effort": "low", "x": 1}},
            {"reasoning": {"effort": "high"}},
            {"reasoning": {"effort": "high", "x": 1}},
        ),
        (
            {"tracing": {"group_id": "g"}},
            {"tracing": {"workflow_name": "w"}},
            {"tracing": {"workflow_name": "w"}},
        ),
        ({"tracing": {"group_id": "g"}}, {"tracing": "auto"}, {"tracing": "auto"}),
        ({"prompt": {"id": "a", "version": "1"}}, {"prompt": {"id": "b"}}, {"prompt": {"id": "b"}}),
        (
            {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}},
            {"truncation": {"type": "disabled"}},
            {"truncation": {"type": "disabled"}},
        ),
        (
            {"tool_choice": {"type": "function", "name": "a"}},
            {"tool_choice": {"type": "mcp", "server_label": "s"}},
            {"tool_choice": {"type": "mcp", "server_label": "s"}},
        ),
        (
            {
                "audio": {
                    "input": {
                        "turn_detection": {"type": "server_vad", "threshold": 0.9},
                        "format": {"type": "audio/pcm", "rate": 24000},
                    }
                }
            },
            {
                "audio": {
                    "input": {"turn_detection": {"type": "semantic_vad"}},
                    "output": {"voice": {"id": "v"}},
                }
            },
            {
                "audio": {
                    "input": {
                        "turn_detection": {"type": "semantic_vad"},
                        "format": {"type": "audio/pcm", "rate": 24000},
                    },
                    "output": {"voice": {"id": "v"}},
                }
            },
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": {"id": "v"}}}},
            {"audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}},
            {"audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}},
        ),
        # Only there, not everywhere, is a key of that name one of several shapes.
        ({"x": {"format": {"a": 1}}}, {"x": {"format": {"b": 2}}}, {"x": {"format": {"a": 1, "b": 2}}}),
    ],
)
def test_merge(base: dict[str, Any], update: dict[str, Any], merged: dict[str, Any]) -> None:
    assert merge_wire(base, update) == merged


def test_merge_keeps_the_order_of_the_base() -> None:
    assert list(merge_wire({"a": 1, "b": 2}, {"c": 3, "a": 4})) == ["a", "b", "c"]


def test_an_update_names_only_what_changed() -> None:
    sent = {
        "instructions": "hi",
        "tools": [{"type": "function", "name": "f"}],
        "audio": {
            "input": {"transcription": {"model": "m", "language": "en"}, "noise_reduction": None},
            "output": {"voice": "marin", "speed": 1.0},
        },
    }
    wanted = {
        "instructions": "hi",
        "tools": [],
        "audio": {"input": {"transcription": {"language": "de"}}, "output": {"voice": "marin", "speed": 1}},
    }
    # A changed transcription is sent complete: a service may merge it or replace it.
    assert changed_only(sent, wanted) == {
        "tools": [],
        "audio": {"input": {"transcription": {"model": "m", "language": "de"}}},
    }


def test_null_is_an_update_and_absence_is_none() -> None:
    sent = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    off = {"audio": {"input": {"turn_detection": None}}}
    assert changed_only(sent, off) == off
    assert changed_only(off, off) == {}
    assert changed_only(sent, {}) == {}
    assert changed_only({}, off) == off


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ({}, True),
        ({"audio": None}, True),
        ({"audio": {"input": 3}}, True),
        ({"audio": {"input": {"turn_detection": None}}}, True),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}, True),
        ({"audio": {"input": {"turn_detection": {"interrupt_response": None}}}}, True),
        ({"audio": {"input": {"turn_detection": {"interrupt_response": 0}}}}, True),
        ({"audio": {"input": {"turn_detection": {"interrupt_response": False}}}}, False),
        ({"turn_detection": {"interrupt_response": False}}, False),
        (
            {"audio": {"input": {"turn_detection": None}}, "turn_detection": {"interrupt_response": False}},
            True,
        ),
    ],
)
def test_interrupt_response(session: dict[str, Any], expected: bool) -> None:
    assert interrupt_response(session) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, PCM16),
        ("pcm16", PCM16),
        ("g711_ulaw", PCMU),
        ({"type": "audio/pcma"}, PCMA),
        ({"type": "audio/pcm", "rate": 16000}, AudioFormat("audio/pcm", 16000)),
        ({"type": "audio/pcm", "rate": float("nan")}, PCM16),
        ({"type": "audio/opus", "rate": 48000}, AudioFormat("audio/opus", 48000)),
        ("mp3", PCM16),
        (7, PCM16),
    ],
)
def test_formats_of_a_session_are_read_leniently(value: Any, expected: AudioFormat) -> None:
    assert input_format({"audio": {"input": {"format": value}}}) == expected
    assert output_format({"audio": {"output": {"format": value}}}) == expected
    assert input_format({"input_audio_format": value}) == expected
    assert output_format({"output_audio_format": value}) == expected


@given(st.dictionaries(st.sampled_from(["audio", "turn_detection"]), anything | audio))
def test_readers_never_raise(session: dict[str, Any]) -> None:
    assert isinstance(input_format(session), AudioFormat)
    assert isinstance(output_format(session), AudioFormat)
    assert interrupt_response(session) in (True, False)
