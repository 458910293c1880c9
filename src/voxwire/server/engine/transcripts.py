"""Where each word of a spoken text is in its audio, and what was heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Alignment", "SpokenWord", "spread"]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word: it is the transcript up to `end` (characters), and over at `end_ms` of the audio."""

    end: int
    end_ms: float


@dataclass(slots=True)
class Alignment:
    """The words of one content part, in the order in which they are spoken."""

    words: list[SpokenWord] = field(default_factory=list[SpokenWord])

    def add(self, words: Sequence[SpokenWord]) -> None:
        """Words that follow; one that steps back in text or time is dropped."""
        for word in words:
            last = self.words[-1] if self.words else SpokenWord(0, 0.0)
            if word.end > last.end and word.end_ms >= last.end_ms:
                self.words.append(word)

    def heard_length(self, audio_end_ms: float) -> int:
        """Characters of the words that are over at `audio_end_ms`; half a word was not heard."""
        length = 0
        for word in self.words:
            if word.end_ms > audio_end_ms:
                break
            length = word.end
        return length

    def cut(self, audio_end_ms: float) -> None:
        """Forget the words that were not heard."""
        self.words = [word for word in self.words if word.end_ms <= audio_end_ms]


def spread(text: str, start: int, start_ms: float, end_ms: float) -> list[SpokenWord]:
    """Words by their share of the letters, for a synthesiser that does not say where they are.

    Args:
        text: what was spoken from `start_ms` to `end_ms`.
        start: where it begins in the transcript, characters.
    """
    ends: list[int] = [
        index + 1
        for index, char in enumerate(text)
        if not char.isspace() and (index + 1 == len(text) or text[index + 1].isspace())
    ]
    length = ends[-1] if ends else 0
    return [SpokenWord(start + end, start_ms + (end_ms - start_ms) * end / length) for end in ends]
