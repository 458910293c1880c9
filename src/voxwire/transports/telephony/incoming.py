"""The caller's audio on its way to the model: gaps filled with silence, kept while there is no model.

No I/O and no clock in here. A phone network drops packets, and some providers send nothing during silence. A model that
listens for the end of an utterance by counting audio would wait for ever, so the gap is filled, by the
stream's own timestamps once audio comes again, and by the clock while the caller is in the middle of an utterance.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ...errors import ConfigError
from ...protocol.formats import PCMU, AudioFormat

__all__ = ["IncomingAudio"]

JITTER_MS: Final = 10.0
"""Timestamps that are off by less than this are rounding, not a gap."""
STALL_PAD_MS: Final = 1000.0
"""Silence put in at once when the audio stopped coming, and again for every second that it does not."""
MAX_TIMEOUT_MS: Final = 2_147_483_647.0


class IncomingAudio:
    """A bounded queue of audio in the stream's format.

    Args:
        max_waiting_ms: audio kept, ms; when it is full, the oldest gives way.
        max_gap_ms: silence put into one gap, ms.
        inactivity_timeout_ms: the time without audio, in the middle of an utterance, after which silence is put in; None never does.

    Raises:
        ConfigError: if a time cannot be used.
    """

    def __init__(
        self,
        *,
        max_waiting_ms: float = 10_000,
        max_gap_ms: float = 10_000,
        inactivity_timeout_ms: float | None = 750,
    ) -> None:
        for name, value in (
            ("inactivity_timeout_ms", inactivity_timeout_ms),
            ("max_waiting_ms", max_waiting_ms),
        ):
            if value is not None and not 0 < value <= MAX_TIMEOUT_MS:
                raise ConfigError(
                    f"{name} is {value!r}; it must be above 0 and at most {MAX_TIMEOUT_MS:.0f} ms"
                )
        self.format = PCMU
        self.max_waiting_ms = max_waiting_ms
        self.max_gap_ms = max_gap_ms
        self.inactivity_timeout_ms = inactivity_timeout_ms
        self.dropped_ms = 0.0
        self.padded_ms = 0.0
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._expected_ms: float | None = None
        self._ahead_ms = 0.0
        self._last_media: float | None = None
        self._speaking = False

    def start(self, format: AudioFormat) -> None:
        """The stream began, in this format; audio kept in another one is dropped."""
        if format != self.format:
            self.clear()
        self.format = format
        self._expected_ms = None
        self._ahead_ms = 0.0
        self._last_media = None

    def clear(self) -> None:
        """Forget what was kept."""
        self._queue.clear()
        self._queued = 0

    @property
    def waiting_ms(self) -> float:
        """Audio in the queue, ms."""
        return self.format.duration_ms(self._queued)

    # -- in ---------------------------------------------------------------------------------

    def media(self, audio: bytes, timestamp_ms: int | None, now: float) -> None:
        """A piece of audio came, which begins `timestamp_ms` after the stream did."""
        self._last_media = now
        if not audio:
            return
        lasts = self.format.duration_ms(len(audio))
        if timestamp_ms is None:
            self._expected_ms = None
        elif self._expected_ms is None:
            self._expected_ms = timestamp_ms + lasts
        else:
            self._follow(timestamp_ms - self._expected_ms, timestamp_ms + lasts, lasts)
        self._ahead_ms = 0.0
        self._put(audio)

    def _follow(self, gap_ms: float, end_ms: float, lasts: float) -> None:
        if abs(gap_ms) < JITTER_MS:
            # On the stream's own beat: rounding errors do not move it, a drift adds up until it is a gap.
            self._expected_ms = (self._expected_ms or 0.0) + lasts
        elif gap_ms > 0:
            self._pad(min(gap_ms, self.max_gap_ms))
            self._expected_ms = end_ms
        else:
            # Back in time: either we were too generous before, or the clock is new and to be learnt again.
            self._expected_ms = end_ms if self._ahead_ms else None

    def speech(self, speaking: bool) -> None:
        """The model hears the caller begin or stop speaking."""
        self._speaking = speaking

    def stalls_at(self) -> float | None:
        """When to call `stalled`, s, unless something comes before."""
        if self.inactivity_timeout_ms is None or self._last_media is None or not self._speaking:
            return None
        if self._ahead_ms >= self.max_gap_ms:
            return None
        return self._last_media + (self.inactivity_timeout_ms + self._ahead_ms) / 1000

    def stalled(self, now: float) -> bool:
        """The caller's audio stopped in the middle of an utterance: go on with silence. True if some was put in.

        A turn detection that listens to what was said may wait for many seconds before it takes an utterance
        as finished, so this repeats, up to `max_gap_ms`, until the model has heard the end of the speech.
        """
        at = self.stalls_at()
        if at is None or now < at:
            return False
        self._ahead_ms += STALL_PAD_MS
        if self._expected_ms is not None:
            self._expected_ms += STALL_PAD_MS
        self._pad(STALL_PAD_MS)
        return True

    def _pad(self, ms: float) -> None:
        size = self.format.size_of(ms)
        self.padded_ms += ms
        self._put(self.format.silence * (size // self.format.sample_bytes))

    def _put(self, audio: bytes) -> None:
        limit = self.format.size_of(self.max_waiting_ms)
        self._queue.append(audio)
        self._queued += len(audio)
        while self._queued > limit and len(self._queue) > 1:
            dropped = self._queue.popleft()
            self._queued -= len(dropped)
            self.dropped_ms += self.format.duration_ms(len(dropped))

    # -- out --------------------------------------------------------------------------------

    def take(self) -> bytes | None:
        """The oldest piece; None if there is none."""
        if not self._queue:
            return None
        audio = self._queue.popleft()
        self._queued -= len(audio)
        return audio
