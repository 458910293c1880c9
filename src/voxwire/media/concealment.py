"""Making up lost speech for codecs that do not do it themselves, in the way of ITU-T G.711 Appendix I.

The last pitch period is repeated; from the second 10 ms on two periods and then three, so that it does not buzz; the
first 10 ms are as loud as what was heard, then it fades until nothing is left after 60 ms. Where real audio comes back,
the made-up goes on under it for a few milliseconds. Unlike the Recommendation nothing is held back for the overlap at
the beginning: the repeated piece is made to join up with itself instead, which saves its 3.75 ms of delay.
"""

from __future__ import annotations

from array import array
from typing import Final

from .pitch import best_lag, blend
from .samples import from_pcm, to_pcm

__all__ = ["Concealment"]

_SHORTEST_MS: Final = 5
_LONGEST_MS: Final = 15
"""Pitch periods looked for: 66 to 200 Hz (G.711 Appendix I section I.2.3)."""
_WINDOW_MS: Final = 20
_STEADY_MS: Final = 10
_GONE_MS: Final = 60
_JOIN_MS: Final = 4
_JOIN_MORE_MS: Final = 10
"""Overlap with the real audio: 4 ms, and more the longer the gap was, up to this (section I.2.7)."""


class Concealment:
    """Follows the audio of one stream and goes on with it where it is missing.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._per_ms = rate // 1000
        self._rate = rate
        self._kept = 2 * (3 * _LONGEST_MS + _WINDOW_MS) * self._per_ms
        self._history = b""
        self._period = 0
        self._piece = array("h")  # what is being repeated
        self._at = 0  # where in it
        self._missing = 0  # samples made up so far

    def heard(self, pcm: bytes) -> bytes:
        """Real audio, mono PCM16; it comes back as it is unless something was made up before it."""
        if self._missing:
            pcm = self._joined(pcm)
            self._missing = 0
        self._history = (self._history + pcm)[-self._kept :]
        return pcm

    def made_up(self, samples: int, background: bytes) -> bytes:
        """The next `samples`, with `background` (as long, mono PCM16) rising as they fade."""
        gone = _GONE_MS * self._per_ms
        start = self._missing
        self._missing += samples
        if start >= gone or not self._history:
            return background
        out = from_pcm(background)
        made = self._repeated(start, samples)
        for at, (sample, noise) in enumerate(zip(made, out, strict=True)):
            loud = self._loudness(start + at)
            out[at] = sample * loud + noise * (4096 - loud) >> 12
        return to_pcm(out)

    def _loudness(self, at: int) -> int:
        """How loud sample `at` of a gap is, of 4096."""
        steady, gone = _STEADY_MS * self._per_ms, _GONE_MS * self._per_ms
        return max(0, min(4096, 4096 * (gone - at) // (gone - steady)))

    def _repeated(self, start: int, count: int) -> list[int]:
        """Samples `start` and following of the gap, at full loudness: 1, 2 and then 3 periods in turn."""
        made: list[int] = []
        step = _STEADY_MS * self._per_ms
        while len(made) < count:
            at = start + len(made)
            if at % step == 0 and at <= 2 * step:
                self._take(1 + at // step)
            until = min(count - len(made), step - at % step)
            made += (self._piece[(self._at + offset) % len(self._piece)] for offset in range(until))
            self._at += until
        return made

    def _take(self, periods: int) -> None:
        """Repeat the last `periods` from here on; the phase within a period stays."""
        history = from_pcm(self._history)
        if periods == 1:
            self._period, self._at = self._pitch(history), 0
        length = min(periods * self._period, len(history))
        piece = history[-length:]
        # Its end leads into its beginning: there it turns into what came before the piece.
        join = min(self._period // 4, len(history) - length)
        if join:
            piece[-join:] = array("h", blend(piece[-join:], history[-length - join : -length]))
        self._piece = piece
        self._at %= self._period

    def _pitch(self, history: array[int]) -> int:
        longest, window = _LONGEST_MS * self._per_ms, _WINDOW_MS * self._per_ms
        if len(history) < longest + window:
            return min(longest, len(history))
        # Backwards: how far before the end it looked like it does there.
        recent = history[-longest - window :][::-1]
        return best_lag(recent, self._rate, _SHORTEST_MS * self._per_ms, longest, window)

    def _joined(self, pcm: bytes) -> bytes:
        """`pcm` with the made-up audio going on under its first milliseconds."""
        gap_ms = self._missing // self._per_ms
        length = min(min(_JOIN_MS + gap_ms // 4, _JOIN_MORE_MS) * self._per_ms, len(pcm) // 2)
        real = from_pcm(pcm[: 2 * length])
        made = from_pcm(self.made_up(length, bytes(2 * length)))
        weighted = blend(made, real)
        return to_pcm(array("h", weighted)) + pcm[2 * length :]
