"""`@openai/agents` (npm) and `openai-agents` (PyPI): the same scenarios, the same outcome."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.server.speech.phrases import STORIES

STORY = f"Hello, this is Leo. {STORIES[0]}"
SERVER_VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}


def messages(report: Any) -> list[dict[str, Any]]:
    return [item for item in report.end["history"] if item["type"] == "message"]


async def test_text_turn(client: Any) -> None:
    report = await client.play({"text": "Hello!"}, {"until": "response.done"})
    assert report.of("error") == []
    assert messages(report) == [
        {"type": "message", "role": "user", "text": "Hello!"},
        {"type": "message", "role": "assistant", "text": "Hello! I am Ava. How can I help you?"},
    ]
    [done] = report.wire("response.done")
    assert done["response"]["status"] == "completed"
    assert report.end["tokens"] == done["response"]["usage"]["total_tokens"] > 0
    sent = sum(event["delta"] for event in report.wire("response.output_audio.delta"))
    assert report.end["audio_bytes"] == sent > PCM16.size_of(1000)


async def test_text_only(client: Any) -> None:
    report = await client.play({"text": "Hello!"}, {"until": "response.done"}, modalities=["text"])
    assert report.of("error") == []
    assert messages(report)[-1]["text"] == "Hello! I am Ava. How can I help you?"
    assert report.wire("response.output_audio.delta") == []
    assert report.wire("response.output_text.done")[0]["text"] == "Hello! I am Ava. How can I help you?"
    assert report.end["audio_bytes"] == 0


@pytest.mark.parametrize(
    ("format", "file", "question", "tool", "answer"),
    [
        (PCM16, "1-weather.wav", "What is the weather in Tokyo?", "get_weather", "It is sunny in Tokyo."),
        (
            PCMU,
            "2-table.wav",
            "Please book a table for two on Friday.",
            "book_table",
            "A table for 2 is booked for Friday.",
        ),
    ],
    ids=["pcm16", "g711"],
)
async def test_audio_turn(
    client: Any, recording: Any, format: AudioFormat, file: str, question: str, tool: str, answer: str
) -> None:
    """Spoken question, recognised; the tool is called; the answer is spoken, in the same format."""
    report = await client.play(
        {"audio": recording(file, format)},
        {"until": "response.done", "times": 2},
        {"until": "conversation.item.input_audio_transcription.completed"},
        {"until": "conversation.item.done", "times": 4},
        format=format,
    )
    assert report.of("error") == []
    [transcript] = report.wire("conversation.item.input_audio_transcription.completed")
    assert transcript["transcript"] == question
    assert report.of("tool_end") == [{"agent": "Ava", "tool": tool, "output": answer}]
    assert report.texts("user") == [question]
    assert report.texts("assistant") == [answer]
    assert format.duration_ms(report.end["audio_bytes"]) > 800
    turn = [name for name in report.types() if name.startswith("input_audio_buffer.")]
    assert turn == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
    ]


async def test_tool_call(client: Any) -> None:
    report = await client.play(
        {"text": "Please book a table for two on Friday."}, {"until": "response.done", "times": 2}
    )
    assert report.of("error") == []
    arguments = {"day": "Friday", "people": 2}
    assert report.of("tool_start") == [{"agent": "Ava", "tool": "book_table", "arguments": arguments}]
    assert report.of("tool_end") == [
        {"agent": "Ava", "tool": "book_table", "output": "A table for 2 is booked for Friday."}
    ]
    [call] = [item for item in report.end["history"] if item["type"] == "function_call"]
    assert call["output"] == "A table for 2 is booked for Friday."
    assert report.texts("assistant") == ["A table for 2 is booked for Friday."]


async def test_handoff(client: Any) -> None:
    """The other agent's instructions are in force when it speaks, and its tools (it has none) replace the first one's."""
    report = await client.play(
        {"text": "Please let me talk to the storyteller."},
        {"until": "response.done", "times": 2},
        {"text": "Who are you?"},
        {"until": "response.done", "times": 3},
    )
    assert report.of("error") == []
    assert report.of("handoff") == [{"from": "Ava", "to": "Leo"}]
    assert report.end["agent"] == "Leo"
    greeting, answer = report.texts("assistant")
    assert greeting.startswith("Hello, this is Leo.")
    assert answer.startswith("I am Leo.")
    session = report.wire("session.updated")[-1]["session"]
    assert session["instructions"].startswith("You are Leo")
    assert session["tools"] == []


@pytest.mark.parametrize("turn_detection", [None, SERVER_VAD], ids=["semantic_vad", "server_vad"])
async def test_barge_in(client: Any, recording: Any, turn_detection: Any) -> None:
    """The user speaks over a story that was sent in a second and takes a minute to hear.

    Ava hands over to Leo for it, so an agent is interrupted that did not begin the session.
    """
    scenario = {} if turn_detection is None else {"turn_detection": turn_detection}
    report = await client.play(
        {"text": "Tell me a long story."},
        {"until": "audio"},
        {"pause_ms": 3000},
        {"audio": recording("5-stop.wav")},
        {"until": "conversation.item.truncated"},
        {"until": "conversation.item.input_audio_transcription.completed"},
        {"until": "response.done", "times": 3},
        # The clients ask for the truncated item by themselves; this is the answer to the question after theirs.
        {"wire": {"type": "conversation.item.retrieve", "item_id": "no-such-item"}},
        {"until": "error"},
        **scenario,
    )
    assert report.of("interrupted") == [{"agent": "Leo"}]
    [truncated] = report.wire("conversation.item.truncated")
    assert 3000 <= truncated["audio_end_ms"] <= 6000
    told, reply = report.texts("assistant")
    assert told == STORY[: len(told)], "what was heard is the beginning of the story"
    assert len("Hello, this is Leo.") < len(told) < 120
    assert STORY[len(told)] == " ", "it ends with a word"
    assert reply.startswith("All right, I will stop.")
    assert report.texts("user")[-1] == "Stop, please. Thank you."
    [error] = report.of("error")
    assert "no-such-item" in error["message"]
