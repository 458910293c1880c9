"""Guardrails in a session on a scripted transport. Numbers are those of the JavaScript SDK's behaviours."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest

from voxwire import (
    ConnectionLost,
    ErrorEvent,
    GuardrailResult,
    GuardrailSettings,
    GuardrailTimeoutError,
    GuardrailTripped,
    InputGuardrail,
    ModelBehaviorError,
    OutputGuardrail,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    SessionUpdated,
    TextDelta,
    TranscriptDelta,
    TurnStarted,
    UserError,
    UserSpeechStarted,
    UserTranscript,
)
from voxwire.testing import ScriptedRealtimeTransport
from voxwire.transports.base import RealtimeTransportLayer

A = RealtimeAgent("A")
DECIDING = {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}}
NOW = GuardrailSettings(debounce_text_length=0, feedback=None)


async def finds_dom(text: str, context: RunContext[Any]) -> GuardrailResult:
    return GuardrailResult("Dom" in text, {"text": len(text)})


NO_DOM = OutputGuardrail("no Dom", finds_dom, policy_hint="Do not name Dom")
NO_DOM_IN = InputGuardrail("no Dom", finds_dom)


class Gate:
    """A guardrail that decides when the test says so."""

    def __init__(self, *verdicts: bool) -> None:
        self.seen: list[str] = []
        self.verdicts = list(verdicts)
        self.answers: list[asyncio.Future[bool]] = []
        self.cancelled = 0

    async def __call__(self, text: str, context: RunContext[Any]) -> GuardrailResult:
        self.seen.append(text)
        if self.verdicts:
            return GuardrailResult(self.verdicts.pop(0))
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        try:
            return GuardrailResult(await answer)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def speak(stage: Any, words: str, *, item: str = "i1", response: str = "r1") -> None:
    stage.transport.emit(TranscriptDelta(words, item, response))


def write(stage: Any, words: str, *, item: str = "i1", response: str = "r1") -> None:
    stage.transport.emit(TextDelta(words, item, response))


def message(text: str, item: str = "i1") -> dict[str, Any]:
    content = [{"type": "output_audio", "transcript": text}]
    return {"id": item, "type": "message", "role": "assistant", "content": content}


async def idle(stage: Any) -> None:
    """No check runs any more, and what it set off has been done."""
    await stage.until(lambda: stage.session._guardrails.running == 0)
    for _ in range(3):
        await asyncio.sleep(0)


def methods(stage: Any) -> list[str]:
    return [call.method for call in stage.transport.calls if call.method not in ("connect", "close")]


def trips(stage: Any) -> list[GuardrailTripped]:
    return [event for event in stage.seen if isinstance(event, GuardrailTripped)]


def errors(stage: Any) -> list[Exception]:
    return [event.error for event in stage.seen if isinstance(event, ErrorEvent)]


LISTEN = ("guardrail_tripped", "error")


async def guarded(
    stage: Any, *guardrails: Any, settings: GuardrailSettings | None = None, **options: Any
) -> None:
    agent = options.pop("agent", A)
    await stage.connect(
        agent,
        listen=LISTEN,
        output_guardrails=guardrails or [NO_DOM],
        output_guardrail_settings=settings,
        **options,
    )


# -- what the agent says


async def test_behaviour_134_the_final_check_interrupts_and_asks_for_a_better_answer(stage: Any) -> None:
    await guarded(stage)
    stage.start()
    speak(stage, "I know Dom.")
    await idle(stage)
    assert methods(stage) == [], "shorter than the debounce"
    stage.done("r1", message("I know Dom.", "i1"))
    await idle(stage)
    assert methods(stage) == ["interrupt", "send_message"]
    (trip,) = trips(stage)
    assert (trip.kind, trip.item_id, trip.response_id, trip.text) == ("output", "i1", "r1", "I know Dom.")
    assert (trip.agent, trip.guardrail, trip.result.info) == (A, NO_DOM, {"text": 11})
    assert trip.context.session is stage.session
    (call,) = stage.sent("send_message")
    assert "Failed Guardrail Reason: Do not name Dom." in call["message"]
    assert 'Failure Details: {"text": 11}.' in call["message"]
    assert call["trigger_response"] is True


async def test_a_spoken_reply_is_interrupted_while_it_grows(stage: Any) -> None:
    await guarded(stage)
    stage.start()
    speak(stage, "x" * 60)
    await idle(stage)
    assert trips(stage) == []
    speak(stage, "Dom" + "x" * 40)
    await idle(stage)
    assert methods(stage) == ["interrupt", "send_message"]
    speak(stage, "x" * 200)
    stage.done("r1", message("..."), status="cancelled")
    await idle(stage)
    assert len(trips(stage)) == 1, "a reply trips once"


async def test_behaviour_134_a_written_reply_is_cancelled_by_its_id(stage: Any) -> None:
    await guarded(stage, settings=GuardrailSettings(debounce_text_length=5))
    stage.start()
    write(stage, "Hello Dom")
    await idle(stage)
    assert methods(stage) == ["send_event", "send_message"]
    (call,) = stage.sent("send_event")
    assert call["event"] == {"type": "response.cancel", "response_id": "r1"}


async def test_behaviour_134_a_stale_result_is_only_told(stage: Any) -> None:
    gate = Gate()
    await guarded(stage, gate)
    stage.start("r1")
    stage.done("r1", message("Dom"))
    await stage.until(lambda: gate.answers)
    stage.start("r2")
    gate.answers[0].set_result(True)
    await idle(stage)
    assert [trip.response_id for trip in trips(stage)] == ["r1"]
    assert methods(stage) == []


async def test_behaviour_134_results_after_the_end_are_ignored(stage: Any) -> None:
    gate = Gate()
    await guarded(stage, gate)
    stage.start()
    stage.done("r1", message("Dom"))
    await stage.until(lambda: gate.answers)
    await stage.session.close()
    assert gate.cancelled == 1
    assert stage.session._guardrails.running == 0
    assert (trips(stage), methods(stage)) == ([], [])


async def test_a_result_of_the_last_connection_is_ignored(stage: Any) -> None:
    release = threading.Event()

    def slow(text: str, context: object) -> bool:
        release.wait(5)
        return True

    await guarded(stage, slow)
    stage.start()
    stage.done("r1", message("Dom"))
    await asyncio.sleep(0)
    await stage.transport.disconnect(ConnectionLost("gone", code=1006))
    await stage.session.connect()
    release.set()
    await idle(stage)
    assert (trips(stage), methods(stage)) == ([], [])


async def test_behaviour_135_words_tell_of_a_reply_whose_start_had_no_id(stage: Any) -> None:
    gate = Gate()
    other = RealtimeAgent("B")
    await guarded(stage, gate, agent=RealtimeAgent("A", handoffs=[other]), settings=NOW)
    stage.transport.emit(TurnStarted(""))
    write(stage, "Dom", response="r1")
    await stage.until(lambda: gate.answers)
    await stage.session.update_agent(other)
    gate.answers[0].set_result(True)
    await idle(stage)
    (trip,) = trips(stage)
    assert trip.agent.name == "A", "it began with the first words"
    assert stage.sent("send_event")[0]["event"]["response_id"] == "r1"


async def test_guardrails_run_at_once_and_the_first_trip_ends_the_others(stage: Any) -> None:
    slow, fast, passing = Gate(), Gate(), Gate(False)
    await guarded(stage, slow, fast, passing, settings=NOW)
    stage.start()
    speak(stage, "Hello")
    await stage.until(lambda: slow.answers and fast.answers and passing.seen)
    fast.answers[0].set_result(True)
    await idle(stage)
    (trip,) = trips(stage)
    assert trip.guardrail.execute is fast
    assert slow.cancelled == 1


async def test_of_trips_at_the_same_time_the_first_named_counts(stage: Any) -> None:
    one, two = Gate(), Gate()
    await guarded(stage, one, two, settings=NOW)
    stage.start()
    speak(stage, "Hello")
    await stage.until(lambda: one.answers and two.answers)
    two.answers[0].set_result(True)
    one.answers[0].set_result(True)
    await idle(stage)
    assert [trip.guardrail.execute for trip in trips(stage)] == [one]


async def test_an_exception_in_a_guardrail_is_an_error_and_the_others_count(stage: Any) -> None:
    async def broken(text: str, context: object) -> bool:
        raise RuntimeError("no model")

    await guarded(stage, broken, finds_dom, settings=NOW)
    stage.start()
    speak(stage, "Hello")
    await idle(stage)
    assert [str(error) for error in errors(stage)] == ["no model"]
    assert methods(stage) == []
    speak(stage, "Dom")
    await idle(stage)
    assert [trip.guardrail.name for trip in trips(stage)] == ["finds_dom"]


@pytest.mark.parametrize("closed", [False, True])
async def test_a_guardrail_that_takes_too_long(stage: Any, closed: bool) -> None:
    settings = GuardrailSettings(debounce_text_length=0, timeout=0.01, fail_closed=closed, feedback=None)
    await guarded(stage, Gate(), settings=settings)
    stage.start()
    speak(stage, "Hello")
    await idle(stage)
    (error,) = errors(stage)
    assert isinstance(error, GuardrailTimeoutError)
    assert "took longer than 0.01 s" in str(error)
    assert [trip.result.info for trip in trips(stage)] == (
        [{"error": "GuardrailTimeoutError"}] if closed else []
    )
    assert methods(stage) == (["interrupt"] if closed else [])


async def test_an_agents_own_guardrails_hold_for_its_replies(stage: Any) -> None:
    b = RealtimeAgent("B", output_guardrails=[NO_DOM])
    await stage.connect(RealtimeAgent("A", handoffs=[b]), listen=LISTEN, output_guardrail_settings=NOW)
    stage.start("r1")
    await stage.session.update_agent(b)
    speak(stage, "Dom", response="r1")
    await idle(stage)
    assert trips(stage) == [], "A's reply"
    stage.done("r1")
    stage.start("r2")
    speak(stage, "Dom", response="r2", item="i2")
    await idle(stage)
    assert [(trip.agent, trip.response_id) for trip in trips(stage)] == [(b, "r2")]


@pytest.mark.parametrize(
    ("feedback", "sent"),
    [
        ("Try again.", ["Try again."]),
        (None, []),
        (lambda trip: f"{trip.guardrail.name}!", ["no Dom!"]),
        (lambda trip: None, []),
        (
            lambda trip: {"type": "message", "role": "system", "content": []},
            [{"type": "message", "role": "system", "content": []}],
        ),
    ],
)
async def test_the_correction_is_yours(stage: Any, feedback: Any, sent: list[Any]) -> None:
    await guarded(stage, settings=GuardrailSettings(debounce_text_length=0, feedback=feedback))
    stage.start()
    speak(stage, "Dom")
    await idle(stage)
    assert [call["message"] for call in stage.sent("send_message")] == sent
    assert len(stage.sent("interrupt")) == 1


async def test_what_fails_on_the_way_is_told(stage: Any) -> None:
    def broken(trip: GuardrailTripped) -> str:
        raise RuntimeError("no words")

    await guarded(stage, settings=GuardrailSettings(debounce_text_length=0, feedback=broken))
    stage.transport.fail_next_call("interrupt", ConnectionLost("gone"))
    stage.start()
    speak(stage, "Dom")
    await idle(stage)
    assert [str(error) for error in errors(stage)] == ["gone", "no words"]
    assert len(trips(stage)) == 1


async def test_a_model_that_cannot_keep_a_rule_is_not_asked_for_ever(stage: Any) -> None:
    await guarded(stage, settings=GuardrailSettings(max_corrections=2))
    for number in range(4):
        stage.start(f"r{number}")
        stage.done(f"r{number}", message("Dom", f"i{number}"))
        await idle(stage)
    assert len(stage.sent("interrupt")) == len(trips(stage)) == 4
    assert len(stage.sent("send_message")) == 2
    (error,) = errors(stage)
    assert isinstance(error, ModelBehaviorError)
    assert "3 times in a row" in str(error)
    stage.start("good")
    stage.done("good", message("Fine.", "i8"))
    await idle(stage)
    stage.start("bad")
    stage.done("bad", message("Dom", "i9"))
    await idle(stage)
    assert len(stage.sent("send_message")) == 3, "a good reply in between counts"


async def test_a_listener_may_close_the_session(stage: Any) -> None:
    await guarded(stage, settings=GuardrailSettings(debounce_text_length=0))
    closing: list[Any] = []
    stage.session.on(
        "guardrail_tripped", lambda _: closing.append(asyncio.ensure_future(stage.session.close()))
    )
    stage.start()
    speak(stage, "Dom")
    await stage.until(lambda: closing)
    await closing[0]
    await idle(stage)
    assert stage.transport.status == "disconnected"


async def test_a_guardrail_may_close_the_session_it_runs_in(stage: Any) -> None:
    async def panic(text: str, context: RunContext[Any]) -> bool:
        await context.session.close()
        return True

    await guarded(stage, panic, settings=NOW)
    stage.start()
    speak(stage, "Dom")
    await idle(stage)
    assert stage.transport.status == "disconnected"
    assert (trips(stage), errors(stage)) == ([], [])


async def test_closing_does_not_wait_for_a_guardrail_that_will_not_stop(
    stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("voxwire.session.guardrails.CLOSE_GRACE", 0.01)
    over = asyncio.Event()
    entered = asyncio.Event()

    async def stubborn(text: str, context: object) -> bool:
        while not over.is_set():
            try:
                entered.set()
                await over.wait()
            except asyncio.CancelledError:
                continue
        return True

    await guarded(stage, stubborn, settings=NOW)
    stage.start()
    speak(stage, "Dom")
    await entered.wait()
    await stage.session.close()
    assert "1 guardrails still run 0.01 s after the end" in caplog.text
    over.set()
    await idle(stage)
    assert trips(stage) == []


async def test_many_replies_leave_little_behind(stage: Any) -> None:
    await guarded(stage)
    for number in range(100):
        stage.start(f"r{number}")
        stage.done(f"r{number}")
    await idle(stage)
    assert len(stage.session._guardrails._connection.owners) <= 64
    stage.transport.emit(TurnStarted(""))
    speak(stage, "Dom", response="")
    stage.done("")
    await idle(stage)
    assert [trip.response_id for trip in trips(stage)] == [""]


# -- hold-back


HELD = GuardrailSettings(hold_back_ms=500, feedback=None)


async def test_audio_is_released_as_its_words_pass(stage: Any) -> None:
    gate = Gate()
    await guarded(stage, gate, settings=HELD)
    (limits,) = [call["limits"] for call in stage.sent("hold_back_audio")]
    assert (limits.timeout_ms, limits.on_timeout) == (500, "release")
    stage.start()
    speak(stage, "Hello")
    speak(stage, " there")
    await stage.until(lambda: len(gate.answers) >= 1)
    gate.answers[0].set_result(False)
    await stage.until(lambda: len(gate.answers) == 2)
    gate.answers[1].set_result(False)
    await idle(stage)
    assert gate.seen == ["Hello", "Hello there"]
    stage.done("r1", message("Hello there."))
    await stage.until(lambda: len(gate.answers) == 3)
    gate.answers[2].set_result(False)
    await idle(stage)
    releases = [
        (call["response_id"], call["item_id"], call["characters"]) for call in stage.sent("release_audio")
    ]
    assert releases == [("r1", "i1", 5), ("r1", "i1", 11), ("r1", None, None)]
    await stage.session.close()
    assert [call["limits"] for call in stage.sent("hold_back_audio")] == [limits, None]


async def test_a_reply_that_nobody_checks_is_released_at_once(stage: Any) -> None:
    await stage.connect(A, listen=LISTEN, output_guardrail_settings=HELD)
    stage.start()
    assert [call["response_id"] for call in stage.sent("release_audio")] == ["r1"]
    await stage.session.close()


async def test_a_stale_trip_withholds_what_was_not_played(stage: Any) -> None:
    gate = Gate()
    await guarded(stage, gate, settings=HELD)
    stage.start()
    stage.done("r1", message("Dom"))
    await stage.until(lambda: gate.answers)
    stage.start("r2")
    gate.answers[0].set_result(True)
    await idle(stage)
    assert [call["response_id"] for call in stage.sent("withhold_audio")] == ["r1"]
    assert stage.sent("interrupt") == []


async def test_a_reply_without_words_is_released_at_its_end(stage: Any) -> None:
    await guarded(stage, settings=HELD)
    stage.start()
    assert stage.sent("release_audio") == []
    stage.done("r1")
    assert [call["item_id"] for call in stage.sent("release_audio")] == [None]


async def test_a_transport_that_cannot_hold_audio_says_so(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("hold_back_audio", "release_audio", "withhold_audio"):
        monkeypatch.setattr(ScriptedRealtimeTransport, name, getattr(RealtimeTransportLayer, name))
    stage.session = RealtimeSession(
        A, transport=stage.transport, output_guardrails=[NO_DOM], output_guardrail_settings=HELD
    )
    with pytest.raises(UserError, match="ScriptedRealtimeTransport cannot hold audio back"):
        await stage.session.connect()
    assert stage.transport.calls == ()
    stage.transport.release_audio("r1")
    stage.transport.withhold_audio("r1")
    stage.transport.hold_back_audio(None)


# -- what the user says


async def listening(stage: Any, *guardrails: Any, config: Any = None, settings: Any = None) -> None:
    await stage.connect(
        A,
        listen=LISTEN,
        input_guardrails=guardrails or [NO_DOM_IN],
        input_guardrail_settings=settings,
        config=config,
    )


async def test_a_user_who_trips_interrupts_the_reply(stage: Any) -> None:
    await listening(stage)
    stage.start()
    stage.transport.emit(UserTranscript("Where is Dom?", "u1"))
    await idle(stage)
    assert methods(stage) == ["interrupt", "send_message"]
    (trip,) = trips(stage)
    assert (trip.kind, trip.item_id, trip.response_id) == ("input", "u1", None)
    assert (trip.text, trip.agent) == ("Where is Dom?", A)
    assert "The user's last message was stopped" in stage.sent("send_message")[0]["message"]


async def test_a_user_who_passes_changes_nothing(stage: Any) -> None:
    await listening(stage)
    stage.transport.emit(UserTranscript("Where am I?", "u1"))
    await idle(stage)
    assert methods(stage) == []


async def test_without_automatic_responses_guardrails_decide_before_the_model_answers(stage: Any) -> None:
    gate = Gate()
    await listening(stage, gate, config=DECIDING)
    stage.transport.emit(UserTranscript("Where am I?", "u1"))
    await stage.until(lambda: gate.answers)
    assert methods(stage) == []
    gate.answers[0].set_result(False)
    await idle(stage)
    assert methods(stage) == ["request_response"]
    assert stage.sent("request_response")[0]["response"] is None


async def test_a_trip_before_the_answer_asks_for_a_different_one(stage: Any) -> None:
    await listening(stage, config=DECIDING, settings=GuardrailSettings(feedback="Say no."))
    stage.transport.emit(UserTranscript("Where is Dom?", "u1"))
    await idle(stage)
    assert stage.sent("request_response") == []
    assert [call["message"] for call in stage.sent("send_message")] == ["Say no."]


async def test_the_service_may_be_told_later_not_to_answer_by_itself(stage: Any) -> None:
    await listening(stage)
    stage.transport.emit(SessionUpdated(DECIDING))
    stage.transport.emit(UserTranscript("Where am I?", "u1"))
    await idle(stage)
    assert methods(stage) == ["request_response"]


@pytest.mark.parametrize("text", ["Where am I?", "Where is Dom?"])
async def test_words_that_the_user_has_gone_on_from_are_only_told(stage: Any, text: str) -> None:
    gate = Gate()
    await listening(stage, gate, config=DECIDING)
    stage.transport.emit(UserTranscript(text, "u1"))
    await stage.until(lambda: gate.answers)
    stage.transport.emit(UserSpeechStarted("u2", 900))
    gate.answers[0].set_result("Dom" in text)
    await idle(stage)
    assert methods(stage) == []
    assert len(trips(stage)) == ("Dom" in text)


@pytest.mark.parametrize(("closed", "asked"), [(False, 1), (True, 0)])
async def test_words_that_could_not_be_transcribed(stage: Any, closed: bool, asked: int) -> None:
    await listening(stage, config=DECIDING, settings=GuardrailSettings(fail_closed=closed))
    stage.transport.emit(UserTranscript(None, "u1"))
    await idle(stage)
    assert len(stage.sent("request_response")) == asked


async def test_an_agents_own_input_guardrails(stage: Any) -> None:
    agent = RealtimeAgent("A", input_guardrails=[finds_dom])
    await stage.connect(agent, listen=LISTEN)
    stage.transport.emit(UserTranscript("Dom", "u1"))
    await idle(stage)
    assert [trip.guardrail.name for trip in trips(stage)] == ["finds_dom"]


async def test_input_guardrails_need_transcripts(stage: Any) -> None:
    config = {"audio": {"input": {"transcription": None}}}
    with pytest.raises(UserError, match=re.escape("set audio.input.transcription")):
        await listening(stage, config=config)
    assert stage.transport.calls == ()


async def test_utterances_that_are_checked_at_one_time_are_bounded(stage: Any) -> None:
    gate = Gate()
    await listening(stage, gate, config=DECIDING)
    for number in range(17):
        stage.transport.emit(UserTranscript("Hello", f"u{number}"))
        await asyncio.sleep(0)
    await stage.until(lambda: len(gate.answers) == 16)
    assert "16 utterances are being checked" in str(errors(stage)[0])


async def test_closing_while_the_user_is_checked(stage: Any) -> None:
    gate = Gate()
    await listening(stage, gate, config=DECIDING)
    stage.transport.emit(UserTranscript("Dom", "u1"))
    await stage.until(lambda: gate.answers)
    await stage.session.close()
    assert gate.cancelled == 1
    assert (methods(stage), trips(stage)) == ([], [])


async def test_a_failing_request_is_told(stage: Any) -> None:
    await listening(stage, config=DECIDING)
    stage.transport.fail_next_call("request_response", ConnectionLost("gone"))
    stage.transport.emit(UserTranscript("Hello", "u1"))
    await idle(stage)
    assert [str(error) for error in errors(stage)] == ["gone"]
