from __future__ import annotations

import pytest

from voxwire.server.engine.turns import Started, Stopped, TurnDetector, TurnEvent, semantic_silence_ms

SERVER = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}


def run(detector: TurnDetector, *frames: tuple[float, int]) -> list[TurnEvent]:
    events = [detector.feed(probability, 20) for probability, ms in frames for _ in range(ms // 20)]
    return [event for event in events if event is not None]


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        ([(0.0, 1000)], []),
        ([(0.0, 1000), (1.0, 40), (0.0, 1000)], []),  # a click
        ([(0.0, 1000), (1.0, 100)], [Started(700)]),
        ([(1.0, 100)], [Started(0)]),  # no padding before the beginning
        ([(0.0, 1000), (1.0, 500), (0.0, 480)], [Started(700)]),
        ([(0.0, 1000), (1.0, 500), (0.0, 500)], [Started(700), Stopped(2000)]),
        ([(1.0, 500), (0.0, 400), (1.0, 20), (0.0, 480)], [Started(0)]),  # a pause
        ([(1.0, 100), (0.4, 1000)], [Started(0)]),  # hysteresis: still speech
        ([(0.4, 1000)], []),  # but not enough to begin
        (
            [(1.0, 100), (0.0, 500), (1.0, 100), (0.0, 500)],
            [Started(0), Stopped(600), Started(300), Stopped(1200)],
        ),
    ],
)
def test_server_vad(frames: list[tuple[float, int]], events: list[TurnEvent]) -> None:
    assert run(TurnDetector(SERVER), *frames) == events


def test_a_threshold_below_the_hysteresis_still_ends() -> None:
    detector = TurnDetector({**SERVER, "threshold": 0.1})
    assert run(detector, (0.2, 100), (0.0, 500)) == [Started(0), Stopped(600)]


def test_settings_change_within_a_turn() -> None:
    detector = TurnDetector(SERVER)
    run(detector, (1.0, 100))
    detector.configure({**SERVER, "silence_duration_ms": 100})
    assert run(detector, (0.0, 100)) == [Stopped(200)]


def test_turn_ended_from_outside() -> None:
    detector = TurnDetector(SERVER, position_ms=5000)
    run(detector, (1.0, 100))
    detector.end_turn()
    assert run(detector, (0.0, 1000)) == []
    assert run(detector, (1.0, 60)) == [Started(5800)]


@pytest.mark.parametrize(
    ("partial", "ending"),
    [
        ("", "unclear"),
        ("well", "unclear"),
        ("turn on the light", "finished"),
        ("really?", "finished"),
        ("\u306f\u3044\u3002", "finished"),
        ("turn on the", "unfinished"),
        ("first,", "unfinished"),
        ("let me see...", "unfinished"),
        ("um", "unfinished"),
    ],
)
def test_semantic_waits(partial: str, ending: str) -> None:
    waits = {
        "low": {"finished": 800, "unclear": 2000, "unfinished": 8000},
        "medium": {"finished": 500, "unclear": 1000, "unfinished": 4000},
        "high": {"finished": 300, "unclear": 600, "unfinished": 2000},
    }
    for eagerness, expected in waits.items():
        assert semantic_silence_ms(eagerness, partial) == expected[ending]
    assert semantic_silence_ms("auto", partial) == semantic_silence_ms("medium", partial)
