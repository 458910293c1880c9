from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import voxwire.cli
from voxwire.audio import Resampler, read_wav


@cache
def _speech(rate: int) -> bytes:
    recordings = sorted((Path(voxwire.cli.__file__).parent / "demo_audio").glob("*.wav"))
    pcm = b""
    for recording in recordings:
        audio = read_wav(recording)
        pcm += Resampler(audio.format.rate, rate).feed(audio.pcm, last=True) + bytes(rate // 5 * 2)
    frame = rate // 50 * 2
    return pcm[: len(pcm) // frame * frame]


@pytest.fixture(scope="session")
def speech() -> Callable[[int], bytes]:
    """Some 13 s of a caller's sentences, mono PCM16 at any rate, in whole frames of 20 ms."""
    return _speech
