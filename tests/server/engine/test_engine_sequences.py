"""The order and the content of server events, as clients of the service know them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from voxwire.server.engine import (
    CancelResponse,
    CancelTranscription,
    Close,
    FeedTranscription,
    FinishTranscription,
    SetTimer,
    SpokenPiece,
    SpokenWord,
    StartResponse,
    StartTranscription,
)
from voxwire.server.limits import Limits

MESSAGE_OPEN = ["response.output_item.added", "conversation.item.added", "response.content_part.added"]
AUDIO_DELTAS = ["response.output_audio_transcript.delta", "response.output_audio.delta"]
AUDIO_CLOSE = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
]
END = ["response.done", "rate_limits.updated"]


def test_first_event_tells_the_whole_session(bench: Any) -> None:
    created = bench.of(type(bench.actions[1]))[0].event
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["object"] == "realtime.session"
    assert session["id"].startswith("sess_")
    assert session["expires_at"] == 1000 + 3600
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["tools"] == []


def test_typed_message_is_added_and_done(bench: Any) -> None:
    first = bench.user("hello", id="one")
    second = bench.user("again")
    assert bench.types(first) == ["conversation.item.added", "conversation.item.done"]
    assert first[0]["previous_item_id"] is None
    assert second[0]["previous_item_id"] == "one"
    item = first[1]["item"]
    assert item["status"] == "completed"
    assert item["content"] == [{"type": "input_text", "text": "hello"}]


def test_spoken_reply_in_the_service_order(bench: Any) -> None:
    bench.user("hello")
    assert bench.types(bench.send("response.create")) == ["response.created"]
    assert bench.types(bench.say("Hello there.")) == [*MESSAGE_OPEN, *AUDIO_DELTAS, *AUDIO_DELTAS]
    events = bench.finish()
    assert bench.types(events) == [*AUDIO_CLOSE, *END]
    done = events[-2]["response"]
    assert done["status"] == "completed"
    assert done["status_details"] is None
    assert done["output"][0]["status"] == "completed"
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hello there."}]
    assert events[2]["part"] == {"type": "audio", "transcript": "Hello there."}


def test_written_reply_in_the_service_order(bench: Any) -> None:
    bench.update(output_modalities=["text"])
    bench.user("hello")
    bench.send("response.create")
    assert bench.plan.request.modalities == ("text",)
    events = bench.take(bench.engine.wrote(bench.plan.response_id, "Hi", bench.now))
    events += bench.take(bench.engine.wrote(bench.plan.response_id, " you", bench.now))
    events += bench.finish()
    assert bench.types(events) == [
        *MESSAGE_OPEN,
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        *END,
    ]
    assert events[-2]["response"]["output"][0]["content"] == [{"type": "output_text", "text": "Hi you"}]
    assert events[-2]["response"]["usage"]["output_token_details"] == {"text_tokens": 2, "audio_tokens": 0}


def test_several_calls_in_one_response(bench: Any) -> None:
    bench.user("weather?")
    bench.send("response.create")
    bench.say("One moment.")
    events = []
    for city in ("Rome", "Oslo"):
        events += bench.take(
            bench.engine.called(bench.plan.response_id, "weather", f'{{"city":"{city}"}}', bench.now)
        )
    call = [
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert bench.types(events) == [*AUDIO_CLOSE, *call, *call]
    done = bench.finish()[0]["response"]
    kinds = [item["type"] for item in done["output"]]
    assert kinds == ["message", "function_call", "function_call"]
    assert len({item["call_id"] for item in done["output"][1:]}) == 2
    assert [event["output_index"] for event in events if event["type"] == "response.output_item.done"] == [
        0,
        1,
        2,
    ]
    outputs = [
        bench.send(
            "conversation.item.create",
            item={"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"},
        )
        for item in done["output"][1:]
    ]
    assert all("error" not in bench.types(events) for events in outputs)


def test_one_call_only_without_parallel_calls(bench: Any) -> None:
    bench.update(parallel_tool_calls=False)
    bench.send("response.create")
    for _ in range(2):
        bench.take(bench.engine.called(bench.plan.response_id, "weather", "{}", bench.now))
    assert len(bench.finish()[0]["response"]["output"]) == 1


def test_spoken_turn_in_the_service_order(bench: Any) -> None:
    bench.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    bench.hear(0.0, 1000)
    events = bench.utter(800)
    assert bench.types(events) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped, committed, added = events[:4]
    assert started["audio_start_ms"] == 700  # 300 ms of padding before 1000
    assert stopped["audio_end_ms"] == 2300
    assert started["item_id"] == stopped["item_id"] == committed["item_id"] == added["item"]["id"]
    assert not bench.of(StartResponse)  # waits for the text
    assert bench.take(bench.engine.partial(committed["item_id"], "what is the", bench.now)) == []
    events = bench.take(bench.engine.transcribed(committed["item_id"], "what is the time", 1.6, bench.now))
    kind = "conversation.item.input_audio_transcription"
    assert bench.types(events) == [f"{kind}.delta", f"{kind}.completed"]
    assert events[0]["delta"] == events[1]["transcript"] == "what is the time"
    assert events[1]["usage"] == {"type": "duration", "seconds": 1.6}
    heard = bench.plan.request.items[-1]
    assert heard["content"][0]["transcript"] == "what is the time"


def test_streaming_transcription_tells_what_is_settled(bench: Any) -> None:
    bench.update(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})
    item_id = bench.utter(800)[0]["item_id"]
    texts = ("I saw", "I sawed", "I sawed the", "I sawed the tree", "I sawed the tree down")
    answers = [bench.take(bench.engine.partial(item_id, text, bench.now)) for text in texts]
    told = [[event["delta"] for event in events] for events in answers]
    assert told == [[], ["I "], ["sawed"], [" the"], [" tree"]]
    events = bench.take(bench.engine.transcribed(item_id, "I sawed the tree down.", 1.0, bench.now))
    assert [event.get("delta") for event in events] == [" down.", None]


def test_streaming_that_was_wrong_is_corrected_at_the_end(bench: Any) -> None:
    bench.update(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}})
    item_id = bench.utter(800)[0]["item_id"]
    for text in ("I saw it", "I saw it", "We saw", "We saw"):
        bench.take(bench.engine.partial(item_id, text, bench.now))
    events = bench.take(bench.engine.transcribed(item_id, "We saw", 1.0, bench.now))
    assert [event.get("transcript") for event in events] == ["We saw"]


def test_audio_of_a_turn_goes_to_the_transcriber_once(bench: Any) -> None:
    bench.hear(0.0, 1000)
    bench.utter(800)
    fed = b"".join(action.pcm for action in bench.of(FeedTranscription))
    assert len(fed) == (2300 - 700) * 48
    assert len(bench.of(StartTranscription)) == len(bench.of(FinishTranscription)) == 1
    item_id = bench.of(FinishTranscription)[0].item_id
    retrieved = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert len(base64.b64decode(retrieved["content"][0]["audio"])) == len(fed)


def test_transcript_is_for_the_responder_only_when_not_asked_for(bench: Any) -> None:
    events = bench.utter(800, "good morning")
    assert not any("transcription" in event["type"] for event in events)
    item_id = bench.of(FinishTranscription)[0].item_id
    retrieved = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert retrieved["content"][0]["transcript"] is None
    assert bench.plan.request.items[0]["content"][0]["transcript"] == "good morning"


def test_failed_transcription_is_reported_and_answered(bench: Any) -> None:
    bench.update(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    bench.utter(800)
    item_id = bench.of(FinishTranscription)[0].item_id
    events = bench.take(bench.engine.transcription_failed(item_id, "no model", bench.now))
    assert bench.types(events) == ["conversation.item.input_audio_transcription.failed"]
    assert events[0]["error"]["code"] == "transcription_failed"
    assert bench.plan.request.items[0]["content"][0]["transcript"] == ""


def test_transcription_tokens_of_the_gpt_4o_family(bench: Any) -> None:
    bench.update(audio={"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}})
    events = bench.utter(800, "eight letters")
    assert events[-1]["usage"]["type"] == "tokens"
    assert events[-1]["usage"]["input_token_details"] == {"text_tokens": 0, "audio_tokens": 8}


def test_barge_in_cancels_and_truncation_cuts_at_the_word(bench: Any) -> None:
    bench.user("tell me")
    bench.send("response.create")
    response_id = bench.plan.response_id
    spoken = bench.say("One two three four.")
    events = bench.hear(1.0, 100)
    assert bench.types(events) == ["input_audio_buffer.speech_started", *AUDIO_CLOSE, *END]
    done = events[-2]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert bench.of(CancelResponse)[-1].response_id == response_id
    assert bench.say() == []  # what still comes is ignored
    item_id = spoken[0]["item"]["id"]
    events = bench.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=250)
    assert events[0] == {
        "type": "conversation.item.truncated",
        "event_id": events[0]["event_id"],
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": 250,
    }
    item = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == "One two"
    assert len(base64.b64decode(item["content"][0]["audio"])) == 250 * 48
    bench.hear(0.0, 500)
    bench.take(bench.engine.transcribed(bench.of(FinishTranscription)[-1].item_id, "stop", 1, bench.now))
    contents = [item["content"][0] for item in bench.plan.request.items]
    assert contents[1] == {"type": "output_audio", "transcript": "One two"}


@pytest.mark.parametrize(
    ("end_ms", "heard"),
    [(0, ""), (99, ""), (100, "One"), (399, "One two three"), (400, "One two three four.")],
)
def test_truncation_positions(bench: Any, end_ms: int, heard: str) -> None:
    bench.send("response.create")
    item_id = bench.say("One two three four.")[0]["item"]["id"]
    bench.finish()
    bench.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=end_ms)
    item = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == heard
    again = bench.send(
        "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=end_ms + 1
    )
    assert bench.error(again)["message"] == (
        f"Audio content of {end_ms}ms is already shorter than {end_ms + 1}ms"
    )


def test_truncation_of_a_reply_that_goes_on_keeps_the_rest_out(bench: Any) -> None:
    bench.send("response.create")
    item_id = bench.say("One two.")[0]["item"]["id"]
    bench.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
    late = SpokenPiece(" three", bytes(4800), (SpokenWord(14, 300),))
    bench.take(bench.engine.spoken(bench.plan.response_id, late, bench.now))
    bench.finish()
    item = bench.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == "One"


def test_no_interruption_when_switched_off(bench: Any) -> None:
    bench.detect(interrupt_response=False)
    bench.send("response.create")
    bench.say()
    assert bench.types(bench.hear(1.0, 800)) == ["input_audio_buffer.speech_started"]
    events = bench.hear(0.0, 500)
    assert bench.error(events)["code"] == "conversation_already_has_active_response"
    assert bench.finish()[-2]["response"]["status"] == "completed"


def test_no_response_when_switched_off(bench: Any) -> None:
    bench.detect(create_response=False)
    assert "response.created" not in bench.types(bench.utter(800, "hm"))


def test_one_default_response_at_a_time_but_others_beside_it(bench: Any) -> None:
    first = bench.send("response.create")[0]["response"]["id"]
    error = bench.error(bench.send("response.create", event_id="mine"))
    assert error["code"] == "conversation_already_has_active_response"
    assert error["event_id"] == "mine"
    assert first in error["message"]
    events = bench.send("response.create", response={"conversation": "none", "metadata": {"topic": "x"}})
    assert events[0]["response"]["conversation_id"] is None
    assert events[0]["response"]["metadata"] == {"topic": "x"}
    aside = bench.plan.response_id
    spoken = bench.say("Aside.")
    assert "conversation.item.added" not in bench.types(spoken)
    done = bench.finish()
    assert "conversation.item.done" not in bench.types(done)
    item_id = done[-2]["response"]["output"][0]["id"]
    assert bench.error(bench.send("conversation.item.retrieve", item_id=item_id))["param"] == "item_id"
    bench.take(bench.engine.finished(first, bench.now))
    assert aside != first


def test_out_of_band_response_survives_a_barge_in(bench: Any) -> None:
    bench.send("response.create", response={"conversation": "none"})
    bench.hear(1.0, 200)
    bench.say("Aside.")
    assert bench.finish()[-2]["response"]["status"] == "completed"


def test_response_with_its_own_input_and_overrides(bench: Any) -> None:
    bench.user("context", id="ctx")
    bench.user("left out")
    bench.send(
        "response.create",
        response={
            "conversation": "none",
            "input": [
                {"type": "item_reference", "id": "ctx"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "classify"}]},
            ],
            "instructions": "Be brief.",
            "tools": [{"type": "function", "name": "sort", "parameters": {}}],
            "tool_choice": "required",
            "output_modalities": ["text"],
            "max_output_tokens": 20,
        },
    )
    request = bench.plan.request
    assert [item["content"][0]["text"] for item in request.items] == ["context", "classify"]
    assert request.instructions == "Be brief."
    assert request.tools[0]["name"] == "sort"
    assert request.tool_choice == "required"
    assert request.modalities == ("text",)
    assert request.options["max_output_tokens"] == 20
    error = bench.error(
        bench.send(
            "response.create",
            response={"conversation": "none", "input": [{"type": "item_reference", "id": "no"}]},
        )
    )
    assert error["param"] == "response.input[0].id"


def test_cancel(bench: Any) -> None:
    error = bench.error(bench.send("response.cancel", event_id="e1"))
    assert error["code"] == "response_cancel_not_active"
    assert error["event_id"] == "e1"
    bench.send("response.create")
    bench.say()
    events = bench.send("response.cancel")
    assert bench.types(events) == [*AUDIO_CLOSE, *END]
    assert events[-2]["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    bench.send("response.create", response={"conversation": "none"})
    assert bench.error(bench.send("response.cancel"))["code"] == "response_cancel_not_active"
    events = bench.send("response.cancel", response_id=bench.plan.response_id)
    assert events[0]["response"]["status"] == "cancelled"


def test_cancel_while_the_text_is_still_to_come(bench: Any) -> None:
    bench.utter(800)
    events = bench.send("response.cancel")
    assert bench.types(events) == END
    item_id = bench.of(FinishTranscription)[-1].item_id
    bench.take(bench.engine.transcribed(item_id, "late", 1, bench.now))
    assert not bench.of(StartResponse)


def test_failed_response(bench: Any) -> None:
    bench.send("response.create")
    events = bench.take(bench.engine.failed(bench.plan.response_id, "no model", "model_down", bench.now))
    assert events[0]["response"]["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "model_down", "message": "no model"},
    }
    assert bench.finish() == []


def test_filtered_response(bench: Any) -> None:
    bench.send("response.create")
    bench.say()
    events = bench.take(bench.engine.incomplete(bench.plan.response_id, "content_filter", bench.now))
    assert events[-2]["response"]["status"] == "incomplete"
    assert events[-2]["response"]["status_details"]["reason"] == "content_filter"


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_token_limit_is_never_exceeded(bench: Any, modality: str) -> None:
    bench.send("response.create", response={"max_output_tokens": 5, "output_modalities": [modality]})
    events: list[dict[str, Any]] = []
    if modality == "audio":
        events += bench.say("One two three four five six.")
    else:
        events += bench.take(bench.engine.wrote(bench.plan.response_id, "One two ", bench.now))
        events += bench.take(bench.engine.wrote(bench.plan.response_id, "three four five six.", bench.now))
    done = next(event["response"] for event in events if event["type"] == "response.done")
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert 3 <= done["usage"]["output_tokens"] <= 5
    assert bench.of(CancelResponse)
    if modality == "text":
        assert done["output"][0]["content"][0]["text"] == "One two three four f"


def test_token_limit_of_a_call(bench: Any) -> None:
    bench.send("response.create", response={"max_output_tokens": 2})
    events = bench.take(bench.engine.called(bench.plan.response_id, "long_name", "{}" * 20, bench.now))
    assert bench.types(events) == END
    assert events[0]["response"]["output"] == []


def test_usage_by_modality(bench: Any) -> None:
    bench.update(instructions="x" * 40)
    bench.send(
        "conversation.item.create",
        item={
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "y" * 8},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
            ],
        },
    )
    bench.utter(1000, "hello")
    bench.say("One two.")
    usage = bench.finish()[-2]["response"]["usage"]
    assert usage["input_token_details"]["text_tokens"] == 12
    assert usage["input_token_details"]["image_tokens"] == 85
    assert usage["input_token_details"]["audio_tokens"] == 15
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 4}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == 12 + 85 + 15


def test_rate_limits_fail_the_response_and_refill(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(responses_per_minute=1))
    bench.send("response.create")
    limits = {entry["name"]: entry for entry in bench.finish()[-1]["rate_limits"]}
    assert limits["requests"] == {"name": "requests", "limit": 1, "remaining": 0, "reset_seconds": 60.0}
    events = bench.send("response.create")
    assert bench.types(events) == ["response.created", *END]
    assert events[1]["response"]["status_details"]["error"]["code"] == "rate_limit_exceeded"
    bench.now += 61
    bench.send("response.create")
    assert bench.finish()[-2]["response"]["status"] == "completed"


def test_idle_timeout_prompts_after_the_reply_was_played(bench: Any) -> None:
    bench.detect(idle_timeout_ms=5000)
    bench.utter(800, "hello")
    bench.say("One two three four.")  # 400 ms
    bench.finish()
    timer = bench.of(SetTimer)[-1]
    assert timer.at == pytest.approx(bench.now + 0.4 + 5)
    bench.hear(0.0, 6000)
    events = bench.take(bench.engine.timer(timer.name, timer.at))
    assert bench.types(events) == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert events[0]["audio_end_ms"] - events[0]["audio_start_ms"] == 5000
    assert bench.take(bench.engine.timer(timer.name, timer.at)) == []  # a response runs


def test_idle_timeout_leaves_a_speaker_alone(bench: Any) -> None:
    bench.detect(idle_timeout_ms=5000)
    bench.send("response.create")
    bench.finish()
    timer = bench.of(SetTimer)[-1]
    bench.hear(1.0, 200)
    assert bench.take(bench.engine.timer(timer.name, timer.at)) == []


def test_manual_turn(bench: Any) -> None:
    bench.update(audio={"input": {"turn_detection": None}})
    assert bench.append(1000) == []
    events = bench.send("input_audio_buffer.commit")
    assert bench.types(events) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert len(b"".join(action.pcm for action in bench.of(FeedTranscription))) == 48_000
    bench.send("response.create")
    assert not bench.of(StartResponse)
    bench.take(bench.engine.transcribed(events[0]["item_id"], "now", 1, bench.now))
    assert bench.plan.request.items[0]["content"][0]["transcript"] == "now"
    error = bench.error(bench.send("input_audio_buffer.commit"))
    assert error["code"] == "input_audio_buffer_commit_empty"


def test_commit_in_the_middle_of_a_turn_uses_its_item(bench: Any) -> None:
    started = bench.hear(1.0, 500)[0]
    events = bench.send("input_audio_buffer.commit")
    assert events[0]["item_id"] == started["item_id"]
    assert bench.hear(0.0, 800) == []  # that turn is over


def test_clear_abandons_the_turn(bench: Any) -> None:
    bench.hear(1.0, 500)
    assert bench.types(bench.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert bench.of(CancelTranscription)
    assert bench.hear(0.0, 800) == []
    started = bench.hear(1.0, 200)[0]
    assert started["audio_start_ms"] == 1000  # 300 ms of padding; positions count on


def test_items_at_a_place(bench: Any) -> None:
    bench.user("b", id="b")
    first = bench.send(
        "conversation.item.create",
        previous_item_id="root",
        item={
            "id": "a",
            "type": "message",
            "role": "system",
            "content": [{"type": "input_text", "text": "a"}],
        },
    )
    bench.user("d", id="d")
    between = bench.send(
        "conversation.item.create",
        previous_item_id="b",
        item={
            "id": "c",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "c"}],
        },
    )
    assert first[0]["previous_item_id"] is None
    assert between[0]["previous_item_id"] == "b"
    assert [item.id for item in bench.engine.conversation] == ["a", "b", "c", "d"]
    assert bench.types(bench.send("conversation.item.delete", item_id="b")) == ["conversation.item.deleted"]
    assert [item.id for item in bench.engine.conversation] == ["a", "c", "d"]


def test_deleting_an_item_releases_the_response_that_waits_for_it(bench: Any) -> None:
    events = bench.utter(800)
    bench.send("conversation.item.delete", item_id=events[2]["item_id"])
    assert bench.of(CancelTranscription)
    assert bench.plan.request.items == ()


def test_audio_of_the_client_is_understood(bench: Any) -> None:
    pcm = base64.b64encode(bytes(48_000)).decode()
    bench.send(
        "conversation.item.create",
        item={"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": pcm}]},
    )
    bench.send("response.create")
    assert not bench.of(StartResponse)
    item_id = bench.of(FinishTranscription)[0].item_id
    assert bench.take(bench.engine.transcribed(item_id, "hi", 1, bench.now)) == []
    assert bench.plan.request.items[0]["content"][0]["transcript"] == "hi"


def test_session_ends(bench: Any) -> None:
    events = bench.take(bench.engine.timer("session", bench.now))
    assert bench.error(events)["code"] == "session_expired"
    assert bench.of(Close) == [Close(1001, "Your session hit the maximum duration of 60 minutes.")]


def test_idle_session_ends(make_bench: Any) -> None:
    bench = make_bench(limits=Limits(idle_seconds=10))
    bench.now += 6
    bench.user("still here")
    assert bench.take(bench.engine.timer("idle", 110.0)) == []
    assert bench.of(SetTimer)[-1] == SetTimer("idle", 116.0)
    assert bench.error(bench.take(bench.engine.timer("idle", 116.0)))["code"] == "session_idle"
    assert bench.of(Close)


def test_semantic_vad_waits_for_the_end_of_the_thought(bench: Any) -> None:
    bench.detect(type="semantic_vad", eagerness="high")
    item_id = bench.hear(1.0, 800)[0]["item_id"]
    bench.take(bench.engine.partial(item_id, "I would like to", bench.now))
    assert bench.hear(0.0, 1900) == []
    assert "input_audio_buffer.speech_stopped" in bench.types(bench.hear(0.0, 200))
    item_id = bench.hear(1.0, 800)[0]["item_id"]
    bench.take(bench.engine.partial(item_id, "What time is it?", bench.now))
    assert "input_audio_buffer.speech_stopped" in bench.types(bench.hear(0.0, 300))


def test_semantic_vad_ends_a_turn_when_its_last_words_are_understood(bench: Any) -> None:
    """The recogniser lags behind, and no audio comes any more: a client need not send silence for ever."""
    bench.detect(type="semantic_vad", eagerness="medium")
    item_id = bench.hear(1.0, 800)[0]["item_id"]
    partial = bench.engine.partial
    assert bench.take(partial(item_id, "what is the weather", bench.now)) == [], "still speaking"
    bench.take(partial(item_id, "what is the weather in", bench.now))
    assert bench.hear(0.0, 1500) == [], "an unfinished sentence"
    events = bench.take(partial(item_id, "what is the weather in tokyo", bench.now))
    assert bench.types(events)[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    assert events[0]["audio_end_ms"] == 2300
    assert bench.take(partial(item_id, "what is the weather in tokyo today", bench.now)) == []


def test_transcription_session_listens_only(make_bench: Any) -> None:
    bench = make_bench(transcription=True, model="")
    assert bench.engine.session["object"] == "realtime.transcription_session"
    events = bench.utter(800, "take this down")
    assert "response.created" not in bench.types(events)
    assert events[-1]["transcript"] == "take this down"
    assert bench.error(bench.send("response.create"))["code"] == "invalid_session_type"
    updated = bench.send(
        "session.update", session={"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    )
    assert updated[0]["session"]["audio"]["input"]["turn_detection"] is None
