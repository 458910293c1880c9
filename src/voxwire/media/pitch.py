"""Speech repeats itself from one pitch period to the next: finding the period, and what that is good for.

Plain Python; a search takes a few tenths of a millisecond and is only made where packets are lost or the delay changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import sub
from typing import Final

from .samples import from_pcm, to_pcm

__all__ = ["best_lag", "blend", "shorten"]

_COARSE_RATE: Final = 4000
"""Hz; voices have their pitch, and most of their energy, below half of it."""
_SHORTEST_MS: Final = 2.5
_FADE_MS: Final = 5


def best_lag(samples: Sequence[int], rate: int, shortest: int, longest: int, window: int) -> int:
    """By how many samples the first `window` of them have to be moved to look most like what is there.

    First at about 4 kHz, then exactly; the measure is the average magnitude difference.

    Args:
        samples: at least `longest + window` of them.
        rate: of the samples, Hz.
        shortest, longest: the lags tried, both included.
        window: how much is compared.
    """
    step = max(1, rate // _COARSE_RATE)
    coarse = [sum(group) for group in zip(*(samples[offset::step] for offset in range(step)), strict=False)]
    count = max(1, min(window // step, len(coarse) - longest // step))
    around = step * min(
        range(shortest // step, longest // step + 1), key=lambda lag: _unlike(coarse, lag, count)
    )
    return min(
        range(max(shortest, around - step), min(longest, around + step) + 1),
        key=lambda lag: _unlike(samples, lag, window),
    )


def _unlike(samples: Sequence[int], lag: int, window: int) -> int:
    return sum(map(abs, map(sub, samples[:window], samples[lag : lag + window])))


def blend(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """From all of `old` to all of `new`, linearly; they have the same length."""
    count = len(old)
    return [(a * (count - i) + b * i) // count for i, (a, b) in enumerate(zip(old, new, strict=True))]


def shorten(pcm: bytes, rate: int, most: int, *, exact: bool = False) -> bytes:
    """Mono PCM16 without up to `most` samples near its beginning, overlapped so that no step is heard.

    Args:
        pcm: at least twice as long as `most`; what is shorter comes back as it is.
        rate: Hz.
        most: samples to take out at most. As a rule it is a whole number of pitch periods.
        exact: take out just `most`, as is best where there is only noise.
    """
    samples = from_pcm(pcm)
    fade = rate * _FADE_MS // 1000
    shortest = int(rate * _SHORTEST_MS // 1000)
    if most <= 0 or len(samples) < most + fade:
        return pcm
    lag = most
    if not exact and most > shortest:
        lag = best_lag(samples, rate, shortest, most, min(2 * fade, len(samples) - most))
    joint = blend(samples[:fade], samples[lag : lag + fade])
    return to_pcm(array("h", joint)) + pcm[2 * (lag + fade) :]
