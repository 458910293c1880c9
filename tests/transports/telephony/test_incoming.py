"""Gaps in the caller's audio, and what is kept while nobody takes it. Numbers are those of docs/differences.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConfigError
from voxwire.protocol.formats import PCMA, PCMU, AudioFormat
from voxwire.transports.telephony.incoming import IncomingAudio

FRAME = bytes(160)


def taken(incoming: IncomingAudio) -> list[bytes]:
    pieces: list[bytes] = []
    while (piece := incoming.take()) is not None:
        pieces.append(piece)
    return pieces


def fed(*timestamps: int | None, **options: float) -> IncomingAudio:
    incoming = IncomingAudio(**options)
    for timestamp in timestamps:
        incoming.media(FRAME, timestamp, 0.0)
    return incoming


def test_audio_without_gaps_is_left_alone() -> None:
    assert taken(fed(0, 20, 40, 60)) == [FRAME] * 4


def test_a_gap_is_filled_with_silence_of_its_length() -> None:  # 100
    assert taken(fed(0, 20, 100)) == [FRAME, FRAME, b"\xff" * 480, FRAME]


def test_a_gap_in_other_formats_has_their_silence() -> None:
    for sound, silence in ((PCMA, b"\xd5"), (AudioFormat("audio/pcm", 8000), b"\0\0")):
        incoming = IncomingAudio()
        incoming.start(sound)
        frame = silence * 160
        incoming.media(frame, 0, 0)
        incoming.media(frame, 60, 0)
        assert taken(incoming) == [frame, silence * 320, frame]


def test_a_long_gap_is_filled_up_to_a_limit() -> None:  # 100
    incoming = fed(0, 60_000, max_waiting_ms=20_000)
    assert [len(piece) for piece in taken(incoming)] == [160, 80_000, 160]
    assert incoming.padded_ms == 10_000


@pytest.mark.parametrize("timestamps", [(0, None, 500), (None, 500, 520), (1000, 0, 500), (500, 0, 20, 40)])
def test_no_silence_where_the_timestamps_tell_nothing(timestamps: tuple[int | None, ...]) -> None:  # 101
    assert set(taken(fed(*timestamps))) == {FRAME}


def test_timestamps_that_are_rounded_are_no_gaps() -> None:
    """Twilio's come as 5, 24, 45, 64, ..."""
    times = [20 * index + (index * 7) % 9 for index in range(100)]
    assert set(taken(fed(*times))) == {FRAME}


def test_a_slow_drift_adds_up_to_a_gap() -> None:
    padded = fed(*(int(20.5 * index) for index in range(100))).padded_ms
    assert padded == pytest.approx(50, abs=11)


def test_a_new_start_begins_anew() -> None:  # 102
    incoming = fed(0, 20)
    incoming.start(PCMU)
    incoming.media(FRAME, 5000, 0)
    assert taken(incoming) == [FRAME] * 3
    incoming.media(FRAME, 5020, 0)
    incoming.start(PCMA)
    assert taken(incoming) == [], "what is in another format cannot be used"


# -- in the middle of an utterance ------------------------------------------------------------------


def test_speech_that_stops_coming_is_ended() -> None:  # 102, but for how often
    incoming = IncomingAudio()
    incoming.media(FRAME, 0, 10.0)
    assert incoming.stalls_at() is None, "nobody speaks"
    incoming.speech(True)
    assert incoming.stalls_at() == 10.75
    incoming.media(FRAME, 20, 10.02)
    assert incoming.stalls_at() == 10.77
    assert not incoming.stalled(10.76)
    assert incoming.stalled(10.77)
    assert [len(piece) for piece in taken(incoming)] == [160, 160, 8000]
    assert incoming.stalls_at() == pytest.approx(11.77), "the model may want to hear more of it"
    for _ in range(9):
        assert incoming.stalled(20)
    assert not incoming.stalled(30), "ten seconds are enough"
    assert incoming.stalls_at() is None


def test_the_end_of_speech_ends_the_watch() -> None:
    incoming = fed(0)
    incoming.speech(True)
    incoming.speech(False)
    assert incoming.stalls_at() is None


def test_speech_before_any_audio_is_not_the_caller_s() -> None:
    incoming = IncomingAudio()
    incoming.speech(True)
    assert incoming.stalls_at() is None


def test_a_gap_that_was_filled_is_not_filled_again() -> None:  # 103
    for back_at, sizes in (
        (3020, [160, 8000, 16000, 160]),
        (1020, [160, 8000, 160]),
        (500, [160, 8000, 160]),
    ):
        incoming = fed(0)
        incoming.speech(True)
        incoming.stalled(0.75)
        incoming.media(FRAME, back_at, 3.0)
        incoming.media(FRAME, back_at + 20, 3.02)
        assert [len(piece) for piece in taken(incoming)] == [*sizes, 160], back_at
        assert incoming.stalls_at() == pytest.approx(3.77), "watched again"


def test_without_timestamps_the_clock_is_enough() -> None:
    incoming = fed(None)
    incoming.speech(True)
    assert incoming.stalled(0.75)
    assert [len(piece) for piece in taken(incoming)] == [160, 8000]


def test_it_can_be_turned_off() -> None:  # 102
    incoming = IncomingAudio(inactivity_timeout_ms=None)
    incoming.media(FRAME, 0, 0)
    incoming.speech(True)
    assert incoming.stalls_at() is None
    assert not incoming.stalled(100)


@pytest.mark.parametrize("value", [0, -1, 2_147_483_648, float("nan"), float("inf")])
def test_times_that_cannot_be_used(value: float) -> None:  # 99
    with pytest.raises(ConfigError, match="inactivity_timeout_ms"):
        IncomingAudio(inactivity_timeout_ms=value)
    with pytest.raises(ConfigError, match="max_waiting_ms"):
        IncomingAudio(max_waiting_ms=value)


# -- kept, and bounded ------------------------------------------------------------------------------


def test_the_oldest_gives_way() -> None:
    incoming = IncomingAudio(max_waiting_ms=100)
    for number in range(10):
        incoming.media(bytes([number]) * 160, None, 0)
    assert [piece[0] for piece in taken(incoming)] == [5, 6, 7, 8, 9]
    assert incoming.dropped_ms == 100
    assert incoming.waiting_ms == 0


def test_empty_audio_says_only_that_the_line_lives() -> None:
    incoming = fed(0)
    incoming.media(b"", None, 5.0)
    incoming.speech(True)
    assert incoming.stalls_at() == 5.75
    assert taken(incoming) == [FRAME]


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.one_of(st.none(), st.integers(0, 100_000)), st.booleans()),
        max_size=60,
    )
)
def test_whatever_comes_is_bounded_and_kept_in_order(pieces: list[tuple[int, int | None, bool]]) -> None:
    incoming = IncomingAudio(max_waiting_ms=1000, max_gap_ms=500)
    now = 0.0
    for size, timestamp, speaking in pieces:
        now += size / 100
        incoming.speech(speaking)
        at = incoming.stalls_at()
        if at is not None and at <= now:
            assert incoming.stalled(now)
        incoming.media(bytes(size), timestamp, now)
        assert incoming.waiting_ms <= 1000 or len(incoming._queue) == 1
    assert incoming.waiting_ms == PCMU.duration_ms(sum(map(len, incoming._queue)))
