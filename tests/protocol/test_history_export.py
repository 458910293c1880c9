from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import UserError
from voxwire.protocol.history_export import ItemTimes, history_to_text, history_to_webvtt
from voxwire.protocol.history_json import history_from_json, history_to_json, item_from_dict
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
)

text = st.text(max_size=12)
maybe = st.none() | text
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
raw = st.dictionaries(text, json_values, max_size=3)
statuses = st.sampled_from(["in_progress", "completed", "incomplete"])
parts = st.one_of(
    st.builds(InputText, text),
    st.builds(InputAudio, maybe, maybe),
    st.builds(InputImage, text, maybe),
    st.builds(OutputText, text),
    st.builds(OutputAudio, maybe, maybe, st.none() | st.integers(0), maybe),
    st.builds(OtherPart, raw),
)
items = st.one_of(
    st.builds(
        MessageItem,
        text,
        st.sampled_from(["user", "assistant", "system"]),
        st.lists(parts, max_size=3).map(tuple),
        statuses,
        maybe,
    ),
    st.builds(FunctionCallItem, text, text, text, text, maybe, statuses, maybe, maybe),
    st.builds(McpCallItem, text, text, text, text, maybe, json_values, maybe, statuses, maybe),
    st.builds(McpApprovalRequestItem, text, text, text, text, st.none() | st.booleans(), maybe),
    st.builds(McpListToolsItem, text, text, st.lists(raw, max_size=2).map(tuple), maybe),
    st.builds(OtherItem, text, raw, maybe),
)


@given(st.lists(items, max_size=5).map(tuple))
def test_a_history_survives_json(history: Any) -> None:
    assert history_from_json(history_to_json(history)) == history


def test_fields_of_a_later_version_are_passed_over() -> None:
    item = {
        "type": "message",
        "item_id": "m",
        "role": "user",
        "mood": "good",
        "content": [{"type": "input_text"}],
    }
    assert item_from_dict(item) == MessageItem("m", "user", (InputText(),))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "not JSON"),
        ("[]", "no saved history|not a saved history"),
        ('{"voxwire_history": 2}', "format 2"),
        ('{"voxwire_history": 1}', "no list"),
        ('{"voxwire_history": 1, "items": [3]}', "must be an object, got 3"),
        ('{"voxwire_history": 1, "items": [{"type": "dance"}]}', "'dance'"),
        ('{"voxwire_history": 1, "items": [{"type": "message"}]}', "cannot be read"),
        (
            '{"voxwire_history": 1, "items": [{"type": "message", "item_id": "m", "role": "user", "content": [1]}]}',
            "content part",
        ),
    ],
)
def test_what_is_no_history_is_refused(document: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        history_from_json(document)


HISTORY = (
    MessageItem("s", "system", (InputText("Be\nkind."),)),
    MessageItem("u", "user", (InputAudio("Weather <now> & then?"),)),
    FunctionCallItem("f", "c", "get_weather", '{"city": "Oslo"}', "sunny"),
    McpCallItem("m", "server", "look", "{}"),
    MessageItem("a", "assistant", (OutputAudio("It is", "It is sunny.", 400),), "incomplete"),
    MessageItem("e", "user", (InputAudio(),)),
    OtherItem("o", {"type": "novel"}),
)


def test_text() -> None:
    assert history_to_text(HISTORY).splitlines() == [
        "System: Be kind.",
        "User: Weather <now> & then?",
        '[get_weather({"city": "Oslo"}) -> sunny]',
        "[look({})]",
        "Agent: It is ...",
    ]
    assert history_to_text(()) == ""


def test_captions_in_order_of_time() -> None:
    times = {
        "a": ItemTimes(3_723_004.4, 3_723_404.4),
        "u": ItemTimes(1000, 2500),
        "f": ItemTimes(2600, 2700),
        "s": ItemTimes(0, None, spoken=False),
    }
    assert history_to_webvtt(HISTORY, times) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.000\n<v System>Be kind.\n\n"
        "00:00:01.000 --> 00:00:02.500\n<v User>Weather &lt;now&gt; &amp; then?\n\n"
        "01:02:03.004 --> 01:02:03.404\n<v Agent>It is ...\n"
    )


def test_a_caption_without_an_end_stays_as_long_as_it_takes_to_read() -> None:
    one, two = (MessageItem(i, "user", (InputText("x" * 100),)) for i in "ab")
    times = {"a": ItemTimes(0, None, spoken=False), "b": ItemTimes(0, None)}
    lines = history_to_webvtt((one, two), times).splitlines()
    assert lines[2] == "00:00:00.000 --> 00:00:00.001"
    assert lines[5] == "00:00:00.000 --> 00:00:06.480"
    assert history_to_webvtt((), {}) == "WEBVTT\n"
    assert json.loads(history_to_json(())) == {"voxwire_history": 1, "items": []}
