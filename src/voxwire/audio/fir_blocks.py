"""The filters of `fir`, on numpy: for streams that are resampled a frame at a time, where delay counts.

The same taps, so the same sound and the same delay (4 ms from or to 8 kHz, where soxr holds back up to 30 ms), in 8 us
for a frame of 20 ms, where soxr takes 20 to 40.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

from .fir import filter_bank

__all__ = ["BlockFir", "suits"]

_ROUNDS: Final = 8
_MAX_RATIO: Final = 6


def suits(rate_in: int, rate_out: int) -> bool:
    """Whether the ratio of the rates is one of small numbers, so that the matrix is small, too."""
    common = math.gcd(rate_in, rate_out)
    return max(rate_in, rate_out) <= _MAX_RATIO * common


class BlockFir:
    """One mono s16le stream from `rate_in` to `rate_out` (Hz) that it `suits`.

    What comes out is a product of matrices: a row of the one is a window of the input, a column of the other the
    filter of one output sample, shifted to its place. After `down` input samples the phases repeat; eight such rounds
    (1 ms of G.711) are one row, which saves most of the copying that overlapping windows cost.

    Raises:
        ImportError: numpy is not installed.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        import numpy as np

        self._np = np
        self._down, half, self._taps = _matrix(rate_in, rate_out)
        # The window of the first output sample begins before the first input sample.
        self._history: Any = np.zeros(half - 1, np.float32)
        self._half = half
        self._ratio = rate_out, rate_in
        self._fed = self._made = 0  # samples

    def feed(self, pcm: bytes) -> bytes:
        """Output for which all input has arrived, but for less than a row; whole samples."""
        np, down = self._np, self._down
        history = np.concatenate((self._history, np.frombuffer(pcm, "<i2")), dtype=np.float32)
        length = len(self._taps)
        rows = max(0, (len(history) - length) // down + 1)
        step = history.itemsize
        windows = np.ndarray((rows, length), np.float32, history, 0, (down * step, step))
        out = np.rint(windows @ self._taps).ravel()
        self._history = history[rows * down :]
        np.maximum(out, -32768, out=out)
        np.minimum(out, 32767, out=out)
        self._fed += len(pcm) // 2
        self._made += len(out)
        result: bytes = out.astype("<i2").tobytes()
        return result

    def finish(self) -> bytes:
        """The rest of the output, as if silence followed; the stream is over."""
        up, down = self._ratio
        missing = -(-self._fed * up // down) - self._made
        return self.feed(bytes(2 * (self._half + self._down)))[: 2 * missing]


@lru_cache(maxsize=8)
def _matrix(rate_in: int, rate_out: int) -> tuple[int, int, Any]:
    """Input samples from one row to the next, taps on each side, and the matrix: a column per output sample."""
    import numpy as np

    bank = filter_bank(rate_in, rate_out)
    starts = [divmod(number * bank.down, bank.up) for number in range(_ROUNDS * bank.up)]
    matrix = np.zeros((starts[-1][0] + 2 * bank.half, len(starts)), np.float32)
    for column, (start, remainder) in enumerate(starts):
        matrix[start : start + 2 * bank.half, column] = bank.phases[bank.phase(remainder)]
    return _ROUNDS * bank.down, bank.half, matrix
