"""What is sent to the phone, when, and what counts as heard: in virtual time, against a provider of a few lines."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voxwire.audio import convert
from voxwire.errors import ConfigError, UserError
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat
from voxwire.transports.telephony.outgoing import Clear, Mark, Media, OutgoingAudio

FRAME = 160


class Provider:
    """Plays what it is sent in real time and returns marks; all of it computed, none of it waited for."""

    def __init__(self, outgoing: OutgoingAudio) -> None:
        self.outgoing = outgoing
        self.now = 1000.0
        self.waiting: deque[bytes | str] = deque()
        self.idle_at = self.now
        self.frames: list[bytes] = []
        self.played = bytearray()
        self.sent_at: list[float] = []
        self.clears = 0
        self.other_marks: list[str] = []
        self.meanings: list[str] = []

    def send(self) -> None:
        """Take everything that is due."""
        while (out := self.outgoing.next(self.now)) is not None:
            self.take(out)

    def take(self, out: Any) -> None:
        match out:
            case Media(audio=audio, mark=mark):
                self.frames.append(audio)
                self.sent_at.append(self.now)
                if not self.waiting:
                    self.idle_at = max(self.idle_at, self.now)
                self.waiting += [audio, mark]
            case Mark(name=name):
                self.other_marks.append(name)
                self.waiting.append(name)
            case Clear():
                self.clear()
            case _:
                raise AssertionError(out)

    def clear(self) -> None:
        self.clears += 1
        marks = [entry for entry in self.waiting if isinstance(entry, str)]
        self.waiting.clear()
        self.idle_at = self.now
        for mark in marks:
            self.meanings.append(self.outgoing.returned(mark, self.now))

    def play_until(self, now: float, *, marks: bool = True) -> None:
        """Let time pass: send what is due when it is due, play, return marks when they are reached."""
        self.send()
        while True:
            wake = self.outgoing.wake_at()
            ends = self._next_end()
            at = min((time for time in (wake, ends) if time is not None), default=now)
            if at > now:
                break
            self.now = max(self.now, at)
            if ends is not None and ends <= self.now:
                self._finish(marks=marks)
            before = len(self.frames)
            self.send()
            if at == now and len(self.frames) == before and (ends is None or ends > now):
                break
        self.now = now

    def _next_end(self) -> float | None:
        if not self.waiting:
            return None
        head = self.waiting[0]
        lasts = len(head) / 8000 if isinstance(head, bytes) else 0.0
        return self.idle_at + lasts

    def _finish(self, *, marks: bool) -> None:
        head = self.waiting.popleft()
        if isinstance(head, bytes):
            self.idle_at += len(head) / 8000
            self.played += head
            if self.waiting and isinstance(self.waiting[0], str):
                self._finish(marks=marks)
        elif marks:
            self.meanings.append(self.outgoing.returned(head, self.now))


def line(format: AudioFormat = PCMU, **options: Any) -> tuple[OutgoingAudio, Provider]:
    outgoing = OutgoingAudio(**options)
    outgoing.open(format)
    outgoing.start(PCMU, 20, 1000.0)
    return outgoing, Provider(outgoing)


def ulaw(ms: float, fill: int = 0x20) -> bytes:
    return bytes([fill]) * int(ms * 8)


# -- framing and pacing -----------------------------------------------------------------------------


def test_audio_leaves_in_whole_frames_whatever_it_came_in() -> None:
    outgoing, phone = line()
    for size in (1, 159, 500, 7, 853, 80):
        outgoing.write(bytes([size % 251]) * size)
    outgoing.end()
    phone.play_until(1001)
    assert {len(frame) for frame in phone.frames} == {FRAME}
    written = b"".join(bytes([size % 251]) * size for size in (1, 159, 500, 7, 853, 80))
    assert b"".join(phone.frames) == written


def test_the_last_frame_is_filled_with_silence_and_counts_as_long_as_it_was() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(50))
    outgoing.end()
    phone.play_until(1002)
    assert [len(frame) for frame in phone.frames] == [FRAME] * 3
    assert phone.frames[-1] == ulaw(10) + b"\xff" * 80
    assert outgoing.heard_ms(phone.now) == 50
    assert outgoing.buffered_ms(phone.now) == 0


def test_an_end_that_is_never_told_is_noticed_before_it_is_silent() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(50))
    phone.send()
    assert len(phone.frames) == 2, "the rest waits for more"
    phone.play_until(1002)
    assert len(phone.frames) == 3
    assert outgoing.heard_ms(phone.now) == 50
    assert outgoing.wake_at() is None, "nothing to wake up for"


def test_audio_is_sent_no_further_ahead_than_the_lead() -> None:
    outgoing, phone = line(lead_ms=400)
    outgoing.write(ulaw(3000))
    outgoing.end()
    phone.send()
    assert len(phone.frames) == 20
    for step in range(1, 40):
        phone.play_until(1000 + step * 0.1)
        assert len(phone.frames) * 20 - min(3000, step * 100) <= 400 + 1
    assert len(phone.frames) == 150
    assert bytes(phone.played) == ulaw(3000)
    gaps = [b - a for a, b in zip(phone.sent_at[20:], phone.sent_at[21:], strict=False)]
    assert max(gaps) - min(gaps) < 1e-3, "one frame every 20 ms"


def test_nothing_is_sent_before_the_stream_began_and_nothing_is_lost() -> None:
    outgoing = OutgoingAudio()
    outgoing.open(PCMU)
    outgoing.write(ulaw(100))
    assert outgoing.next(0) is None
    assert outgoing.wake_at() is None
    outgoing.clear(0)
    assert outgoing.next(0) is None, "no clear to a stream that has not begun"
    outgoing.write(ulaw(60, 0x33))
    outgoing.start(PCMU, 20, 0)
    out = outgoing.next(0)
    assert isinstance(out, Media)
    assert out.audio == ulaw(20, 0x33)


@pytest.mark.parametrize("lead", [0, 39, 60_001, float("nan")])
def test_leads_that_cannot_be_used(lead: float) -> None:
    with pytest.raises(ConfigError, match="lead_ms"):
        OutgoingAudio(lead_ms=lead)


def test_what_is_too_much_is_dropped_and_counted() -> None:
    outgoing, _ = line(max_ms=1000)
    for _ in range(60):
        outgoing.write(ulaw(20))
    assert outgoing.buffered_ms(1000) == 1000
    assert outgoing.dropped_ms == 200


# -- other formats --------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [PCM16, PCMA, AudioFormat("audio/pcm", 16_000)])
def test_a_model_that_gives_no_mu_law(format: AudioFormat) -> None:
    outgoing, phone = line(format)
    tone = convert(bytes(range(256)) * 40, AudioFormat("audio/pcm", 8_000), format)
    total = format.duration_ms(len(tone))
    for start in range(0, len(tone), 1234):
        outgoing.write(tone[start : start + 1234])
    outgoing.end()
    phone.play_until(1002)
    assert {len(frame) for frame in phone.frames} == {FRAME}
    assert len(phone.frames) == -(-int(total) // 20)
    assert outgoing.heard_ms(phone.now) == pytest.approx(total), "what the resampler held back as well"
    assert b"".join(phone.frames)[: int(total * 8)] == convert(tone, format, PCMU)[: int(total * 8)]


def test_positions_do_not_drift_over_many_replies() -> None:
    outgoing, phone = line(PCM16)
    written = 0.0
    for reply in range(200):
        size = 2 * (1000 + 37 * reply % 500)
        outgoing.write(bytes(size))
        outgoing.end()
        written += PCM16.duration_ms(size)
        phone.play_until(phone.now + 0.5)
        assert outgoing.heard_ms(phone.now) == pytest.approx(written, abs=1e-6)


def test_the_model_changes_its_format_in_the_middle() -> None:
    outgoing, phone = line(PCMU)
    outgoing.write(ulaw(30))
    outgoing.open(PCM16)
    outgoing.write(bytes(PCM16.size_of(50)))
    outgoing.end()
    phone.play_until(1001)
    assert b"".join(phone.frames)[:240] == ulaw(30), "what was there is heard first"
    assert outgoing.heard_ms(phone.now) == pytest.approx(80)


def test_a_stream_that_takes_another_format_than_was_thought() -> None:
    outgoing = OutgoingAudio()
    outgoing.open(PCMU)
    outgoing.write(ulaw(40))
    outgoing.start(PCMA, 20, 0)
    out = outgoing.next(0)
    assert isinstance(out, Media)
    assert out.audio == convert(ulaw(20), PCMU, PCMA)


# -- marks --------------------------------------------------------------------------------------


def test_heard_is_what_the_marks_say() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(200))
    phone.send()
    assert outgoing.heard_ms(1000.5) == 0, "half a second later, and no mark"
    marks = [entry for entry in phone.waiting if isinstance(entry, str)]
    assert len(set(marks)) == 10
    outgoing.returned(marks[0], 1000.5)
    assert outgoing.heard_ms(1000.5) == 20
    assert outgoing.heard_ms(1000.51) == pytest.approx(30), "the next frame is being played"
    assert outgoing.heard_ms(1003) == 40, "and no more than that one without its mark"
    outgoing.returned(marks[4], 1003)
    assert outgoing.heard_ms(1003) == 100, "a mark stands for those before it"
    assert outgoing.returned(marks[2], 1003) == "stale"
    assert outgoing.returned("voxwire-9-9", 1003) == "stale"
    assert outgoing.heard_ms(1003) == 100


def test_a_frame_sent_after_silence_is_not_heard_yet() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(20))
    outgoing.end()
    phone.play_until(1005)
    assert outgoing.heard_ms(phone.now) == 20
    outgoing.write(ulaw(20))
    phone.send()
    assert outgoing.heard_ms(phone.now + 0.015) == 20, "nobody knows when it begins to be played"


def test_marks_that_never_come_back() -> None:
    outgoing, phone = line(patience_ms=1000)
    outgoing.write(ulaw(5000))
    phone.play_until(1000.9, marks=False)
    assert (outgoing.heard_ms(phone.now), outgoing.marks_lost) == (0, False)
    phone.play_until(1001.5, marks=False)
    assert outgoing.heard_ms(phone.now) == pytest.approx(1500, abs=20), "real-time playback is assumed"
    assert outgoing.marks_lost
    phone.play_until(1002, marks=True)
    assert not outgoing.marks_lost
    assert outgoing.heard_ms(phone.now) == pytest.approx(2000, abs=20)


# -- interruption -----------------------------------------------------------------------------------


def test_clear_comes_first_and_what_it_returns_counts_for_nothing() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(3000))
    phone.play_until(1000.7)
    heard = outgoing.heard_ms(phone.now)
    assert heard == pytest.approx(700, abs=1)
    outgoing.clear(phone.now)
    outgoing.write(ulaw(100, 0x44))
    outgoing.end()
    out = outgoing.next(phone.now)
    assert isinstance(out, Clear)
    phone.meanings.clear()
    phone.take(out)
    assert set(phone.meanings) == {"stale"}
    assert outgoing.heard_ms(phone.now) == heard
    count = len(phone.frames)
    phone.play_until(1002)
    assert phone.frames[count:] == [ulaw(20, 0x44)] * 5
    assert outgoing.heard_ms(phone.now) == pytest.approx(heard + 100)
    assert outgoing.buffered_ms(phone.now) == 0


def test_nothing_to_clear() -> None:
    outgoing, phone = line()
    outgoing.clear(phone.now)
    assert outgoing.next(phone.now) is None
    outgoing.write(ulaw(40))
    phone.play_until(1002)
    outgoing.clear(phone.now)
    assert outgoing.next(phone.now) is None, "everything was heard"
    outgoing.write(ulaw(40))
    phone.send()
    outgoing.clear(phone.now)
    outgoing.clear(phone.now)
    phone.send()
    assert phone.clears == 1, "once is enough"


def test_a_second_start_takes_what_was_sent_as_heard() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(3000))
    phone.send()
    outgoing.start(PCMU, 20, phone.now)
    assert outgoing.heard_ms(phone.now) == 1000
    old = next(entry for entry in phone.waiting if isinstance(entry, str))
    assert outgoing.returned(old, phone.now) == "stale"


def test_after_the_end() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(3000))
    phone.send()
    outgoing.add_mark("mine")
    outgoing.clear(phone.now)
    outgoing.stop()
    outgoing.write(ulaw(100))
    assert outgoing.next(phone.now) is None
    assert outgoing.wake_at() is None
    assert outgoing.buffered_ms(phone.now) == 0


# -- marks of others --------------------------------------------------------------------------------


def test_a_mark_of_somebody_else() -> None:
    outgoing, phone = line()
    outgoing.add_mark("at once")
    outgoing.write(ulaw(30))
    outgoing.add_mark("after 30 ms")
    outgoing.write(ulaw(30))
    outgoing.end()
    phone.send()
    order = [
        entry if isinstance(entry, str) and "voxwire" not in entry else len(entry) for entry in phone.waiting
    ]
    assert [entry for entry in order if entry in (160, "at once", "after 30 ms")] == [
        "at once",
        160,
        160,
        "after 30 ms",
        160,
    ]
    assert outgoing.returned("after 30 ms", phone.now) == "played"
    assert outgoing.returned("unknown", phone.now) == "played"


def test_a_mark_whose_audio_was_cleared() -> None:
    outgoing, phone = line()
    outgoing.write(ulaw(100))
    outgoing.add_mark("sent")
    phone.send()
    outgoing.write(ulaw(5000))
    outgoing.add_mark("waiting")
    outgoing.clear(phone.now)
    phone.send()
    assert phone.other_marks == ["sent", "waiting"]
    assert phone.meanings[-1] == "cleared", "the one that waited at the provider"
    assert outgoing.returned("waiting", phone.now) == "cleared"


def test_marks_are_bounded_and_not_to_be_confused() -> None:
    outgoing, phone = line()
    with pytest.raises(UserError, match="begin with something else"):
        outgoing.add_mark("voxwire-1-1")
    outgoing.write(ulaw(5000))
    for number in range(256):
        outgoing.add_mark(str(number))
    with pytest.raises(UserError, match="256 marks"):
        outgoing.add_mark("one more")
    for _ in range(3):
        phone.play_until(phone.now + 10, marks=False)
        for number in range(200):
            outgoing.add_mark(f"again {number}")
    assert len(outgoing._own_sent) <= 257


# -- anything in any order ----------------------------------------------------------------------------


class Call(RuleBasedStateMachine):
    """Random writes, ends, clears, time, and marks: in order, late, lost, twice, or made up."""

    def __init__(self) -> None:
        super().__init__()
        self.outgoing, self.phone = line(patience_ms=2000)
        self.heard = 0.0
        self.written = 0.0
        self.kept: list[str] = []
        self.fill = 0

    @rule(ms=st.floats(0.125, 900), ends=st.booleans())
    def write(self, ms: float, ends: bool) -> None:
        self.fill = (self.fill + 1) % 200
        data = ulaw(ms, self.fill)
        self.outgoing.write(data)
        self.written += len(data) / 8
        if ends:
            self.outgoing.end()

    @rule(ms=st.integers(1, 1500), marks=st.booleans())
    def time_passes(self, ms: int, marks: bool) -> None:
        before = [entry for entry in self.phone.waiting if isinstance(entry, str)]
        self.phone.play_until(self.phone.now + ms / 1000, marks=marks)
        if not marks:
            after = set(self.phone.waiting)
            self.kept += [mark for mark in before if mark not in after]

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def a_late_mark(self, data: st.DataObject) -> None:
        self.outgoing.returned(data.draw(st.sampled_from(self.kept)), self.phone.now)

    @rule(generation=st.integers(0, 5), number=st.integers(1, 500))
    def a_mark_nobody_sent_maybe(self, generation: int, number: int) -> None:
        name = f"voxwire-{generation}-{number}"
        if name not in self.phone.waiting:
            self.outgoing.returned(name, self.phone.now)

    @rule()
    def interrupt(self) -> None:
        heard = self.outgoing.heard_ms(self.phone.now)
        self.outgoing.clear(self.phone.now)
        assert self.outgoing.heard_ms(self.phone.now) == heard
        assert self.outgoing.buffered_ms(self.phone.now) == 0
        self.written = heard
        self.phone.send()

    @invariant()
    def heard_is_sensible(self) -> None:
        heard = self.outgoing.heard_ms(self.phone.now)
        assert heard >= self.heard - 1e-6, "what was heard cannot become unheard"
        assert heard <= self.outgoing._sent_ms + 1e-6, "nor what was not sent be heard"
        assert heard <= self.written + 1e-6
        self.heard = heard

    @invariant()
    def frames_are_whole(self) -> None:
        assert all(len(frame) == FRAME for frame in self.phone.frames)
        assert len(self.outgoing._pending) <= (1000 + 2000) / 20 + 2, "bounded by lead and patience"

    def teardown(self) -> None:
        """In the end, all that was written and not cleared is heard."""
        self.outgoing.end()
        self.phone.play_until(self.phone.now + 1 + self.outgoing.buffered_ms(self.phone.now) / 1000 + 2.1)
        assert self.outgoing.heard_ms(self.phone.now) == pytest.approx(self.written, abs=1e-3)


Call.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCall = Call.TestCase


@given(
    st.lists(st.tuples(st.integers(1, 2000), st.booleans()), min_size=1, max_size=20),
    st.sampled_from([PCM16, PCMU]),
)
@settings(max_examples=40, deadline=None)
def test_every_byte_is_played_once_in_order(pieces: list[tuple[int, bool]], format: AudioFormat) -> None:
    outgoing, phone = line(format)
    written = bytearray()
    for size, ends in pieces:
        data = bytes([len(written) % 256]) * (size * format.sample_bytes)
        outgoing.write(data)
        written += data
        if ends:
            outgoing.end()
    outgoing.end()
    phone.play_until(1060)
    assert len(phone.played) == len(phone.frames) * FRAME
    assert outgoing.heard_ms(phone.now) == pytest.approx(format.duration_ms(len(written)))
    if format == PCMU:
        assert bytes(phone.played[: len(written)]) == bytes(written)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1.5)), min_size=1, max_size=12),
    st.sampled_from([PCM16, PCMU]),
)
@settings(max_examples=100, deadline=None)
def test_whenever_it_is_interrupted_the_cut_is_a_frame_off_at_most(
    steps: list[tuple[int, float]], format: AudioFormat
) -> None:
    """The provider's own clock says what was heard, and is read at every moment; so do we, by its marks alone."""
    outgoing, phone = line(format)
    for frames, seconds in steps:
        outgoing.write(bytes(format.size_of(20 * frames)))
        phone.play_until(phone.now + seconds)
        playing = bool(phone.waiting) * (phone.now - phone.idle_at) * 1000
        truth = len(phone.played) / 8 + playing
        told = outgoing.heard_ms(phone.now)
        assert truth - 20 <= told + 1e-3
        assert told <= truth + 20 + 1e-3
    heard = outgoing.heard_ms(phone.now)
    outgoing.clear(phone.now)
    phone.send()  # and the marks that come back for that change nothing
    assert outgoing.heard_ms(phone.now) == heard


def test_live_audio_needs_no_timer() -> None:
    outgoing, phone = line(PCMU)
    for _ in range(3):
        outgoing.write(bytes(160))
        phone.send()
        assert outgoing.wake_at() is None
        phone.now += 0.02
    outgoing.write(bytes(360))
    phone.send()
    assert outgoing.wake_at() == pytest.approx(phone.now, abs=0.021), (
        "the rest waits for more, or for its time"
    )
