from __future__ import annotations

import io

import pytest

from voxwire.cli.narration import Entry, Narrator, partial
from voxwire.cli.views import LiveView, PlainView, make_view
from voxwire.errors import ConnectionLost
from voxwire.protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    ConnectionChange,
    ErrorEvent,
    ItemTruncation,
    TranscriptDelta,
)
from voxwire.recording.words import call_text, clock_text


@pytest.fixture
def entries(play, request: pytest.FixtureRequest) -> list[Entry]:
    """What is told of the whole play, in order."""
    narrator = Narrator(play.timeline)
    told: list[Entry] = []
    play.watchers.append(lambda event, at: told.extend(narrator.take(event, at)))
    request.getfixturevalue("whole_play")
    return told


def test_a_conversation_in_lines(entries: list[Entry]) -> None:
    assert [(entry.kind, entry.who, entry.text) for entry in entries] == [
        ("user", "You", "What is the weather in Tokyo?"),
        ("tool", "Ava", 'get_weather(city="Tokyo") -> In Tokyo it is sunny.'),
        ("latency", "", "heard after 800 ms: turn detection 500, transcription 100, answer 200"),
        ("agent", "Ava", "In Tokyo it is sunny."),
        ("user", "You", "Let me talk to the storyteller."),
        ("handoff", "Ava", "hands over to Leo"),
        ("latency", "", "heard after 900 ms: turn detection 500, transcription 100, answer 300"),
        ("agent", "Leo", "Hello, this is Leo."),
        ("user", "You", "Tell me a long story."),
        ("latency", "", "heard after 700 ms: turn detection 500, transcription 100, answer 100"),
        ("interruption", "You", "interrupt Leo at 4.0 s of 30.0 s received; silent after 250 ms"),
        ("agent", "Leo", "Once upon a time"),
        ("user", "You", "Stop, please."),
        ("latency", "", "heard after 700 ms: turn detection 500, transcription 100, answer 100"),
        ("agent", "Leo", "All right."),
    ]
    assert entries[11].rest == "there was a lighthouse keeper."
    assert [entry.at_ms for entry in entries] == sorted(entry.at_ms for entry in entries)


def test_errors_are_told(play) -> None:
    narrator = Narrator(play.timeline)
    told = narrator.take(ErrorEvent(ValueError("bad")), 5)
    told += narrator.take(ConnectionChange("disconnected", 1006, "", ConnectionLost("gone")), 6)
    told += narrator.take(ConnectionChange("disconnected", 1000), 7)
    assert [(entry.kind, entry.text) for entry in told] == [
        ("error", "ValueError: bad"),
        ("error", "the connection was lost: gone"),
    ]


def test_what_is_being_said_right_now(play) -> None:
    timeline = play.timeline
    assert partial(timeline, 0).state == "connected"
    timeline.user_begins("Tell me a story", 0)
    assert partial(timeline, 500).state == "you speak"
    timeline.user_ends(1000)
    assert partial(timeline, 1200).state == "Ava thinks"
    play.begin("r1", 1400)
    play.speak("r1", "a1", "One two three four", 1500, 1000)
    now = partial(timeline, 2000)
    assert (now.state, now.agent, now.heard, now.ahead) == ("Ava speaks", "Ava", "One two three", " four")
    timeline.user_begins("Stop", 2100)
    assert partial(timeline, 2200).state == "you talk over Ava"
    assert partial(timeline, 9000).ahead == ""


def test_times_and_calls_as_text() -> None:
    assert [clock_text(ms) for ms in (0, 1234, 59_999, 65_300, -5)] == [
        "0:00.0",
        "0:01.2",
        "1:00.0",
        "1:05.3",
        "0:00.0",
    ]
    assert call_text("book", {"day": "Friday", "people": 2}) == 'book(day="Friday", people=2)'
    assert call_text("book", "{broken") == "book({broken)"


def test_plain_lines(entries: list[Entry]) -> None:
    out = io.StringIO()
    with PlainView(out) as view:
        for entry in entries:
            view.show(entry)
        view.refresh()
    lines = out.getvalue().splitlines()
    assert lines[0] == " 0:02.6  You    What is the weather in Tokyo?"
    assert lines[11] == "0:17.2  Leo    Once upon a time   [not heard: 5 words]".rjust(len(lines[11]))
    assert len(lines) == len(entries)


@pytest.mark.needs_module("rich")
def test_the_live_view_shows_what_is_being_said(play, entries: list[Entry]) -> None:
    from rich.console import Console

    play.timeline.user_begins("More", 22_000)
    play.timeline.user_ends(22_500)
    play.begin("r9", 23_000)
    play.speak("r9", "a9", "word " * 200, 23_000, 10_000)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    with LiveView(console, lambda: partial(play.timeline, 28_000), lambda: 28_000) as view:
        for entry in entries:
            view.show(entry)
        assert "get_weather" in out.getvalue()
        out.truncate(0)
        view.refresh()
        shown = out.getvalue()
    assert "Leo speaks" in shown
    # A long reply does not fill the screen.
    assert 20 < shown.count("word") < 80
    assert "... word" in shown


def test_without_a_terminal_lines_are_plain(capsys: pytest.CaptureFixture[str], play) -> None:
    view = make_view(plain=False, partial=lambda: partial(play.timeline, 0), now=lambda: 0)
    assert isinstance(view, PlainView)


def test_what_is_said_right_now_over_webrtc(play) -> None:
    """Audio comes as it is heard: how far it is, is told by the words and the pace of the voice."""
    timeline = play.timeline

    def speak(item: str, text: str, at: float, ms: float) -> None:
        play.begin(f"r-{item}", at)
        play.take(TranscriptDelta(text, item, f"r-{item}"), at)
        play.take(AudioStarted(item, f"r-{item}"), at)
        for frame in range(round(ms / 20)):
            play.take(AudioEvent(bytes(960), item, f"r-{item}"), at + 20 * frame)

    timeline.user_begins("Tell me a story", 0, typed=True)
    speak("a1", "One two three four five six", 1000, 500)
    assert partial(timeline, 1500).ahead == ""
    now = partial(timeline, 1500, live=True)  # 65 ms a character: in the third word
    assert (now.heard, now.ahead) == ("One two three", " four five six")
    play.take(AudioStopped(), 3700)
    timeline.turns[0].replies[0].audio_ms = 2700  # 100 ms a character
    play.end("r-a1", 3700)
    timeline.user_begins("And then?", 4000, typed=True)
    speak("a2", "One two three four five six", 5000, 500)
    now = partial(timeline, 5500, live=True)
    assert now.heard == "One two"
    assert partial(timeline, 5250, live=True).heard == "One"


def test_an_interruption_of_what_comes_as_it_is_heard(play) -> None:
    narrator = Narrator(play.timeline)
    play.timeline.user_begins("Tell me a story", 0, typed=True)
    play.begin("r1", 1000)
    play.take(AudioStarted("a1", "r1"), 1000)
    for frame in range(50):
        play.take(AudioEvent(bytes(960), "a1", "r1"), 1000 + 20 * frame)
    play.take(AudioInterrupted((ItemTruncation("a1", 0, 980),)), 2000)
    (entry,) = narrator.take(AudioInterrupted((ItemTruncation("a1", 0, 980),)), 2000)
    assert entry.text == "interrupt Ava at 1.0 s"
