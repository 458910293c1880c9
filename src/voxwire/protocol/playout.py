"""What a real-time speaker has played, computed instead of measured.

A speaker that is given audio faster than it plays keeps a queue; one that runs dry pauses
until the next piece arrives. Both follow from a single number, the time at which the queue
will be empty, so every question below is answered in O(1) however much was written.
"""

from __future__ import annotations

import math

__all__ = ["PlayoutModel"]


class PlayoutModel:
    """A speaker that plays one millisecond of audio per millisecond, without gaps of its own.

    Audio is a length in ms, time is `now` in seconds of any monotonic clock. At every moment
    `heard_ms + remaining_ms + dropped_ms == written_ms`. A `now` that lies before an earlier
    one is taken as that earlier one: what was heard cannot become unheard.
    """

    __slots__ = ("_dropped", "_idle_at", "_now", "_written")

    def __init__(self) -> None:
        self._written = 0.0
        self._dropped = 0.0
        self._idle_at: float | None = None
        self._now = -math.inf

    @property
    def written_ms(self) -> float:
        """Everything ever handed to `write`, ms."""
        return self._written

    @property
    def dropped_ms(self) -> float:
        """Everything that `clear` threw away, ms."""
        return self._dropped

    def write(self, ms: float, now: float) -> float:
        """Queue `ms` milliseconds of audio and return when the first of it is heard (s).

        That is `now` if the speaker is idle, else the moment at which the audio before it ends.

        Raises:
            ValueError: if `ms` is negative or not finite.
        """
        if not 0 <= ms < math.inf:
            raise ValueError(f"a piece of audio cannot last {ms!r} ms")
        if now > self._now:  # noqa: PLR1730 - `_advance`, written out for every piece of audio
            self._now = now
        start = self._now
        if self._idle_at is not None and self._idle_at > start:
            start = self._idle_at
        self._idle_at = start + ms / 1000
        self._written += ms
        return start

    def clear(self, now: float) -> float:
        """Stop at once, drop what is queued and return how much that was (ms)."""
        dropped = self.remaining_ms(now)
        if dropped > 0:
            self._dropped += dropped
            self._idle_at = self._now
        return dropped

    def heard_ms(self, now: float) -> float:
        """Audio played since the beginning, ms; it never decreases."""
        remaining = self.remaining_ms(now)
        return max(0.0, self._written - self._dropped - remaining)

    def remaining_ms(self, now: float) -> float:
        """Audio queued and not yet played, ms."""
        now = self._advance(now)
        if self._idle_at is None or self._idle_at <= now:
            return 0.0
        # Rounding must not let the queue hold more than was put in.
        return min((self._idle_at - now) * 1000, self._written - self._dropped)

    def idle_at(self) -> float | None:
        """When the queue runs empty, or ran empty last (s); None if nothing was ever written."""
        return self._idle_at

    def _advance(self, now: float) -> float:
        if now > self._now:  # noqa: PLR1730 - asked for every piece of audio, and `max` is a call
            self._now = now
        return self._now
