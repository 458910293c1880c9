from __future__ import annotations

import pytest

from voxwire.recording.latency import Latency, latency_of, median_heard_ms
from voxwire.recording.turns import Turn


def test_latency_counts_from_the_users_last_sample(whole_play) -> None:
    latency = latency_of(whole_play.timeline.turns[0])
    assert latency == Latency(500, 600, 800, 800)
    assert latency.stages == [
        ("turn detection", 500),
        ("transcription", 100),
        ("answer", 200),
        ("playback", 0),
    ]


def test_stages_add_up_to_what_was_waited() -> None:
    latency = Latency(300.0, None, 700.0, 720.0)
    assert sum(ms for _, ms in latency.stages) == pytest.approx(720)
    assert [name for name, _ in latency.stages] == ["turn detection", "answer", "playback"]


def test_a_late_transcription_is_no_stage() -> None:
    latency = Latency(300.0, 2500.0, 700.0, 720.0)
    assert [name for name, _ in latency.stages] == ["turn detection", "answer", "playback"]
    assert sum(ms for _, ms in latency.stages) == pytest.approx(720)


def test_without_an_answer_there_are_no_stages() -> None:
    assert latency_of(Turn(1, "", 0.0)) is None
    latency = latency_of(Turn(1, "", 0.0, end_ms=100.0, detected_ms=400.0))
    assert latency == Latency(300, None, None, None)
    assert latency.stages == []


def test_median(whole_play) -> None:
    assert median_heard_ms(whole_play.timeline.turns) == 750
    assert median_heard_ms([]) is None
