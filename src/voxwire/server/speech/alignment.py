"""When each word of a text is spoken, where the synthesiser does not say.

Inside a sentence the time is shared out by a weight per word, near to its number of
spoken sounds. What is measured is exact: where the sound of the sentence begins and ends.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterator

from .base import Speech, Word
from .sentences import word_spans

__all__ = ["StreamAligner", "align_sentence", "shift_words", "sound_bounds", "speech_pieces", "word_weight"]

_VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôûæøå]+")
_SILENT_TAIL = re.compile(r"(?<=[^aeiouy])(?:e|es|ed)$")
_SILENCE_LEVEL = 200
_PIECE_MS = 250


def word_weight(word: str) -> float:
    """How long a word takes to say, in units of about one sound."""
    letters = "".join(ch for ch in word.lower() if ch.isalpha())
    digits = sum(ch.isdigit() for ch in word)
    syllables = len(_VOWELS.findall(letters))
    if syllables > 1 and _SILENT_TAIL.search(letters):
        syllables -= 1
    if letters and not syllables:
        # No vowel at all: read letter by letter.
        syllables = len(letters)
    pause = 2.5 if word[-1:] in ",;:" else 0.0
    return max(1.0, 1.5 * syllables + 0.5 * len(letters) + 4.0 * digits) + pause


def sound_bounds(pcm: bytes, rate: int) -> tuple[float, float]:
    """Where the audible part of `pcm` begins and ends, ms; the whole of it if all is silent."""
    samples = _samples(pcm)
    total = len(samples) * 1000 / rate
    step = max(1, rate // 200)
    loud = [i for i in range(0, len(samples), step) if max(map(abs, samples[i : i + step])) > _SILENCE_LEVEL]
    if not loud:
        return 0.0, total
    return loud[0] * 1000 / rate, min(total, (loud[-1] + step) * 1000 / rate)


def align_sentence(text: str, start: int, end: int, start_ms: float, end_ms: float) -> list[Word]:
    """Spread the words of `text[start:end]` over `start_ms` to `end_ms`.

    The words' offsets are those in `text`.
    """
    spans = [(start + a, start + b) for a, b in word_spans(text[start:end])]
    weights = [word_weight(text[a:b]) for a, b in spans]
    total = sum(weights)
    words: list[Word] = []
    done = 0.0
    for (a, b), weight in zip(spans, weights, strict=True):
        begin = start_ms + (end_ms - start_ms) * done / total
        done += weight
        words.append(Word(a, b, begin, start_ms + (end_ms - start_ms) * done / total))
    return words


def shift_words(words: list[Word], ms: float) -> list[Word]:
    """The same words, `ms` later."""
    return [Word(w.start, w.end, w.start_ms + ms, w.end_ms + ms) for w in words]


def speech_pieces(pcm: bytes, rate: int, words: list[Word], offset_ms: float) -> Iterator[Speech]:
    """Cut audio that starts at `offset_ms` into pieces of 250 ms, each with the words that end in it."""
    size = rate * _PIECE_MS // 1000 * 2
    pending = list(words)
    for at in range(0, len(pcm), size):
        piece = pcm[at : at + size]
        last = at + size >= len(pcm)
        until = offset_ms + (at + len(piece)) * 500 / rate
        ended = [word for word in pending if last or word.end_ms <= until]
        pending = pending[len(ended) :]
        yield Speech(piece, tuple(ended))


class StreamAligner:
    """Aligns a sentence while its audio is still arriving and its length is not known.

    Words are placed by the rate of the sentences before; when the sentence is over, the ones
    that are left share what remains. A word's time never changes once it was given out.
    """

    def __init__(self, rate: int, ms_per_weight: float = 62.0) -> None:
        self._rate = rate
        self._ms_per_weight = ms_per_weight
        self._words: list[Word] = []
        self._first_sound: float | None = None
        self._position = 0.0
        self._total_weight = 0.0
        self._given_ms = 0.0

    def begin(self, text: str, start: int, end: int) -> None:
        """The sentence `text[start:end]` follows; its words' times count from the first `begin`."""
        weights = [word_weight(text[start + a : start + b]) for a, b in word_spans(text[start:end])]
        self._total_weight = sum(weights)
        self._words = align_sentence(text, start, end, 0.0, self._total_weight)
        self._first_sound = None

    def feed(self, pcm: bytes) -> Speech:
        """More audio: the same audio with the words that have probably ended in it."""
        if self._first_sound is None:
            begin, _ = sound_bounds(pcm, self._rate)
            if any(abs(sample) > _SILENCE_LEVEL for sample in _samples(pcm)):
                self._first_sound = self._given_ms = self._position + begin
        self._position += len(pcm) * 500 / self._rate
        if self._first_sound is None:
            return Speech(pcm)
        ended: list[Word] = []
        while len(self._words) > 1 and self._due(self._words[0]) <= self._position:
            ended.append(self._give(self._words.pop(0), None))
        return Speech(pcm, tuple(ended))

    def finish(self) -> tuple[Word, ...]:
        """The sentence is over: its remaining words, the last one ending with the audio."""
        if self._first_sound is None:
            self._first_sound = self._given_ms = self._position
        left = sum(word.end_ms - word.start_ms for word in self._words)
        room = max(0.0, self._position - self._given_ms)
        words = tuple(self._give(word, room / left if left else 0.0) for word in self._words)
        self._words = []
        spoken = self._position - self._first_sound
        if self._total_weight and spoken:
            measured = spoken / self._total_weight
            self._ms_per_weight += (max(20.0, min(200.0, measured)) - self._ms_per_weight) / 2
        return words

    def _due(self, word: Word) -> float:
        return self._given_ms + (word.end_ms - word.start_ms) * self._ms_per_weight

    def _give(self, word: Word, scale: float | None) -> Word:
        length = (word.end_ms - word.start_ms) * (self._ms_per_weight if scale is None else scale)
        begin = self._given_ms
        self._given_ms += length
        return Word(word.start, word.end, begin, self._given_ms)


def _samples(pcm: bytes) -> array[int]:
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
