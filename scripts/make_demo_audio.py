"""Make the recordings of `voxwire demo` again: needs the `flite` program.

    python scripts/make_demo_audio.py [FOLDER]

Writes 16 kHz mono mu-law WAV files, `dialogue.json` and `LICENSE` to `src/voxwire/cli/demo_audio`.
"""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import wave
from array import array
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "src" / "voxwire" / "cli" / "demo_audio"
VOICE = "slt"
RATE = 16_000
MARGIN = RATE // 20

TURNS = [
    {
        "file": "1-weather.wav",
        "text": "What is the weather in Tokyo?",
        "expect": {"agent": "Ava", "tool": "get_weather", "arguments": {"city": "Tokyo"}},
    },
    {
        "file": "2-table.wav",
        "text": "Please book a table for two on Friday.",
        "expect": {"agent": "Ava", "tool": "book_table", "arguments": {"day": "Friday", "people": 2}},
    },
    {
        "file": "3-handoff.wav",
        "text": "Please let me talk to the storyteller.",
        "expect": {"agent": "Ava", "handoff": "Leo"},
    },
    {
        "file": "4-story.wav",
        "text": "Tell me a long story.",
        "expect": {"agent": "Leo", "minimum_seconds": 25},
    },
    {
        "file": "5-stop.wav",
        "text": "Stop, please. Thank you.",
        "expect": {"agent": "Leo", "interrupts": True},
    },
    {"file": "6-follow-up.wav", "text": "What can you do?", "expect": {"agent": "Leo"}},
    {"file": "7-goodbye.wav", "text": "Thank you, goodbye.", "expect": {"agent": "Leo"}},
]

LICENSE = """The recordings in this folder were made with the flite speech synthesiser
(voice "slt", by Carnegie Mellon University, permissive licence) from texts written for this project.

To the extent possible under law, their authors have waived all copyright and related or neighbouring
rights to them: CC0 1.0 Universal, https://creativecommons.org/publicdomain/zero/1.0/
"""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for turn in TURNS:
        samples = trim(speak(str(turn["text"])))
        path = folder / str(turn["file"])
        path.write_bytes(mulaw_wav(samples))
        print(f"{path.name}: {len(samples) / RATE:.2f} s, {path.stat().st_size} bytes")
    dialogue = {
        "license": "CC0-1.0",
        "sample_rate": RATE,
        "language": "en",
        "prompt": "\n".join(str(turn["text"]) for turn in TURNS),
        "turns": TURNS,
    }
    (folder / "dialogue.json").write_text(json.dumps(dialogue, indent=2) + "\n", encoding="utf-8")
    (folder / "LICENSE").write_text(LICENSE, encoding="utf-8")


def speak(text: str) -> array[int]:
    argv = ["flite", "-voice", VOICE, "-t", text, "-o", "/dev/stdout"]
    output = subprocess.run(argv, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(output)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = array("h", file.readframes(file.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def trim(samples: array[int]) -> array[int]:
    """Cut the silence at both ends down to 50 ms."""
    loud = [i for i, sample in enumerate(samples) if abs(sample) > 300]
    return samples[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN]


def mulaw(sample: int) -> int:
    """ITU-T G.711, 14 bit magnitude with bias 33."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample) >> 2, 8158) + 33
    exponent = magnitude.bit_length() - 6
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 1)) & 0x0F) & 0xFF


def mulaw_wav(samples: array[int]) -> bytes:
    data = bytes(mulaw(sample) for sample in samples)
    data_chunk = b"data" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    fmt_chunk = b"fmt " + struct.pack("<IHHIIHHH", 18, 7, 1, RATE, RATE, 1, 8, 0)
    fact_chunk = b"fact" + struct.pack("<II", 4, len(samples))
    body = b"WAVE" + fmt_chunk + fact_chunk + data_chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


if __name__ == "__main__":
    main()
