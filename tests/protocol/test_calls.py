from __future__ import annotations

from voxwire.protocol.calls import REMEMBERED, ToolCalls


def test_the_model_goes_on_after_the_last_sibling() -> None:
    calls = ToolCalls()
    assert calls.announce("a", "r")
    assert calls.announce("b", "r")
    assert not calls.answer("a", start_response=True)
    assert not calls.response_done("r")
    assert calls.open == {"b"}
    assert calls.answer("b", start_response=False)


def test_answers_before_the_end_of_the_response_wait_for_it() -> None:
    calls = ToolCalls()
    calls.announce("a", "r")
    assert not calls.answer("a", start_response=True)
    assert calls.waiting_for_end
    assert calls.response_done("r")
    assert not calls.waiting_for_end
    assert not calls.response_done("r")


def test_nobody_asked_for_a_response() -> None:
    calls = ToolCalls()
    calls.announce("a", "r")
    calls.response_done("r")
    assert not calls.answer("a", start_response=False)


def test_two_responses_do_not_wait_for_each_other() -> None:
    calls = ToolCalls()
    calls.announce("a", "r1")
    calls.announce("b", "r2")
    calls.response_done("r1")
    assert calls.answer("a", start_response=True)
    assert calls.open == {"b"}


def test_a_call_is_announced_once_and_answered_once() -> None:
    calls = ToolCalls()
    assert calls.announce("a", "r")
    assert not calls.announce("a", "r")
    assert not calls.is_answered("a")
    calls.answer("a", start_response=True)
    assert calls.is_answered("a")
    assert not calls.announce("a", "r")


def test_a_call_nobody_announced_goes_on_as_asked() -> None:
    calls = ToolCalls()
    assert calls.answer("made up", start_response=True)
    assert not calls.answer("other", start_response=False)
    assert calls.is_answered("made up")


def test_a_lost_end_is_given_up() -> None:
    calls = ToolCalls()
    calls.announce("a", "r")
    calls.announce("b", "r2")
    calls.answer("a", start_response=True)
    assert calls.stalled()
    assert not calls.stalled()
    assert calls.answer("b", start_response=True)  # its response is not waited for any more


def test_open_calls_of_an_earlier_connection_are_dropped() -> None:
    calls = ToolCalls()
    calls.announce("done", "r")
    calls.answer("done", start_response=True)
    calls.announce("open", "r")
    calls.disconnected()
    assert calls.is_dropped("open")
    assert not calls.is_answered("done")
    assert calls.open == frozenset()
    calls.disconnected()
    assert calls.is_dropped("open")
    calls.forget(["open", "unknown"])
    assert calls.answer("open", start_response=True)


def test_memory_is_bounded_also_by_calls_nobody_answers() -> None:
    calls = ToolCalls()
    for number in range(REMEMBERED * 2):
        calls.announce(f"c{number}", f"r{number}")
        calls.response_done(f"r{number}")
    assert len(calls) == REMEMBERED
    assert len(calls.open) == REMEMBERED
    assert len(calls._groups) == REMEMBERED
