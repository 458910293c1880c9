"""When guardrails look, and what a trip means: the decisions alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.session.guardrail_runs import AT_ONCE, REMEMBERED, Check, GuardrailRuns


def texts(checks: list[Check]) -> list[tuple[str, str, bool]]:
    return [(check.item_id, check.text, check.final) for check in checks]


def say(
    runs: GuardrailRuns, words: str, *, item: str = "i1", response: str = "r1", spoken: bool = True
) -> Check | None:
    return runs.text(response, item, words, spoken=spoken)


def test_a_check_per_crossing_sees_all_the_text() -> None:
    runs = GuardrailRuns(10)
    assert say(runs, "123456789") is None
    check = say(runs, "0")
    assert check is not None
    assert (check.text, check.characters, check.final) == ("1234567890", 10, False)
    assert say(runs, "12345678") is None
    check = say(runs, "9012")
    assert check is not None
    assert check.characters == 22
    assert say(runs, "12345678") is not None
    assert say(runs, "x" * 35) is not None, "several crossings at once are one check"
    assert say(runs, "x") is None


def test_behaviour_134_the_debounce_is_counted_per_item() -> None:
    runs = GuardrailRuns(10)
    assert say(runs, "12345678", item="i1") is None
    assert say(runs, "12345678", item="i2") is None
    assert say(runs, "90", item="i2") is not None
    assert say(runs, "90", item="i1") is not None


def test_a_negative_debounce_waits_for_the_end() -> None:
    runs = GuardrailRuns(-1)
    assert say(runs, "x" * 1000) is None
    assert texts(runs.done("r1", [], cancelled=False)) == [("i1", "x" * 1000, True)]


def test_a_debounce_of_zero_looks_at_every_piece() -> None:
    runs = GuardrailRuns(0)
    assert say(runs, "a") is not None
    assert say(runs, "b") is not None


def test_checks_of_one_text_are_bounded_and_the_last_sees_what_came_meanwhile() -> None:
    runs = GuardrailRuns(1)
    begun = [check for check in (say(runs, "x") for _ in range(AT_ONCE + 3)) if check]
    assert len(begun) == AT_ONCE
    following = runs.ended(begun[0])
    assert following is not None
    assert following.characters == AT_ONCE + 3
    assert runs.ended(begun[1]) is None


def test_with_hold_back_every_piece_counts() -> None:
    runs = GuardrailRuns(100, continuous=True)
    checks = [say(runs, letter) for letter in "abc"]
    assert [check.text for check in checks if check] == ["a", "ab", "abc"]
    assert GuardrailRuns(-1, continuous=True).text("r1", "i1", "abc", spoken=True) is None


def test_the_final_check_has_the_services_wording_and_covers_every_item() -> None:
    runs = GuardrailRuns(100)
    say(runs, "helo")
    say(runs, "and", item="i2")
    checks = runs.done("r1", [("i1", "Hello."), ("i2", ""), ("i3", "Never announced.")], cancelled=False)
    assert texts(checks) == [
        ("i1", "Hello.", True),
        ("i2", "and", True),
        ("i3", "Never announced.", True),
    ]
    assert [check.characters for check in checks] == [4, 3, 0]
    for check in checks:
        assert not runs.all_passed("r1")
        assert runs.ended(check) is None
    assert runs.all_passed("r1")


def test_a_reply_without_text_needs_no_check() -> None:
    runs = GuardrailRuns(100)
    runs.started("r1")
    assert not runs.all_passed("r1")
    assert runs.done("r1", [("i1", "")], cancelled=False) == []
    assert runs.all_passed("r1")


def test_after_the_end_nothing_is_looked_at_again() -> None:
    runs = GuardrailRuns(1)
    check = say(runs, "a")
    say(runs, "b")
    assert check is not None
    assert len(runs.done("r1", [], cancelled=False)) == 1
    assert runs.ended(check) is None
    assert say(runs, "late") is None
    assert runs.done("r1", [], cancelled=False) == [], "said twice"


@pytest.mark.parametrize(
    ("spoken", "over", "newer", "verdict"),
    [
        (True, None, False, "interrupt"),
        (False, None, False, "cancel"),
        (True, None, True, "interrupt"),  # one of the two is outside the conversation
        (True, "done", False, "interrupt"),
        (False, "done", False, "interrupt"),
        (True, "done", True, "tell"),
        (False, "done", True, "tell"),
        (True, "cancelled", False, "tell"),
        (False, "cancelled", True, "tell"),
    ],
)
def test_behaviour_134_what_a_trip_leads_to(
    spoken: bool, over: str | None, newer: bool, verdict: str
) -> None:
    runs = GuardrailRuns(1)
    runs.started("r1")
    check = say(runs, "Dom", spoken=spoken)
    assert check is not None
    if over:
        runs.done("r1", [], cancelled=over == "cancelled")
    if newer:
        runs.started("r2")
    assert runs.trip(check) == verdict
    assert runs.trip(check) == "ignore", "a reply trips once"
    assert runs.state("r1") == "blocked"
    assert not runs.all_passed("r1")


def test_nothing_is_looked_at_after_a_trip() -> None:
    runs = GuardrailRuns(1)
    check = say(runs, "Dom")
    assert check is not None
    runs.trip(check)
    assert say(runs, "more") is None
    assert runs.ended(check) is None
    assert runs.done("r1", [("i1", "Dom more")], cancelled=True) == []


def test_behaviour_135_a_reply_that_began_without_its_id_is_known_by_its_first_words() -> None:
    runs = GuardrailRuns(1)
    runs.started("r1")
    old = say(runs, "Dom")
    assert old is not None
    runs.done("r1", [], cancelled=False)
    assert say(runs, "x", response="r2") is not None
    assert runs.trip(old) == "tell"


def test_a_service_without_ids_has_one_reply_at_a_time() -> None:
    runs = GuardrailRuns(2)
    assert say(runs, "ab", response="") is not None
    assert texts(runs.done("", [], cancelled=False)) == [("i1", "ab", True)]
    assert say(runs, "cd", item="i2", response="") is not None
    assert texts(runs.done("", [], cancelled=False)) == [("i2", "cd", True)]


def test_old_replies_are_forgotten() -> None:
    runs = GuardrailRuns(1)
    first = say(runs, "Dom", response="r0")
    assert first is not None
    for number in range(REMEMBERED):
        runs.started(f"r{number + 1}")
    assert runs.state("r0") is None
    assert runs.ended(first) is None
    assert runs.trip(first) == "ignore"
    assert not runs.started("r5")


@given(st.lists(st.text(max_size=7), max_size=30), st.integers(-1, 20), st.booleans(), st.data())
def test_every_character_is_seen_by_a_check_in_the_end(
    pieces: list[str], debounce: int, continuous: bool, data: st.DataObject
) -> None:
    runs = GuardrailRuns(debounce, continuous=continuous)
    running: list[Check] = []
    seen = 0
    for piece in pieces:
        check = say(runs, piece)
        running += [check] if check else []
        assert len(running) <= AT_ONCE
        if running and data.draw(st.booleans()):
            ended = running.pop(0)
            seen = max(seen, ended.characters)
            following = runs.ended(ended)
            running += [following] if following else []
    assert seen <= sum(map(len, pieces))
    checks = runs.done("r1", [], cancelled=False)
    if pieces:
        assert [check.text for check in checks] == ["".join(pieces)]
    for check in (*running, *checks):
        assert runs.ended(check) is None
    assert runs.all_passed("r1")
