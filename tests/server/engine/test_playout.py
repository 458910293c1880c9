"""A session with a media plane: what is told of its play-out, and where it cuts. All in virtual time."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from voxwire.server.engine import (
    CancelTimer,
    ClearPlayout,
    EngineAction,
    Hear,
    Play,
    Send,
    ServerEngine,
    SetTimer,
    SpokenPiece,
    SpokenWord,
    StartResponse,
)
from voxwire.server.limits import Limits

OUTPUT = "output_audio_buffer."


class Call:
    """An engine, a plane that plays in the bench's own time, and its timers."""

    def __init__(self, **options: Any) -> None:
        self.numbers = 0
        self.now = 10.0
        self.queue: list[bytes] = []
        self.played_ms = 0.0
        self.due: dict[str, float] = {}
        self.events: list[dict[str, Any]] = []
        self.actions: list[EngineAction] = []
        self.words: dict[str, int] = {}
        self.engine = ServerEngine(
            ids=self.new_id, now=self.now, unix_now=0, played=lambda: self.played_ms, **options
        )
        self.take(self.engine.start(self.now))

    def new_id(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers}"

    @property
    def queued_ms(self) -> float:
        return sum(map(len, self.queue)) / 48

    def take(self, actions: list[EngineAction]) -> list[dict[str, Any]]:
        events = []
        for action in actions:
            self.actions.append(action)
            match action:
                case Send(event):
                    events.append(event)
                case Play(pcm):
                    self.queue.append(pcm)
                case ClearPlayout():
                    self.queue.clear()
                case SetTimer(name, at):
                    self.due[name] = at
                case CancelTimer(name):
                    self.due.pop(name, None)
                case _:
                    pass
        self.events += events
        return events

    def run(self, ms: float) -> list[dict[str, Any]]:
        """Let time pass in packets of 20 ms: the plane plays, timers fire."""
        events: list[dict[str, Any]] = []
        end = self.now + ms / 1000
        while self.now < end - 1e-9:
            step = min(20.0, (end - self.now) * 1000)
            self.now += step / 1000
            self.play(step)
            for name, at in list(self.due.items()):
                if at <= self.now + 1e-9:
                    del self.due[name]
                    events += self.take(self.engine.timer(name, self.now))
        return events

    def play(self, ms: float) -> None:
        left = round(ms * 24) * 2
        while left and self.queue:
            chunk = self.queue[0]
            taken = min(left, len(chunk))
            self.played_ms += taken / 48
            left -= taken
            self.queue[0] = chunk[taken:]
            if not self.queue[0]:
                del self.queue[0]

    def send(self, type: str, **fields: Any) -> list[dict[str, Any]]:
        return self.take(self.engine.receive({"type": type, **fields}, self.now))

    def respond(self, **options: Any) -> str:
        self.send("response.create", response=options)
        plans = [action for action in self.actions if isinstance(action, StartResponse)]
        return plans[-1].response_id

    def speak(self, response_id: str, text: str, ms_per_word: int = 200) -> list[dict[str, Any]]:
        """A piece per word."""
        events: list[dict[str, Any]] = []
        for word in text.split():
            at = self.words.get(response_id, 0)
            piece = word if not at else f" {word}"
            self.words[response_id] = end = at + len(piece)
            self.words[f"{response_id} ms"] = ms = self.words.get(f"{response_id} ms", 0) + ms_per_word
            spoken = SpokenPiece(piece, b"\x01\x02" * (24 * ms_per_word), (SpokenWord(end, ms),))
            events += self.take(self.engine.spoken(response_id, spoken, self.now))
        return events

    def finish(self, response_id: str) -> list[dict[str, Any]]:
        return self.take(self.engine.finished(response_id, self.now))

    def hear(self, probability: float, ms: int) -> list[dict[str, Any]]:
        """The caller's audio in frames of 20 ms, and what the detector makes of it."""
        events: list[dict[str, Any]] = []
        for _ in range(ms // 20):
            events += self.run(20)
            events += self.take(self.engine.hear(bytes(960), self.now))
            events += self.take(self.engine.voice([probability], 20, self.now))
        return events


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def outputs(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["type"][len(OUTPUT) :], e["response_id"]) for e in events if e["type"].startswith(OUTPUT)]


@pytest.fixture
def call() -> Call:
    return Call()


def test_audio_is_played_and_not_sent(call: Call) -> None:
    response_id = call.respond()
    events = call.speak(response_id, "one two three")
    assert types(events)[-3:] == ["response.output_audio_transcript.delta"] * 3
    assert call.queued_ms == 600
    events = call.finish(response_id)
    assert types(events)[:2] == ["response.output_audio.done", "response.output_audio_transcript.done"]
    assert "response.done" in types(events)
    assert outputs(call.events) == []
    assert not any(event["type"] == "response.output_audio.delta" for event in call.events)


def test_started_with_the_first_sample_and_stopped_with_the_last(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two three")
    assert outputs(call.run(20)) == [("started", response_id)]
    call.finish(response_id)
    assert outputs(call.run(560)) == []
    assert call.played_ms == 580
    assert outputs(call.run(40)) == [("stopped", response_id)]
    assert "playout" not in call.due


def test_a_pause_in_the_making_is_no_stop(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one")
    assert outputs(call.run(2000)) == [("started", response_id)]
    call.speak(response_id, "two")
    call.finish(response_id)
    assert outputs(call.run(300)) == [("stopped", response_id)]


def test_a_plane_that_does_not_move_yet_is_asked_again(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one")
    for _ in range(5):  # the peer is not connected
        call.now = call.due.pop("playout")
        assert outputs(call.take(call.engine.timer("playout", call.now))) == []
    assert outputs(call.run(20)) == [("started", response_id)]


def test_barge_in_while_it_is_made(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two three four five", ms_per_word=300)
    call.run(1000)
    heard = call.hear(1.0, 60)
    wanted = [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    assert types(heard) == wanted
    cut = heard[2]
    assert (cut["audio_end_ms"], cut["content_index"]) == (1060, 0)
    done = heard[-2]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"]["reason"] == "turn_detected"
    assert done["output"][0]["content"][0]["transcript"] == "one two three"
    assert call.queue == []
    late = SpokenPiece(" six", bytes(960))
    assert call.take(call.engine.spoken(response_id, late, call.now)) == []
    assert call.queue == []


def test_barge_in_after_all_of_it_was_made(call: Call) -> None:
    """As in a log of the service: the response is done, the caller still hears it."""
    response_id = call.respond()
    call.speak(response_id, "one two three four five", ms_per_word=300)
    call.finish(response_id)
    call.run(700)
    heard = call.hear(1.0, 60)
    assert types(heard) == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    assert heard[1]["response_id"] == response_id
    assert heard[2]["audio_end_ms"] == 760
    item_id = heard[2]["item_id"]
    item = call.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert item["content"][0]["transcript"] == "one two"
    assert len(base64.b64decode(item["content"][0]["audio"])) == 760 * 48
    assert outputs(call.run(2000)) == []


def test_after_it_was_played_there_is_nothing_to_interrupt(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two")
    call.finish(response_id)
    call.run(1000)
    assert types(call.hear(1.0, 60)) == ["input_audio_buffer.speech_started"]


def test_interrupt_response_false_lets_it_play_on(call: Call) -> None:
    detection = {"type": "server_vad", "interrupt_response": False}
    call.send(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    )
    response_id = call.respond()
    call.speak(response_id, "one two")
    call.run(100)
    assert outputs(call.hear(1.0, 200)) == []
    call.finish(response_id)
    assert outputs(call.run(500)) == [("stopped", response_id)]


def test_clear_by_the_client(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two three")
    call.run(220)
    events = call.send("response.cancel")
    assert outputs(events) == []  # cancelling stops the making, not the play-out
    events = call.send("output_audio_buffer.clear")
    assert types(events) == ["output_audio_buffer.cleared", "conversation.item.truncated"]
    assert events[1]["audio_end_ms"] == 220
    assert call.queue == []
    assert call.send("output_audio_buffer.clear") == []
    call.events.clear()
    after = call.respond()
    call.speak(after, "four")
    call.finish(after)
    call.run(400)
    assert outputs(call.events) == [("started", after), ("stopped", after)]


def test_clear_without_cancelling_mutes_the_rest_of_the_response(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two")
    call.run(100)
    call.send("output_audio_buffer.clear")
    events = call.speak(response_id, "three")
    assert types(events) == ["response.output_audio_transcript.delta"]
    assert call.queue == []
    events = call.finish(response_id)
    assert events[-2]["response"]["status"] == "completed"
    assert outputs(call.run(1000)) == []


def test_clear_before_the_first_sample(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two")
    events = call.send("output_audio_buffer.clear")
    assert outputs(events) == [("cleared", response_id)]
    assert events[-1]["audio_end_ms"] == 0
    assert outputs(call.run(500)) == []


def test_what_the_client_has_cut_is_not_cut_again(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two three")
    call.finish(response_id)
    call.run(300)
    item_id = next(e["item"]["id"] for e in call.events if e["type"] == "response.output_item.done")
    call.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=100)
    assert types(call.send("output_audio_buffer.clear")) == ["output_audio_buffer.cleared"]


def test_what_was_deleted_is_not_cut(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two three")
    call.finish(response_id)
    call.run(300)
    item_id = next(e["item"]["id"] for e in call.events if e["type"] == "response.output_item.done")
    call.send("conversation.item.delete", item_id=item_id)
    assert types(call.send("output_audio_buffer.clear")) == ["output_audio_buffer.cleared"]


def test_only_messages_with_something_unheard_are_cut(call: Call) -> None:
    first = call.respond()
    call.speak(first, "one two")
    call.finish(first)
    second = call.respond()
    call.speak(second, "three four")
    call.finish(second)
    call.run(500)
    assert outputs(call.events) == [("started", first), ("stopped", first), ("started", second)]
    events = call.send("output_audio_buffer.clear")
    assert outputs(events) == [("cleared", second)]
    assert [e["audio_end_ms"] for e in events if e["type"].endswith("truncated")] == [100]


def test_two_responses_in_a_row_are_both_cleared(call: Call) -> None:
    first = call.respond()
    call.speak(first, "one two")
    call.finish(first)
    second = call.respond()
    call.speak(second, "three four")
    call.run(100)
    events = call.send("output_audio_buffer.clear")
    assert outputs(events) == [("cleared", first), ("cleared", second)]
    assert [e["audio_end_ms"] for e in events if e["type"].endswith("truncated")] == [100, 0]


def test_responses_at_the_same_time_are_played_one_after_the_other(call: Call) -> None:
    first = call.respond()
    call.speak(first, "one")
    beside = call.respond(conversation="none")
    call.speak(beside, "aside said")
    assert call.queued_ms == 200
    assert (call.engine.ahead_ms(first), call.engine.ahead_ms(beside)) == (200, 400)
    call.speak(first, "two")
    call.finish(beside)
    assert call.queued_ms == 400
    call.finish(first)
    assert call.queued_ms == 800
    call.run(1000)
    assert outputs(call.events) == [
        ("started", first),
        ("stopped", first),
        ("started", beside),
        ("stopped", beside),
    ]


def test_a_held_response_is_cleared_as_well_but_no_item_of_the_conversation(call: Call) -> None:
    first = call.respond()
    call.speak(first, "one")
    beside = call.respond(conversation="none")
    call.speak(beside, "aside")
    events = call.send("output_audio_buffer.clear")
    assert outputs(events) == [("cleared", first), ("cleared", beside)]
    assert types(events).count("conversation.item.truncated") == 1


def test_ahead_is_what_was_not_played(call: Call) -> None:
    response_id = call.respond()
    assert call.engine.ahead_ms(response_id) == 0
    call.speak(response_id, "one two")
    call.run(100)
    assert call.engine.ahead_ms(response_id) == 300


def test_a_plane_that_dropped_less_than_told_does_not_shift_what_follows(call: Call) -> None:
    response_id = call.respond()
    call.speak(response_id, "one two")
    call.run(100)
    call.send("output_audio_buffer.clear")
    call.played_ms += 10  # a packet that was on its way
    call.finish(response_id)
    call.events.clear()
    after = call.respond()
    call.speak(after, "three")
    assert outputs(call.events) == []
    call.run(20)
    assert outputs(call.events) == [("started", after)]


def test_text_and_tools_have_no_play_out(call: Call) -> None:
    response_id = call.respond(output_modalities=["text"])
    call.take(call.engine.wrote(response_id, "plain", call.now))
    call.finish(response_id)
    call.run(100)
    assert outputs(call.events) == []
    assert not call.queue


def test_the_clock_of_turns_is_the_media_plane_s(call: Call) -> None:
    call.hear(0.0, 1000)
    started = call.hear(1.0, 100)[0]
    assert started["audio_start_ms"] == 700  # 1060 less 60 of onset and 300 of padding
    stopped = next(e for e in call.hear(0.0, 600) if e["type"] == "input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == 1600


def test_appended_audio_counts_as_well(call: Call) -> None:
    call.hear(0.0, 200)
    pcm = base64.b64encode(bytes(48 * 100)).decode()
    call.send("input_audio_buffer.append", audio=pcm)
    call.hear(0.0, 200)
    assert call.engine._input.buffer.end_ms == 500
    assert sum(len(action.pcm) for action in call.actions if isinstance(action, Hear)) == 500 * 48


def test_audio_is_24_khz_whatever_the_session_says(call: Call) -> None:
    sound = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
    updated = call.send("session.update", session={"type": "realtime", "audio": sound})
    assert updated[0]["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    call.hear(0.0, 100)
    assert call.engine._input.buffer.end_ms == 100
    error = call.send("input_audio_buffer.append", audio=base64.b64encode(bytes(160)).decode())[0]["error"]
    assert error["param"] == "audio"
    assert "rate 24000" in error["message"]
    response_id = call.respond()
    assert [a for a in call.actions if isinstance(a, StartResponse)][-1].format.rate == 24_000
    call.speak(response_id, "one")
    assert call.queued_ms == 200


def test_a_full_buffer_forgets_its_oldest() -> None:
    call = Call(limits=Limits(buffered_audio_ms=1000))
    call.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
    call.take(call.engine.hear(b"\x01\x00" * 12_000, call.now))
    for _ in range(40):
        call.take(call.engine.hear(b"\x02\x00" * 480, call.now))
    buffer = call.engine._input.buffer
    assert (buffer.duration_ms, buffer.end_ms) == (1000, 1300)
    item = next(e for e in call.send("input_audio_buffer.commit") if e["type"] == "conversation.item.added")
    retrieved = call.send("conversation.item.retrieve", item_id=item["item"]["id"])[0]["item"]
    pcm = base64.b64decode(retrieved["content"][0]["audio"])
    assert (pcm.count(b"\x01"), pcm.count(b"\x02")) == (200 * 24, 800 * 24)


def test_a_caller_who_is_heard_is_not_idle() -> None:
    call = Call(limits=Limits(idle_seconds=1))
    call.hear(0.0, 3000)
    assert "error" not in types(call.events)
    call.run(1100)
    assert call.events[-1]["error"]["code"] == "session_idle"


def test_the_user_is_quiet_from_the_end_of_the_play_out_on(call: Call) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 1000}
    call.send(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    )
    response_id = call.respond()
    call.speak(response_id, "one two three")
    call.finish(response_id)
    call.hear(0.0, 1500)
    assert "input_audio_buffer.timeout_triggered" not in types(call.events)
    call.hear(0.0, 200)
    assert "input_audio_buffer.timeout_triggered" in types(call.events)


def test_overrides_come_after_the_template() -> None:
    template = {"type": "realtime", "instructions": "one", "audio": {"output": {"voice": "cedar"}}}
    call = Call(template=template, overrides={"type": "realtime", "instructions": "two"})
    session = call.events[0]["session"]
    assert (session["instructions"], session["audio"]["output"]["voice"]) == ("two", "cedar")


def test_greeting_another_client_tells_it_the_session_of_now(call: Call) -> None:
    call.send("session.update", session={"type": "realtime", "instructions": "be brief"})
    (greeting,) = call.take(call.engine.greet())
    assert greeting["type"] == "session.created"
    assert greeting["session"]["instructions"] == "be brief"


class Anything(RuleBasedStateMachine):
    """Whatever happens, events pair up, and nobody is told of more than was played."""

    def __init__(self) -> None:
        super().__init__()
        self.call = Call()
        self.open: list[str] = []
        self.known = 0

    def note_started(self) -> None:
        started = [a.response_id for a in self.call.actions if isinstance(a, StartResponse)]
        self.open += started[self.known :]
        self.known = len(started)

    @rule(beside=st.booleans())
    def respond(self, beside: bool) -> None:
        self.call.send("response.create", response={"conversation": "none"} if beside else {})
        self.note_started()

    @rule(number=st.integers(0, 7), words=st.integers(1, 4), ms=st.sampled_from([30, 110, 200]))
    def speak(self, number: int, words: int, ms: int) -> None:
        if self.open:
            self.call.speak(self.open[number % len(self.open)], "word " * words, ms)

    @rule(number=st.integers(0, 7))
    def finish(self, number: int) -> None:
        if self.open:
            self.call.finish(self.open.pop(number % len(self.open)))

    @rule(ms=st.integers(1, 700))
    def wait(self, ms: int) -> None:
        self.call.run(ms)

    @rule(kind=st.sampled_from(["output_audio_buffer.clear", "response.cancel"]))
    def client(self, kind: str) -> None:
        self.call.send(kind)

    @rule()
    def interrupt(self) -> None:
        self.call.hear(1.0, 100)
        for event in self.call.hear(0.0, 600):
            if event["type"] == "input_audio_buffer.committed":
                self.call.take(self.call.engine.transcribed(event["item_id"], "so", 1.0, self.call.now))
        self.note_started()

    @invariant()
    def events_pair_up(self) -> None:
        state: dict[str, str] = {}
        for kind, response_id in outputs(self.call.events):
            before = state.get(response_id)
            assert before in (
                {None} if kind == "started" else {"started"} if kind == "stopped" else {None, "started"}
            )
            state[response_id] = kind

    @invariant()
    def nothing_unheard_is_kept(self) -> None:
        for event in self.call.events:
            if event["type"] == "conversation.item.truncated":
                assert 0 <= event["audio_end_ms"] <= self.call.played_ms + 1

    def teardown(self) -> None:
        for response_id in self.open:
            self.call.finish(response_id)
        self.call.run(self.call.queued_ms + 100)
        assert self.call.queue == []
        assert "playout" not in self.call.due
        assert not self.call.engine._playout._tracks
        told = outputs(self.call.events)
        started = {response_id for kind, response_id in told if kind == "started"}
        ended = {response_id for kind, response_id in told if kind != "started"}
        assert started <= ended


Anything.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAnything = Anything.TestCase
