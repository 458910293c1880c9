"""Both voices of a session, as they were heard."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from ..audio.peaks import Outline
from ..audio.recording import StereoRecorder
from ..protocol.formats import AudioFormat
from ..protocol.playout import PlayoutModel
from ..protocol.transport_events import AudioEvent

__all__ = ["SoundRecorder"]

_log = logging.getLogger("voxwire.audio")


@dataclass(slots=True)
class _Piece:
    """Audio that was received and not heard yet; without data where there was no room for it."""

    format: AudioFormat
    data: bytes | None
    ms: float


class SoundRecorder:
    """A stereo file of what the user said and what was heard of the agent, by the player's own position.

    What the agent says waits here until the position has passed it. What an interruption cuts off is therefore
    never written, however late the player began or how far behind it is.

    Args:
        path, rate, start: see `StereoRecorder`.
        position: ms of the agent's audio heard on this connection; None where nobody knows. Then
            real-time playback from the first sample is assumed.
        max_pending_ms: audio that may wait, ms; more than that is recorded as silence, which is logged.

    Raises:
        OSError: if the file cannot be written; also from every other method.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: int,
        start: float,
        position: Callable[[], float | None],
        max_pending_ms: float,
    ) -> None:
        self._recorder = StereoRecorder(path, rate, start=start)
        self._position = position
        self._model = PlayoutModel()
        self._waiting: deque[_Piece] = deque()
        self._waiting_ms = 0.0
        self._taken_ms = 0.0
        self._looked_at = start
        self._most_ms = max_pending_ms
        self._full = False
        self._moving = False

    @property
    def waiting_ms(self) -> float:
        """The agent's audio that was received and not heard yet, ms."""
        return self._waiting_ms

    def user(self, pcm: bytes, format: AudioFormat, now: float) -> None:
        """The user said this, up to `now`."""
        self._recorder.user(pcm, format, now)

    def agent(self, audio: AudioEvent, now: float) -> None:
        """The agent's audio arrived."""
        self.look(now)
        length = audio.format.duration_ms(len(audio.data))
        data: bytes | None = audio.data
        if self._waiting_ms + length > self._most_ms:
            data = None
            if not self._full:
                self._full = True
                _log.warning(
                    "more than %g ms of audio wait to be heard; the recording lacks some", self._most_ms
                )
        self._waiting.append(_Piece(audio.format, data, length))
        self._waiting_ms += length
        self._model.write(length, now)

    def look(self, now: float) -> None:
        """Write what has been heard by now."""
        position = self._position()
        heard = self._model.heard_ms(now) if position is None else position
        if heard < self._taken_ms:
            return  # the connection is gone, and with it the position
        if heard > self._taken_ms:
            self._write(heard - self._taken_ms, now)
            if not self._waiting:
                self._taken_ms = heard
        self._looked_at = now

    def interrupted(self, now: float) -> None:
        """The player fell silent: what it has not played will never be heard."""
        self.look(now)
        self._drop(now)

    def disconnected(self, now: float) -> None:
        """The connection ended, and the player with it; positions begin at 0 again.

        Where it was cannot be asked any more: since the last look it has played on.
        """
        self._write(max(0.0, now - self._looked_at) * 1000, now)
        self._drop(now)
        self._model = PlayoutModel()
        self._taken_ms = 0.0
        self._looked_at = now

    def peaks(self, count: int) -> tuple[Outline, Outline]:
        """Outlines of user and agent; see `StereoRecorder.peaks`."""
        return self._recorder.peaks(count)

    def close(self, now: float) -> None:
        """Finish the file: what was heard until now."""
        self.look(now)
        self._recorder.close(now)

    def _drop(self, now: float) -> None:
        self._waiting.clear()
        self._waiting_ms = 0.0
        self._moving = False
        self._model.clear(now)

    def _write(self, ms: float, now: float) -> None:
        """Move so much audio from the queue to the file, so that it ends now."""
        taken: list[tuple[bytes, AudioFormat]] = []
        before = self._taken_ms
        while self._waiting:
            piece = self._waiting[0]
            size = piece.format.size_of(min(ms, piece.ms))
            whole = ms >= piece.ms - 0.05  # less than a sample is a matter of rounding
            length = piece.ms if whole else piece.format.duration_ms(size)
            if length <= 0 and not whole:
                break
            if piece.data is None:
                silence = piece.format.silence
                taken.append((silence * (piece.format.size_of(length) // len(silence)), piece.format))
            else:
                taken.append((piece.data if whole else piece.data[:size], piece.format))
            if whole:
                self._waiting.popleft()
            else:
                piece.data = piece.data[size:] if piece.data is not None else None
                piece.ms -= length
            ms -= length
            self._taken_ms += length
            self._waiting_ms = max(0.0, self._waiting_ms - length)
        if not self._waiting:
            self._waiting_ms = 0.0  # rather than what rounding left
        written = self._taken_ms - before
        end = self._end_of(written, now)
        self._moving = bool(taken and self._waiting)
        for audio_format, pieces in groupby(taken, key=itemgetter(1)):
            self._recorder.agent_heard(b"".join(pcm for pcm, _ in pieces), audio_format, end)

    def _end_of(self, ms: float, now: float) -> float:
        """When the last of so much audio was heard: before now, if nothing was left to play since."""
        if self._moving:
            return min(now, self._looked_at + ms / 1000)
        idle_at = self._model.idle_at() if self._position() is None else None
        return now if idle_at is None else min(now, idle_at)
