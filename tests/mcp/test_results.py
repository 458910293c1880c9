"""MCP results as text and pictures."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.mcp.results import McpToolError, error_text, result_text, result_value
from voxwire.tools.images import ToolImage


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": []}, ""),
        ({}, ""),
        ({"content": "odd"}, ""),
        ({"content": [], "structuredContent": {"é": 1}}, '{"é": 1}'),
        ({"content": [{"type": "text", "text": "a"}], "structuredContent": {"b": 1}}, "a"),
        ({"content": [{"type": "audio", "data": "x", "mimeType": "audio/wav"}]}, "[audio: audio/wav]"),
        ({"content": [{"type": "image", "mimeType": "image/png"}]}, "[image: image/png]"),
        ({"content": [{"type": "resource_link", "name": "Doc", "uri": "file:///d"}]}, "Doc: file:///d"),
        ({"content": [{"type": "resource_link"}]}, "resource: "),
        ({"content": [{"type": "resource", "resource": {"text": "T", "uri": "u"}}]}, "T"),
        (
            {"content": [{"type": "resource", "resource": {"blob": "x", "uri": "u", "mimeType": "m"}}]},
            "[resource: u, m]",
        ),
        ({"content": [{"type": "resource"}]}, "[resource: unnamed, binary]"),
        ({"content": [{"type": "new", "x": 1}, 3]}, '{"type": "new", "x": 1}'),
    ],
)
def test_text(result: dict[str, Any], text: str) -> None:
    assert result_text(result) == text
    assert result_value(result) == text


def test_pictures_stay_pictures() -> None:
    result = {
        "content": [
            {"type": "text", "text": "Look:"},
            {"type": "image", "data": "aGk=", "mimeType": "image/jpeg"},
            {"type": "image", "data": "aGk=", "mimeType": "odd"},
        ]
    }
    words, first, second = result_value(result)
    assert words == "Look:"
    assert isinstance(first, ToolImage)
    assert isinstance(second, ToolImage)
    assert (first.url, second.url) == ("data:image/jpeg;base64,aGk=", "data:image/png;base64,aGk=")
    assert result_text(result) == "Look:\n[image: image/jpeg]\n[image: odd]"


def test_errors() -> None:
    assert error_text({"content": []}) is None
    assert error_text({"isError": True}) == "the tool failed"
    with pytest.raises(McpToolError, match=r"^no such city$"):
        result_value({"isError": True, "content": [{"type": "text", "text": "no such city"}]})
