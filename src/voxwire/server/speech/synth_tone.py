"""A voice of tones: one soft beep per syllable. It needs nothing and always works."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import zlib
from array import array
from collections.abc import AsyncIterator
from functools import lru_cache

from .base import Speech, SynthesisRequest, Word
from .sentences import sentence_spans, word_spans

__all__ = ["ToneSynthesizer"]

_RATE = 16_000
_VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôû]+")
_SYLLABLE_MS = 160
_GAP_MS = 60
_PAUSE_MS = 300
_PEAK = 6000
_NOTES = (0, 3, 5, 7, 10)
_BYTES_PER_MS = _RATE * 2 // 1000


class ToneSynthesizer:
    """Speaks in tones: pitch by voice and syllable, 160 ms per syllable, exact word times, 16 kHz.

    The same text always gives the same audio.
    """

    sample_rate: int = _RATE

    async def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        """See `Synthesizer.speak`; one piece per word."""
        speed = max(0.25, min(4.0, request.speed))
        base = 55 + zlib.crc32((request.voice or "").encode()) % 12
        at = 0
        for start, end in sentence_spans(request.text):
            for a, b in word_spans(request.text[start:end]):
                pcm = _word(request.text[start + a : start + b], base, speed)
                begin, at = at, at + len(pcm)
                gap = _silence((_GAP_MS if start + b < end else _PAUSE_MS) / speed)
                at += len(gap)
                heard = Word(start + a, start + b, begin / _BYTES_PER_MS, (begin + len(pcm)) / _BYTES_PER_MS)
                yield Speech(pcm + gap, (heard,))
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing to release."""


def _word(word: str, base: int, speed: float) -> bytes:
    syllables = _VOWELS.findall(word.lower()) or [word]
    tones: list[bytes] = []
    for index, syllable in enumerate(syllables):
        note = _NOTES[zlib.crc32(f"{word.lower()}{index}{syllable}".encode()) % len(_NOTES)]
        tones.append(_tone(base + note, round(_SYLLABLE_MS / speed)))
    return b"".join(tones)


def _silence(ms: float) -> bytes:
    return bytes(round(ms * _RATE / 1000) * 2)


@lru_cache(maxsize=128)
def _tone(note: int, ms: int) -> bytes:
    """A sine with one overtone, at a MIDI note, swelling and fading so that it does not click."""
    count = ms * _RATE // 1000
    step = 2 * math.pi * 440 * 2 ** ((note - 69) / 12) / _RATE
    samples = array("h")
    for i in range(count):
        envelope = math.sin(math.pi * i / count) ** 0.5
        wave = math.sin(step * i) + 0.4 * math.sin(2 * step * i)
        samples.append(int(_PEAK * envelope * wave / 1.4))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
