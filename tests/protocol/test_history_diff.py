from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.protocol.history_diff import history_changes
from voxwire.protocol.items import (
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    McpCallItem,
    MessageItem,
    OtherItem,
    OutputAudio,
    RealtimeItem,
)


def user(item_id: str, text: str = "hi") -> MessageItem:
    return MessageItem(item_id, "user", (InputText(text),))


def agent(item_id: str, words: str = "hello") -> MessageItem:
    return MessageItem(item_id, "assistant", (OutputAudio(words),))


def mcp(item_id: str) -> McpCallItem:
    return McpCallItem(item_id, "server", "tool")


def changes(
    old: list[RealtimeItem], new: list[RealtimeItem]
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    count = itertools.count(1)
    change = history_changes(old, new, lambda: f"new{next(count)}")
    brief: list[tuple[str, ...]] = []
    for event in change.events:
        if event["type"] == "conversation.item.delete":
            brief.append(("-", event["item_id"]))
        else:
            brief.append(("+", event["item"]["id"], event["previous_item_id"]))
    return brief, change.skipped


def test_nothing_changes_nothing() -> None:
    assert changes([user("a"), agent("b"), mcp("m")], [user("a"), agent("b"), mcp("m")]) == ([], ())


def test_behaviour_35_delete_first_then_create_in_place() -> None:
    old = [user("a"), agent("b"), user("c")]
    assert changes(old, [user("a"), user("c", "changed"), user("d")]) == (
        [("-", "b"), ("-", "c"), ("+", "c", "a"), ("+", "d", "c")],
        (),
    )
    assert changes([], [user("a")]) == ([("+", "a", "root")], ())


def test_moving_touches_as_few_as_possible() -> None:
    old = [user(name) for name in "abcde"]
    new = [user(name) for name in "ebcda"]
    assert changes(old, new)[0] == [("-", "a"), ("-", "e"), ("+", "e", "root"), ("+", "a", "d")]


def test_behaviour_36_agent_speech_is_restored_as_text() -> None:
    change = history_changes([], [agent("b", "what was heard")], lambda: "x")
    assert change.events[0]["item"] == {
        "id": "b",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "what was heard"}],
    }


def test_a_call_and_its_output_are_two_items() -> None:
    call = FunctionCallItem("f", "c", "tool", "{}", "42", "completed", None, "o")
    assert changes([], [call, user("a")]) == (
        [("+", "f", "root"), ("+", "new1", "f"), ("+", "a", "new1")],
        (),
    )
    assert changes([call], []) == ([("-", "f"), ("-", "o")], ())
    assert changes([call], [call, user("a")]) == ([("+", "a", "o")], ())
    event = history_changes([], [call], lambda: "n").events[1]
    assert event["item"] == {"type": "function_call_output", "call_id": "c", "output": "42", "id": "n"}


def test_what_a_client_cannot_create_is_never_moved_by_deleting_it() -> None:
    assert changes([mcp("m"), user("a"), user("b")], [user("a"), user("b"), mcp("m")])[0] == [
        ("-", "a"),
        ("-", "b"),
        ("+", "a", "root"),
        ("+", "b", "a"),
    ]
    swapped = changes([mcp("m"), mcp("n")], [mcp("n"), mcp("m")])
    assert swapped == ([], ())
    assert changes([mcp("m")], [])[0] == [("-", "m")]


def test_what_cannot_be_created_is_named() -> None:
    silent = MessageItem("s", "user", (InputAudio(),))
    assert changes([], [mcp("m"), silent]) == ([], ("m", "s"))


def test_pictures_and_unknown_items_are_restored() -> None:
    items: list[RealtimeItem] = [
        MessageItem("p", "user", (InputImage("data:image/png;base64,AA", "low"),)),
        OtherItem("x", {"id": "x", "type": "new_kind"}),
    ]
    events = history_changes([], items, lambda: "n").events
    assert events[0]["item"]["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
    ]
    assert events[1]["item"] == {"id": "x", "type": "new_kind"}


def test_an_id_may_be_there_once() -> None:
    with pytest.raises(ValueError, match="'a' is in the new history twice"):
        history_changes([], [user("a"), user("a")], lambda: "n")


def apply(old: list[str], events: list[dict[str, Any]]) -> list[str]:
    order = list(old)
    for event in events:
        if event["type"] == "conversation.item.delete":
            order.remove(event["item_id"])
        else:
            previous = event["previous_item_id"]
            at = 0 if previous == "root" else order.index(previous) + 1
            order.insert(at, event["item"]["id"])
    return order


@given(
    st.lists(st.sampled_from("abcdefghij"), unique=True),
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.booleans()), unique_by=lambda pair: pair[0]),
)
def test_a_service_that_follows_has_the_new_history(old: list[str], new: list[tuple[str, bool]]) -> None:
    wanted = [user(name, "changed" if changed else "hi") for name, changed in new]
    change = history_changes([user(name) for name in old], wanted, lambda: "n")
    assert apply(old, list(change.events)) == [name for name, _ in new]
    assert change.skipped == ()


@given(st.permutations("abMcdNef"))
def test_fixed_items_hold_the_others_in_order(order: list[str]) -> None:
    def item(name: str) -> RealtimeItem:
        return mcp(name) if name.isupper() else user(name)

    change = history_changes([item(name) for name in "abMcdNef"], [item(name) for name in order], lambda: "n")
    result = apply(list("abMcdNef"), list(change.events))
    assert sorted(result) == sorted(order)
    if order.index("M") < order.index("N"):
        assert result == list(order)
