"""Words for people: times, calls, and how alike two texts are."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["call_text", "clock_text", "word_overlap", "words_of"]

_NUMBERS = {
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}


def clock_text(ms: float) -> str:
    """`1:05.3`: minutes, seconds and tenths."""
    tenths = max(0, round(ms / 100))
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def call_text(name: str, arguments: dict[str, Any] | str) -> str:
    """A tool call as it would be written: `get_weather(city="Tokyo")`."""
    if isinstance(arguments, str):
        return f"{name}({arguments})"
    return f"{name}({', '.join(f'{key}={json.dumps(value, ensure_ascii=False)}' for key, value in arguments.items())})"


def word_overlap(wanted: str, found: str) -> float:
    """Share of the words of `wanted` that are in `found`, 0 to 1; small numbers count in both spellings."""
    words, there = words_of(wanted), words_of(found)
    if not words:
        return 1.0
    hits = 0
    for word in words:
        if word in there:
            there.remove(word)
            hits += 1
    return hits / len(words)


def words_of(text: str) -> list[str]:
    """The words, small, with small numbers as digits."""
    return [_NUMBERS.get(found[0], found[0]) for found in re.finditer(r"\w+", text.lower())]
