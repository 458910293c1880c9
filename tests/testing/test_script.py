from __future__ import annotations

import pytest

from voxwire.testing.script import (
    CallScript,
    IncompleteScenarioError,
    UnexpectedCallError,
    UnmatchedCallError,
    snapshot,
)


@pytest.fixture
def script():
    return CallScript()


def test_calls_are_copied_when_they_are_made_and_when_they_are_looked_at(script):
    event = {"type": "x", "list": [1]}
    script.record("send_event", {"event": event, "pcm": bytearray(b"ab")})
    event["list"].append(2)
    script.calls[0]["event"]["type"] = "changed"
    assert script.calls[0]["event"] == {"type": "x", "list": [1]}
    assert script.calls[0]["pcm"] == b"ab"
    assert (script.calls[0].index, script.calls[0].method) == (0, "send_event")


def test_a_snapshot_keeps_cycles_aliases_and_instances():
    thing = object()
    shared = [1]
    value = {"a": shared, "b": shared, "thing": thing, "pair": ({"x": 1}, thing), "set": {1, 2}}
    value["self"] = value
    copy = snapshot(value)
    assert copy["self"] is copy
    assert copy["a"] is copy["b"]
    assert copy["a"] is not shared
    assert copy["thing"] is thing
    assert copy["pair"] == ({"x": 1}, thing)
    assert copy["pair"][0] is not value["pair"][0]
    assert copy["set"] == {1, 2}
    assert snapshot(memoryview(b"ab")) == b"ab"


async def test_an_expectation_takes_a_call_that_was_made_before(script):
    script.record("a", {"n": 1})
    assert (await script.expect("a"))["n"] == 1
    script.assert_complete()


async def test_an_expectation_waits_for_the_call(script):
    future = script.expect("a", lambda call: call["n"] == 1)
    assert script.pending
    assert not future.done()
    script.record("a", {"n": 1})
    assert (await future).index == 0
    assert not script.pending


async def test_another_call_fails_both_sides(script):
    future = script.expect("a")
    with pytest.raises(UnexpectedCallError) as caught:
        script.record("b", {})
    assert caught.value is future.exception()
    assert (caught.value.call_index, caught.value.expected_method, caught.value.actual_method) == (
        0,
        "a",
        "b",
    )
    script.record("c", {})
    with pytest.raises(UnexpectedCallError):
        await script.expect("d")


async def test_other_arguments_fail_both_sides(script):
    future = script.expect("a", lambda call: call["n"] == 2)
    with pytest.raises(UnmatchedCallError, match="n=1"):
        script.record("a", {"n": 1})
    assert isinstance(future.exception(), UnmatchedCallError)


async def test_what_a_matcher_raises_is_passed_on_as_it_is(script):
    error = ValueError("mine")

    def raising(_call):
        raise error

    future = script.expect("a", raising)
    with pytest.raises(ValueError, match="mine") as caught:
        script.record("a", {})
    assert caught.value is error
    assert future.exception() is error


async def test_a_failure_comes_after_the_call_was_recorded_and_expected(script):
    error = RuntimeError("no")
    script.fail_next("a", error)
    future = script.expect("a")
    with pytest.raises(RuntimeError, match="no"):
        script.record("a", {})
    assert (await future).method == "a"
    script.record("a", {})
    assert len(script.calls) == 2


async def test_a_call_made_by_a_matcher_does_not_use_up_the_failure(script):
    script.fail_next("a", RuntimeError("no"))

    def calls_again(_call):
        script.record("a", {"inner": True})
        return True

    script.expect("a", calls_again)
    with pytest.raises(RuntimeError, match="no"):
        script.record("a", {})
    assert script.calls[1]["inner"]


async def test_an_expectation_nobody_waits_for_any_more_is_passed_over(script):
    script.expect("a").cancel()
    second = script.expect("b")
    script.record("b", {})
    assert second.done()


async def test_incomplete_says_everything_that_is_missing(script):
    script.assert_complete()
    script.record("made", {"x": "y" * 500})
    script.expect("made")
    script.record("extra", {})
    script.fail_next("never", RuntimeError())
    with pytest.raises(IncompleteScenarioError) as caught:
        script.assert_complete()
    assert [call.method for call in caught.value.unconsumed_calls] == ["extra"]
    assert caught.value.pending_failures == ("never",)
    with pytest.raises(UnexpectedCallError):
        await script.expect("waits")
    script.expect("later")
    with pytest.raises(IncompleteScenarioError, match="later") as caught:
        script.assert_complete()
    assert caught.value.pending_expectations == ((2, "later"),)
