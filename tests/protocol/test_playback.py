from __future__ import annotations

import pytest

from voxwire.protocol.playback import MAX_DISCARDED, MAX_PARTS, MAX_SEGMENTS, Interruption, Playback


def cuts(result: Interruption) -> list[tuple[str, int, int]]:
    where = [cut.truncation for cut in result.cuts]
    return [(cut.item_id, cut.content_index, cut.audio_end_ms) for cut in where]


def playing(*pieces: tuple[str, str, float], now: float = 0.0) -> Playback:
    playback = Playback()
    for response_id, item_id, ms in pieces:
        playback.received(response_id, item_id, 0, ms, now)
    return playback


def test_silence_begins_and_ends() -> None:
    playback = Playback()
    assert playback.received("r", "a", 0, 1000, 10.0)
    assert not playback.received("r", "a", 0, 1000, 10.1)
    playback.part_done("a", 0)
    assert not playback.finish(11.9)
    assert playback.remaining_ms(11.95) == pytest.approx(50)
    assert playback.finish(12.0)
    assert not playback.playing
    assert playback.received("r2", "b", 0, 20, 13.0)


def test_not_finished_while_more_may_come() -> None:
    playback = playing(("r", "a", 20))
    assert not playback.finish(9.0)
    playback.response_done("r")
    assert playback.finish(9.0)


def test_interrupted_in_the_tail_long_after_everything_was_received() -> None:
    playback = playing(("r", "a", 10_000))
    playback.part_done("a", 0)
    playback.response_done("r")
    assert cuts(playback.interrupt(2.976)) == [("a", 0, 2976)]
    assert not playback.is_discarded("r")  # it is over, nothing late can come


def test_behaviour_66_whole_ms_never_beyond_what_was_received() -> None:
    playback = playing(("r", "a", 100.9))
    result = playback.interrupt(5.0)
    assert cuts(result) == [("a", 0, 100)]
    assert isinstance(result.cuts[0].truncation.audio_end_ms, int)
    playback = playing(("r", "a", 100.9))
    assert cuts(playback.interrupt(0.0337)) == [("a", 0, 33)]


def test_nothing_to_cut_when_all_was_heard() -> None:
    playback = playing(("r", "a", 100.9))
    playback.part_done("a", 0)
    assert cuts(playback.interrupt(5.0)) == []


def test_behaviour_65_a_second_interruption_finds_nothing() -> None:
    playback = playing(("r", "a", 1000))
    assert len(playback.interrupt(0.5).cuts) == 1
    assert playback.interrupt(0.6).cuts == ()


def test_behaviour_109_several_items_unplayed_ones_at_zero() -> None:
    playback = playing(("r1", "a", 1000), ("r1", "b", 1000), ("r2", "c", 1000))
    playback.part_done("a", 0)
    assert cuts(playback.interrupt(1.25)) == [("b", 0, 250), ("c", 0, 0)]


def test_parts_that_arrive_in_turns_are_cut_once_each() -> None:
    playback = Playback()
    for _ in range(5):
        playback.received("r1", "a", 0, 100, 0.0)
        playback.received("r2", "b", 0, 100, 0.0)
    result = playback.interrupt(0.55)
    assert cuts(result) == [("a", 0, 300), ("b", 0, 250)]
    assert [cut.received_ms for cut in result.cuts] == [500, 500]
    assert result.unfinished == ("r1", "r2")


def test_what_was_heard_of_a_part_is_not_lost_when_its_beginning_is_forgotten() -> None:
    playback = Playback()
    playback.received("r", "a", 0, 100, 0.0)
    playback.received("r", "b", 0, 100, 0.0)
    playback.received("r", "a", 0, 100, 0.15)  # the first piece of "a" was heard by now
    assert cuts(playback.interrupt(0.25)) == [("a", 0, 150), ("b", 0, 100)]


def test_late_audio_of_what_was_interrupted_is_known() -> None:
    playback = playing(("r1", "a", 100))
    playback.interrupt(0.05, ("r2",))
    assert playback.is_discarded("r1")
    assert playback.is_discarded("r2")
    playback.response_done("r1")
    assert not playback.is_discarded("r1")


def test_the_next_reply_counts_from_its_own_beginning() -> None:
    playback = playing(("r1", "a", 5000))
    playback.interrupt(1.0)
    playback.received("r2", "b", 0, 5000, 2.0)
    assert cuts(playback.interrupt(2.5)) == [("b", 0, 500)]


def test_the_sinks_word_counts() -> None:
    playback = playing(("r", "a", 1000))
    playback.report(None)
    playback.report(320.0)
    playback.report(100.0)  # what was heard cannot become unheard
    assert playback.heard_ms(99.0) == 320
    assert cuts(playback.interrupt(99.0)) == [("a", 0, 320)]


@pytest.mark.parametrize(("reported", "heard"), [(-5.0, 0.0), (5000.0, 1000.0)])
def test_a_sink_that_is_wrong_is_bounded(reported: float, heard: float) -> None:
    playback = playing(("r", "a", 1000))
    playback.report(reported)
    assert playback.heard_ms(0.0) == heard


def test_a_sink_that_counts_in_frames_reaches_the_end() -> None:
    playback = playing(("r", "a", 1000.4))
    playback.part_done("a", 0)
    playback.report(999.0)
    assert not playback.finish(9.0)
    playback.report(1000.0)
    assert playback.finish(9.0)


def test_marks_of_an_item() -> None:
    playback = playing(("r", "a", 1000), ("r", "b", 1000))
    playback.report_item("a", 0, 400)
    assert playback.heard_ms(0) == 400
    playback.report_item("unknown", 0, 400)
    playback.report_item("b", 0, 2500)
    assert playback.heard_ms(0) == 2000


def test_marks_of_an_item_in_pieces() -> None:
    playback = playing(("r", "a", 100), ("r", "b", 100), ("r", "a", 100))
    playback.report_item("a", 0, 50)
    assert playback.heard_ms(0) == 50
    playback.report_item("a", 0, 150)
    assert playback.heard_ms(0) == 250


def test_more_audio_for_a_part_that_was_done() -> None:
    playback = playing(("r", "a", 100))
    playback.part_done("a", 0)
    playback.received("r", "a", 0, 100, 0.0)
    assert not playback.all_received()
    assert cuts(playback.interrupt(0.15)) == [("a", 0, 150)]


def test_memory_is_bounded() -> None:
    playback = Playback()
    for number in range(MAX_PARTS * 2):
        playback.received(f"r{number}", f"i{number}", 0, 1, 0.0)
    assert len(playback._parts) <= MAX_PARTS
    for number in range(MAX_SEGMENTS * 2):
        playback.received("r", "ab"[number % 2], 0, 1, 0.0)
    assert len(playback) <= MAX_SEGMENTS
    for number in range(MAX_DISCARDED * 2):
        playback.discard(f"r{number}")
    assert len(playback.discarded) == MAX_DISCARDED


def test_a_long_reply_is_one_stretch() -> None:
    playback = Playback()
    for number in range(10_000):
        playback.received("r", "a", 0, 20, number * 0.001)
    assert len(playback) == 1
