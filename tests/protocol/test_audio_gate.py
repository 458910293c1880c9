"""Audio that waits until its words have passed: the queue alone, and in an engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire import AudioDone, AudioEvent, AudioInterrupted, AudioStarted, AudioStopped, ErrorEvent, TurnDone
from voxwire.errors import ConfigError, GuardrailTimeoutError
from voxwire.protocol.audio_gate import AudioGate, HoldBack, ResponseEnd, duration_ms
from voxwire.protocol.items import MessageItem, OutputAudio


def piece(item_id: str = "i1", ms: int = 20, response_id: str = "r1") -> AudioEvent:
    return AudioEvent(bytes(ms * 48), item_id, response_id)


# -- the queue


@pytest.mark.parametrize("wrong", [{"timeout_ms": 0}, {"max_ms": -1}, {"on_timeout": "wait"}])
def test_limits_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HoldBack(**wrong)


def test_audio_waits_for_the_words_that_came_before_it() -> None:
    gate = AudioGate(HoldBack())
    gate.text("i1", 5)
    gate.put(piece(), 0.0)
    gate.text("i1", 5)
    gate.put(piece(), 0.0)
    assert gate.take() is None
    gate.passed("r1", "i1", 5)
    assert gate.take() == piece()
    assert gate.take() is None
    gate.passed("r1", "i1", 9)
    assert gate.take() is None
    gate.passed("r1", "i1", 10)
    assert gate.take() == piece()
    assert len(gate) == 0
    assert gate.held_ms == 0.0


def test_audio_before_the_first_word_waits_for_it() -> None:
    gate = AudioGate(HoldBack())
    gate.put(piece(), 0.0)
    gate.passed("r1", "i1", 0)
    assert gate.take() is None
    gate.passed("r1", "i1", 3)
    assert gate.take() == piece()


def test_a_pass_is_never_taken_back() -> None:
    gate = AudioGate(HoldBack())
    gate.text("i1", 8)
    gate.passed("r1", "i1", 8)
    gate.passed("r1", "i1", 2)
    gate.put(piece(), 0.0)
    assert gate.take() == piece()


def test_order_is_kept_across_items_and_news() -> None:
    gate = AudioGate(HoldBack())
    gate.text("i1", 1)
    gate.text("i2", 1)
    entries = [piece("i1"), AudioDone("i1", "r1"), piece("i2"), ResponseEnd("r1")]
    for entry in entries:
        gate.put(entry, 0.0)
    gate.passed("r1", "i2", 1)
    assert gate.take() is None
    gate.passed("r1", None, None)
    assert [gate.take() for _ in entries] == entries


def test_what_waits_too_long_is_overdue_in_order() -> None:
    gate = AudioGate(HoldBack(timeout_ms=100))
    gate.put(piece(), 1.0)
    gate.put(piece(ms=40), 1.05)
    assert gate.deadline() == pytest.approx(1.1)
    assert not gate.overdue(1.09)
    assert gate.take_overdue(1.09) is None
    assert gate.take_overdue(1.1) == piece()
    assert gate.take_overdue(1.1) is None
    assert gate.deadline() == pytest.approx(1.15)


def test_too_much_is_overdue_at_once() -> None:
    gate = AudioGate(HoldBack(max_ms=50))
    for _ in range(3):
        gate.put(piece(), 0.0)
    assert gate.overdue(0.0)
    assert gate.take_overdue(0.0) == piece()
    assert not gate.overdue(0.0)


def test_dropping_a_response_keeps_the_others_and_the_news() -> None:
    gate = AudioGate(HoldBack())
    for entry in (piece("i1"), ResponseEnd("r1"), piece("i2", response_id="r2")):
        gate.put(entry, 0.0)
    assert gate.drop("r1") == [piece("i1")]
    assert gate.held_ms == duration_ms(piece())
    assert gate.take() == ResponseEnd("r1")
    assert gate.take_any() == piece("i2", response_id="r2")
    assert gate.take_any() is None


def test_counts_are_forgotten_oldest_first() -> None:
    gate = AudioGate(HoldBack())
    for number in range(300):
        gate.text(f"i{number}", 4)
        gate.passed("r1", f"i{number}", 4)
    assert len(gate._arrived) == len(gate._passed) == 256
    gate.put(piece("i0"), 0.0)
    assert gate.take() is None
    gate.put(piece("i299"), 0.0)
    assert [gate.take_any(), gate.take()] == [piece("i0"), piece("i299")]


_STEP = st.one_of(
    st.tuples(st.just("text"), st.sampled_from(["a", "b"]), st.integers(1, 5)),
    st.tuples(st.just("audio"), st.sampled_from(["a", "b"]), st.just(0)),
    st.tuples(st.just("pass"), st.sampled_from(["a", "b"]), st.integers(0, 20)),
)


@given(st.lists(_STEP, max_size=40))
def test_nothing_goes_before_its_words_and_nothing_overtakes(steps: list[tuple[str, str, int]]) -> None:
    gate = AudioGate(HoldBack())
    arrived = {"a": 0, "b": 0}
    passed = {"a": 0, "b": 0}
    put: list[tuple[AudioEvent, int]] = []
    taken = 0
    for what, item, number in steps:
        if what == "text":
            gate.text(item, number)
            arrived[item] += number
        elif what == "pass":
            gate.passed("r1", item, number)
            passed[item] = max(passed[item], number)
        else:
            audio = AudioEvent(bytes([len(put) % 256, 0]), item, "r1")
            gate.put(audio, 0.0)
            put.append((audio, max(1, arrived[item])))
        while (entry := gate.take()) is not None:
            audio, needed = put[taken]
            assert entry is audio
            assert passed[audio.item_id] >= needed
            taken += 1
        if taken < len(put):
            audio, needed = put[taken]
            assert passed[audio.item_id] < needed
    assert len(gate) == len(put) - taken


# -- in an engine


def held(driver: Any, **limits: Any) -> Any:
    driver.do(driver.engine.hold_back_audio(HoldBack(**{"timeout_ms": 1000, **limits}), driver.now))
    driver.created("r1")
    return driver.forget()


def say(driver: Any, words: str, item_id: str = "i1", response_id: str = "r1") -> None:
    driver.recv(
        "response.output_audio_transcript.delta",
        response_id=response_id,
        item_id=item_id,
        content_index=0,
        delta=words,
    )


def pass_all(
    driver: Any, characters: int | None, item_id: str | None = "i1", response_id: str = "r1"
) -> None:
    driver.do(driver.engine.release_audio(response_id, item_id, characters, driver.now))


def finish(driver: Any, response_id: str = "r1", item_id: str = "i1") -> None:
    driver.recv("response.output_audio.done", response_id=response_id, item_id=item_id, content_index=0)
    driver.done(response_id)


def test_held_audio_is_neither_played_nor_heard(driver: Any) -> None:
    held(driver)
    say(driver, "Hello")
    driver.audio("r1", "i1", 100)
    finish(driver)
    assert driver.played == []
    assert not driver.events(AudioStarted)
    assert not driver.events(AudioDone)
    assert driver.events(TurnDone), "the turn is over at the service, held or not"
    driver.wait(0.5)
    assert driver.engine.playback.heard_ms(driver.now) == 0
    pass_all(driver, 5)
    assert [len(audio.data) for audio in driver.played] == [4800]
    assert driver.events(AudioStarted)
    assert driver.events(AudioDone)
    driver.wait(0.05)
    assert driver.engine.playback.heard_ms(driver.now) == pytest.approx(50)
    driver.wait(0.1)
    assert [event.interrupted for event in driver.events(AudioStopped)] == [False]
    assert "hold_back" not in driver.timers


def test_an_interruption_cuts_at_what_was_heard_and_counts_what_was_held_as_received(driver: Any) -> None:
    held(driver)
    say(driver, "one two ")
    driver.audio("r1", "i1", 100)
    pass_all(driver, 8)
    driver.wait(0.04)
    say(driver, "three four")
    driver.audio("r1", "i1", 300)
    driver.forget()
    driver.do(driver.engine.interrupt(driver.now))
    assert driver.stops == [pytest.approx(40)]
    assert driver.kinds() == ["response.cancel", "conversation.item.truncate"]
    assert driver.sent[1]["audio_end_ms"] == 40
    (item,) = driver.engine.history.snapshot()
    assert isinstance(item, MessageItem)
    (part,) = item.content
    assert isinstance(part, OutputAudio)
    # 40 of 400 ms, of which 300 were held: a tenth of the words, not two fifths.
    assert part.full_transcript == "one two three four"
    assert part.transcript == ""
    driver.audio("r1", "i1", 50)
    driver.wait(5)
    assert driver.played == []


def test_a_barge_in_while_everything_is_held_truncates_to_nothing(driver: Any) -> None:
    held(driver)
    say(driver, "one two")
    driver.audio("r1", "i1", 200)
    finish(driver)
    driver.forget().recv("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    assert driver.stops == [], "the sink has nothing"
    assert driver.kinds() == ["conversation.item.truncate"]
    assert driver.sent[0]["audio_end_ms"] == 0
    assert driver.events(AudioInterrupted)
    assert not driver.events(AudioStopped), "nothing had begun"
    assert "hold_back" not in driver.timers
    pass_all(driver, 7)
    assert driver.played == []


def test_after_a_timeout_audio_is_played_unchecked_and_told_once(driver: Any) -> None:
    held(driver, timeout_ms=200)
    say(driver, "one")
    driver.audio("r1", "i1", 20)
    driver.wait(0.1)
    driver.audio("r1", "i1", 40)
    driver.wait(0.15)
    assert [len(audio.data) for audio in driver.played] == [960]
    driver.wait(0.1)
    assert [len(audio.data) for audio in driver.played] == [960, 1920]
    (event,) = driver.events(ErrorEvent)
    assert isinstance(event.error, GuardrailTimeoutError)
    assert "200 ms" in str(event.error)
    assert "played unchecked" in str(event.error)


def test_after_a_timeout_the_reply_is_stopped_if_asked_for(driver: Any) -> None:
    held(driver, timeout_ms=200, on_timeout="stop")
    say(driver, "one")
    driver.audio("r1", "i1", 20)
    driver.wait(1)
    assert driver.played == []
    assert driver.kinds() == ["response.cancel", "conversation.item.truncate"]
    (event,) = driver.events(ErrorEvent)
    assert "was stopped" in str(event.error)
    driver.audio("r1", "i1", 20)
    driver.wait(1)
    assert driver.played == []


def test_too_much_held_is_treated_as_too_late(driver: Any) -> None:
    held(driver, max_ms=100)
    for _ in range(6):
        driver.audio("r1", "i1", 20)
    assert len(driver.played) == 1
    assert driver.engine.gate.held_ms == 100


def test_a_stale_timer_changes_nothing(driver: Any) -> None:
    held(driver)
    say(driver, "one")
    driver.audio("r1", "i1", 20)
    driver.do(driver.engine.timer("hold_back", driver.now))
    assert driver.played == []
    assert driver.timers["hold_back"] == pytest.approx(driver.now + 1)
    driver.do(driver.engine.hold_back_audio(None, driver.now))
    assert len(driver.played) == 1
    assert driver.engine.timer("hold_back", driver.now) == []


def test_withheld_audio_is_dropped_and_the_item_cut_where_it_was_released(driver: Any) -> None:
    held(driver)
    say(driver, "one two ")
    driver.audio("r1", "i1", 100)
    pass_all(driver, 8)
    say(driver, "three four")
    driver.audio("r1", "i1", 100)
    finish(driver)
    driver.created("r2")
    say(driver, "five", "i2", "r2")
    driver.audio("r2", "i2", 40)
    driver.forget()
    driver.do(driver.engine.withhold_audio("r1", driver.now))
    assert driver.kinds() == ["conversation.item.truncate"]
    assert driver.sent[0] | {"event_id": ""} == {
        "type": "conversation.item.truncate",
        "event_id": "",
        "item_id": "i1",
        "content_index": 0,
        "audio_end_ms": 100,
    }
    assert driver.played == []
    pass_all(driver, 4, "i2", "r2")
    assert [audio.item_id for audio in driver.played] == ["i2"], "the next reply does not wait for it"
    assert driver.stops == [], "what was released is heard"


def test_withheld_audio_outside_the_conversation_is_not_truncated(driver: Any) -> None:
    driver.do(driver.engine.hold_back_audio(HoldBack(), driver.now))
    driver.do(driver.engine.request_response({"conversation": "none"}, driver.now))
    driver.created("r1", conversation_id=None)
    driver.audio("r1", "i1", 40)
    driver.forget().do(driver.engine.withhold_audio("r1", driver.now))
    assert driver.sent == []
    driver.audio("r1", "i1", 40)
    assert len(driver.engine.gate) == 0


def test_a_connection_that_ends_leaves_nothing_held(driver: Any) -> None:
    held(driver)
    driver.audio("r1", "i1", 40)
    driver.do(driver.engine.disconnected(driver.now))
    assert driver.timers == {}
    assert len(driver.engine.gate) == 0
    driver.engine.connect(None, driver.now)
    assert driver.engine.gate.limits.timeout_ms == 1000, "the next connection holds back as well"


def test_without_a_gate_release_and_withhold_do_nothing(driver: Any) -> None:
    driver.created("r1").audio("r1", "i1", 40)
    assert len(driver.played) == 1
    assert driver.engine.release_audio("r1", None, None, driver.now) == []
    assert driver.engine.withhold_audio("r1", driver.now) == []
    assert driver.engine.hold_back_audio(None, driver.now) == []


def test_a_cancel_that_names_a_response_may_come_too_late(driver: Any) -> None:
    driver.do(driver.engine.send_event({"type": "response.cancel", "response_id": "r1"}, driver.now))
    driver.error(code="response_cancel_not_active", event_id=driver.sent[0]["event_id"])
    assert not driver.events(ErrorEvent)


def test_the_users_words_are_told_when_they_are_complete(driver: Any) -> None:
    from voxwire import UserTranscript

    kind = "conversation.item.input_audio_transcription"
    driver.recv(f"{kind}.completed", item_id="u1", content_index=0, transcript="Hello.")
    driver.recv(f"{kind}.failed", item_id="u2", content_index=0, error={"message": "noise"})
    assert driver.events(UserTranscript) == [UserTranscript("Hello.", "u1"), UserTranscript(None, "u2")]
