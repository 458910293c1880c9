"""Where sentences and words begin and end in a text."""

from __future__ import annotations

import re

from .shapes import word_set

__all__ = ["sentence_spans", "word_spans"]

_SENTENCE_END = re.compile(r"[.!?…]+[\"'\u201d\u2019)\]]*(?=\s|$)|[\u3002\uff01\uff1f]+|\n+")
_SOFT_BREAK = re.compile(r"[,;:—]\s")
_WORD = re.compile(r"\S+")
_ABBREVIATIONS = word_set("mr. mrs. ms. dr. prof. st. no. vs. etc. e.g. i.e. a.m. p.m.")


def sentence_spans(text: str, *, longest: int = 400) -> list[tuple[int, int]]:
    """Character offsets (start, end) of the sentences of `text`, without surrounding space.

    A sentence of more than `longest` characters is cut at a comma, else at a space, so that
    speaking can start and stop within a reasonable time.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if _is_abbreviation(text, start, match.end()):
            continue
        spans.extend(_pieces(text, start, match.end(), longest))
        start = match.end()
    spans.extend(_pieces(text, start, len(text), longest))
    return spans


def word_spans(text: str) -> list[tuple[int, int]]:
    """Character offsets (start, end) of the words of `text`: runs without white space."""
    return [match.span() for match in _WORD.finditer(text)]


def _is_abbreviation(text: str, start: int, end: int) -> bool:
    words = text[start:end].split()
    return bool(words) and words[-1].lower() in _ABBREVIATIONS and end < len(text)


def _pieces(text: str, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    while True:
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start == end:
            return pieces
        if end - start <= longest:
            return [*pieces, (start, end)]
        cut = _cut(text, start, start + longest)
        pieces.append((start, len(text[:cut].rstrip())))
        start = cut


def _cut(text: str, start: int, limit: int) -> int:
    soft = [match.end() for match in _SOFT_BREAK.finditer(text, start, limit)]
    if soft:
        return soft[-1]
    space = text.rfind(" ", start + 1, limit)
    return space if space > start else limit
