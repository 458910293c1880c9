from __future__ import annotations

from typing import Any

import pytest

from voxwire.errors import UserError
from voxwire.protocol import commands
from voxwire.protocol.transport_events import ItemTruncation


def ids(prefix: str) -> str:
    return f"{prefix}_1"


def test_a_text_message() -> None:
    assert commands.create_message("hi", {"previous_item_id": "p"}, ids) == {
        "type": "conversation.item.create",
        "event_id": "event_1",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        "previous_item_id": "p",
    }


def test_a_structured_message_is_taken_as_it_is() -> None:
    message = {"role": "system", "content": ({"type": "input_text", "text": "x"},)}
    item = commands.create_message(message, None, ids)["item"]
    assert item == {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}


@pytest.mark.parametrize("message", [{}, {"content": []}, {"content": "text"}])
def test_a_structured_message_needs_content(message: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="'content' list"):
        commands.create_message(message, None, ids)


@pytest.mark.parametrize("url", ["data:image/png;base64,AA", "https://x/y.png", "http://x/y.png"])
def test_pictures(url: str) -> None:
    assert commands.image_message(url, None)["content"] == [{"type": "input_image", "image_url": url}]


def test_a_path_is_no_picture() -> None:
    with pytest.raises(UserError, match="got '/tmp"):
        commands.image_message("/tmp/x.png" + "x" * 100, None)


def test_answers() -> None:
    assert commands.mcp_approval_response("q", True, None, ids)["item"] == {
        "type": "mcp_approval_response",
        "approval_request_id": "q",
        "approve": True,
    }
    assert commands.mcp_approval_response("q", False, "", ids)["item"]["reason"] == ""
    assert "response_id" not in commands.cancel_response("", ids)
    assert commands.cancel_response("r", ids)["response_id"] == "r"
    cut = commands.truncate(ItemTruncation("a", 1, 250), ids)
    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("a", 1, 250)


@pytest.mark.parametrize(
    ("session", "left"),
    [
        ({"audio": {"output": {"voice": "x"}}}, {}),
        ({"audio": {"output": {"voice": "x", "speed": 2}}}, {"audio": {"output": {"speed": 2}}}),
        ({"a": 1, "audio": {"input": {}, "output": {"voice": "x"}}}, {"a": 1, "audio": {"input": {}}}),
        ({"audio": {"output": None}}, {"audio": {"output": None}}),
        ({"audio": None}, {"audio": None}),
    ],
)
def test_without_voice(session: dict[str, Any], left: dict[str, Any]) -> None:
    assert commands.without_voice(session) == left
