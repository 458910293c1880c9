from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.protocol.redaction import Redaction, masked, restored_audio

AUDIO = base64.b64encode(bytes(1000)).decode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "audio", "delta", "text", "token", "arguments", "item", "x"]), inner
        )
    ),
    max_leaves=20,
)
EVENTS = st.dictionaries(st.sampled_from(["type", "audio", "delta", "text", "headers", "item", "x"]), JSON)


@given(st.binary(max_size=100))
def test_audio_becomes_its_size(audio: bytes) -> None:
    text = base64.b64encode(audio).decode()
    event = {"type": "input_audio_buffer.append", "audio": text}
    assert Redaction().event(event) == {"type": event["type"], "audio": f"<{len(audio)} bytes>"}
    assert event["audio"] == text


@given(st.binary(max_size=100))
def test_an_audio_delta_is_restored_in_its_length(audio: bytes) -> None:
    event = {"type": "response.output_audio.delta", "delta": base64.b64encode(audio).decode()}
    again = restored_audio(Redaction().event(event))
    assert base64.b64decode(again["delta"]) == bytes(len(audio))


def test_broken_audio_stays_broken() -> None:
    short = Redaction().event({"type": "response.output_audio.delta", "delta": "no base64"})
    assert short["delta"] == "<broken base64, 9 characters>"
    assert restored_audio(short) == short


@pytest.mark.parametrize(
    ("event", "short"),
    [
        ({"type": "response.output_audio.delta", "delta": AUDIO}, "<1000 bytes>"),
        ({"type": "response.audio.delta", "delta": AUDIO}, "<1000 bytes>"),
        ({"type": "response.output_audio_transcript.delta", "delta": "Hello"}, "Hello"),
    ],
)
def test_only_audio_deltas_are_audio(event: dict[str, str], short: str) -> None:
    assert Redaction().event(event)["delta"] == short


def test_payloads_and_secrets_deep_inside() -> None:
    event = {
        "type": "conversation.item.create",
        "item": {
            "content": [{"audio": AUDIO}, {"image_url": f"data:image/png;base64,{AUDIO}"}, {"text": "hi"}]
        },
        "session": {"tools": [{"authorization": "Bearer x", "headers": {"X-Key": "y"}, "server_label": "z"}]},
        "audio": {"input": {"format": None}},
    }
    assert Redaction().event(event) == {
        "type": "conversation.item.create",
        "item": {
            "content": [
                {"audio": "<1000 bytes>"},
                {"image_url": "data:image/png;base64,<1000 bytes>"},
                {"text": "hi"},
            ]
        },
        "session": {"tools": [{"authorization": "<hidden>", "headers": "<hidden>", "server_label": "z"}]},
        "audio": {"input": {"format": None}},
    }


def test_masked_arguments_are_still_json() -> None:
    arguments = json.dumps({"city": "Oslo", "days": 12, "sure": None}, ensure_ascii=False)
    hidden = Redaction(transcripts=True).event({"type": "x", "arguments": arguments, "name": "get"})
    assert hidden["name"] == "get"
    assert hidden["arguments"].startswith('{"xxxx": "xxxx", "xxxx": 11')


@given(st.text())
def test_a_mask_keeps_lengths_and_the_ends_of_words(text: str) -> None:
    hidden = masked(text)
    assert len(hidden) == len(text)
    assert [c.isspace() for c in hidden] == [c.isspace() for c in text]
    assert [c.isascii() for c in hidden] == [c.isascii() for c in text]


@given(EVENTS, st.booleans())
def test_twice_is_once(event: dict, transcripts: bool) -> None:
    redaction = Redaction(transcripts=transcripts)
    once = redaction.event(event)
    assert redaction.event(once) == once


def test_secrets_are_hidden_wherever_they_are() -> None:
    redaction = Redaction().with_secrets(["sk-1", ""])
    assert redaction.line({"note": "my sk-1 is", "sk-1": 1}) == '{"note": "my <hidden> is", "<hidden>": 1}'
    assert "sk-1" not in repr(redaction)
