"""Turns, tools, interruption and history as the engine decides them. Numbers: docs/differences.md."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

import pytest

from voxwire.errors import ProviderError, UserError
from voxwire.protocol.actions import Emit, Play, Send
from voxwire.protocol.formats import PCM16
from voxwire.protocol.items import FunctionCallItem, InputText, MessageItem, OutputAudio
from voxwire.protocol.responses import MAX_PENDING
from voxwire.protocol.transport_events import (
    AudioDone,
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    DtmfReceived,
    ErrorEvent,
    FunctionCall,
    HistoryAdded,
    InputTimeout,
    ItemDeleted,
    ItemTruncation,
    ItemUpdate,
    McpApprovalRequest,
    McpToolCallCompleted,
    McpToolsListed,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    TurnStarted,
    UsageUpdate,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTranscriptDelta,
)

CREATE, CANCEL, TRUNCATE = "response.create", "response.cancel", "conversation.item.truncate"
RETRIEVE, ITEM = "conversation.item.retrieve", "conversation.item.create"
SPEECH = "input_audio_buffer.speech_started"


def speaks(driver: Any) -> Any:
    return driver.recv(SPEECH, item_id="u", audio_start_ms=7)


def interrupt(driver: Any) -> Any:
    return driver.do(driver.engine.interrupt(driver.now))


def hands_off(driver: Any) -> Any:
    detection = {"type": "server_vad", "interrupt_response": False}
    driver.recv("session.updated", session={"audio": {"input": {"turn_detection": detection}}})
    return driver.forget()


# -- interrupt() in every state


def test_behaviour_65_interrupt_when_idle_sends_and_tells_nothing(driver: Any) -> None:
    interrupt(driver)
    assert driver.sent == driver.told == driver.stops == []


def test_interrupt_while_requested_cancels_as_soon_as_it_exists(driver: Any) -> None:
    driver.do(driver.engine.request_response(None, driver.now)).forget()
    interrupt(driver)
    assert driver.sent == []
    driver.created("r1")
    assert [(event["type"], event["response_id"]) for event in driver.sent] == [(CANCEL, "r1")]
    driver.audio("r1", "a", 100)
    assert driver.played == []


@pytest.mark.parametrize("kind", ["text", "tool"])
def test_interrupt_stops_what_does_not_speak(driver: Any, kind: str) -> None:
    driver.created("r1")
    if kind == "text":
        driver.recv("response.output_text.delta", response_id="r1", item_id="a", delta="Hi")
    else:
        driver.call("r1", "c1")
    interrupt(driver.forget())
    assert driver.kinds() == [CANCEL]
    assert driver.events(AudioInterrupted) == [AudioInterrupted()]
    interrupt(driver.forget())
    assert driver.sent == driver.told == []


def test_behaviour_63_interrupt_while_speaking_cancels_then_truncates(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 1000).audio("r1", "a", 1000)
    driver.now += 0.75
    interrupt(driver.forget())
    assert driver.kinds() == [CANCEL, TRUNCATE]
    assert driver.sent[1]["audio_end_ms"] == 750
    assert driver.stops == [pytest.approx(750)]
    assert driver.events(AudioInterrupted) == [AudioInterrupted((ItemTruncation("a", 0, 750),))]
    driver.audio("r1", "a", 1000).audio("r1", "b", 1000)
    assert driver.played == []
    interrupt(driver.forget())
    assert driver.sent == []


def test_interrupt_in_the_tail_truncates_without_cancelling(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 10_000)
    driver.recv("response.output_audio.done", response_id="r1", item_id="a").done("r1")
    driver.now += 2.976
    interrupt(driver.forget())
    assert [(event["type"], event["audio_end_ms"]) for event in driver.sent] == [(TRUNCATE, 2976)]


def test_interrupt_after_the_last_sample_finds_nothing(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 1000).done("r1")
    driver.now += 5  # the timer is late
    interrupt(driver.forget())
    assert driver.sent == driver.stops == []
    assert driver.told == [AudioStopped()]


def test_interrupt_stops_the_tail_and_withdraws_the_next(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 1000).done("r1")
    driver.do(driver.engine.request_response(None, driver.now))
    interrupt(driver.forget())
    assert driver.kinds() == [TRUNCATE]
    driver.forget().created("r2")
    assert driver.kinds() == [CANCEL]


def test_a_cancel_that_comes_too_late_is_no_error(driver: Any) -> None:
    driver.created("r1")
    interrupt(driver)
    driver.done("r1").error(code="response_cancel_not_active", event_id=driver.sent[0]["event_id"])
    assert driver.events(ErrorEvent) == []
    driver.error(code="response_cancel_not_active", event_id="the users own")
    assert len(driver.events(ErrorEvent)) == 1


def test_out_of_band_speech_is_stopped_but_never_truncated(driver: Any) -> None:
    driver.do(driver.engine.request_response({"conversation": "none"}, driver.now))
    driver.created("side").audio("side", "s", 1000)
    interrupt(driver.forget())
    assert [(event["type"], event["response_id"]) for event in driver.sent] == [(CANCEL, "side")]
    assert len(driver.stops) == 1
    driver.audio("side", "s", 100)
    assert driver.played == []


# -- speech_started


@pytest.mark.parametrize("detection", [None, {}, {"type": "server_vad"}, {"interrupt_response": True}])
def test_barge_in_silences_at_once_and_leaves_the_cancelling_to_the_service(
    driver: Any, detection: Any
) -> None:
    driver.recv("session.updated", session={"audio": {"input": {"turn_detection": detection}}})
    driver.created("r1").audio("r1", "a", 1000)
    driver.now += 0.25
    actions = driver.engine.receive({"type": SPEECH, "item_id": "u"}, driver.now)
    assert type(actions[0]).__name__ == "StopPlayback"
    assert [action.event["type"] for action in actions if isinstance(action, Send)] == [TRUNCATE]
    assert isinstance(actions[-1], Emit)
    assert actions[-1].event == UserSpeechStarted("u", 0)
    assert driver.forget().audio("r1", "a", 1000).played == []


def test_interrupt_response_false_really_means_hands_off(driver: Any) -> None:
    hands_off(driver).created("r1").audio("r1", "a", 1000).forget()
    speaks(driver)
    assert driver.sent == driver.stops == []
    assert driver.told == [UserSpeechStarted("u", 7)]
    driver.audio("r1", "a", 1000)
    assert len(driver.played) == 1


def test_behaviour_112_speech_before_the_first_sound_discards_that_response(driver: Any) -> None:
    driver.created("r1").forget()
    speaks(driver)
    assert driver.sent == driver.stops == []
    assert driver.events(AudioInterrupted) == [AudioInterrupted()]
    speaks(driver.forget())
    assert driver.events(AudioInterrupted) == []
    assert driver.audio("r1", "a", 100).played == []
    driver.done("r1", "cancelled").created("r2").audio("r2", "b", 100)
    assert len(driver.played) == 1


def test_speech_in_the_tail_works_after_everything_was_received(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 3000).recv(
        "response.output_audio.done", response_id="r1", item_id="a"
    )
    driver.done("r1")
    driver.now += 1
    speaks(driver.forget())
    assert [(event["type"], event["audio_end_ms"]) for event in driver.sent] == [(TRUNCATE, 1000)]


def test_speech_while_nothing_runs_is_only_told(driver: Any) -> None:
    speaks(driver)
    assert driver.told == [UserSpeechStarted("u", 7)]


# -- audio


def test_behaviour_24_48_audio_begins_and_ends_with_what_is_heard(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 500).audio("r1", "a", 500)
    driver.recv("response.output_audio.done", response_id="r1", item_id="a").done("r1")
    assert driver.events(AudioStarted) == [AudioStarted("a", "r1")]
    assert driver.events(AudioDone) == [AudioDone("a", "r1")]
    assert driver.events(AudioStopped) == []
    assert driver.sent == []
    driver.wait(0.99)
    assert driver.events(AudioStopped) == []
    driver.wait(0.02)
    assert driver.events(AudioStopped) == [AudioStopped()]
    driver.created("r2").audio("r2", "b", 20)
    assert len(driver.events(AudioStarted)) == 2


def test_a_slow_sink_is_asked_again(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 100)
    driver.engine.report_heard(50.0)
    driver.done("r1").wait(5)
    assert driver.events(AudioStopped) == []
    driver.engine.report_heard(100.0)
    driver.wait(0.1)
    assert driver.events(AudioStopped) == [AudioStopped()]


@pytest.mark.parametrize("delta", ["not base64!", 3, None, "é", {}])
def test_broken_audio_is_an_error_and_nothing_else(driver: Any, delta: Any) -> None:
    driver.recv("response.output_audio.delta", response_id="r", item_id="a", delta=delta)
    assert len(driver.events(ErrorEvent)) == 1
    assert driver.played == []


def test_audio_is_an_event_like_any_other(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 20).audio("r1", "a", 20, 1)
    first, second = driver.played
    assert first == AudioEvent(bytes(960), "a", "r1")
    assert second == AudioEvent(bytes(960), "a", "r1", 1, PCM16)
    assert (hash(second), repr(second)) == (hash(dataclasses.replace(second)), repr(copy.copy(second)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.data = b""
    (play,) = driver.engine.receive(
        {"type": "response.output_audio.delta", "response_id": "r1", "item_id": "a", "delta": "AAAA"}, 0.0
    )
    assert play == Play(AudioEvent(bytes(3), "a", "r1"))


def test_audio_with_odd_fields(driver: Any) -> None:
    driver.created("r1")
    fields: list[dict[str, Any]] = [
        {"item_id": "a", "delta": "AAAA"},  # belongs to the response that runs
        {"item_id": "a", "response_id": "r1", "delta": "AAAA", "content_index": -1},
        {"item_id": "a", "response_id": "r1", "delta": "AAAA", "content_index": 10**9},
        {"item_id": "a", "response_id": "r1", "delta": "AAAA", "content_index": True},
        {"item_id": "a", "response_id": "r1", "delta": ""},
        {"response_id": "r1", "delta": "AAAA"},
    ]
    for event in fields:
        driver.recv("response.output_audio.delta", **event)
    assert [(audio.response_id, audio.content_index) for audio in driver.played] == [("r1", 0)] * 4


def test_marks_of_a_phone_line(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 1000)
    driver.engine.report_item_heard("a", 0, 400)
    interrupt(driver.forget())
    assert driver.sent[-1]["audio_end_ms"] == 400


# -- responses


def test_turns_are_told(driver: Any) -> None:
    driver.created("r1").done(
        "r1", "failed", status_details={"error": {"code": "x"}}, output=[3, {"id": "a"}]
    )
    (started,), (done,) = driver.events(TurnStarted), driver.events(TurnDone)
    assert (started.response_id, done.response_id, done.status) == ("r1", "r1", "failed")
    assert done.status_details == {"error": {"code": "x"}}
    assert done.output == ({"id": "a"},)
    assert driver.events(UsageUpdate)[0].usage.requests == 1
    assert driver.engine.usage.requests == 1


def test_two_messages_in_one_tick(driver: Any) -> None:
    for text in "ab":
        driver.do(driver.engine.send_message(text, None, driver.now))
    assert driver.kinds() == [ITEM, CREATE, ITEM]  # 74
    driver.created("r1").forget().done("r1")
    assert driver.kinds() == [CREATE]


def test_a_refusal_that_is_taken_care_of_is_not_an_error(driver: Any) -> None:
    driver.do(driver.engine.request_response(None, driver.now)).created("voice")
    busy = {"code": "conversation_already_has_active_response", "event_id": driver.sent[0]["event_id"]}
    driver.forget().error(**busy)
    assert driver.told == []
    driver.done("voice")
    assert driver.kinds() == [CREATE]


def test_a_create_that_nobody_answers(driver: Any) -> None:
    driver.do(driver.engine.request_response(None, driver.now))
    driver.do(driver.engine.request_response({"instructions": "next"}, driver.now))
    driver.forget().wait(15.1)
    assert driver.kinds() == [CREATE]
    (event,) = driver.events(ErrorEvent)
    assert isinstance(event.error, ProviderError)
    assert event.error.code == "response_timeout"
    assert event.error.retryable


def test_a_response_without_an_end(driver: Any) -> None:
    driver.created("r1")
    driver.do(driver.engine.request_response(None, driver.now))
    driver.wait(50).audio("r1", "a", 20).forget()
    driver.wait(50)
    assert driver.sent == []  # it said something meanwhile
    driver.wait(11)
    assert driver.kinds() == [CREATE]


def test_events_of_the_user_do_not_keep_a_dead_response_alive(driver: Any) -> None:
    hands_off(driver).created("r1")
    driver.do(driver.engine.request_response(None, driver.now)).forget()
    for _ in range(7):
        speaks(driver.wait(10))
    assert driver.kinds() == [CREATE]


def test_arguments_that_take_long_keep_a_response_alive(driver: Any) -> None:
    driver.created("r1")
    driver.do(driver.engine.request_response(None, driver.now)).forget()
    for _ in range(7):
        driver.wait(10).recv("response.function_call_arguments.delta", response_id="r1", delta="{")
    assert driver.sent == []


def test_the_users_own_cancel(driver: Any) -> None:
    driver.created("r1").do(driver.engine.send_event({"type": CANCEL}, driver.now))
    interrupt(driver)
    assert driver.kinds() == [CANCEL]


def test_too_many_explicit_requests(driver: Any) -> None:
    for _ in range(MAX_PENDING + 1):  # one of them is in flight
        driver.do(driver.engine.request_response({}, driver.now))
    with pytest.raises(UserError, match="already waiting; wait for one"):
        driver.engine.request_response({}, driver.now)


# -- tools


def answer(driver: Any, call_id: str, **more: Any) -> Any:
    call = next(call for call in driver.events(FunctionCall) if call.call_id == call_id)
    return driver.do(driver.engine.send_function_call_output(call, "42", driver.now, **more))


def test_behaviour_30_32_a_call_and_its_output(driver: Any) -> None:
    driver.created("r1").call("r1", "c1", "tool", '{"a": 1').done("r1")
    assert driver.events(FunctionCall) == [FunctionCall("c1", "tool", '{"a": 1', "item_c1", "r1")]
    driver.sent.clear()
    answer(driver, "c1")
    assert driver.kinds() == [ITEM, CREATE]
    assert driver.sent[0]["item"] == {"type": "function_call_output", "call_id": "c1", "output": "42"}
    assert driver.events(ItemUpdate)[-1].item == FunctionCallItem(
        "item_c1", "c1", "tool", '{"a": 1', "42", "completed"
    )
    with pytest.raises(UserError, match="answered already"):
        answer(driver, "c1")


def test_siblings_wait_for_each_other_and_for_the_end(driver: Any) -> None:
    driver.created("r1").call("r1", "c1").call("r1", "c2")
    answer(driver, "c1")
    answer(driver, "c2")
    assert driver.kinds() == [ITEM, ITEM]
    driver.done("r1")
    assert driver.kinds() == [ITEM, ITEM, CREATE]


def test_a_message_that_waits_and_the_outputs_share_one_response(driver: Any) -> None:
    driver.created("r1").call("r1", "c1")
    driver.do(driver.engine.send_message("hurry", None, driver.now))
    answer(driver, "c1").forget().done("r1").created("r2").done("r2")
    assert driver.kinds() == [CREATE]


def test_the_end_of_the_calling_response_got_lost(driver: Any) -> None:
    driver.created("r1").call("r1", "c1")
    answer(driver, "c1").forget().wait(60.1)
    assert driver.kinds() == [CREATE]


def test_an_output_that_asks_for_no_response(driver: Any) -> None:
    driver.created("r1").call("r1", "c1").done("r1").sent.clear()
    answer(driver, "c1", start_response=False)
    assert driver.kinds() == [ITEM]


def test_a_call_announced_only_at_the_end(driver: Any) -> None:
    item = {
        "id": "i",
        "type": "function_call",
        "call_id": "c",
        "name": "t",
        "arguments": "{}",
        "status": "completed",
    }
    driver.created("r1").done("r1", output=[item])
    driver.done("r1", output=[item])
    assert len(driver.events(FunctionCall)) == 1
    assert driver.history() == ["i"]
    answer(driver, "c")
    assert driver.kinds()[-1] == CREATE


def test_behaviour_124_a_call_without_call_id_has_its_items(driver: Any) -> None:
    item = {"id": "i", "type": "function_call", "name": "t"}
    driver.recv("response.output_item.done", response_id="r", item=item)
    assert driver.events(FunctionCall)[0].call_id == "i"


def test_a_call_that_was_cut_short_is_not_carried_out(driver: Any) -> None:
    item = {"id": "i", "type": "function_call", "call_id": "c", "name": "t", "status": "incomplete"}
    driver.recv("response.output_item.done", response_id="r", item=item)
    assert driver.events(FunctionCall) == []


def test_the_output_of_a_call_of_an_earlier_connection(driver: Any) -> None:
    driver.created("r1").call("r1", "c1")
    (call,) = driver.events(FunctionCall)
    items = driver.engine.history.snapshot()
    driver.do(driver.engine.disconnected(driver.now)).connect()
    with pytest.raises(UserError, match="a connection that has ended"):
        driver.engine.send_function_call_output(call, "42", driver.now)
    driver.do(driver.engine.reset_history([], items))  # restored, it may be answered
    driver.forget().do(driver.engine.send_function_call_output(call, "42", driver.now))
    assert driver.kinds() == [ITEM, CREATE]


def test_the_output_in_the_services_own_items(driver: Any) -> None:
    driver.created("r1").call("r1", "c1").forget()
    output = {"id": "o", "type": "function_call_output", "call_id": "c1", "output": "42"}
    driver.recv("conversation.item.added", item=output).recv("conversation.item.done", item=output)
    assert len(driver.events(ItemUpdate)) == 1
    reply = {"id": "m", "type": "message", "role": "assistant"}
    driver.recv("conversation.item.added", item=reply, previous_item_id="o")
    assert driver.history() == ["item_c1", "m"]
    driver.recv("conversation.item.added", item={**output, "call_id": "unknown"})
    assert driver.history() == ["item_c1", "m"]


# -- history


def test_words_of_the_agent_arrive_in_history_and_the_item_is_added_once(driver: Any) -> None:
    ids = {"response_id": "r1", "item_id": "a"}
    driver.created("r1").recv("response.output_audio_transcript.delta", **ids, delta="Hel")
    driver.recv("conversation.item.added", item={"id": "a", "type": "message", "role": "assistant"})
    driver.recv("response.output_audio_transcript.delta", **ids, delta="lo")
    assert driver.events(TranscriptDelta)[-1] == TranscriptDelta("lo", "a", "r1")
    assert [item.text for item in driver.engine.history.snapshot()] == ["Hello"]
    driver.recv("response.output_audio_transcript.done", **ids, transcript="Hello.")
    assert [item.text for item in driver.engine.history.snapshot()] == ["Hello."]
    assert [event.item.item_id for event in driver.events(HistoryAdded)] == ["a"]  # 46


def test_text_replies(driver: Any) -> None:
    ids = {"response_id": "r1", "item_id": "t"}
    driver.recv("response.text.delta", **ids, delta="He").recv("response.output_text.done", **ids, text="Hey")
    assert driver.events(TextDelta) == [TextDelta("He", "t", "r1")]
    assert driver.engine.history.snapshot()[0].text == "Hey"
    driver.forget().recv("response.output_text.done", response_id="r1", item_id="only done", text="x")
    assert [event.item.item_id for event in driver.events(HistoryAdded)] == ["only done"]


@pytest.mark.parametrize("kind", ["output_text", "output_audio_transcript"])
def test_deltas_without_item_or_words_are_nothing(driver: Any, kind: str) -> None:
    driver.recv(f"response.{kind}.delta", delta="x").recv(f"response.{kind}.delta", item_id="a", delta=3)
    driver.recv(f"response.{kind}.done", item_id="a")
    assert driver.told == []


def test_out_of_band_words_stay_out_of_history(driver: Any) -> None:
    driver.do(driver.engine.request_response({"conversation": "none"}, driver.now)).created("side")
    ids = {"response_id": "side", "item_id": "s"}
    driver.recv("response.output_text.delta", **ids, delta="x").recv(
        "response.output_text.done", **ids, text="x"
    )
    item = {"id": "s", "type": "message", "role": "assistant"}
    for kind in ("added", "done"):
        driver.recv(f"response.output_item.{kind}", response_id="side", item=item)
    assert len(driver.events(TextDelta)) == 1
    assert driver.history() == []


def test_behaviour_38_the_users_words(driver: Any) -> None:
    kind = "conversation.item.input_audio_transcription"
    driver.recv("input_audio_buffer.committed", item_id="u", previous_item_id=None)
    driver.recv("input_audio_buffer.committed", previous_item_id=None)
    driver.recv(f"{kind}.delta", item_id="u", delta="hel").recv(f"{kind}.delta", delta="x")
    assert driver.engine.history.snapshot()[0].text == "hel"
    usage = {"type": "tokens", "total_tokens": 5}
    driver.recv(f"{kind}.completed", item_id="u", content_index=0, transcript="hello", usage=usage)
    (item,) = driver.engine.history.snapshot()
    assert (item.text, item.status) == ("hello", "completed")
    assert driver.engine.usage.transcription_tokens == 5
    assert driver.events(UserTranscriptDelta) == [UserTranscriptDelta("hel", "u")]
    assert driver.sent == []  # 25: nothing to retrieve, the words are here
    driver.recv("input_audio_buffer.committed", item_id="u", previous_item_id="p")
    assert driver.engine.history.snapshot()[0].status == "completed"


def test_a_transcript_that_overtakes_its_item(driver: Any) -> None:
    kind = "conversation.item.input_audio_transcription.completed"
    driver.recv(kind, item_id="u", transcript="hello").recv(kind, item_id="u").recv(kind, transcript="x")
    item = {
        "id": "u",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    driver.recv("conversation.item.added", item=item)
    assert driver.engine.history.snapshot()[0].text == "hello"
    assert len(driver.events(HistoryAdded)) == 1
    delta = "conversation.item.input_audio_transcription.delta"
    driver.recv(delta, item_id="v", delta="x")
    assert len(driver.events(HistoryAdded)) == 2


def test_a_transcription_that_failed(driver: Any) -> None:
    kind = "conversation.item.input_audio_transcription.failed"
    driver.recv(kind, item_id="u", error={"code": "audio_unintelligible", "message": "hm"})
    (event,) = driver.events(ErrorEvent)
    assert "item 'u'" in str(event.error)
    assert event.error.code == "audio_unintelligible"


@pytest.mark.parametrize(
    ("event", "status", "expected"),
    [
        ("conversation.item.added", None, "in_progress"),
        ("conversation.item.done", None, "completed"),
        ("conversation.item.retrieved", None, "completed"),
        ("conversation.item.done", "incomplete", "incomplete"),
        ("conversation.item.done", "in_progress", "in_progress"),
        ("response.output_item.added", None, "in_progress"),
        ("response.output_item.done", None, "completed"),
    ],
)
def test_behaviour_27_28_status_of_items(driver: Any, event: str, status: str | None, expected: str) -> None:
    item = {"id": "a", "type": "message", "role": "assistant", "status": status}
    driver.recv(event, response_id="r", item=item)
    assert driver.engine.history.get("a").status == expected


def test_behaviour_29_the_older_name_of_audio_parts(driver: Any) -> None:
    content = [{"type": "audio", "transcript": "x"}]
    driver.recv(
        "conversation.item.created",
        item={"id": "a", "type": "message", "role": "assistant", "content": content},
    )
    assert driver.engine.history.get("a").content == (OutputAudio("x"),)


def test_truncated_is_followed_by_a_look_at_what_is_left(driver: Any) -> None:
    driver.created("r1").recv(
        "response.output_audio_transcript.delta", response_id="r1", item_id="a", delta="one two three four"
    )
    driver.audio("r1", "a", 1000)
    driver.now += 0.5
    speaks(driver)
    assert driver.engine.history.get("a").text == "one two"
    driver.forget().recv("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=500)
    assert [(event["type"], event["item_id"]) for event in driver.sent] == [(RETRIEVE, "a")]
    content = [{"type": "output_audio", "transcript": "one two three"}]
    item = {"id": "a", "type": "message", "role": "assistant", "content": content, "status": "completed"}
    driver.recv("conversation.item.retrieved", item=item)
    after = driver.engine.history.get("a")
    assert after.text == "one two three"
    assert after.content[0].full_transcript == "one two three four"
    assert after.status == "incomplete"
    driver.recv("response.output_audio_transcript.delta", response_id="r1", item_id="a", delta=" five")
    assert driver.engine.history.get("a").text == "one two three"


def test_a_cut_that_the_service_made_itself(driver: Any) -> None:
    item = {
        "id": "a",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_audio", "transcript": "one two"}],
    }
    driver.recv("conversation.item.done", item=item)
    driver.recv("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=300)
    part = driver.engine.history.get("a").content[0]
    assert (part.transcript, part.heard_ms) == ("one two", 300)
    item = {**item, "content": [{"type": "output_audio", "transcript": "one"}]}
    driver.recv("conversation.item.retrieved", item=item)
    assert driver.engine.history.get("a").text == "one"


def test_deleted_items_are_told_once(driver: Any) -> None:
    driver.recv("conversation.item.added", item={"id": "a", "type": "message", "role": "user"})
    for _ in range(2):
        driver.recv("conversation.item.deleted", item_id="a")
    assert driver.events(ItemDeleted) == [ItemDeleted("a")]
    assert driver.history() == []


def test_root_means_first(driver: Any) -> None:
    driver.recv("conversation.item.added", item={"id": "a", "type": "message", "role": "user"})
    event = {"type": ITEM, "previous_item_id": "root", "item": {"id": "b", "type": "message"}}
    driver.do(driver.engine.send_event(event, 0))
    driver.recv(
        "conversation.item.added", item={"id": "b", "type": "message", "role": "user"}, previous_item_id=None
    )
    assert driver.history() == ["b", "a"]


def test_reset_history_sends_the_difference(driver: Any) -> None:
    old = (MessageItem("a", "user", (InputText("x"),)),)
    silent = MessageItem("s", "assistant", (OutputAudio(),))
    driver.do(driver.engine.reset_history(old, [silent]))
    assert driver.kinds() == ["conversation.item.delete"]
    assert "s cannot be created" in str(driver.events(ErrorEvent)[0].error)
    with pytest.raises(UserError, match="twice"):
        driver.engine.reset_history([], [*old, *old])


def test_the_cost_of_audio_does_not_grow_with_the_conversation(make_driver: Any) -> None:
    def cost(items: int) -> float:
        driver = make_driver().connect()
        for number in range(items):
            driver.recv(
                "conversation.item.added", item={"id": f"i{number}", "type": "message", "role": "user"}
            )
        ids = {"response_id": "r", "item_id": "a", "content_index": 0}
        audio = {"type": "response.output_audio.delta", **ids, "delta": "AAAA" * 320}
        words = {"type": "response.output_audio_transcript.delta", **ids, "delta": "word "}
        receive, best = driver.engine.receive, float("inf")
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(3000):
                receive(audio, 0.0)
                receive(words, 0.0)
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(1000) < cost(1) * 4 + 0.02


# -- the rest


def test_behaviour_26_31_mcp(driver: Any) -> None:
    driver.recv("mcp_list_tools.in_progress", item_id="l").recv("response.mcp_call.in_progress", item_id="m")
    assert [event["item_id"] for event in driver.sent] == ["l", "m"]
    listed = {"id": "l", "type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t"}, 3]}
    driver.recv("conversation.item.added", item=listed)
    assert driver.events(McpToolsListed) == []
    driver.recv("conversation.item.done", item=listed)
    assert driver.events(McpToolsListed) == [McpToolsListed("s", ({"name": "t"},))]
    driver.recv("mcp_list_tools.in_progress", item_id="l")
    assert len(driver.sent) == 2
    driver.recv("conversation.item.done", item={"id": "m", "type": "mcp_call", "name": "t", "output": "42"})
    assert driver.events(McpToolCallCompleted)[0].item.output == "42"
    driver.recv("conversation.item.done", item={"id": "q", "type": "mcp_approval_request", "name": "t"})
    (request,) = driver.events(McpApprovalRequest)
    driver.forget().do(driver.engine.send_mcp_response(request, False, "no"))
    (sent,) = driver.sent
    assert sent["previous_item_id"] == "q"
    assert sent["item"] == {
        "type": "mcp_approval_response",
        "approval_request_id": "q",
        "approve": False,
        "reason": "no",
    }


def test_the_users_side(driver: Any) -> None:
    driver.recv("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=9)
    driver.recv("input_audio_buffer.timeout_triggered", item_id="u", audio_start_ms=1, audio_end_ms=2)
    driver.recv("input_audio_buffer.dtmf_event_received", event="5", received_at=12)
    driver.recv("input_audio_buffer.dtmf_event_received", digit="#", received_at="x")
    driver.recv("input_audio_buffer.dtmf_event_received")
    assert driver.told == [
        UserSpeechStopped("u", 9),
        InputTimeout("u", 1, 2),
        DtmfReceived("5", 12),
        DtmfReceived("#"),
    ]


def test_behaviour_43_unknown_events_change_nothing(driver: Any) -> None:
    driver.recv("brand.new", x=1)
    assert driver.told == driver.sent == []
    assert driver.engine.receive({"type": ["x"]}, 0) == []
    assert driver.engine.receive({}, 0) == []
