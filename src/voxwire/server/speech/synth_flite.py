"""Speech by the `flite` program (CMU, permissive licence)."""

from __future__ import annotations

import shutil
import zlib

from ...errors import ConfigError, ProviderError
from .base import SynthesisRequest
from .processes import ProcessGate, read_wav
from .synth_base import SentenceSynthesizer, spoken_text

__all__ = ["FliteSynthesizer"]

_VOICES = {
    "marin": "slt",
    "coral": "slt",
    "shimmer": "slt",
    "sage": "slt",
    "alloy": "slt",
    "cedar": "rms",
    "ash": "rms",
    "verse": "rms",
    "ballad": "awb",
    "echo": "kal16",
}
_NATIVE = ("slt", "rms", "awb", "kal16")


class FliteSynthesizer(SentenceSynthesizer):
    """The `flite` program, one run per sentence (about 65 ms), 16 kHz, English only.

    Args:
        program: name or path of the program.
        max_processes: runs at the same time; further ones wait.

    Raises:
        ConfigError: there is no such program.
    """

    sample_rate: int = 16_000

    def __init__(self, *, program: str = "flite", max_processes: int = 2) -> None:
        path = shutil.which(program)
        if path is None:
            raise ConfigError(
                f"The program {program!r} was not found. Install flite (Debian: apt install flite), "
                "or choose another synthesiser, for example 'tone', which needs nothing."
            )
        self._program = path
        self._gate = ProcessGate(max_processes)

    async def _render(self, sentence: str, request: SynthesisRequest) -> bytes:
        stretch = 1.0 / max(0.25, min(4.0, request.speed))
        argv = [
            self._program,
            "-voice",
            flite_voice(request.voice),
            "--setf",
            f"duration_stretch={stretch:.3f}",
        ]
        # The space keeps a text that begins with a dash from being taken for an option.
        argv += ["-t", " " + spoken_text(sentence), "-o", "/dev/stdout"]
        rate, pcm = read_wav(await self._gate.output(argv, b""))
        if rate != self.sample_rate:
            raise ProviderError(f"flite spoke at {rate} Hz, only {self.sample_rate} Hz is supported.")
        return pcm

    async def close(self) -> None:
        """Kill what is still speaking; idempotent."""
        await self._gate.close()


def flite_voice(voice: str | None) -> str:
    """Flite's voice for the service's voice name; a native name is kept."""
    name = (voice or "marin").lower()
    if name in _NATIVE:
        return name
    return _VOICES.get(name) or _NATIVE[zlib.crc32(name.encode()) % 2]
