"""The sequencer of `response.create`; numbers are those of the behaviours listed in docs/differences.md."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from voxwire.protocol.responses import BUSY, MAX_ATTEMPTS, MAX_OUT_OF_BAND, MAX_PENDING, ResponseSequencer


def sequencer() -> ResponseSequencer:
    count = itertools.count(1)
    return ResponseSequencer(lambda: f"e{next(count)}")


def auto(seq: ResponseSequencer) -> list[dict[str, Any]]:
    return seq.request(None, automatic=True)


def manual(seq: ResponseSequencer, text: str = "x", **more: Any) -> list[dict[str, Any]]:
    return seq.request(
        {"type": "response.create", "response": {"instructions": text, **more}}, automatic=False
    )


def out_of_band(seq: ResponseSequencer) -> list[dict[str, Any]]:
    return manual(seq, conversation="none")


def test_behaviour_69_an_id_is_made_unless_there_is_one() -> None:
    seq = sequencer()
    assert auto(seq) == [{"type": "response.create", "event_id": "e1"}]
    seq.created("r1")
    assert seq.request({"type": "response.create", "event_id": "mine"}, automatic=False) == []
    assert seq.done("r1") == [{"type": "response.create", "event_id": "mine"}]
    seq.created("r2")
    seq.request({"type": "response.create", "event_id": 7}, automatic=False)
    assert seq.done("r2")[0]["event_id"] == "e2"


def test_behaviour_74_the_first_is_sent_at_once_and_later_ones_become_one() -> None:
    seq = sequencer()
    assert len(auto(seq)) == 1
    assert auto(seq) == auto(seq) == []
    assert seq.pending == 1
    seq.created("r1")
    assert len(seq.done("r1")) == 1
    assert seq.pending == 0


def test_behaviour_75_77_explicit_ones_keep_their_place_and_payload() -> None:
    seq = sequencer()
    auto(seq)
    seq.created("r0")
    auto(seq), manual(seq, "one"), manual(seq, "two"), auto(seq), auto(seq)
    order: list[Any] = []
    for number in range(5):
        sent = seq.done(f"r{number}")
        order += [event.get("response", {}).get("instructions") for event in sent]
        seq.created(f"r{number + 1}")
    assert order == [None, "one", "two", None]


def test_behaviour_71_an_error_counts_if_it_names_the_create() -> None:
    seq = sequencer()
    auto(seq)
    assert seq.failed("other", None, "response.create is wrong") == (False, [])
    assert seq.in_flight is not None
    assert seq.failed("e1", "invalid_value", "no") == (False, [])
    assert seq.state == "idle"


@pytest.mark.parametrize(
    ("code", "message"), [("response_create_failed", None), (None, "response.create: no")]
)
def test_behaviour_71_an_error_without_id_counts_by_its_words(code: str | None, message: str | None) -> None:
    seq = sequencer()
    auto(seq), manual(seq)
    assert seq.failed(None, "rate_limit", "slow down") == (False, [])
    handled, creates = seq.failed(None, code, message)
    assert not handled
    assert len(creates) == 1  # 76: the next one is released


def test_behaviour_76_refused_as_busy_is_sent_again_after_the_other_response() -> None:
    seq = sequencer()
    sent = auto(seq)
    assert seq.failed("e1", BUSY, None) == (True, [])
    auto(seq)  # merges with the one that waits
    assert seq.done("foreign") == sent
    assert seq.pending == 0


def test_a_foreign_response_takes_the_answer_and_the_refusal_gives_it_back() -> None:
    seq = sequencer()
    sent = auto(seq)
    seq.created("voice")
    assert seq.failed("e1", BUSY, None) == (True, [])
    assert seq.active_id == "voice"
    assert seq.done("voice") == sent


def test_the_refusal_may_lack_the_id() -> None:
    seq = sequencer()
    sent = auto(seq)
    seq.created("voice")
    assert seq.failed(None, BUSY, None) == (True, [])
    assert seq.done("voice") == sent


def test_a_create_that_is_always_refused_is_given_up() -> None:
    seq = sequencer()
    auto(seq)
    for _ in range(MAX_ATTEMPTS - 1):
        handled, creates = seq.failed("e1", BUSY, None)
        assert handled
        assert creates == []
        assert len(seq.done("foreign")) == 1
    assert seq.failed("e1", BUSY, None) == (False, [])
    assert seq.pending == 0


def test_a_retry_merges_with_an_automatic_one_behind_it() -> None:
    seq = sequencer()
    auto(seq)
    auto(seq)
    assert seq.pending == 1
    seq.failed("e1", BUSY, None)
    assert seq.pending == 1


def test_an_unanswered_one_gives_up_its_place() -> None:
    seq = sequencer()
    auto(seq)
    manual(seq)
    request = seq.unanswered()
    assert request is not None
    assert request.event_id == "e1"
    assert len(seq.advance()) == 1
    assert seq.unanswered() is not None
    assert seq.unanswered() is None


def test_a_late_answer_is_still_a_response() -> None:
    seq = sequencer()
    auto(seq)
    seq.unanswered()
    seq.created("late")
    assert auto(seq) == []
    assert len(seq.done("late")) == 1


def test_interrupted_before_it_exists() -> None:
    seq = sequencer()
    auto(seq)
    assert seq.interrupt() is None
    assert seq.interrupt() is None
    assert seq.created("r1") is True
    assert seq.state == "cancelling"
    assert auto(seq) == []
    assert len(seq.done("r1")) == 1


def test_an_interrupted_create_is_not_tried_again_and_its_refusal_is_nobodys_business() -> None:
    seq = sequencer()
    auto(seq)
    seq.interrupt()
    assert seq.failed("e1", BUSY, None) == (True, [])
    assert seq.pending == 0
    assert seq.done("foreign") == []
    assert seq.state == "idle"


def test_behaviour_73_after_an_interruption_the_create_waits_for_done() -> None:
    seq = sequencer()
    auto(seq)
    seq.created("r1")
    assert seq.interrupt() == "r1"
    assert seq.interrupt() is None
    assert auto(seq) == []
    assert len(seq.done("r1")) == 1


def test_interrupting_drops_automatic_ones_that_wait() -> None:
    seq = sequencer()
    auto(seq)
    seq.created("r1")
    auto(seq), manual(seq, "kept")
    seq.interrupt()
    assert [event["response"]["instructions"] for event in seq.done("r1")] == ["kept"]


def test_interrupting_an_unknown_response() -> None:
    seq = sequencer()
    auto(seq)
    seq.failed("e1", BUSY, None)
    assert seq.interrupt() == ""


def test_a_cancel_of_the_users_own() -> None:
    seq = sequencer()
    seq.cancelled(None)
    assert seq.state == "idle"
    seq.created("r1")
    seq.cancelled("r9")
    assert seq.state == "active"
    seq.cancelled(None)
    assert seq.state == "cancelling"
    assert seq.interrupt() is None


def test_stalled_lets_the_next_go() -> None:
    seq = sequencer()
    assert not seq.stalled()
    seq.created("r1")
    auto(seq)
    assert seq.stalled()
    assert len(seq.advance()) == 1


def test_out_of_band_runs_beside_the_conversation() -> None:
    seq = sequencer()
    seq.created("voice", in_conversation=True)
    assert len(out_of_band(seq)) == 1
    assert not seq.created("side", in_conversation=False)
    assert seq.active_id == "voice"
    assert "side" in seq.out_of_band
    seq.done("side")
    assert seq.active_id == "voice"
    assert "side" in seq.out_of_band  # it may still be heard


def test_out_of_band_is_told_apart_without_a_conversation_id() -> None:
    seq = sequencer()
    out_of_band(seq)
    seq.created("side")
    assert seq.state == "idle"
    assert "side" in seq.out_of_band


def test_voice_activity_while_an_out_of_band_create_is_in_flight() -> None:
    seq = sequencer()
    out_of_band(seq)
    seq.created("voice", in_conversation=True)
    assert seq.in_flight is not None
    seq.created("side", in_conversation=False)
    assert seq.in_flight is None
    assert seq.active_id == "voice"


def test_a_foreign_out_of_band_response_does_not_answer_ours() -> None:
    seq = sequencer()
    auto(seq)
    seq.created("r1", in_conversation=True)
    seq.done("r1")
    auto(seq)
    seq.created("elsewhere", in_conversation=False)
    assert seq.in_flight is not None
    seq.created("r2", in_conversation=True)
    assert seq.active_id == "r2"


def test_a_service_that_never_names_the_conversation_is_understood() -> None:
    seq = sequencer()
    auto(seq)
    seq.created("r1", in_conversation=False)
    assert seq.active_id == "r1"
    auto(seq)
    assert len(seq.done("r1")) == 1


def test_an_out_of_band_create_that_fails() -> None:
    seq = sequencer()
    out_of_band(seq)
    assert seq.failed("e1", "invalid", None) == (False, [])
    assert seq.state == "idle"
    out_of_band(seq)
    assert seq.unanswered() is not None


def test_out_of_band_waits_while_a_withdrawn_create_is_open() -> None:
    seq = sequencer()
    auto(seq)
    seq.interrupt()
    seq.unanswered()
    auto(seq)
    seq.interrupt()
    assert out_of_band(seq) == []


def test_responses_without_an_id() -> None:
    seq = sequencer()
    auto(seq)
    seq.created("")
    auto(seq)
    assert len(seq.done("whatever")) == 1
    seq.created("r2")
    seq.done("")
    assert seq.state == "idle"


def test_the_end_of_another_response_changes_nothing() -> None:
    seq = sequencer()
    seq.created("r1")
    seq.done("r0")
    assert seq.state == "active"
    seq.created("r2")  # the service went on
    seq.done("r1")
    assert seq.active_id == "r2"


def test_too_many_explicit_ones_are_refused_automatic_ones_never() -> None:
    seq = sequencer()
    auto(seq)
    for _ in range(MAX_PENDING):
        manual(seq)
        auto(seq)
    with pytest.raises(OverflowError, match=str(MAX_PENDING)):
        manual(seq)
    assert auto(seq) == []
    assert seq.pending <= 2 * MAX_PENDING + 1


def test_behaviour_72_reset_forgets_everything() -> None:
    seq = sequencer()
    auto(seq), manual(seq)
    seq.created("r1")
    seq.reset()
    assert (seq.state, seq.active_id, seq.in_flight, seq.pending) == ("idle", None, None, 0)
    assert seq.done("r1") == []


def test_out_of_band_memory_is_bounded() -> None:
    seq = sequencer()
    for number in range(MAX_OUT_OF_BAND * 2):
        out_of_band(seq)
        seq.created(f"r{number}")
    assert len(seq.out_of_band) == MAX_OUT_OF_BAND
