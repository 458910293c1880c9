"""Turns that nobody directs."""

from __future__ import annotations

import pytest

from voxwire import ConnectionLost
from voxwire.protocol.items import InputAudio, InputText, MessageItem
from voxwire.protocol.transport_events import (
    ConnectionChange,
    ErrorEvent,
    HistoryAdded,
    TurnStarted,
    UserSpeechStarted,
    UserSpeechStopped,
)
from voxwire.recording.following import TurnFollower
from voxwire.recording.timeline import Timeline


class Follow:
    def __init__(self, **options: int) -> None:
        self.timeline = Timeline("Ava", **options)
        self.sent_ms = 0.0
        self.follower = TurnFollower(self.timeline, lambda: self.sent_ms, lambda: 500.0)

    def take(self, event: object, at: float) -> None:
        self.follower.take(event, at)
        self.timeline.take(event, at)

    def turns(self) -> list[tuple[float, float | None, bool]]:
        return [(turn.begin_ms, turn.end_ms, turn.typed) for turn in self.timeline.turns]


@pytest.fixture
def follow() -> Follow:
    return Follow()


def test_speech_lies_where_the_service_found_it(follow: Follow) -> None:
    """Audio has been sent since 1 s; the service tells a little later than it happened."""
    follow.sent_ms = 2000
    follow.take(UserSpeechStarted("u1", 1500), 3000)
    follow.take(HistoryAdded(MessageItem("u1", "user", (InputAudio(),))), 3000)
    follow.sent_ms = 4700
    follow.take(UserSpeechStopped("u1", 4500), 5700)
    assert follow.turns() == [(2500, 5000, False)]
    assert follow.timeline.turns[0].detected_ms == 5700


def test_a_turn_that_the_application_ended(follow: Follow) -> None:
    for number in (1, 2):
        follow.sent_ms += 800
        follow.take(HistoryAdded(MessageItem(f"u{number}", "user", (InputAudio(),))), 1000 * number)
    assert follow.turns() == [(200, 1000, False), (1200, 2000, False)]
    follow.take(ConnectionChange("connecting"), 3000)
    follow.sent_ms = 100
    follow.take(HistoryAdded(MessageItem("u3", "user", (InputAudio(),))), 4000)
    assert follow.turns()[2] == (3900, 4000, False)


def test_what_was_typed_and_who_speaks_first(follow: Follow) -> None:
    follow.take(TurnStarted("r1"), 100)
    follow.take(HistoryAdded(MessageItem("u1", "user", (InputText("Hi"),))), 500)
    follow.take(TurnStarted("r2"), 600)
    follow.take(HistoryAdded(MessageItem("a1", "assistant")), 700)
    assert follow.turns() == [(100, 100, True), (500, 500, True)]
    assert [turn.text for turn in follow.timeline.turns] == ["", "Hi"]


def test_a_long_conversation_is_told_from_where_there_is_room() -> None:
    follow = Follow(max_turns=3)
    for number in range(10):
        follow.take(HistoryAdded(MessageItem(f"u{number}", "user", (InputText(str(number)),))), number)
        follow.take(TurnStarted(f"r{number}"), number)
        follow.take(ErrorEvent(ValueError(number)), number)
    timeline = follow.timeline
    assert [turn.number for turn in timeline.turns] == [8, 9, 10]
    assert timeline.forgotten == 7
    assert len(timeline._responses) == 3
    assert len(timeline.errors) <= 4


def test_an_error_is_told_once(follow: Follow) -> None:
    error = ConnectionLost("gone")
    follow.take(ErrorEvent(error), 1)
    follow.take(ErrorEvent(error), 1)
    follow.take(ConnectionChange("disconnected", error=error), 2)
    assert follow.timeline.errors == [(1, "ConnectionLost: gone")]
