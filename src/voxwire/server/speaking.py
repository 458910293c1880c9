"""From a reply's text to audio deltas with their words: sentence by sentence, so that it starts early."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from ..audio.resample import Converter
from ..protocol.formats import AudioFormat
from .engine import SpokenPiece, SpokenWord, StartResponse
from .engine.transcripts import spread
from .speech.base import Speech, SynthesisRequest, Synthesizer, Word
from .speech.sentences import sentence_spans

__all__ = ["SentenceCutter", "SpokenMessage"]

DELTA_MS = 200
"""Audio in one delta, at most."""


class SentenceCutter:
    """Collects text that comes in pieces and gives it out in whole sentences."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[str]:
        """Sentences that are complete, each with the space before it."""
        self._text += text
        spans = sentence_spans(self._text)
        if len(spans) < 2:
            return []
        ends = [end for _, end in spans[:-1]]
        return self._cut(ends)

    def finish(self) -> list[str]:
        """What is left."""
        rest = self._cut([end for _, end in sentence_spans(self._text)])
        self._text = ""
        return rest

    def _cut(self, ends: list[int]) -> list[str]:
        if not ends:
            return []
        starts = [0, *ends[:-1]]
        sentences = [self._text[start:end] for start, end in zip(starts, ends, strict=True)]
        self._text = self._text[ends[-1] :]
        return sentences


class SpokenMessage:
    """One message being spoken; keeps where its text and its audio have come to.

    Args:
        timeout: seconds that the synthesiser may take for a piece.
    """

    def __init__(self, synthesizer: Synthesizer, plan: StartResponse, timeout: float) -> None:
        self._synthesizer = synthesizer
        self._plan = plan
        self._timeout = timeout
        self._source = AudioFormat("audio/pcm", synthesizer.sample_rate)
        self._converter = Converter(self._source, plan.format)
        self._length = 0
        self._at_ms = 0.0

    async def speak(self, sentence: str) -> AsyncGenerator[SpokenPiece, None]:
        """The pieces of one sentence (with the space before it)."""
        said = _Sentence(sentence, self._length, self._at_ms)
        request = SynthesisRequest(sentence.strip(), self._plan.voice, self._plan.speed, self._plan.language)
        async with contextlib.aclosing(_timed(self._synthesizer.speak(request), self._timeout)) as speech:
            async for part in speech:
                said.know(part.words)
                for pcm in _slices(part.pcm, self._source.size_of(DELTA_MS)):
                    self._at_ms += self._source.duration_ms(len(pcm))
                    text, words = said.advance(self._at_ms)
                    yield SpokenPiece(text, self._converter.feed(pcm), words)
        text, words = said.rest(self._at_ms)
        if text or words:
            yield SpokenPiece(text, b"", words)
        self._length += len(sentence)

    def finish(self) -> SpokenPiece | None:
        """The end of the audio that the resampler held back."""
        pcm = self._converter.feed(b"", last=True)
        return SpokenPiece(pcm=pcm) if pcm else None


class _Sentence:
    """Which words of a sentence begin and end where, and how much of it was told."""

    def __init__(self, text: str, base: int, start_ms: float) -> None:
        self._text = text
        self._base = base
        self._lead = len(text) - len(text.lstrip())
        self._start_ms = start_ms
        self._words: list[Word] = []
        self._told = 0
        self._aligned = 0

    def know(self, words: tuple[Word, ...]) -> None:
        self._words.extend(words)

    def advance(self, now_ms: float) -> tuple[str, tuple[SpokenWord, ...]]:
        """Text of the words that have begun, and words that have ended."""
        begun = self._told
        for word in self._words:
            if self._start_ms + word.start_ms < now_ms:
                begun = max(begun, self._end(word))
        ended: list[SpokenWord] = []
        while self._aligned < len(self._words):
            word = self._words[self._aligned]
            if self._start_ms + word.end_ms > now_ms:
                break
            ended.append(SpokenWord(self._base + self._end(word), self._start_ms + word.end_ms))
            self._aligned += 1
        if not self._words:
            begun = len(self._text)  # nobody says where they are: all of it is told at the start
        text, self._told = self._text[self._told : begun], begun
        return text, tuple(ended)

    def rest(self, now_ms: float) -> tuple[str, tuple[SpokenWord, ...]]:
        """What was not told yet: the sentence is over."""
        if self._words:
            left = [SpokenWord(self._base + self._end(word), now_ms) for word in self._words[self._aligned :]]
            left.append(SpokenWord(self._base + len(self._text), now_ms))
        else:
            left = spread(self._text, self._base, self._start_ms, now_ms)
        text, self._told = self._text[self._told :], len(self._text)
        return text, tuple(left)

    def _end(self, word: Word) -> int:
        """The end of a word with the punctuation that clings to it."""
        end = min(self._lead + word.end, len(self._text))
        while end < len(self._text) and not self._text[end].isspace() and not self._text[end].isalnum():
            end += 1
        return end


def _slices(pcm: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


async def _timed(speech: AsyncIterator[Speech], timeout: float) -> AsyncGenerator[Speech, None]:
    """The pieces, each within `timeout` seconds."""
    try:
        while True:
            try:
                async with asyncio.timeout(timeout):
                    piece = await anext(speech)
            except StopAsyncIteration:
                return
            yield piece
    finally:
        close = getattr(speech, "aclose", None)
        if close is not None:
            await close()
