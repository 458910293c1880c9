"""A room with an open loudspeaker and a microphone in it, computed; the bench's and the tests'.

Far is what the loudspeaker plays, near who speaks into the microphone. The room answers for 120 ms, its echo is
10 dB softer than what is played, and there is noise at -66 dBFS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import voxwire
from voxwire.audio import convert, read_wav
from voxwire.protocol.formats import AudioFormat

__all__ = [
    "LEVEL",
    "NEAR",
    "Recogniser",
    "cancelled",
    "erle_db",
    "far_voice",
    "level_db",
    "near_voice",
    "recording",
]

VOICES = Path(voxwire.__file__).parent / "cli" / "demo_audio"
TURNS = json.loads((VOICES / "dialogue.json").read_text(encoding="utf-8"))["turns"]
NEAR: dict[str, str] = {turn["file"]: turn["text"] for turn in TURNS}
"""Recordings and what is said in them."""
STORY = (
    "Once upon a time there was a lighthouse keeper who lived alone on a rock far out in the sea. Every evening he "
    "climbed the two hundred steps to light the great lamp. One night a storm came, and the waves rose higher "
    "than the tower itself."
)
LEVEL = -20.0
"""Of the far voice, and of the near voice unless asked for, dBFS while they speak."""
Samples = Any
"""Floats, -1 to 1."""


class Canceller(Protocol):
    def render(self, pcm: bytes, /) -> None: ...

    def capture(self, pcm: bytes, /) -> bytes: ...


def far_voice(rate: int, seconds: float) -> Samples:
    """The agent's: espeak-ng if it is there, else the demo's recordings, again and again."""
    if shutil.which("espeak-ng"):
        command = ["espeak-ng", "-v", "en-us", "--stdout", STORY]
        spoken = _read(subprocess.run(command, capture_output=True, check=True).stdout, rate)
    else:
        spoken = np.concatenate([_read(VOICES / name, rate) for name in NEAR])
    count = int(seconds * rate)
    return np.tile(at_level(spoken, LEVEL), count // len(spoken) + 1)[:count]


def near_voice(rate: int, name: str, level: float = LEVEL) -> Samples:
    """The user's: one of the demo's recordings."""
    return at_level(_read(VOICES / name, rate), level)


def at_level(samples: Samples, level: float) -> Samples:
    """Speech at this level, pauses not counted, dBFS."""
    loud = samples[np.abs(samples) > 0.005]
    return samples * 10 ** ((level - level_db(loud)) / 20)


def _read(source: Path | bytes, rate: int) -> Samples:
    audio = read_wav(source)
    return np.frombuffer(convert(audio.pcm, audio.format, AudioFormat("audio/pcm", rate)), "<i2") / 32768


def recording(
    far: Samples, rate: int, *, delay_ms: float, near: Samples | None = None, at: int = 0
) -> Samples:
    """What the microphone hears."""
    random = np.random.default_rng(7)
    response = random.standard_normal(rate * 120 // 1000) * np.exp(
        -np.arange(rate * 120 // 1000) / (rate * 0.02)
    )
    response[0] = 3.0  # the direct way
    size = len(far) + len(response)
    echo = np.fft.irfft(np.fft.rfft(far, size) * np.fft.rfft(response, size), size)
    delay = int(delay_ms * rate / 1000)
    echo = np.concatenate([np.zeros(delay), echo])[: len(far)]
    echo *= np.sqrt(np.mean(far**2) / np.mean(echo**2)) * 10 ** (-10 / 20)
    heard = echo + random.standard_normal(len(far)) * 10 ** (-66 / 20)
    if near is not None:
        heard[at : at + len(near)] += near
    return heard


def cancelled(canceller: Canceller, far: Samples, heard: Samples, rate: int) -> Samples:
    """What is left of `heard`, 10 ms at a time."""
    size = rate // 100
    played, recorded, out = _pcm(far), _pcm(heard), bytearray()
    for begin in range(0, len(played) - size * 2 + 1, size * 2):
        canceller.render(played[begin : begin + size * 2])
        out += canceller.capture(recorded[begin : begin + size * 2])
    return np.frombuffer(bytes(out), "<i2") / 32768


def erle_db(heard: Samples, left: Samples, rate: int, begin: float, end: float) -> float:
    """Echo return loss enhancement between two times (s): how much softer the echo has become, dB (ITU-T G.168)."""
    part = slice(int(begin * rate), int(end * rate))
    return level_db(heard[part]) - level_db(left[part])


def level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples**2) + 1e-12))


class Recogniser:
    """The server's, told which sentences are likely."""

    def __init__(self) -> None:
        from voxwire.server.speech.pocketsphinx_engine import DecoderSet

        self._decoders = DecoderSet()

    def hear(self, samples: Samples, rate: int) -> str:
        from voxwire.server.speech.pocketsphinx_engine import Utterance

        utterance = Utterance(self._decoders, tuple(NEAR.values()))
        line = AudioFormat("audio/pcm", 16_000)
        utterance.feed(convert(_pcm(samples), AudioFormat("audio/pcm", rate), line))
        return utterance.finish()


def _pcm(samples: Samples) -> bytes:
    return bytes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())
