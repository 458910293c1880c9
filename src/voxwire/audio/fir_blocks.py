"""The filters of `fir`, on numpy: for streams that are resampled a frame at a time, where delay counts.

The same taps, so the same sound and the same delay (4 ms from or to 8 kHz, where soxr holds back up to 30 ms), at a
quarter of soxr's time for a frame of 20 ms: 10 to 20 us, of which the sums take the smaller part.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from .fir import filter_bank

__all__ = ["BlockFir"]

_ROUNDS: Final = 8


class BlockFir:
    """One mono s16le stream from `rate_in` to `rate_out` (Hz), whose ratio must be one of small numbers.

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

    def feed(self, pcm: bytes) -> bytes:
        """Output for which all input has arrived; whole samples."""
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
        result: bytes = out.astype("<i2").tobytes()
        return result


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
