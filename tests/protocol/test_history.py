from __future__ import annotations

import time
from typing import Any

import pytest

from voxwire.protocol.history import MAX_PARTS, History, HistoryView
from voxwire.protocol.history_order import MAX_MISSING, ItemOrder
from voxwire.protocol.items import (
    FunctionCallItem,
    InputAudio,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
    RealtimeItem,
)


def said(item_id: str, transcript: str | None = "x", previous: str | None = None, **more: Any) -> MessageItem:
    return MessageItem(item_id, "assistant", (OutputAudio(transcript),), previous_item_id=previous, **more)


def ids(history: History) -> list[str]:
    return [item.item_id for item in history.snapshot()]


def put(history: History, item_id: str, previous: str | None = None) -> bool:
    return history.upsert(said(item_id, previous=previous), placed=previous is not None)


def words(history: History, item_id: str, index: int = 0) -> OutputAudio:
    item = history.get(item_id)
    assert isinstance(item, MessageItem)
    part = item.content[index]
    assert isinstance(part, OutputAudio)
    return part


# -- order


def test_behaviour_39_behind_the_previous_one_else_at_the_end() -> None:
    history = History()
    assert put(history, "a")
    put(history, "c", "a")
    put(history, "b", "a")
    put(history, "z", "unknown")
    assert ids(history) == ["a", "b", "c", "z"]
    assert not put(history, "b", "a")


def test_an_item_joins_its_previous_one_when_that_arrives_late_and_brings_its_followers() -> None:
    history = History()
    put(history, "b", "a")
    put(history, "c", "b")
    put(history, "other")
    put(history, "a")
    assert ids(history) == ["other", "a", "b", "c"]


def test_first_means_first() -> None:
    history = History()
    put(history, "a")
    history.upsert(said("b"), placed=True, first=True)
    assert ids(history) == ["b", "a"]


def test_words_first_place_later() -> None:
    history = History()
    assert history.add_words("reply", 0, "Hel", role="assistant", audio=True)
    put(history, "user")
    put(history, "next", "reply")
    assert not put(history, "reply", "user")
    assert ids(history) == ["user", "reply", "next"]
    history.upsert(said("reply", previous=None), placed=True, first=True)
    assert ids(history) == ["user", "reply", "next"]  # its place is known by now


def test_a_place_that_changes_is_followed() -> None:
    history = History()
    for item_id in "abc":
        put(history, item_id)
    put(history, "a", "c")
    put(history, "a", "b")
    assert ids(history) == ["b", "a", "c"]


def test_items_in_a_circle_are_all_kept() -> None:
    history = History()
    put(history, "a", "b")
    put(history, "b", "a")
    put(history, "c", "c")
    assert sorted(ids(history)) == ["a", "b", "c"]


def test_awaited_items_are_forgotten_some_day() -> None:
    order = ItemOrder()
    for number in range(MAX_MISSING * 2):
        order.add(f"i{number}", f"missing{number}")
    assert order.missing == MAX_MISSING
    order.add("missing0")
    order.add(f"missing{MAX_MISSING * 2 - 1}")
    assert list(order)[-2:] == [f"missing{MAX_MISSING * 2 - 1}", f"i{MAX_MISSING * 2 - 1}"]
    assert next(reversed(order)) == f"i{MAX_MISSING * 2 - 1}"


def test_a_deleted_item_is_gone() -> None:
    history = History()
    put(history, "a", "z")
    assert history.delete("a")
    assert not history.delete("a")
    put(history, "z")
    assert ids(history) == ["z"]
    assert "a" not in history


def test_the_oldest_are_forgotten() -> None:
    history = History(max_items=3)
    for number in range(10):
        put(history, f"i{number}")
    assert ids(history) == ["i7", "i8", "i9"]
    assert len(history._entries) == len(history) == 3
    with pytest.raises(ValueError, match="max_items=0"):
        History(max_items=0)


# -- words


def test_words_of_both_sides_grow() -> None:
    history = History()
    for piece in ("Hel", "lo."):
        history.add_words("a", 0, piece, role="assistant", audio=True)
        history.add_words("t", 0, piece, role="assistant", audio=False)
        history.add_words("u", 0, piece, role="user", audio=True)
    assert words(history, "a").transcript == "Hello."
    assert history.get("t") == MessageItem("t", "assistant", (OutputText("Hello."),), "in_progress")
    assert history.get("u") == MessageItem("u", "user", (InputAudio("Hello."),), "in_progress")


def test_the_final_wording_replaces_and_the_content_index_counts() -> None:
    history = History()
    history.add_words("a", 1, "Helo", role="assistant", audio=True)
    assert not history.set_words("a", 1, "Hello", role="assistant", audio=True)
    assert words(history, "a", 0).transcript is None
    assert words(history, "a", 1).transcript == "Hello"
    assert history.set_words("b", 0, "new", role="user", audio=True)


def test_behaviour_37_a_newer_version_without_words_keeps_them() -> None:
    history = History()
    history.upsert(said("a", "kept"))
    history.upsert(said("a", None, status="incomplete"))
    assert words(history, "a").transcript == "kept"
    item = history.get("a")
    assert isinstance(item, MessageItem)
    assert item.status == "incomplete"
    history.upsert(said("a", "newer"))
    assert words(history, "a").transcript == "newer"


def test_a_user_transcript_is_not_lost_either() -> None:
    history = History()
    history.set_words("u", 0, "hello", role="user", audio=True)
    history.upsert(MessageItem("u", "user", (InputAudio(),)))
    assert history.get("u") == MessageItem("u", "user", (InputAudio("hello"),))


def test_text_is_not_replaced_by_nothing() -> None:
    history = History()
    history.add_words("t", 0, "text", role="assistant", audio=False)
    history.upsert(MessageItem("t", "assistant", (OutputText(""),)))
    assert history.get("t") == MessageItem("t", "assistant", (OutputText("text"),))


@pytest.mark.parametrize("index", [-1, MAX_PARTS, 10**12])
def test_an_absurd_content_index_is_left_out(index: int) -> None:
    history = History()
    assert not history.add_words("a", index, "x", role="assistant", audio=True)
    assert not history.set_words("a", index, "x", role="assistant", audio=True)
    assert not history.truncate("a", index, 1, 2)
    assert not history.was_cut("a", index)
    assert len(history) == 0


def test_words_for_something_that_has_none_change_nothing() -> None:
    history = History()
    call = FunctionCallItem("f", "c", "tool")
    history.upsert(call)
    history.upsert(MessageItem("s", "system", (InputText("be brief"),)))
    for item_id in "fs":
        history.add_words(item_id, 0, "x", role="assistant", audio=True)
        history.set_words(item_id, 0, "x", role="assistant", audio=True)
    history.truncate("f", 0, 1, 2)
    history.truncate("s", 0, 1, 2)
    history.set_status("f", "incomplete")
    assert history.snapshot() == (call, MessageItem("s", "system", (InputText("be brief"),)))


def test_behaviour_40_audio_is_kept_only_if_wanted() -> None:
    item = MessageItem("a", "assistant", (OutputAudio("x", audio="UklG"), OutputText("t")))
    plain, keeping = History(), History(store_audio=True)
    plain.upsert(item)
    keeping.upsert(item)
    keeping.upsert(said("a"))
    assert words(plain, "a").audio is None
    assert words(keeping, "a").audio == "UklG"


def test_the_cost_of_a_delta_does_not_grow_with_the_conversation() -> None:
    def cost(items: int) -> float:
        history = History()
        for number in range(items):
            put(history, f"i{number}")
        best = float("inf")
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(5000):
                history.add_words("reply", 0, "word ", role="assistant", audio=True)
                HistoryView(history)
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(4000) < cost(10) * 5 + 0.01


# -- what was heard


def test_after_a_cut_only_what_was_heard_is_shown() -> None:
    history = History()
    history.upsert(said("a", "one two three four"))
    history.truncate("a", 0, 500, 1000)
    part = words(history, "a")
    assert part == OutputAudio("one two", "one two three four", 500)
    item = history.get("a")
    assert isinstance(item, MessageItem)
    assert item.status == "incomplete"
    assert history.was_cut("a", 0)


@pytest.mark.parametrize(
    ("text", "heard", "received", "shown"),
    [
        ("one two", 0, 1000, ""),
        ("one two", 0, 0, ""),
        ("one two", 100, 1000, ""),
        ("one two", 999, 1000, "one"),
        ("one two", 1000, 1000, "one two"),
        ("one two", 2000, 1000, "one two"),
        ("one two", 430, 1000, "one"),
        ("", 500, 1000, ""),
        ("いちにさんし", 500, 1000, "いちに"),
        ("x" * 100, 900, 1000, "x" * 90),
        ("one two", 3, None, "one two"),
    ],
)
def test_where_the_text_is_cut(text: str, heard: int, received: float | None, shown: str) -> None:
    history = History()
    history.upsert(said("a", text))
    history.truncate("a", 0, heard, received)
    assert words(history, "a").transcript == shown
    assert words(history, "a").full_transcript == text


def test_late_words_of_a_cut_reply_were_not_heard() -> None:
    history = History()
    history.upsert(said("a", "one two "))
    history.truncate("a", 0, 600, 1000)
    history.add_words("a", 0, "three", role="assistant", audio=True)
    history.upsert(said("a", "one two three", status="completed"))
    assert words(history, "a").transcript == "one"
    assert words(history, "a").full_transcript == "one two three"
    history.set_words("a", 0, "one two three.", role="assistant", audio=True)
    assert words(history, "a").full_transcript == "one two three."
    item = history.get("a")
    assert isinstance(item, MessageItem)
    assert item.status == "incomplete"


def test_a_cut_before_the_first_word_arrived() -> None:
    history = History()
    history.upsert(MessageItem("a", "assistant", (), "in_progress"))
    assert not history.truncate("a", 0, 0, 100)
    history.add_words("a", 0, "never heard", role="assistant", audio=True)
    assert words(history, "a") == OutputAudio("", "never heard", 0)


def test_a_cut_before_the_item_arrived() -> None:
    history = History()
    assert history.truncate("a", 0, 0, 100)
    assert words(history, "a").heard_ms == 0


def test_the_services_word_for_what_was_heard() -> None:
    history = History()
    history.upsert(said("a", "one two three four"))
    history.truncate("a", 0, 500, 1000)
    history.confirm_heard(said("a", "one two three four"))  # nothing cut there: no news
    assert words(history, "a").transcript == "one two"
    history.confirm_heard(said("a", None))
    assert words(history, "a").transcript == "one two"
    history.confirm_heard(said("a", "one two three"))
    assert words(history, "a").transcript == "one two three"
    history.confirm_heard(said("unknown", "x"))


# -- tool calls


def test_the_output_is_put_beside_the_call() -> None:
    history = History()
    history.upsert(FunctionCallItem("f", "c", "tool", '{"a": 1}'))
    assert history.set_output("other", "x") is None
    done = history.set_output("c", "42", output_item_id="o")
    assert done == FunctionCallItem("f", "c", "tool", '{"a": 1}', "42", "completed", None, "o")
    history.upsert(FunctionCallItem("f", "c", "tool", "", previous_item_id="u"))
    again = history.get_call("c")
    assert again is not None
    assert (again.output, again.arguments, again.status, again.output_item_id) == (
        "42",
        '{"a": 1}',
        "completed",
        "o",
    )


def test_what_follows_an_output_follows_the_call() -> None:
    history = History()
    history.upsert(FunctionCallItem("f", "c", "tool"))
    history.set_output("c", "42", output_item_id="o")
    put(history, "other")
    put(history, "reply", "o")
    assert ids(history) == ["f", "reply", "other"]
    history.delete("f")
    assert history.get_call("c") is None
    assert not history._output_items
    assert not history._call_items


# -- the view


def test_a_view_is_taken_when_it_is_looked_at() -> None:
    history = History()
    put(history, "a")
    early = HistoryView(history)
    put(history, "b")
    assert len(early) == 2
    put(history, "c")
    assert [item.item_id for item in early] == ["a", "b"]
    assert early[0].item_id == "a"
    assert early[:1] == (history.get("a"),)
    assert early == list(early)
    assert early != HistoryView(history)
    assert early.__eq__(3) is NotImplemented
    assert hash(early) == hash(tuple(early))
    assert repr(early).startswith("HistoryView([MessageItem(")


def test_a_snapshot_is_made_once() -> None:
    history = History()
    put(history, "a")
    first: tuple[RealtimeItem, ...] = history.snapshot()
    assert history.snapshot() is first
    history.set_status("a", "completed")
    assert history.snapshot() is first
    history.set_status("a", "incomplete")
    assert history.snapshot() is not first
