"""Echo cancellation in a computed room (see `room.py`): how much echo is left, what it does to a voice, what it costs.

ERLE     how much softer the echo is behind the canceller, dB, at the start (0.5 to 2 s) and later (from 5 s on);
both     the near voice while the far voice speaks as loud, at three places of its story: its level behind the
         canceller against in front of it (dB), its intelligibility (STOI, 0 to 1), and how many of 21 sentences the
         server's recogniser understands;
alone    the near voice with the far voice silent: the same, 7 sentences;
CPU      ms per second of audio.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from common import arguments, has, print_json
from room import NEAR, Recogniser, cancelled, erle_db, far_voice, level_db, near_voice, recording

from voxwire.audio import LivekitEchoCanceller

VARIANTS: dict[str, dict[str, Any]] = {
    "nothing": {"echo": False, "high_pass": False},
    "echo, 16 kHz": {"rate": 16_000},
    "echo, 24 kHz (the default)": {},
    "echo, 48 kHz": {"rate": 48_000},
    "echo and noise": {"noise_suppression": True},
    "echo and gain control": {"auto_gain": True},
    "echo, 250 ms late": {"delay_ms": 250},
    "echo, 450 ms late": {"delay_ms": 450},
}
ENDS = (7, 10, 12)
"""Seconds at which the far voice ends, half a second after the near one."""
BEHIND = 0.1
"""Seconds around a sentence that the recogniser gets as well."""


def measure(
    recogniser: Recogniser,
    seconds: float,
    sentences: int,
    *,
    rate: int = 24_000,
    delay_ms: float = 40,
    **options: bool,
) -> dict[str, Any]:
    far = far_voice(rate, seconds)
    heard = recording(far, rate, delay_ms=delay_ms)
    begun = time.process_time()
    left = cancelled(LivekitEchoCanceller(rate, **options), far, heard, rate)
    cpu = time.process_time() - begun
    row: dict[str, Any] = {
        "start_db": erle_db(heard, left, rate, 0.5, 2.0),
        "later_db": erle_db(heard, left, rate, 5.0, seconds),
        "cpu_ms": cpu * 1000 / seconds,
    }
    for case, ends in (("both", ENDS), ("alone", ENDS[:1])):
        results = [
            _spoken(recogniser, case, far[: end * rate], name, rate, delay_ms, options)
            for end in ends
            for name in list(NEAR)[:sentences]
        ]
        row[f"{case}_db"] = statistics.fmean(level for level, _, _ in results)
        row[f"{case}_stoi"] = statistics.fmean(value for _, value, _ in results)
        row[f"{case}_text"] = f"{sum(understood for _, _, understood in results)}/{len(results)}"
    return row


def _spoken(
    recogniser: Recogniser,
    case: str,
    far: Any,
    name: str,
    rate: int,
    delay_ms: float,
    options: dict[str, bool],
) -> tuple[float, float, bool]:
    near = near_voice(rate, name)
    at = len(far) - len(near) - rate // 2
    far = far.copy()
    if case == "alone":
        far[at - rate :] = 0
    heard = recording(far, rate, delay_ms=delay_ms, near=near, at=at)
    left = cancelled(LivekitEchoCanceller(rate, **options), far, heard, rate)
    spoken, around = left[at : at + len(near)], int(BEHIND * rate)
    understood = recogniser.hear(left[at - around : at + len(near) + around], rate)
    return level_db(spoken) - level_db(near), stoi(near, spoken, rate), understood == NEAR[name]


def stoi(clean: Any, other: Any, rate: int) -> float:
    if not has("pystoi"):
        return float("nan")
    from pystoi import stoi as of

    # A canceller delays by a few ms; STOI compares frame by frame.
    size = 2 * len(clean)
    shift = int(np.argmax(np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(clean, size)), size)))
    shift = shift if shift < rate // 10 else 0
    count = len(clean) - shift
    return float(of(clean[:count], other[shift:], rate))


def main() -> None:
    given = arguments(__doc__)
    seconds, sentences = (12.0, 1) if given.quick else (20.0, len(NEAR))
    recogniser = Recogniser()
    print_json(
        {name: measure(recogniser, seconds, sentences, **options) for name, options in VARIANTS.items()}
    )


if __name__ == "__main__":
    main()
