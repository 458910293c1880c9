"""Brackets are counted before the standard library's parser recurses, where it would not survive."""

from __future__ import annotations

import json

import pytest

from voxwire.errors import WireError
from voxwire.protocol import codec, wire
from voxwire.protocol.codec import SAFE_DEPTH, STANDARD, check_depth
from voxwire.tools.arguments import InvalidArgumentsError, read_json


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    "text",
    [
        nested(SAFE_DEPTH),
        "[" * SAFE_DEPTH + "]" * SAFE_DEPTH,
        json.dumps([[]] * 1000),  # many, and all shallow
        json.dumps({"type": "x", "text": "[{" * 1000 + '"\\'}),  # in a string, with quotes and backslashes
    ],
)
def test_what_is_let_through(text: str) -> None:
    check_depth(text)


@pytest.mark.parametrize(
    "text", [nested(SAFE_DEPTH + 1), "[" * 100_000, '["' + "\\" * 4 + '",' + nested(SAFE_DEPTH) + "]"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(RecursionError, match="nested deeper than 200"):
        check_depth(text)


def test_it_guards_the_parsers_in_javascript(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(codec, "_IN_JAVASCRIPT", True)
    monkeypatch.setattr(codec, "_parse", parsed.append)
    with pytest.raises(RecursionError):
        STANDARD.loads(nested(1000))
    with pytest.raises(WireError, match="nested deeper than"):
        wire.decode(nested(1000))
    assert parsed == []


def test_it_guards_a_tools_arguments_in_javascript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "emscripten")
    with pytest.raises(InvalidArgumentsError, match="nested deeper than 200"):
        read_json(nested(201))
    assert read_json('{"a": 1}') == {"a": 1}
