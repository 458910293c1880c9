"""A recording of both sides of a conversation, as it was heard."""

from __future__ import annotations

import logging
import os
from array import array
from collections import deque
from types import TracebackType
from typing import Final, Self

from ..errors import ConfigError, UserError
from ..protocol.formats import AudioFormat
from .peaks import Envelope, Outline
from .resample import Converter
from .samples import from_pcm, to_pcm
from .wav_writer import WavWriter

__all__ = ["StereoRecorder"]

_log = logging.getLogger("voxwire.audio")

_USER_JITTER_MS: Final = 120
_AGENT_JITTER_MS: Final = 40
"""A piece that is at most this late follows the one before it without a gap."""

_LATE_MS: Final = 1000
"""User audio is placed at most this far back; what lies further back is on disk already."""

_LONGEST_PAUSE_S: Final = 4 * 3600
"""A longer one is taken for a mistake: a pause is written out as silence, 350 MB per hour at 24 kHz."""


class StereoRecorder:
    """A stereo WAV file: user left, agent right, on one time axis.

    User audio ends at the moment at which it is handed in. Agent audio is placed where a real-time
    speaker plays it: behind what it still has to play, or at once if it is idle. What an interruption
    cuts off is not in the file, and pauses are silence. Audio goes to disk once it is over, so that memory holds what
    the agent has not said yet and about a second of the rest.

    The times handed in are seconds of one monotonic clock; one that lies before an earlier one is taken as
    that. The recording begins with the first of them, or at `start`.

    Args:
        path: replaced if it exists.
        rate: of the file, Hz; other rates are resampled.
        start: the time of the first sample, s; None takes that of the first audio.
        max_pending_ms: how much audio may lie ahead of the clock on either side, ms. More than that is
            dropped, which is logged.

    Raises:
        ConfigError: if `rate` or `max_pending_ms` is not positive.
        OSError: if the file cannot be written; also from every other method.
        UserError: from `user`, `agent` and `cut_agent` after `close`, or if their clock jumps ahead by hours.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: int = 24_000,
        *,
        start: float | None = None,
        max_pending_ms: float = 120_000,
    ) -> None:
        if not max_pending_ms > 0:
            raise ConfigError(f"max_pending_ms is {max_pending_ms!r}; it must be positive")
        self.rate = rate
        self._writer = WavWriter(path, rate, channels=2)
        self._start = start
        self._now = 0  # samples since the start
        self._limit = int(max_pending_ms * rate / 1000)
        self._user = _Track(rate, "user")
        self._agent = _Track(rate, "agent")

    @property
    def duration_ms(self) -> float:
        """Length of the recording: until the last time handed in, or the end of the user's audio, ms."""
        return max(self._now, self._user.end, self._writer.frames) * 1000 / self.rate

    def user(self, pcm: bytes, format: AudioFormat, now: float) -> None:
        """What the user said, up to `now`, in `format`."""
        self._add_past(self._user, pcm, format, now)

    def agent_heard(self, pcm: bytes, format: AudioFormat, now: float) -> None:
        """What was heard of the agent, up to `now`: for a player whose position is known, in place of `agent`."""
        self._add_past(self._agent, pcm, format, now)

    def _add_past(self, track: _Track, pcm: bytes, format: AudioFormat, now: float) -> None:
        self._begin(now - format.duration_ms(len(pcm)) / 1000)
        self._advance(now)
        length = round(format.duration_ms(len(pcm)) * self.rate / 1000)
        end = min(self._now, round((now - (self._start or 0.0)) * self.rate))
        self._add(track, pcm, format, end - length, _USER_JITTER_MS)
        self._settle()

    def agent(self, pcm: bytes, format: AudioFormat, now: float) -> None:
        """What the agent says from `now` on, or behind what it says already, in `format`."""
        self._begin(now)
        self._advance(now)
        self._add(self._agent, pcm, format, self._now, _AGENT_JITTER_MS)
        self._settle()

    def cut_agent(self, now: float) -> None:
        """The agent was interrupted: it said nothing of what lies behind `now`."""
        self._begin(now)
        self._advance(now)
        self._agent.cut(self._now)
        self._settle()

    def peaks(self, count: int) -> tuple[Outline, Outline]:
        """Waveforms of user and agent for drawing, `count` stretches each; of what is on disk.

        All of it after `close`, up to about a second less before.
        """
        return self._user.envelope.outline(count), self._agent.envelope.outline(count)

    def close(self, now: float) -> None:
        """Finish the file: what was heard until `now`, and all of the user's audio. Idempotent."""
        if self._writer.closed:
            return
        try:
            self._begin(now)
            self._advance(now)
            self._user.finish()
            self._agent.finish()
            self._agent.cut(self._now)
            self._write_until(max(self._now, self._user.end))
        finally:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file at the last time that was handed in."""
        self.close((self._start or 0.0) + self._now / self.rate)

    def _begin(self, start: float) -> None:
        if self._writer.closed:
            raise UserError(f"the recording {self._writer.path} is closed")
        if self._start is None:
            self._start = start

    def _advance(self, now: float) -> None:
        at = round((now - (self._start or 0.0)) * self.rate)
        if at - self._now > _LONGEST_PAUSE_S * self.rate:
            raise UserError(
                f"now={now!r} is {(at - self._now) / self.rate:.0f} s after the last call: another clock?"
            )
        self._now = max(self._now, at)

    def _settle(self) -> None:
        """Write what can no longer change, a fifth of a second or more at a time."""
        settled = self._now - int(_LATE_MS * self.rate / 1000)
        if settled - self._writer.frames >= self.rate // 5:
            self._write_until(settled)

    def _add(self, track: _Track, pcm: bytes, format: AudioFormat, begin: int, jitter_ms: int) -> None:
        if begin - track.end <= jitter_ms * self.rate / 1000:
            begin = track.end
        if begin - self._now > self._limit:
            track.drop(format.duration_ms(len(pcm)))
            return
        track.add(pcm, format, max(begin, self._writer.frames))

    def _write_until(self, end: int) -> None:
        begin = self._writer.frames
        while begin < end:
            upto = min(end, begin + self.rate)  # a long pause is written second by second
            left, right = self._user.take(begin, upto), self._agent.take(begin, upto)
            frames = array("h", bytes(4 * (upto - begin)))
            frames[0::2] = left
            frames[1::2] = right
            self._writer.write(to_pcm(frames))
            begin = upto


class _Track:
    """One side: pieces of audio that do not overlap, in order, at positions counted in samples."""

    def __init__(self, rate: int, side: str) -> None:
        self.envelope = Envelope()
        self.end = 0
        """Where audio that follows without a gap begins."""
        self._rate = rate
        self._side = side
        self._pieces: deque[tuple[int, array[int]]] = deque()
        self._written = 0  # end of the last piece
        self._converter: Converter | None = None
        self._dropped = False
        self._origin = 0
        self._fed_ms = 0.0

    def add(self, pcm: bytes, format: AudioFormat, begin: int) -> None:
        if begin > self.end or (self._converter is not None and self._converter.source != format):
            self.finish()
        if self._converter is None:
            self._converter = Converter(format, AudioFormat("audio/pcm", self._rate))
            self._origin, self._fed_ms = begin, 0.0
            self._written = max(self._written, begin)
        # Counted from what went in: a resampler gives it out later and in other portions.
        self._fed_ms += format.duration_ms(len(pcm))
        self.end = self._origin + round(self._fed_ms * self._rate / 1000)
        self._append(self._converter.feed(pcm))

    def finish(self) -> None:
        """Get out what the resampler holds back, where it belongs."""
        if self._converter is not None:
            self._append(self._converter.feed(b"", last=True))
            self._converter = None

    def cut(self, at: int) -> None:
        """Forget everything from `at` on."""
        if at >= self.end:
            return
        self.finish()
        while self._pieces and self._pieces[-1][0] >= at:
            self._pieces.pop()
        if self._pieces:
            begin, samples = self._pieces[-1]
            del samples[max(0, at - begin) :]
        self.end = self._written = at

    def take(self, begin: int, end: int) -> array[int]:
        """The samples from `begin` to `end`, silence where there is nothing; they leave the track."""
        if end > self._written:
            self.finish()  # the stream has come to rest: its last samples are still in the resampler
        out = array("h", bytes(2 * (end - begin)))
        while self._pieces and self._pieces[0][0] < end:
            at, samples = self._pieces.popleft()
            if at < begin:  # a resampler may give out a sample more than it was counted for
                at, samples = begin, samples[begin - at :]
            part = samples[: end - at]
            out[at - begin : at - begin + len(part)] = part
            if len(part) < len(samples):
                self._pieces.appendleft((end, samples[len(part) :]))
        self.envelope.add(out)
        return out

    def drop(self, ms: float) -> None:
        if not self._dropped:
            _log.warning("the recording has no room for more %s audio: %g ms were dropped", self._side, ms)
        self._dropped = True

    def _append(self, pcm: bytes) -> None:
        if pcm:
            self._pieces.append((self._written, from_pcm(pcm)))
            self._written += len(pcm) // 2
