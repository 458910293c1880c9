"""The canceller in the bench's room, and the processor that brings both sides together."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from voxwire.audio import DuplexProcessor, EchoCanceller, LivekitEchoCanceller, echo, make_echo_canceller
from voxwire.errors import ConfigError, MissingExtraError

RATE = 24_000
FRAME = RATE // 100 * 2


@pytest.fixture(scope="module")
def room() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "room.py"
    spec = importlib.util.spec_from_file_location("bench_room", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


livekit = pytest.mark.needs_module("livekit", "numpy", "soxr")


@livekit
@pytest.mark.parametrize("delay_ms", [40, 250, 450])
def test_an_echo_is_25_db_softer(room: ModuleType, delay_ms: int) -> None:
    far = room.far_voice(RATE, 8.0)
    heard = room.recording(far, RATE, delay_ms=delay_ms)
    left = room.cancelled(LivekitEchoCanceller(RATE), far, heard, RATE)
    assert room.erle_db(heard, left, RATE, 4.0, 8.0) >= 25


@livekit
@pytest.mark.needs_module("pocketsphinx")
def test_who_speaks_meanwhile_is_understood(room: ModuleType) -> None:
    name = "4-story.wav"
    far, near = room.far_voice(RATE, 6.0), room.near_voice(RATE, name)
    at = len(far) - len(near) - RATE // 2
    heard = room.recording(far, RATE, delay_ms=40, near=near, at=at)
    left = room.cancelled(LivekitEchoCanceller(RATE), far, heard, RATE)
    around = RATE // 10
    part = left[at - around : at + len(near) + around]
    assert room.Recogniser().hear(part, RATE) == room.NEAR[name]
    assert room.level_db(left[at : at + len(near)]) - room.level_db(near) > -6


@livekit
def test_frames_are_10_ms() -> None:
    canceller = LivekitEchoCanceller(16_000, noise_suppression=True, auto_gain=True)
    assert isinstance(canceller, EchoCanceller)
    canceller.set_delay(-5)
    canceller.set_delay(9999)
    canceller.render(bytes(320))
    assert len(canceller.capture(bytes(320))) == 320
    with pytest.raises(ConfigError, match=r"10 ms at 16000 Hz are 320 bytes"):
        canceller.capture(bytes(640))
    for rate in (8_050, 96_000, 0):
        with pytest.raises(ConfigError, match="multiple of 100"):
            LivekitEchoCanceller(rate)


@livekit
def test_the_canceller_that_is_shared() -> None:
    made = make_echo_canceller(rate=48_000, noise_suppression=True)
    assert made is not None
    assert made.rate == 48_000


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "livekit", None)
    monkeypatch.setattr(echo, "_warned", [])
    assert make_echo_canceller() is None
    assert make_echo_canceller() is None
    assert caplog.text.count("voxwire[aec]") == 1
    with pytest.raises(MissingExtraError, match=r"voxwire\[aec\]"):
        make_echo_canceller(required=True)


# -- the processor


class Log:
    """A canceller that writes down what it is given, and gives back what it gets."""

    rate = 8_000

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []
        self.delay = 0.0

    def set_delay(self, ms: float, /) -> None:
        self.delay = ms

    def render(self, pcm: bytes, /) -> None:
        self.calls.append(("render", pcm))

    def capture(self, pcm: bytes, /) -> bytes:
        self.calls.append(("capture", pcm))
        return pcm

    def order(self) -> str:
        return "".join(kind[0] for kind, _ in self.calls)


def test_blocks_of_any_size_become_frames_of_10_ms() -> None:
    log = Log()
    duplex = DuplexProcessor(log)
    recorded = bytes(range(256)) * 5
    out = b""
    for at in range(0, len(recorded), 100):
        duplex.render(recorded[at : at + 100], rate=8_000, at=at)
        out += duplex.capture(recorded[at : at + 100], rate=8_000, at=at)
    assert {len(pcm) for _, pcm in log.calls} == {160}
    assert out == recorded
    assert b"".join(pcm for kind, pcm in log.calls if kind == "render") == recorded
    assert log.order() == "rc" * 8


def test_what_was_played_before_a_recording_comes_before_it() -> None:
    """However late they are processed: here, after a stall of the event loop."""
    log = Log()
    duplex = DuplexProcessor(log)
    for at in range(6):
        duplex.render(bytes(160), rate=8_000, at=at)
    for at in (1.5, 3.5, 3.6):
        duplex.capture(bytes(160), rate=8_000, at=at)
    assert log.order() == "rrcrrcc"


@pytest.mark.needs_module("soxr")
def test_devices_have_rates_of_their_own() -> None:
    log = Log()
    duplex = DuplexProcessor(log)
    for at in range(50):
        duplex.render(bytes(960), rate=48_000, at=at)
        duplex.capture(bytes(882), rate=44_100, at=at)
    duplex.capture(bytes(160), rate=8_000, at=50)  # another microphone
    assert 46 <= log.order().count("r") <= 50
    assert 46 <= log.order().count("c") <= 51


def test_without_a_microphone_the_oldest_is_dropped() -> None:
    log = Log()
    duplex = DuplexProcessor(log, max_queue_ms=100)
    for number in range(15):
        duplex.render(bytes([number]) * 160, rate=8_000, at=number)
    assert duplex.dropped_ms == 50
    duplex.capture(b"", rate=8_000, at=99)
    assert [pcm[0] for _, pcm in log.calls] == [*range(5, 15)]
    duplex.render(bytes(160), rate=8_000, at=100)
    duplex.reset()
    duplex.capture(bytes(160), rate=8_000, at=101)
    assert log.order() == "r" * 10 + "c"


def test_the_delay_is_that_of_both_devices() -> None:
    log = Log()
    duplex = DuplexProcessor(log)
    duplex.set_latency("input", 20)
    duplex.set_latency("output", 35)
    assert log.delay == 55


def test_two_threads() -> None:
    log = Log()
    duplex = DuplexProcessor(log, max_queue_ms=100_000)

    def play() -> None:
        for at in range(2000):
            duplex.render(bytes(160), rate=8_000, at=at)

    thread = threading.Thread(target=play)
    thread.start()
    for at in range(2000):
        duplex.capture(bytes(160), rate=8_000, at=at)
    thread.join()
    duplex.capture(b"", rate=8_000, at=9999)
    assert (log.order().count("r"), log.order().count("c")) == (2000, 2000)


@pytest.mark.parametrize(("rate", "options"), [(8_001, {}), (0, {}), (8_000, {"max_queue_ms": 10})])
def test_processors_that_cannot_be(rate: int, options: dict[str, Any]) -> None:
    canceller = Log()
    canceller.rate = rate
    with pytest.raises(ConfigError):
        DuplexProcessor(canceller, **options)
