"""An engine whose audio comes as frames beside the events: whose it is, what was heard, and barge-in."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire.errors import NotConnectedError, UserError
from voxwire.protocol.audio_gate import HoldBack
from voxwire.protocol.engine import EngineOptions
from voxwire.protocol.formats import PCM16
from voxwire.protocol.items import MessageItem, OutputAudio
from voxwire.protocol.media_plane import EARLY_SILENCE_MS, TAIL, UNCLEARED, MediaPlane
from voxwire.protocol.transport_events import (
    AudioDone,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    ItemTruncation,
)

FRAME = 20
LOUD, SILENT = b"\x10\x27" * 480, bytes(960)
WORDS = "one two three four five six seven eight nine ten"


class Call:
    """A connected engine, and the service's side of a WebRTC call; `d` is the driver."""

    def __init__(self, driver: Any) -> None:
        self.d = driver

    def frames(self, ms: int, *, silent: bool = False) -> None:
        """Frames in real time."""
        for _ in range(ms // FRAME):
            self.d.wait(FRAME / 1000)
            pcm = SILENT if silent else LOUD
            self.d.do(self.d.engine.media(pcm, silent, self.d.now))

    def begin(self, response_id: str = "r", item_id: str = "a", words: str = "") -> None:
        """A response is generated."""
        self.d.created(response_id)
        item = {"id": item_id, "type": "message", "role": "assistant", "content": []}
        self.d.recv("response.output_item.added", response_id=response_id, item=item)
        ids = {"response_id": response_id, "item_id": item_id, "content_index": 0}
        self.d.recv("response.content_part.added", **ids, part={"type": "audio", "transcript": ""})
        if words:
            self.d.recv("response.output_audio_transcript.delta", **ids, delta=words)

    def buffer(self, what: str, response_id: str = "r") -> None:
        self.d.recv(f"output_audio_buffer.{what}", response_id=response_id)

    def speech(self) -> None:
        self.d.recv("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)

    def played_ms(self) -> float:
        return sum(PCM16.duration_ms(len(audio.data)) for audio in self.d.played)

    def state(self) -> str:
        plane = self.d.engine.plane
        assert plane is not None
        return plane.state

    def part(self, item_id: str = "a") -> OutputAudio:
        item = self.d.engine.history.get(item_id)
        assert isinstance(item, MessageItem)
        part = item.content[0]
        assert isinstance(part, OutputAudio)
        return part


@pytest.fixture
def call(make_driver: Any) -> Call:
    return Call(make_driver(EngineOptions(media_plane=True, confirm_truncation=False)).connect())


def test_a_reply_from_started_to_its_last_heard_sample(call: Call) -> None:
    call.frames(100, silent=True)
    assert not call.d.told
    assert not call.d.played
    call.begin(words=WORDS)
    call.buffer("started")
    assert call.d.events(AudioStarted) == [AudioStarted("a", "r")]
    call.frames(400)
    call.frames(200, silent=True)  # a pause belongs to the reply
    call.frames(100)
    call.d.done("r")
    call.buffer("stopped")
    assert not call.d.events(AudioStopped), "the last frames are still on their way"
    call.frames(60)
    call.frames(20, silent=True)
    call.d.wait(0.05)
    assert call.d.events(AudioStopped) == [AudioStopped()]
    assert call.played_ms() == 760
    assert {(a.item_id, a.response_id, a.content_index, a.format) for a in call.d.played} == {
        ("a", "r", 0, PCM16)
    }
    call.frames(100, silent=True)
    assert call.played_ms() == 760, "silence between replies is nothing to hear"
    assert call.d.engine.playback.heard_ms(call.d.now) == pytest.approx(760)


def test_sound_before_started_is_not_lost(call: Call) -> None:
    call.begin()
    call.frames(60)
    assert call.d.events(AudioStarted) == [AudioStarted("a", "r")]
    call.buffer("started")
    call.frames(40)
    assert len(call.d.events(AudioStarted)) == 1
    assert [(a.item_id, a.response_id) for a in call.d.played] == [("a", "r")] * 5


def test_sound_that_nobody_names_is_heard_and_ends_with_silence(call: Call) -> None:
    call.frames(60)
    assert call.d.events(AudioStarted) == [AudioStarted("", "")]
    call.frames(int(EARLY_SILENCE_MS), silent=True)
    call.d.wait(1)
    assert call.d.events(AudioStopped) == [AudioStopped()]
    assert call.state() == "quiet"
    assert call.d.played[0].item_id == ""


def test_unnamed_sound_that_turns_out_to_be_a_reply(call: Call) -> None:
    call.frames(40)
    call.begin()
    call.buffer("started")
    call.frames(40)
    call.buffer("stopped")
    call.frames(20, silent=True)
    call.d.wait(1)
    assert [a.item_id for a in call.d.played] == ["", "", "a", "a"]
    assert len(call.d.events(AudioStopped)) == 1


def test_the_end_of_a_reply_whose_last_frames_are_lost(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.buffer("stopped")
    call.d.wait(TAIL + 0.01)
    assert call.d.events(AudioStopped) == [AudioStopped()]
    assert call.state() == "quiet"


def test_no_frames_at_all_as_on_a_telephone_call_seen_from_the_side(call: Call) -> None:
    call.begin(words=WORDS)
    call.buffer("started")
    assert call.d.events(AudioStarted) == [AudioStarted("a", "r")]
    call.speech()
    assert call.d.events(AudioInterrupted) == [AudioInterrupted(())], "nobody here knows what was heard"
    call.buffer("cleared")
    call.d.recv("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=1300)
    assert call.part().heard_ms == 1300
    call.begin("r2", "b")
    call.buffer("started", "r2")
    call.buffer("stopped", "r2")
    call.d.wait(TAIL + 0.1)
    assert [event.interrupted for event in call.d.events(AudioStopped)] == [True, False]


def test_deltas_are_not_played_as_well(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.d.audio("r", "a", 500)
    assert not call.d.played
    call.frames(40)
    call.d.recv("response.output_audio.done", response_id="r", item_id="a", content_index=0)
    assert call.d.events(AudioDone) == [AudioDone("a", "r", 0)]
    call.d.done("r")
    call.frames(40)
    assert call.played_ms() == 80, "the reply goes on after it was generated"


def test_two_replies_in_a_row(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.buffer("stopped")
    call.begin("r2", "b")
    call.buffer("started", "r2")
    call.frames(100)
    call.buffer("stopped", "r")  # late, and about another
    assert call.state() == "playing"
    call.buffer("stopped", "r2")
    call.frames(40, silent=True)
    call.d.wait(0.1)
    assert [a.item_id for a in call.d.played] == ["a"] * 5 + ["b"] * 5
    assert call.d.events(AudioStopped) == [AudioStopped()]


def test_the_next_reply_starts_while_the_last_was_not_said_to_stop(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(40)
    call.begin("r2", "b")
    call.buffer("started", "r2")
    call.frames(40)
    call.speech()
    # The first was heard to its end.
    assert call.d.events(AudioInterrupted) == [AudioInterrupted((ItemTruncation("b", 0, 20),))]


# -- barge-in


def test_barge_in_silences_at_once_and_leaves_the_truncation_to_the_service(call: Call) -> None:
    call.begin(words=WORDS)
    call.buffer("started")
    call.frames(1000)
    call.d.engine.report_heard(900)
    call.speech()
    assert call.d.stops == [900]
    assert call.d.kinds() == []
    assert call.d.events(AudioInterrupted) == [AudioInterrupted((ItemTruncation("a", 0, 900),))]
    assert call.d.events(AudioStopped) == [AudioStopped(interrupted=True)]
    call.frames(200)
    call.buffer("cleared")
    call.d.done("r", "cancelled")
    call.frames(100)  # what was in the jitter buffer
    assert call.played_ms() == 1000
    assert call.d.engine.dropped_ms == 300
    call.frames(80, silent=True)
    call.frames(20)  # a pause between words, and the rest of one: still the reply that was cleared
    call.frames(100, silent=True)
    call.begin("r2", "b")
    call.frames(40)
    call.buffer("started", "r2")
    call.frames(40)
    assert [a.item_id for a in call.d.played[50:]] == ["b"] * 4


def test_the_history_shows_what_was_heard_by_the_pace_of_the_voice(call: Call) -> None:
    call.begin(words=WORDS)
    call.buffer("started")
    call.frames(1600)
    call.speech()
    part = call.part()
    # 48 characters are about 3.1 s: half of them was heard.
    assert part.full_transcript == WORDS
    assert part.transcript == "one two three four five"
    call.buffer("cleared")
    call.d.recv("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=900)
    assert call.part().heard_ms == 900, "the service knows what it has played"
    assert call.part().transcript == "one two three"


def test_the_pace_of_the_voice_is_learned_from_whole_replies(call: Call) -> None:
    call.begin(words=WORDS)
    call.buffer("started")
    call.frames(9600)  # a slow voice
    call.buffer("stopped")
    call.frames(20, silent=True)
    call.d.wait(0.1)
    call.begin("r2", "b", WORDS)
    call.buffer("started", "r2")
    call.frames(1600)
    call.speech()
    assert call.part("b").transcript == "one two"


def test_an_interruption_in_the_tail_knows_the_whole_length(call: Call) -> None:
    call.begin(words=WORDS)
    call.buffer("started")
    call.frames(1000)
    call.buffer("stopped")
    call.d.engine.report_heard(500)
    call.speech()
    assert call.d.events(AudioInterrupted) == [AudioInterrupted((ItemTruncation("a", 0, 500),))]
    assert call.part().transcript == "one two three four five"
    assert call.state() == "stopped", "there is nothing left to clear"


def test_an_interruption_while_only_the_loudspeaker_still_has_some(call: Call) -> None:
    call.begin(words=WORDS)
    call.buffer("started")
    call.frames(1000)
    call.buffer("stopped")
    call.d.engine.report_heard(700)
    call.frames(20, silent=True)
    assert call.state() == "quiet"
    call.speech()
    assert call.d.stops == [700]
    assert call.d.events(AudioInterrupted) == [AudioInterrupted((ItemTruncation("a", 0, 700),))]
    assert call.state() == "quiet"


def test_the_session_does_not_interrupt(make_driver: Any) -> None:
    options = EngineOptions(media_plane=True)
    detection = {"type": "server_vad", "interrupt_response": False}
    call = Call(make_driver(options).connect(audio={"input": {"turn_detection": detection}}))
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.speech()
    call.frames(100)
    assert call.played_ms() == 200
    assert not call.d.stops
    # The service does so all the same, for reasons of its own.
    call.buffer("cleared")
    assert call.d.events(AudioInterrupted)[0].truncations[0].item_id == "a"
    call.frames(100)
    assert call.played_ms() == 200
    call.frames(100, silent=True)
    assert call.state() == "quiet"


def test_a_service_that_never_clears_is_heard_again(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.speech()
    call.frames(int(UNCLEARED * 1000))
    assert call.played_ms() == 100
    call.frames(200)
    assert call.played_ms() > 200
    assert call.d.played[-1].response_id == "", "whose it is nobody knows"


def test_noise_behind_cleared_does_not_last(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.speech()
    call.buffer("cleared")
    call.frames(int(TAIL * 1000))
    assert call.played_ms() == 100
    call.frames(100)
    assert call.played_ms() > 100


def test_a_reply_that_ends_by_itself_just_then(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.speech()
    call.buffer("stopped")
    assert call.state() == "stopped"
    call.frames(100, silent=True)
    assert call.state() == "quiet"


# -- interrupt()


def test_behaviour_82_interrupt_cancels_what_is_generated_and_always_clears(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.d.do(call.d.engine.interrupt(call.d.now))
    assert call.d.kinds() == ["response.cancel", "output_audio_buffer.clear"]
    assert len(call.d.stops) == 1
    call.d.forget()
    call.d.done("r", "cancelled")
    call.buffer("cleared")
    assert not call.d.events(AudioInterrupted), "once"
    call.frames(20, silent=True)
    call.d.do(call.d.engine.interrupt(call.d.now))
    assert call.d.kinds() == ["output_audio_buffer.clear"], "nothing to cancel"


def test_behaviour_82_after_the_generation_only_the_playback_is_cleared(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.d.done("r")
    call.d.do(call.d.engine.interrupt(call.d.now))
    assert call.d.kinds() == ["output_audio_buffer.clear"]
    assert call.d.events(AudioInterrupted)


def test_a_reply_that_begins_although_it_was_interrupted_is_not_heard(call: Call) -> None:
    call.begin()
    call.d.do(call.d.engine.interrupt(call.d.now))
    call.buffer("started")
    call.frames(200)
    assert not call.d.played
    call.buffer("cleared")
    call.frames(100)
    call.frames(100, silent=True)
    assert not call.d.played
    assert call.state() == "quiet"


def test_early_sound_of_an_interrupted_reply_is_not_heard(call: Call) -> None:
    call.begin()
    call.d.do(call.d.engine.interrupt(call.d.now))
    call.frames(60)
    assert not call.d.played


def test_an_interrupted_request_is_cancelled_when_it_exists(call: Call) -> None:
    call.d.do(call.d.engine.request_response(None, call.d.now))
    call.d.do(call.d.engine.interrupt(call.d.now))
    call.begin()
    assert call.d.kinds() == ["response.create", "output_audio_buffer.clear", "response.cancel"]


def test_interrupting_needs_a_connection(make_driver: Any) -> None:
    engine = make_driver(EngineOptions(media_plane=True)).engine
    with pytest.raises(NotConnectedError):
        engine.interrupt(0)
    assert engine.media(LOUD, False, 0) == []


def test_one_response_is_stopped_while_it_plays(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.d.do(call.d.engine.interrupt_response("r", call.d.now))
    assert call.d.kinds() == ["response.cancel", "output_audio_buffer.clear"]
    assert len(call.d.stops) == 1


def test_one_response_is_stopped_before_it_plays(call: Call) -> None:
    call.begin()
    call.d.do(call.d.engine.interrupt_response("r", call.d.now, generation=False))
    assert call.d.kinds() == [], "what plays now, if anything does, is another"
    call.buffer("started")
    assert call.d.kinds() == ["output_audio_buffer.clear"]
    call.frames(100)
    call.buffer("cleared")
    call.frames(20, silent=True)
    assert not call.d.played


# -- the connection


def test_the_connection_ends_in_the_middle_of_a_reply(call: Call) -> None:
    call.begin()
    call.buffer("started")
    call.frames(100)
    call.buffer("stopped")
    call.d.do(call.d.engine.disconnected(call.d.now))
    assert call.d.stops
    assert call.d.events(AudioStopped) == [AudioStopped(interrupted=True)]
    assert not call.d.timers
    call.d.connect()
    assert call.state() == "quiet"
    call.frames(40, silent=True)
    assert not call.d.played


def test_the_format_is_the_frames_whatever_the_session_says(call: Call) -> None:
    call.d.recv("session.updated", session={"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    assert call.d.engine.output_format == PCM16


def test_audio_cannot_be_held_back(call: Call) -> None:
    with pytest.raises(UserError, match="cannot be held back"):
        call.d.engine.hold_back_audio(HoldBack(), call.d.now)
    assert call.d.engine.hold_back_audio(None, call.d.now) == []


def test_without_a_media_plane_the_news_change_nothing(driver: Any) -> None:
    for what in ("started", "stopped", "cleared"):
        driver.recv(f"output_audio_buffer.{what}", response_id="r")
    driver.recv("response.content_part.added", response_id="r", item_id="a", part={"type": "audio"})
    assert driver.engine.media(LOUD, False, driver.now) == []
    assert driver.engine.timer("media", driver.now) == []
    assert not driver.told


def test_memory_is_bounded() -> None:
    plane = MediaPlane()
    for number in range(1000):
        plane.note_part(f"r{number}", "a", 0)
    assert len(plane._parts) == 64
    plane.note_part("", "a", 0)
    plane.note_part("r", "", 0)
    assert len(plane._parts) == 64


def test_text_parts_have_no_sound(call: Call) -> None:
    ids = {"response_id": "r", "item_id": "a", "content_index": 0}
    call.d.recv("response.content_part.added", **ids, part={"type": "text"})
    call.d.recv("response.content_part.added", **ids, part=None)
    call.frames(20)
    assert call.d.played[0].item_id == ""


def test_lengths_of_what_has_no_words() -> None:
    plane = MediaPlane()
    user = MessageItem("u", "user", ())
    assert plane.length_ms(user, 0, "r", 30) == 30
    assert plane.length_ms(None, 0, "r", 30) == 30
    text: Any = MessageItem("u", "user", ("not audio",))  # type: ignore[arg-type]
    assert plane.length_ms(text, 0, "r", 30) == 30
