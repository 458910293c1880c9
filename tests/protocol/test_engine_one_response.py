"""Stopping one response, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire import AudioInterrupted, ItemTruncation, NotConnectedError

CANCEL, TRUNCATE = "response.cancel", "conversation.item.truncate"


def stop(driver: Any, response_id: str, **parts: bool) -> Any:
    return driver.do(driver.engine.interrupt_response(response_id, driver.now, **parts))


def test_generation_and_playback(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 2000)
    driver.now += 0.5
    stop(driver.forget(), "r1")
    assert driver.kinds() == [CANCEL, TRUNCATE]
    assert driver.sent[0]["response_id"] == "r1"
    assert driver.stops == [pytest.approx(500)]
    [event] = driver.events(AudioInterrupted)
    assert event == AudioInterrupted((ItemTruncation("a", 0, 500),))
    assert event.truncations[0].received_ms == 2000
    driver.audio("r1", "a", 1000)
    assert driver.played == []
    assert driver.engine.dropped_ms == pytest.approx(1000, rel=0.001)


def test_generation_only_leaves_the_playback_alone(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 2000)
    stop(driver.forget(), "r1", playback=False)
    assert driver.kinds() == [CANCEL]
    assert driver.stops == driver.told == []
    assert driver.engine.playback.playing


def test_playback_only_leaves_the_generation_alone(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 2000)
    stop(driver.forget(), "r1", generation=False)
    assert driver.kinds() == [TRUNCATE]
    driver.audio("r1", "a", 100)
    assert driver.played == []


def test_another_response_is_not_touched(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 2000)
    stop(driver.forget(), "r0")
    assert driver.sent == driver.told == driver.stops == []
    assert len(driver.audio("r1", "a", 100).played) == 1


def test_while_another_waits_behind_it_only_what_comes_later_is_dropped(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 2000).done("r1", status="cancelled")
    driver.created("r2").audio("r2", "b", 1000)
    stop(driver.forget(), "r1", generation=False)
    assert driver.sent == driver.stops == []
    assert driver.audio("r1", "a", 500).played == []
    assert len(driver.audio("r2", "b", 500).played) == 1


def test_one_that_was_heard_to_its_end_has_nothing_to_stop(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 100).done("r1").wait(1)
    stop(driver.forget(), "r1")
    assert driver.sent == driver.told == driver.stops == []


def test_an_out_of_band_response_is_cancelled_by_its_id(driver: Any) -> None:
    driver.do(driver.engine.request_response({"conversation": "none"}, driver.now))
    driver.created("r9", conversation_id=None)
    stop(driver.forget(), "r9", playback=False)
    assert driver.kinds() == [CANCEL]


def test_without_a_connection(make_driver: Any) -> None:
    with pytest.raises(NotConnectedError):
        stop(make_driver(), "r1")


def test_what_is_no_audio_is_not_counted_as_dropped(driver: Any) -> None:
    driver.created("r1").audio("r1", "a", 2000)
    stop(driver, "r1")
    driver.recv("response.output_audio.delta", response_id="r1", item_id="a", delta=7)
    assert driver.engine.dropped_ms == 0
