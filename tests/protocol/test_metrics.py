from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from voxwire import AudioInterrupted, FunctionCall, ItemTruncation, TurnDone, Usage
from voxwire.protocol.metrics import MAX_CLOSING, MAX_TOOLS, ToolMetrics, TurnMeter, TurnMetrics


def done(response_id: str = "r1", status: str = "completed", usage: Usage | None = None) -> TurnDone:
    return TurnDone(response_id, status, None, (), usage or Usage(1, 10, 5))


def call(call_id: str, response_id: str | None = "r1") -> FunctionCall:
    return FunctionCall(call_id, "look", "{}", f"i{call_id}", response_id)


def test_a_spoken_turn() -> None:
    meter = TurnMeter()
    assert meter.user_ended("speech", 10.0, silence_ms=500) == []
    meter.response_started("r1", 10.1)
    assert meter.wants_audio
    assert meter.audio_received("r1", 10.3)
    assert not meter.audio_received("r1", 10.4)
    assert not meter.wants_audio
    meter.audio_heard(1, 10.35)
    meter.used(Usage(transcription_seconds=2.0))
    assert meter.response_done(done(), 11.0) == [], "it is still being heard"
    [turn] = meter.playback_stopped(14.0)
    assert turn.number == meter.turn == 1
    assert (turn.trigger, turn.status, turn.silence_ms) == ("speech", "completed", 500)
    assert (turn.started_at, round(turn.duration_ms)) == (10.0, 4000)
    assert turn.response_ms is not None
    times = [turn.response_ms, turn.first_audio_ms, turn.first_heard_ms]
    assert [round(value or 0) for value in times] == [100, 300, 350]
    assert turn.responses == ("r1",)
    assert turn.usage == Usage(1, 10, 5, transcription_seconds=2.0)
    assert turn.name == "turn_metrics"


def test_a_greeting_begins_a_turn_of_its_own() -> None:
    meter = TurnMeter()
    meter.response_started("r1", 5.0)
    [turn] = meter.response_done(done(), 6.0)
    assert (turn.trigger, turn.started_at, turn.response_ms) == ("agent", 5.0, 0.0)
    assert (turn.first_audio_ms, turn.first_heard_ms) == (None, None)


def test_tools_and_what_follows_belong_to_the_turn() -> None:
    meter = TurnMeter()
    meter.user_ended("message", 0.0)
    meter.response_started("r1", 0.1)
    meter.tool_called(call("a"), 0.2)
    meter.tool_called(call("b"), 0.2)
    assert meter.response_done(done(), 0.3) == []
    assert meter.tool_answered("a", 0.5, failed=True, goes_on=True) == ([], (0.5 - 0.2) * 1000)
    assert meter.tool_answered("b", 0.7, failed=False, goes_on=True)[0] == [], "a response will follow"
    meter.response_started("r2", 0.8)
    [turn] = meter.response_done(done("r2"), 1.0)
    assert turn.responses == ("r1", "r2")
    assert [round(tool.duration_ms or 0) for tool in turn.tools] == [300, 500]
    assert [tool.failed for tool in turn.tools] == [True, False]
    assert round(turn.tool_ms) == 800
    assert turn.usage.requests == 2
    assert meter.turn_of("r2") is None


def test_a_tool_without_a_follow_up_ends_the_turn() -> None:
    meter = TurnMeter()
    meter.response_started("r1", 0.0)
    meter.tool_called(call("a", None), 0.1)
    assert meter.response_done(done(), 0.2) == []
    over, took = meter.tool_answered("a", 0.3, failed=False, goes_on=False)
    assert [turn.number for turn in over] == [1]
    assert took is not None
    assert meter.tool_answered("a", 0.4, failed=False, goes_on=False) == ([], None)


def test_an_interruption() -> None:
    meter = TurnMeter()
    meter.user_ended("speech", 0.0)
    meter.response_started("r1", 0.1)
    meter.audio_received("r1", 0.2)
    cuts = (ItemTruncation("i", 0, 400, 1000), ItemTruncation("j", 0, 0, 250), ItemTruncation("k", 0, 9))
    assert meter.interrupted(AudioInterrupted(cuts), 0.6) == []
    meter.dropped(120.0)
    [turn] = meter.response_done(done(status="cancelled"), 0.7)
    assert (turn.status, turn.interruptions) == ("interrupted", 1)
    assert (turn.truncated_ms, turn.dropped_ms) == (850.0, 120.0)


def test_nothing_is_interrupted_before_a_response() -> None:
    meter = TurnMeter()
    assert meter.interrupted(AudioInterrupted(), 0.0) == []
    meter.user_ended("speech", 0.0)
    assert meter.interrupted(AudioInterrupted(), 0.1) == []
    assert meter.playback_stopped(0.2) == []


def test_two_pieces_of_one_utterance_are_one_turn() -> None:
    meter = TurnMeter()
    meter.user_ended("speech", 1.0)
    assert meter.user_ended("message", 3.0) == []
    meter.response_started("r1", 3.5)
    [turn] = meter.response_done(done(), 4.0)
    assert (turn.number, turn.trigger, turn.response_ms) == (1, "message", 500.0)


def test_a_turn_that_is_overtaken_waits_for_its_responses() -> None:
    meter = TurnMeter()
    meter.user_ended("speech", 0.0)
    meter.response_started("r1", 0.1)
    meter.tool_called(call("a"), 0.2)
    assert meter.user_ended("speech", 1.0) == []
    assert (meter.turn_of("r1"), meter.began_at(1), meter.began_at(2), meter.began_at(3)) == (
        1,
        0.0,
        1.0,
        None,
    )
    meter.response_started("r2", 1.1)
    meter.dropped(40)
    assert not meter.audio_received("r1", 1.2), "of the turn before"
    [first] = meter.response_done(done("r1", "cancelled"), 1.3)
    assert (first.number, first.dropped_ms) == (1, 40)
    assert first.tools == (ToolMetrics("look", "a"),), "nobody waited for it"
    assert meter.tool_answered("a", 2.0, failed=False, goes_on=True) == ([], None)
    [second] = meter.response_done(done("r2"), 2.0)
    assert second.number == 2


def test_a_turn_that_had_ended_but_for_its_tools_is_told_of_when_it_is_overtaken() -> None:
    meter = TurnMeter()
    meter.response_started("r1", 0.1)
    meter.tool_called(call("a"), 0.2)
    assert meter.response_done(done(), 0.3) == []
    [turn] = meter.user_ended("speech", 0.4)
    assert turn.number == 1


def test_a_failed_response_and_a_lost_connection() -> None:
    meter = TurnMeter()
    assert not meter.connected()
    meter.response_started("r1", 0.0)
    assert [turn.status for turn in meter.response_done(done(status="failed"), 1.0)] == ["failed"]
    meter.user_ended("speech", 2.0)
    meter.response_started("r2", 2.1)
    assert [turn.status for turn in meter.disconnected(3.0)] == ["disconnected"]
    assert meter.connected()
    meter.user_ended("speech", 4.0)
    meter.response_started("r3", 4.1)
    [turn] = meter.response_done(done("r3"), 5.0)
    assert (turn.number, turn.reconnects) == (3, 1)
    meter.user_ended("speech", 6.0)
    assert meter.disconnected(7.0) == [], "nothing had been answered"


def test_what_belongs_to_no_turn_changes_nothing() -> None:
    meter = TurnMeter()
    meter.used(Usage(1, 1, 1))
    meter.tool_called(call("a"), 0.0)
    meter.playback_started()
    meter.dropped(10)
    meter.audio_heard(0, 1.0)
    assert not meter.audio_received("r", 1.0)
    assert meter.response_done(done("r9"), 1.0) == []
    assert meter.turn == 0


def test_playback_keeps_a_turn_open() -> None:
    meter = TurnMeter()
    meter.response_started("r1", 0.0)
    meter.playback_started()
    assert meter.response_done(done(), 1.0) == []
    assert len(meter.playback_stopped(2.0)) == 1


def test_everything_is_bounded() -> None:
    meter = TurnMeter()
    over: list[TurnMetrics] = []
    for number in range(40):
        over += meter.user_ended("speech", number)
        meter.response_started(f"r{number}", number)
    assert [turn.number for turn in over] == list(range(1, 40 - MAX_CLOSING))
    for number in range(MAX_TOOLS + 10):
        meter.tool_called(call(f"c{number}", "r39"), 50)
    [*_, last] = meter.disconnected(60)
    assert len(last.tools) == MAX_TOOLS


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["user", "start", "done", "tool", "answer", "stop", "cut", "audio", "lost", "go_on"]),
        st.integers(0, 4),
    ),
    max_size=60,
)


@given(EVENTS)
def test_every_response_is_told_of_once_whatever_happens(events: list[tuple[str, int]]) -> None:
    meter, over, started, now = TurnMeter(), list[TurnMetrics](), list[str](), 0.0
    for kind, number in events:
        now += 1.0
        name = f"r{number}"
        result: Any = None
        match kind:
            case "user":
                result = meter.user_ended("speech", now)
            case "start":
                started.append(f"{name}.{now}")
                meter.response_started(started[-1], now)
            case "done" if started:
                result = meter.response_done(done(started[number % len(started)]), now)
            case "tool" if started:
                meter.tool_called(call(str(number), started[number % len(started)]), now)
            case "answer" | "go_on":
                result = meter.tool_answered(str(number), now, failed=False, goes_on=kind == "go_on")[0]
            case "stop":
                result = meter.playback_stopped(now)
            case "cut":
                result = meter.interrupted(AudioInterrupted(), now)
            case "audio" if started:
                meter.audio_received(started[-1], now)
            case "lost":
                result = meter.disconnected(now)
            case _:
                pass
        over += result or []
    over += meter.disconnected(now)
    assert sorted(name for turn in over for name in turn.responses) == sorted(started)
    assert len({turn.number for turn in over}) == len(over)
    assert all(turn.duration_ms >= 0 for turn in over)
