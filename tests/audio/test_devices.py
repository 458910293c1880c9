from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest

from voxwire.audio import Microphone, PushToTalk, SilenceSource, Speaker
from voxwire.audio.devices import AudioDevice, Direction, choose, list_devices
from voxwire.audio.devices_portaudio import Worker
from voxwire.audio.devices_stream import StreamSettings
from voxwire.errors import ConfigError, DeviceError, MissingExtraError, UserError


def device(index: int, name: str, api: str = "ALSA", **rest: Any) -> AudioDevice:
    return AudioDevice(index, name, api, **{"inputs": 2, "outputs": 2, "rate": 48_000, **rest})


LAPTOP = [
    device(0, "HDA Intel: Generic", inputs=0, default_output=True),
    device(1, "HDA Intel: Mic", outputs=0, default_input=True),
    device(2, "USB Headset"),
    device(3, "USB Camera", outputs=0),
    device(4, "USB"),
]
WINDOWS = [
    device(0, "Mic (Realtek)", "MME", default_input=True),
    device(1, "Headset", "MME"),
    device(2, "Mic (Realtek)", "Windows WASAPI"),
    device(3, "Headset", "Windows WASAPI"),
]


@pytest.mark.parametrize(
    ("devices", "wanted", "direction", "index"),
    [
        (LAPTOP, None, "input", 1),
        (LAPTOP, None, "output", 0),
        (LAPTOP[2:], None, "input", 2),  # no default: the first
        (LAPTOP, 3, "input", 3),
        (LAPTOP, "headset", "output", 2),
        (LAPTOP, "usb", "input", 4),  # equal wins over contained
        (LAPTOP, "USB Camera, ALSA", "input", 3),
        (LAPTOP, "hda", "input", 1),  # the other has no inputs
        (WINDOWS, "headset", "input", 1),  # of the default's API
        (WINDOWS, "Headset, Windows WASAPI", "input", 3),
        (WINDOWS, "headset, wasapi", "input", None),
    ],
)
def test_the_device_that_is_meant(
    devices: list[AudioDevice], wanted: str | int | None, direction: Direction, index: int | None
) -> None:
    if index is None:
        with pytest.raises(DeviceError):
            choose(devices, wanted, direction)
    else:
        assert choose(devices, wanted, direction).index == index


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(DeviceError) as refused:
        choose(LAPTOP, "Webcam", "input")
    assert "no microphone has the name 'Webcam'" in str(refused.value)
    assert "2 'USB Headset' (ALSA), 3 'USB Camera' (ALSA)" in str(refused.value)
    assert "Generic" not in str(refused.value)
    assert refused.value.device == "Webcam"
    assert refused.value.alternatives == ("HDA Intel: Mic", "USB Headset", "USB Camera", "USB")
    assert refused.value.fault == "you"


def test_an_ambiguous_name_lists_those_it_fits() -> None:
    with pytest.raises(DeviceError) as refused:
        choose(LAPTOP[:4], "USB", "input")
    assert "'USB' fits 2 microphones. Choose one of: 2 'USB Headset'" in str(refused.value)
    assert refused.value.alternatives == ("USB Headset", "USB Camera")


@pytest.mark.parametrize(("wanted", "direction"), [(0, "input"), (1, "output"), (9, "input"), (-1, "input")])
def test_an_index_of_something_else(wanted: int, direction: Direction) -> None:
    with pytest.raises(DeviceError, match=f"has the index {wanted}"):
        choose(LAPTOP, wanted, direction)


def test_no_device_at_all() -> None:
    with pytest.raises(
        DeviceError, match=r"this machine has no loudspeaker\. Plug one in, or pass audio_output"
    ):
        choose([], None, "output")
    with pytest.raises(DeviceError, match=r"'USB', and there is no other\. Plug one in, or pass audio_input"):
        choose([], "USB", "input")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"voxwire\[audio\]"):
        list_devices()


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": 4000},
        {"channels": 0},
        {"channels": 65},
        {"block_ms": 0},
        {"latency": "medium"},
        {"latency": -1},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=f"{name} is"):
        StreamSettings(**{"rate": None, "channels": None, "block_ms": 20, "latency": "low", **settings})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"gain": -1}, "gain is -1"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"channel": -1}, "channel is -1"),
        ({"channel": 2, "channels": 2}, "channel 2 is not among the 2"),
        ({"max_buffer_ms": 10}, "max_buffer_ms is 10"),
        ({"noise_suppression": True, "echo_canceller": object()}, "make_echo_canceller"),
    ],
)
def test_microphones_that_cannot_be(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Microphone(**options)


@pytest.mark.parametrize("options", [{"gain": -1}, {"max_buffer_ms": 0}, {"prebuffer_ms": 2000}])
def test_speakers_that_cannot_be(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        Speaker(**options)


async def test_a_speaker_that_is_not_open() -> None:
    speaker = Speaker(gain=0.5)
    with pytest.raises(UserError, match="not open"):
        speaker.write(bytes(960))
    assert (speaker.heard_ms(), speaker.buffered_ms(), speaker.active_device) == (0, 0, None)
    speaker.gain = 2
    assert speaker.gain == 2
    with pytest.raises(ConfigError):
        speaker.gain = -2
    await speaker.drain()
    await speaker.close()


def test_a_microphone_that_is_not_open() -> None:
    microphone = Microphone()
    assert (microphone.level, microphone.active_device) == (-96, None)
    microphone.gain = 3
    assert microphone.gain == 3
    with pytest.raises(ConfigError):
        microphone.gain = float("inf")


@pytest.mark.needs_module("livekit", "soxr")
async def test_noise_suppression_alone() -> None:
    microphone = Microphone(noise_suppression=True)
    assert microphone.active_device is None
    assert isinstance(PushToTalk(SilenceSource()), PushToTalk)


# -- the thread that calls PortAudio


async def test_the_worker_hands_back_results_and_errors() -> None:
    worker = Worker()
    assert await worker.call(lambda: threading.current_thread().name) == "voxwire-portaudio"
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0)
    assert worker.wait(lambda: 5) == 5


async def test_what_nobody_waits_for_any_more_is_undone() -> None:
    worker, begun, gate, undone = Worker(), threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        gate.wait(5)
        return "opened"

    task = asyncio.create_task(worker.call(slow, undo=lambda result: result == "opened" and undone.set()))
    waiting = asyncio.create_task(worker.call(undone.set))
    assert await asyncio.to_thread(begun.wait, 5)
    waiting.cancel()  # not begun: never called
    task.cancel()
    await asyncio.wait([task, waiting])
    assert not undone.is_set()
    gate.set()
    assert await asyncio.to_thread(undone.wait, 5)


async def test_a_stuck_driver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxwire.audio import devices_portaudio

    monkeypatch.setattr(devices_portaudio, "CALL_TIMEOUT", 0.05)
    monkeypatch.setattr(devices_portaudio, "_worker", [])
    worker, gate = devices_portaudio.worker(), threading.Event()
    assert devices_portaudio.worker() is worker
    with pytest.raises(DeviceError, match="has not answered"):
        await worker.call(lambda: gate.wait(5))
    assert devices_portaudio.worker() is not worker
    with pytest.raises(DeviceError, match="has not answered"):
        devices_portaudio.worker().wait(lambda: time.sleep(0.2))
    gate.set()
