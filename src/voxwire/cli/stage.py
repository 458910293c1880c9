"""The demo's microphone and loudspeaker, both recorded."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..audio.base import AudioSource
from ..audio.levels import peak_dbfs, rms_dbfs
from ..audio.recording import StereoRecorder
from ..audio.sinks import NullSink
from ..audio.wav import read_wav
from ..protocol.formats import PCM16, AudioFormat
from .checks import RecordingFacts
from .timeline import Timeline

__all__ = ["RecordedSource", "RecorderSink", "recording_facts"]

CUT_TAIL_MS = 100
"""After a cut the recording may still hold the tail of a filter."""


class RecordedSource:
    """A source whose audio also goes onto the left channel.

    Args:
        clock: the time, s, of the recorder's clock.
    """

    def __init__(self, source: AudioSource, recorder: StereoRecorder, clock: Callable[[], float]) -> None:
        self._source = source
        self._recorder = recorder
        self._clock = clock

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """The frames of the source."""
        async for frame in self._source.frames(format):
            self._recorder.user(frame, format, self._clock())
            yield frame

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()


class RecorderSink(NullSink):
    """The right channel: follows the sink that plays, and falls silent with it."""

    def __init__(self, recorder: StereoRecorder, clock: Callable[[], float]) -> None:
        self._recorder = recorder
        self._clock = clock
        self._format = PCM16

    async def open(self, format: AudioFormat, /) -> None:
        """Remember the format."""
        self._format = format

    def write(self, data: bytes, /) -> None:
        """Place it behind what is being heard."""
        self._recorder.agent(data, self._format, self._clock())

    def clear(self, heard_ms: float, /) -> None:  # noqa: ARG002 - the recorder has the same clock as the speaker
        """Cut where the speaker falls silent."""
        self._recorder.cut_agent(self._clock())


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
