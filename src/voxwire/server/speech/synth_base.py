"""What synthesisers that render one sentence at a time have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from .alignment import align_sentence, sound_bounds, speech_pieces
from .base import Speech, SynthesisRequest
from .sentences import sentence_spans

__all__ = ["SentenceSynthesizer", "spoken_text"]


class SentenceSynthesizer(ABC):
    """Renders sentence by sentence, so that the first one is heard while the others are not made yet.

    Words are aligned by estimate inside a sentence; a sentence's first and last sound are measured.
    """

    sample_rate: int

    async def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        """See `Synthesizer.speak`. Pieces are 250 ms long or shorter.

        Raises:
            ProviderError: the synthesiser failed.
        """
        offset = 0.0
        for start, end in sentence_spans(request.text):
            pcm = await self._render(request.text[start:end], request)
            begin_ms, end_ms = sound_bounds(pcm, self.sample_rate)
            words = align_sentence(request.text, start, end, offset + begin_ms, offset + end_ms)
            for piece in speech_pieces(pcm, self.sample_rate, words, offset):
                yield piece
            offset += len(pcm) * 500 / self.sample_rate

    @abstractmethod
    async def _render(self, sentence: str, request: SynthesisRequest) -> bytes:
        """The sentence as PCM at `sample_rate`."""

    @abstractmethod
    async def close(self) -> None:
        """See `Synthesizer.close`."""


def spoken_text(text: str) -> str:
    """`text` on one line and without characters that programs take for commands."""
    clean = "".join(ch if ch.isprintable() else " " for ch in text)
    # espeak-ng reads [[ ]] as phoneme names.
    return clean.replace("[[", "[ [").replace("]]", "] ]").strip()
