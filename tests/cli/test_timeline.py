from __future__ import annotations

from voxwire.errors import ConnectionLost
from voxwire.protocol.formats import PCM16
from voxwire.protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    ConnectionChange,
    ErrorEvent,
    ItemTruncation,
    SessionUpdated,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    UserSpeechStopped,
)
from voxwire.protocol.usage import Usage
from voxwire.recording.timeline import Timeline
from voxwire.recording.turns import decoded_arguments


def test_turns_hold_what_came_of_them(whole_play) -> None:
    first, second, third, fourth = whole_play.timeline.turns
    assert (first.recognised, first.detected_ms, first.recognised_ms) == (
        "What is the weather in Tokyo?",
        2500,
        2600,
    )
    assert [(tool.name, tool.arguments, tool.agent) for tool in first.tools] == [
        ("get_weather", {"city": "Tokyo"}, "Ava")
    ]
    assert (first.tools[0].end_ms, first.tools[0].result) == (2705, "In Tokyo it is sunny.")
    assert [(handoff.source, handoff.target) for handoff in second.handoffs] == [("Ava", "Leo")]
    assert [reply.agent for turn in (first, second, third) for reply in turn.replies] == ["Ava", "Leo", "Leo"]
    assert (fourth.number, fourth.replies[0].text) == (4, "All right.")


def test_replies_know_when_they_were_heard(whole_play) -> None:
    reply = whole_play.timeline.turns[0].replies[0]
    assert (reply.received_ms, reply.heard_from_ms, reply.heard_until_ms) == (2800, 2800, 4800)
    assert (reply.heard_ms, reply.audio_ms, reply.over) == (2000, 2000, True)


def test_an_interruption_belongs_to_the_reply_that_was_cut(whole_play) -> None:
    timeline = whole_play.timeline
    (cut,) = timeline.interruptions
    story = timeline.turns[2].replies[0]
    assert cut.reply is story
    assert (cut.cut_ms, cut.reaction_ms, story.heard_ms, story.audio_ms) == (4050, 250, 4050, 30_000)
    assert story.heard_text == "Once upon a time"
    assert story.text.endswith("lighthouse keeper.")


def test_words_may_be_complete_before_their_first_sound(play) -> None:
    """Over WebRTC."""
    timeline = play.timeline
    play.ask("What can you do?", 0, 1000, "u1")
    play.begin("r1", 1500)
    play.take(TranscriptDelta("I can tell you a story.", "a1", "r1"), 1520)
    play.end("r1", 1540)
    assert not timeline.settled
    play.take(AudioStarted("a1", "r1"), 1700)
    assert not timeline.settled
    play.take(AudioStopped(), 3000)
    assert timeline.settled
    assert timeline.turns[0].replies[0].heard_ms == 1300


def test_nobody_waits_for_a_sound_that_will_not_come(play) -> None:
    for number, end in enumerate(("cancelled", "completed")):
        play.ask("What can you do?", 0, 1000, f"u{number}")
        play.begin(f"r{number}", 1500)
        play.take(TranscriptDelta("I can", f"a{number}", f"r{number}"), 1520)
        play.take(TurnDone(f"r{number}", end, None, (), Usage()), 1540)
        assert play.timeline.settled == (end == "cancelled")
    play.take(AudioInterrupted(()), 1600)
    assert play.timeline.settled


def test_a_reply_in_writing_is_over_with_its_response(play) -> None:
    play.ask("What can you do?", 0, 1000, "u1")
    play.begin("r1", 1500)
    play.take(TextDelta("I can", "a1", "r1"), 1520)
    play.end("r1", 1540)
    assert play.timeline.settled


def test_settled_means_answered_and_heard(play) -> None:
    timeline = play.timeline
    assert timeline.settled
    play.ask("What is the weather?", 0, 1000, "u1")
    assert not timeline.settled
    play.call("r1", "get_weather", "{}", "Sunny.", 1700)
    # The tool has answered, and nobody has said anything yet.
    assert not timeline.settled
    play.begin("r2", 1800)
    play.speak("r2", "a1", "Sunny.", 1900, 1000)
    assert not timeline.settled
    assert timeline.playing is timeline.turns[0].replies[0]
    play.take(AudioStopped(), 2900)
    assert timeline.settled
    assert timeline.playing is None


def test_words_before_a_tool_call_are_no_answer(play) -> None:
    play.ask("What is the weather?", 0, 1000, "u1")
    play.reply("r1", "a1", "One moment.", 1500, 500)
    assert play.timeline.settled
    play.call("r2", "get_weather", "{}", "Sunny.", 2200)
    assert not play.timeline.settled
    play.reply("r3", "a2", "It is sunny.", 2500, 800)
    assert play.timeline.settled


def test_what_was_typed_is_understood_and_may_be_answered_in_text(play) -> None:
    turn = play.timeline.user_begins("hello", 100, typed=True)
    assert (turn.end_ms, turn.recognised) == (100, "hello")
    play.begin("r1", 150)
    play.take(TextDelta("Hi ", "a1", "r1"), 160)
    play.take(TextDelta("there", "a1", "r1"), 170)
    assert not play.timeline.settled
    play.end("r1", 200)
    assert turn.replies[0].text == "Hi there"
    assert play.timeline.settled


def test_an_utterance_in_two_pieces_is_one_turn(play) -> None:
    play.timeline.user_begins("Stop, please. Thank you.", 0)
    play.take(UserSpeechStopped("u1", 900), 1400)
    play.understand("u1", "Stop, please.", 1500)
    play.understand("u2", "Thank you.", 2500)
    assert play.timeline.turns[0].recognised == "Stop, please. Thank you."


def test_messages_of_one_response_are_heard_one_after_the_other(play) -> None:
    play.ask("Hello", 0, 1000, "u1")
    play.begin("r1", 1500)
    play.take(AudioStarted("a1", "r1"), 1600)
    play.take(AudioEvent(bytes(PCM16.size_of(1000)), "a1", "r1"), 1600)
    play.take(AudioEvent(bytes(PCM16.size_of(500)), "a2", "r1"), 1650)
    play.end("r1", 1700)
    play.take(AudioStopped(), 3100)
    first, second = play.timeline.turns[0].replies
    assert (first.heard_from_ms, first.heard_until_ms) == (1600, 2600)
    assert (second.heard_from_ms, second.heard_until_ms) == (2600, 3100)


def test_a_message_cut_before_its_first_sample_was_not_heard(play) -> None:
    play.ask("Hello", 0, 1000, "u1")
    play.begin("r1", 1500)
    play.take(AudioStarted("a1", "r1"), 1600)
    play.take(AudioEvent(bytes(PCM16.size_of(1000)), "a1", "r1"), 1600)
    play.take(AudioEvent(bytes(PCM16.size_of(500)), "a2", "r1"), 1650)
    play.take(AudioInterrupted((ItemTruncation("a1", 0, 400), ItemTruncation("a2", 0, 0))), 2000)
    first, second = play.timeline.turns[0].replies
    assert (first.heard_ms, second.heard_ms) == (400, 0)
    assert first.cut
    assert second.cut


def test_errors_and_lost_connections_are_kept() -> None:
    timeline = Timeline("Ava")
    timeline.take(ErrorEvent(ValueError("bad")), 10)
    timeline.take(ConnectionChange("disconnected", 1006, "", ConnectionLost("gone", code=1006)), 20)
    timeline.take(ConnectionChange("disconnected", 1000), 30)
    assert timeline.errors == [(10, "ValueError: bad"), (20, "ConnectionLost: gone")]
    assert timeline.duration_ms == 30


def test_what_belongs_to_no_turn_is_passed_over() -> None:
    timeline = Timeline("Ava")
    timeline.take(SessionUpdated({}), 1)
    timeline.take(TranscriptDelta("x", "a", "unknown"), 2)
    timeline.take(AudioStarted("a", "unknown"), 2)
    timeline.take(AudioEvent(b"\0\0", "a", "unknown"), 2)
    timeline.take(UserSpeechStopped("u", 1), 3)
    timeline.take(AudioInterrupted((ItemTruncation("a", 0, 1),)), 4)
    timeline.user_ends(5)
    assert (timeline.turns, timeline.interruptions, timeline.errors) == ([], [], [])


def test_arguments_that_are_no_object_stay_text() -> None:
    assert decoded_arguments('{"a": 1}') == {"a": 1}
    assert decoded_arguments("[1]") == "[1]"
    assert decoded_arguments("{broken") == "{broken"


def test_a_reply_that_is_stopped_as_it_begins_was_cut_at_its_beginning(play) -> None:
    timeline = play.timeline
    timeline.user_begins("Tell me a story", 0, typed=True)
    play.begin("r1", 900)
    play.take(TranscriptDelta("Once upon a time", "a1", "r1"), 950)
    play.take(AudioStarted("a1", "r1"), 1000)
    play.take(AudioInterrupted(()), 1020)  # nothing was heard, so nothing is cut off behind it
    (cut,) = timeline.interruptions
    assert (cut.reply.item_id, cut.cut_ms, cut.reaction_ms, cut.reply.cut) == ("a1", 0, None, True)


def test_a_reply_that_was_heard_to_its_end_was_not_cut(play) -> None:
    timeline = play.timeline
    timeline.user_begins("Tell me a story", 0, typed=True)
    play.begin("r1", 900)
    play.speak("r1", "a1", "Well.", 1000, 500)
    play.take(AudioInterrupted(()), 1500)
    assert timeline.interruptions == []
    assert timeline.settled
