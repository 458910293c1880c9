"""Speech by espeak-ng: the program where it is installed, else its library in a helper process.

espeak-ng is under the GPL. It is run as a program of its own and never loaded into this process.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import sys
from collections.abc import AsyncIterator

from ...errors import ConfigError, MissingExtraError, ProviderError
from .base import Speech, SynthesisRequest, Word
from .espeak_voices import espeak_speed, espeak_voice
from .frames import HEADER, unpack_header
from .processes import ProcessGate, last_words, read_wav
from .synth_base import SentenceSynthesizer, spoken_text

__all__ = ["EspeakHelperSynthesizer", "EspeakSynthesizer"]

_RATE = 22_050


class EspeakSynthesizer(SentenceSynthesizer):
    """The `espeak-ng` program, one run per sentence (about 15 ms), 22050 Hz.

    Args:
        program: name or path of the program.
        max_processes: runs at the same time; further ones wait.

    Raises:
        ConfigError: there is no such program.
    """

    sample_rate: int = _RATE

    def __init__(self, *, program: str = "espeak-ng", max_processes: int = 4) -> None:
        path = shutil.which(program)
        if path is None:
            raise ConfigError(
                f"The program {program!r} was not found. Install espeak-ng (Debian: apt install espeak-ng), "
                "or choose another synthesiser, for example 'tone', which needs nothing."
            )
        self._program = path
        self._gate = ProcessGate(max_processes)

    async def _render(self, sentence: str, request: SynthesisRequest) -> bytes:
        voice = espeak_voice(request.voice, request.language)
        argv = [self._program, "-v", voice, "-s", str(espeak_speed(request.speed)), "-b", "1"]
        output = await self._gate.output([*argv, "--stdin", "--stdout"], spoken_text(sentence).encode())
        rate, pcm = read_wav(output)
        if rate != self.sample_rate:
            raise ProviderError(
                f"espeak-ng voice {voice!r} speaks at {rate} Hz, only {self.sample_rate} Hz is supported."
            )
        return pcm

    async def close(self) -> None:
        """Kill what is still speaking; idempotent."""
        await self._gate.close()


class EspeakHelperSynthesizer:
    """The library of the `espeakng-loader` wheel in a helper process, one per call of `speak`.

    The first audio takes as long as a Python interpreter takes to start (50 to 100 ms), after which
    the library speaks a thousand times faster than real time. Word times are exact.

    Raises:
        MissingExtraError: `espeakng-loader` is not installed.
    """

    sample_rate: int = _RATE

    def __init__(self, *, max_processes: int = 4) -> None:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise MissingExtraError("The espeak-ng helper", "espeak", "espeakng-loader")
        self._gate = ProcessGate(max_processes)

    async def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        """See `Synthesizer.speak`.

        Raises:
            ProviderError: the helper failed.
        """
        order = {
            "text": request.text,
            "voice": espeak_voice(request.voice, request.language),
            "speed": espeak_speed(request.speed),
        }
        argv = [sys.executable, "-m", "voxwire.server.speech.espeak_helper"]
        async with self._gate.run(argv, json.dumps(order).encode()) as (stdout, process, stderr):
            async for kind, payload in _frames(stdout):
                if kind == b"E":
                    raise ProviderError(f"espeak-ng failed: {payload.decode('utf-8', 'replace')}")
                size = int.from_bytes(payload[:4], "big")
                words = [Word(*values) for values in json.loads(payload[4 : 4 + size])]
                yield Speech(payload[4 + size :], tuple(words))
            if await process.wait() != 0:
                raise ProviderError(
                    f"The espeak-ng helper ended with status {process.returncode}: {last_words(stderr)}"
                )

    async def close(self) -> None:
        """Kill what is still speaking; idempotent."""
        await self._gate.close()


async def _frames(stdout: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    while True:
        try:
            length, kind, _ = unpack_header(await stdout.readexactly(HEADER.size))
            payload = await stdout.readexactly(length)
        except asyncio.IncompleteReadError:
            return
        yield kind, payload
