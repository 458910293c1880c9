from __future__ import annotations

from dataclasses import replace

import pytest

from voxwire.cli.checks import check_all
from voxwire.cli.dialogue import FOLDER, Expectation, Line
from voxwire.protocol.transport_events import ErrorEvent
from voxwire.recording.facts import RecordingFacts
from voxwire.recording.words import word_overlap

FILE = FOLDER / "1-weather.wav"
LINES = [
    Line(
        "What is the weather in Tokyo?",
        FILE,
        Expectation(agent="Ava", tool="get_weather", arguments={"city": "Tokyo"}),
    ),
    Line("Let me talk to the storyteller.", FILE, Expectation(agent="Ava", handoff="Leo")),
    Line("Tell me a long story.", FILE, Expectation(agent="Leo")),
    Line("Stop, please.", FILE, Expectation(agent="Leo", interrupts=True)),
]
FACTS = RecordingFacts(2, 24_000, 21_010, -20.0, -18.0, (-96.0,))


def failed(timeline, lines=LINES, facts=FACTS, stopped=None) -> list[str]:
    return [check.name for check in check_all(timeline, lines, facts, stopped=stopped) if not check.ok]


def test_everything_that_happened_passes(whole_play) -> None:
    checks = check_all(whole_play.timeline, LINES, FACTS)
    assert [check.name for check in checks if not check.ok] == []
    assert len(checks) == 20


def test_a_question_that_was_misheard_fails(whole_play) -> None:
    whole_play.timeline.turns[0].recognised = "who has a feather in a token"
    assert failed(whole_play.timeline) == ["1: the question was recognised"]


def test_the_wrong_argument_fails(whole_play) -> None:
    whole_play.timeline.turns[0].tools[0].arguments = {"city": "Kyoto"}
    assert failed(whole_play.timeline) == ["1: get_weather was called with city=Tokyo"]


@pytest.mark.parametrize("change", ["twice", "failed", "broken"])
def test_a_call_that_went_wrong_fails(whole_play, change: str) -> None:
    tools = whole_play.timeline.turns[0].tools
    if change == "twice":
        tools.append(tools[0])
    elif change == "failed":
        tools[0].failed = True
    else:
        tools[0].arguments = "{city"
    assert failed(whole_play.timeline) == ["1: get_weather was called with city=Tokyo"]


def test_no_call_fails_and_so_does_its_result(whole_play) -> None:
    whole_play.timeline.turns[0].tools.clear()
    assert failed(whole_play.timeline) == [
        "1: get_weather was called with city=Tokyo",
        "1: the result was spoken",
    ]


def test_no_handoff_fails(whole_play) -> None:
    whole_play.timeline.turns[1].handoffs.clear()
    assert failed(whole_play.timeline) == ["2: Ava handed over to Leo"]


def test_an_answer_nobody_heard_fails(whole_play) -> None:
    reply = whole_play.timeline.turns[3].replies[0]
    reply.heard_until_ms = reply.heard_from_ms
    assert failed(whole_play.timeline) == ["4: Leo answered"]


def test_an_answer_by_the_wrong_agent_fails(whole_play) -> None:
    whole_play.timeline.turns[3].replies[0].agent = "Ava"
    assert failed(whole_play.timeline) == ["4: Leo answered"]


def test_no_interruption_fails(whole_play) -> None:
    whole_play.timeline.interruptions.clear()
    assert failed(whole_play.timeline) == ["4: the reply stopped when the user spoke"]


def test_a_slow_interruption_fails(whole_play) -> None:
    whole_play.timeline.interruptions[0].reaction_ms = 2500
    assert failed(whole_play.timeline) == ["4: the reply stopped when the user spoke"]


@pytest.mark.parametrize("whose", ["cut_ms", "service_ms"])
@pytest.mark.parametrize("cut_ms", [3800, 4300, 40_000, 0])
def test_a_cut_somewhere_else_fails(whole_play, whose: str, cut_ms: int) -> None:
    setattr(whole_play.timeline.interruptions[0], whose, cut_ms)
    assert failed(whole_play.timeline) == ["4: the service knows where it was cut"]


@pytest.mark.parametrize(("heard_ms", "ok"), [(4200, True), (4700, True), (3800, False)])
def test_audio_in_real_time_may_have_gaps_but_takes_its_time(whole_play, heard_ms: int, ok: bool) -> None:
    (cut,) = whole_play.timeline.interruptions
    cut.reply.audio_ms = 4100
    cut.reply.heard_until_ms = cut.reply.heard_from_ms + heard_ms
    assert failed(whole_play.timeline) == ([] if ok else ["4: the service knows where it was cut"])


@pytest.mark.parametrize(("known", "ok"), [(3800, False), (4050, True), (4350, True), (4500, False)])
def test_the_service_may_have_sent_what_was_not_played_yet(whole_play, known: int, ok: bool) -> None:
    (cut,) = whole_play.timeline.interruptions
    cut.reply.audio_ms, cut.service_ms = 4250, known
    assert failed(whole_play.timeline) == ([] if ok else ["4: the service knows where it was cut"])


def test_a_service_that_was_not_told_fails(whole_play) -> None:
    whole_play.timeline.interruptions[0].service_ms = None
    assert failed(whole_play.timeline) == ["4: the service knows where it was cut"]


@pytest.mark.parametrize(
    "heard", ["", "Once upon a time there was a lighthouse keeper.", "Something else", None]
)
def test_a_history_of_what_was_not_heard_fails(whole_play, heard: str | None) -> None:
    whole_play.timeline.turns[2].replies[0].heard_text = heard
    assert failed(whole_play.timeline) == ["4: history shows only what was heard"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"channels": 1}, "the recording is complete"),
        ({"duration_ms": 20_000.0}, "the recording is complete"),
        ({"user_dbfs": -96.0}, "the user can be heard in it"),
        ({"agent_dbfs": -60.0}, "the agent can be heard in it"),
        ({"after_cut_dbfs": (-20.0,)}, "it is silent behind the interruption"),
    ],
)
def test_a_recording_that_is_not_right_fails(whole_play, change, name: str) -> None:
    assert failed(whole_play.timeline, facts=replace(FACTS, **change)) == [name]
    assert failed(whole_play.timeline, facts=None) == ["the recording is complete"]


def test_nobody_has_to_be_heard_who_said_nothing(whole_play) -> None:
    assert failed(whole_play.timeline, facts=replace(FACTS, user_dbfs=None, agent_dbfs=None)) == []


def test_errors_and_an_early_end_fail(whole_play) -> None:
    whole_play.timeline.take(ErrorEvent(RuntimeError("boom")), 20_999)
    lines = [*LINES, Line("And then?")]
    assert failed(whole_play.timeline, lines, stopped="the time was up") == [
        "the conversation reached its end",
        "5: And then?",
        "no errors",
    ]


def test_own_questions_need_an_answer_and_some_words(play) -> None:
    play.ask("", 0, 1000, "u1", heard_as="hello there")
    play.reply("r1", "a1", "Hello.", 1700, 500)
    play.timeline.user_begins("typed", 3000, typed=True)
    play.timeline.finish((), 4000)
    facts = RecordingFacts(2, 24_000, 4000, -20.0, -20.0)
    lines = [Line("", FILE), Line("typed")]
    assert failed(play.timeline, lines, facts) == ["2: the agent answered"]
    play.timeline.turns[0].recognised = ""
    assert failed(play.timeline, lines, facts) == ["1: the question was recognised", "2: the agent answered"]


@pytest.mark.parametrize(
    ("wanted", "found", "share"),
    [
        ("Book a table for two!", "book a table for 2", 1.0),
        ("seven o'clock", "7 o'clock", 1.0),
        ("the the the", "the", 1 / 3),
        ("What is it?", "", 0.0),
        ("", "anything", 1.0),
    ],
)
def test_word_overlap(wanted: str, found: str, share: float) -> None:
    assert word_overlap(wanted, found) == pytest.approx(share)
