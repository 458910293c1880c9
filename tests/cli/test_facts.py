from __future__ import annotations

import math
from array import array
from pathlib import Path

import pytest

from voxwire.audio import StereoRecorder
from voxwire.protocol.formats import PCM16
from voxwire.recording.facts import recording_facts


def tone(ms: float, peak: int = 8000) -> bytes:
    count = round(ms * 24)
    return array("h", [round(peak * math.sin(n * 0.1)) for n in range(count)]).tobytes()


def test_both_sides_are_measured_where_they_speak(play, tmp_path: Path) -> None:
    """The user speaks from 0.5 to 1.5 s; the agent from 2 s on, cut at 3 s of what would end at 7 s."""
    path = tmp_path / "r.wav"
    recorder = StereoRecorder(path, start=100.0)
    recorder.user(tone(1000), PCM16, 101.5)
    recorder.agent(tone(5000), PCM16, 102.0)
    recorder.cut_agent(103.0)
    recorder.close(104.0)

    play.timeline.user_begins("Hello", 500)
    play.timeline.user_ends(1500)
    play.begin("r1", 1900)
    play.speak("r1", "a1", "Well, well", 2000, 5000)
    play.interrupt("a1", 1000, "Well,", "Well, well", 3000)
    play.timeline.finish((), 4000)
    facts = recording_facts(path, play.timeline)
    assert (facts.channels, facts.rate, facts.duration_ms) == (2, 24_000, 4000)
    level = 20 * math.log10(8000 / 32768 / math.sqrt(2))
    assert facts.user_dbfs == pytest.approx(level, abs=0.5)
    assert facts.agent_dbfs == pytest.approx(level, abs=0.5)
    assert facts.after_cut_dbfs == (-96.0,)


def test_nobody_spoke(play, tmp_path: Path) -> None:
    StereoRecorder(tmp_path / "r.wav", start=0.0).close(0.5)
    facts = recording_facts(tmp_path / "r.wav", play.timeline)
    assert (facts.user_dbfs, facts.agent_dbfs, facts.after_cut_dbfs) == (None, None, ())
