from __future__ import annotations

import itertools

import pytest

from voxwire.session.ledger import REMEMBERED, TOOL_RUN, CallLedger


def test_a_call_is_admitted_once() -> None:
    ledger = CallLedger()
    assert ledger.admit("c1", "r1", handoff=False) == "run"
    assert ledger.admit("c1", "r1", handoff=False) == "repeated"
    assert ledger.state("c1") == "running"
    assert ledger.state("c2") is None
    assert ledger.step("c1", "result")
    assert ledger.step("c1", "sent")
    assert ledger.admit("c1", "r9", handoff=True) == "repeated"


def test_the_first_handoff_of_a_response_is_taken() -> None:
    ledger = CallLedger()
    assert ledger.admit("c1", "r1", handoff=True) == "run"
    assert ledger.admit("c2", "r1", handoff=False) == "run"
    assert ledger.admit("c3", "r1", handoff=True) == "second handoff"
    assert ledger.admit("c4", "r2", handoff=True) == "run"
    ledger.response_done("r1")
    assert ledger.admit("c5", "r1", handoff=True) == "run"


def test_handoffs_of_unknown_responses_do_not_exclude_each_other() -> None:
    ledger = CallLedger()
    assert ledger.admit("c1", None, handoff=True) == "run"
    assert ledger.admit("c2", "", handoff=True) == "run"


def test_the_number_of_running_calls_is_bounded() -> None:
    ledger = CallLedger(limit=1)
    assert ledger.admit("c1", "r1", handoff=False) == "run"
    assert ledger.admit("c2", "r1", handoff=False) == "too many"
    for call in ("c1", "c2"):
        assert ledger.step(call, "result")
        assert ledger.step(call, "sent")
    assert ledger.admit("c3", "r1", handoff=False) == "run"


def test_finished_calls_are_forgotten_running_ones_never() -> None:
    ledger = CallLedger(limit=2 * REMEMBERED)
    ledger.admit("first", "r", handoff=False)
    for number in range(REMEMBERED):
        ledger.admit(f"c{number}", "r", handoff=False)
        ledger.step(f"c{number}", "result")
        ledger.step(f"c{number}", "sent")
    assert ledger.state("first") == "running"
    assert ledger.state("c0") is None
    assert ledger.state("c1") == "answered"


def test_more_running_calls_than_are_remembered() -> None:
    ledger = CallLedger(limit=2 * REMEMBERED)
    for number in range(REMEMBERED + 1):
        ledger.admit(f"c{number}", "r", handoff=False)
    assert ledger.state("c0") == "running"


@pytest.mark.parametrize(
    ("events", "state"),
    [
        (("result", "sent"), "answered"),
        (("result", "send failed"), "failed"),
        (("interrupted", "result", "sent"), "answered"),
        (("interrupted", "disconnected"), "dropped"),
        (("result", "disconnected"), "dropped"),
    ],
)
def test_the_ways_of_a_call(events: tuple[str, ...], state: str) -> None:
    ledger = CallLedger()
    ledger.admit("c1", "r1", handoff=False)
    assert all(ledger.step("c1", event) for event in events)
    assert ledger.state("c1") == state


def test_a_call_is_answered_at_most_once_whatever_happens() -> None:
    events = ("result", "sent", "send failed", "interrupted", "disconnected")
    for order in itertools.product(events, repeat=5):
        ledger = CallLedger()
        ledger.admit("c1", "r1", handoff=False)
        assert sum(ledger.step("c1", event) for event in order if event == "result") <= 1
        assert ledger.state("c1") in TOOL_RUN.states


def test_a_step_of_an_unknown_call_is_no_step() -> None:
    assert not CallLedger().step("c1", "result")
