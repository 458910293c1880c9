from __future__ import annotations

from typing import Any

import pytest

from voxwire.protocol.items import (
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalRequestItem,
    McpCallItem,
    McpListToolsItem,
    MessageItem,
    OtherItem,
    OtherPart,
    OutputAudio,
    OutputText,
    item_from_wire,
    item_text,
    item_to_wire,
)


def message(*content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"id": "m", "type": "message", "role": role, "content": list(content), **more}


@pytest.mark.parametrize(
    ("role", "raw", "part"),
    [
        ("user", {"type": "input_text", "text": "x"}, InputText("x")),
        ("user", {"type": "text", "text": "x"}, InputText("x")),
        ("assistant", {"type": "text", "text": "x"}, OutputText("x")),
        ("assistant", {"type": "output_text", "text": None}, OutputText("")),
        ("user", {"type": "input_audio", "transcript": "x", "audio": "AA"}, InputAudio("x", "AA")),
        ("assistant", {"type": "audio", "transcript": "x"}, OutputAudio("x")),
        ("assistant", {"type": "output_audio"}, OutputAudio(None)),
        ("user", {"type": "input_image", "image_url": "u", "detail": "low"}, InputImage("u", "low")),
        ("user", {"type": "new", "x": 1}, OtherPart({"type": "new", "x": 1})),
        ("user", 3, OtherPart({"type": "invalid", "value": 3})),
    ],
)
def test_parts(role: str, raw: Any, part: Any) -> None:
    item = item_from_wire(message(raw, role=role))
    assert isinstance(item, MessageItem)
    assert item.content == (part,)
    assert item.content[0].type


@pytest.mark.parametrize(
    ("raw", "item"),
    [
        (
            {"id": "f", "type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
            FunctionCallItem("f", "c", "n", "{}"),
        ),
        (
            {
                "id": "k",
                "type": "mcp_call",
                "server_label": "s",
                "name": "n",
                "output": "o",
                "error": {"x": 1},
            },
            McpCallItem("k", "s", "n", "", "o", {"x": 1}, None, "completed"),
        ),
        ({"id": "q", "type": "mcp_approval_request", "name": "n"}, McpApprovalRequestItem("q", "", "n")),
        ({"id": "l", "type": "mcp_list_tools", "tools": 3}, McpListToolsItem("l", "")),
        ({"id": "o", "type": "new", "x": 1}, OtherItem("o", {"id": "o", "type": "new", "x": 1})),
    ],
)
def test_items(raw: dict[str, Any], item: Any) -> None:
    read = item_from_wire(raw)
    assert read == item
    assert read is not None
    assert read.type == raw["type"]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"id": ""},
        {"id": 3, "type": "message"},
        {"id": "o", "type": "function_call_output"},
        {"id": "o", "type": "mcp_approval_response"},
    ],
)
def test_what_is_no_item_of_its_own(raw: dict[str, Any]) -> None:
    assert item_from_wire(raw) is None


def test_odd_roles_and_statuses() -> None:
    item = item_from_wire(
        message(role="alien", status=["x"]), default_status="in_progress", previous_item_id="p"
    )
    assert item == MessageItem("m", "user", (), "in_progress", "p")
    assert item_from_wire({"id": "m", "type": "message", "content": 3, "status": "new"}) == MessageItem(
        "m", "user"
    )


def test_behaviour_44_the_words_of_an_item() -> None:
    parts = (InputText("a"), InputAudio("b"), InputAudio(), InputImage("u"), OutputAudio("c"), OutputText(""))
    item = MessageItem("m", "user", parts)
    assert item.text == item_text(item) == "a b c"
    assert item_text(FunctionCallItem("f", "c", "n")) == ""


def test_back_to_the_wire() -> None:
    parts = (
        InputText("a"),
        InputAudio("said", None),
        InputAudio("said", "AA"),
        InputAudio(),
        OutputAudio("heard", "heard and not", 3),
        OutputAudio(),
        InputImage("u"),
        OtherPart({"type": "new"}),
    )
    assert item_to_wire(MessageItem("m", "user", parts))[0]["content"] == [
        {"type": "input_text", "text": "a"},
        {"type": "input_text", "text": "said"},
        {"type": "input_audio", "audio": "AA", "transcript": "said"},
        {"type": "output_text", "text": "heard"},
        {"type": "input_image", "image_url": "u"},
        {"type": "new"},
    ]
    assert item_to_wire(MessageItem("m", "user", (InputAudio(),))) == []
    assert len(item_to_wire(FunctionCallItem("f", "c", "n"))) == 1
    assert item_to_wire(McpCallItem("k", "s", "n")) == []
