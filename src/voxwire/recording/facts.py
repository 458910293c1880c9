"""What a finished recording holds, measured; and checks that hold or fail."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

from ..audio.levels import peak_dbfs, rms_dbfs
from ..audio.wav import read_wav
from .timeline import Timeline

__all__ = ["Check", "RecordingFacts", "recording_facts"]

CUT_TAIL_MS = 100
"""After a cut the recording may still hold the tail of a filter."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that should have happened.

    Attributes:
        detail: what was found, in words and numbers.
    """

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What the finished recording holds.

    Attributes:
        user_dbfs, agent_dbfs: level of the left and the right channel where somebody should be heard;
            None where nobody should.
        after_cut_dbfs: the agent's peak behind each interruption, where there should be silence.
    """

    channels: int
    rate: int
    duration_ms: float
    user_dbfs: float | None
    agent_dbfs: float | None
    after_cut_dbfs: tuple[float, ...] = ()


def recording_facts(path: Path, timeline: Timeline) -> RecordingFacts:
    """What is in the file, measured where the timeline says that somebody speaks.

    Raises:
        ConfigError, OSError: as `read_wav`.
    """
    left, right = read_wav(path, channel=0), read_wav(path, channel=1)
    rate = right.format.rate
    spoken = [turn for turn in timeline.turns if not turn.typed and turn.end_ms is not None]
    heard = [reply for turn in timeline.turns for reply in turn.replies if reply.heard_ms > 0]
    user = b"".join(_part(left.pcm, rate, turn.begin_ms, turn.end_ms or 0) for turn in spoken)
    agent = b"".join(
        _part(right.pcm, rate, reply.heard_from_ms or 0, reply.heard_until_ms or 0) for reply in heard
    )
    with wave.open(str(path)) as file:
        channels = file.getnchannels()
    return RecordingFacts(
        channels=channels,
        rate=rate,
        duration_ms=right.duration_ms,
        user_dbfs=rms_dbfs(user) if spoken else None,
        agent_dbfs=rms_dbfs(agent) if heard else None,
        after_cut_dbfs=tuple(
            peak_dbfs(_part(right.pcm, rate, cut.at_ms + CUT_TAIL_MS, _next_heard(timeline, cut.at_ms)))
            for cut in timeline.interruptions
        ),
    )


def _next_heard(timeline: Timeline, after_ms: float) -> float:
    """When an agent is heard again, less the time that a schedule may be off."""
    starts = [r.heard_from_ms for t in timeline.turns for r in t.replies if r.heard_from_ms is not None]
    return min((start for start in starts if start > after_ms), default=timeline.duration_ms) - CUT_TAIL_MS


def _part(pcm: bytes, rate: int, begin_ms: float, end_ms: float) -> bytes:
    begin, end = (2 * max(0, round(ms * rate / 1000)) for ms in (begin_ms, end_ms))
    return pcm[begin:end]
