from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.audio.devices_playback import MAX_BLOCKS, PlayBuffer

RATE = 1000  # 2 bytes per ms
BLOCK = 20


def audio(count: int, first: int = 1) -> bytes:
    return bytes(1 + (first + n) % 255 for n in range(count))


def test_what_was_written_is_read_with_silence_behind_it() -> None:
    buffer = PlayBuffer(RATE)
    buffer.write(audio(30), 0.0)
    buffer.write(b"", 0.0)
    assert buffer.waiting() == 0.015
    assert buffer.read(BLOCK, 0.0, 0.1) == audio(30)[:20]
    assert buffer.read(BLOCK, 0.01, 0.11) == audio(30)[20:] + bytes(10)
    assert buffer.read(BLOCK, 0.02, 0.12) == bytes(20)


def test_heard_is_what_has_left_the_device() -> None:
    buffer = PlayBuffer(RATE)
    buffer.write(audio(40), 0.0)
    buffer.read(BLOCK, 0.0, 0.1)
    buffer.read(BLOCK, 0.01, 0.11)
    assert buffer.heard(0.05) == 0
    assert buffer.unheard(0.05) == 0.02
    assert buffer.heard(0.105) == pytest.approx(0.005)
    assert buffer.heard(0.09) == pytest.approx(0.005)  # never less
    assert buffer.heard(0.115) == pytest.approx(0.015)
    assert buffer.heard(9) == 0.02
    assert buffer.unheard(9) == 0


def test_gaps_do_not_count() -> None:
    buffer = PlayBuffer(RATE)
    for begin in (0.0, 1.0):
        buffer.write(audio(10), begin)
        buffer.read(BLOCK, begin, begin + 0.1)
        buffer.read(BLOCK, begin + 0.01, begin + 0.11)
    assert buffer.heard(1.0) == 0.005
    assert buffer.heard(1.1025) == pytest.approx(0.0075)
    assert buffer.heard(5) == 0.01


def test_clear_forgets_what_waits_and_what_is_in_the_device() -> None:
    buffer = PlayBuffer(RATE)
    buffer.write(audio(100), 0.0)
    buffer.read(BLOCK, 0.0, 0.1)
    buffer.clear(0.104)
    assert buffer.heard(9) == pytest.approx(0.004)
    assert buffer.unheard(0.104) == 0
    assert buffer.read(BLOCK, 0.11, 0.21) == bytes(20)
    buffer.write(audio(20), 0.2)
    assert buffer.read(BLOCK, 0.2, 0.3) == audio(20)
    assert buffer.heard(9) == pytest.approx(0.014)


def test_it_begins_with_enough_or_after_a_while() -> None:
    buffer = PlayBuffer(RATE, prebuffer=0.03)
    buffer.write(audio(20), 1.0)
    assert buffer.read(BLOCK, 1.01, 1.1) == bytes(20)
    buffer.write(audio(20), 1.02)
    assert buffer.read(BLOCK, 1.025, 1.1) == bytes(20)
    assert buffer.read(BLOCK, 1.03, 1.1) == audio(20)  # that long it has waited
    assert buffer.read(BLOCK, 1.04, 1.1) == audio(20)
    assert buffer.read(BLOCK, 1.05, 1.1) == bytes(20)  # dry again
    buffer.write(audio(60), 1.06)
    assert buffer.read(BLOCK, 1.06, 1.1) == audio(60)[:20]
    assert buffer.read(BLOCK, 1.07, 1.1) == audio(60)[20:40]  # going, nothing waits any more


def test_another_device_takes_what_waits() -> None:
    buffer = PlayBuffer(RATE)
    buffer.write(audio(100), 0.0)
    buffer.read(BLOCK, 0.0, 0.1)
    buffer.lost()
    assert buffer.heard(0.0) == 0.01
    buffer.reformat(RATE * 2, 4, lambda pcm: pcm * 4)
    assert buffer.waiting() == 0.04
    buffer.read(BLOCK * 4, 0.2, 0.3)
    assert buffer.heard(0.3) == 0.01
    assert buffer.heard(9) == 0.02
    empty = PlayBuffer(RATE)
    empty.reformat(RATE, 2, lambda _pcm: b"xx")
    assert empty.waiting() == 0


def test_a_device_that_never_plays_keeps_nothing_for_ever() -> None:
    buffer = PlayBuffer(RATE)
    for _ in range(MAX_BLOCKS + 10):
        buffer.write(audio(BLOCK), 0.0)
        buffer.read(BLOCK, 0.0, 1e9)
    assert buffer.heard(0.0) == pytest.approx(0.1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 60)),
            st.tuples(st.just("read"), st.integers(0, 30)),
            st.tuples(st.just("clear"), st.just(0)),
            st.tuples(st.just("lost"), st.just(0)),
        ),
        max_size=60,
    ),
    st.floats(0, 0.05),
)
def test_it_never_hears_more_than_was_written_and_never_less_than_before(
    steps: list[tuple[str, int]], prebuffer: float
) -> None:
    buffer, now, written, heard, dropped, read = PlayBuffer(RATE, prebuffer=prebuffer), 0.0, 0, 0.0, 0.0, b""
    all_written = b""
    for step, number in steps:
        now += 0.01
        if step == "write":
            piece = audio(number * 2, first=written)
            buffer.write(piece, now)
            written += number * 2
            all_written += piece
        elif step == "read":
            pcm = buffer.read(number * 2, now, now + 0.03)
            assert len(pcm) == number * 2
            read += pcm.rstrip(b"\0")
        elif step == "clear":
            before = buffer.unheard(now)
            buffer.clear(now)
            dropped += before
            read, all_written = b"", b""
        else:
            buffer.lost()
        assert buffer.heard(now) >= heard - 1e-12
        heard = buffer.heard(now)
        assert heard + buffer.unheard(now) + dropped == pytest.approx(written / 2 / RATE)
        assert all_written.startswith(read)  # in order, nothing twice, nothing left out
