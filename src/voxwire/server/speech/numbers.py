"""Numbers as words and back, English, up to 999 999."""

from __future__ import annotations

__all__ = ["number_at", "number_words"]

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_ONES = f"zero one two three four five six seven eight nine {_TEENS}".split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: 10 * (value + 2) for value, word in enumerate(_TENS)},
    "couple": 2,
    "dozen": 12,
}


def number_words(value: int) -> str:
    """`value` in words; digit by digit from a million on."""
    if value < 0:
        return f"minus {number_words(-value)}"
    if value < 20:
        return _ONES[value]
    if value < 100:
        rest = value % 10
        return _TENS[value // 10 - 2] + (f" {_ONES[rest]}" if rest else "")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if size <= value < 1_000_000:
            rest = value % size
            return f"{number_words(value // size)} {name}" + (f" {number_words(rest)}" if rest else "")
    return " ".join(_ONES[int(digit)] for digit in str(value))


def number_at(words: list[str], index: int) -> tuple[float, int] | None:
    """The number that begins at `words[index]` (lower case, no punctuation): its value and its words.

    Understands digits, `twenty three`, `two hundred and five`, `three point five`; None if there is none.
    """
    digits = _digits(words[index])
    if digits is not None:
        return digits, 1
    total = current = 0
    at = index
    while at < len(words):
        word = words[at]
        if word in _VALUES and _may_follow(current, at > index, _VALUES[word]):
            current += _VALUES[word]
        elif word == "hundred" and 0 < current < 100:
            current *= 100
        elif word == "thousand" and current and not total:
            total, current = current * 1000, 0
        elif word == "and" and at > index and _hundreds(words, at):
            pass
        else:
            break
        at += 1
    if at == index:
        return None
    return _with_decimals(words, at, total + current, at - index)


def _digits(word: str) -> float | None:
    cleaned = word.replace(",", "")
    if not cleaned or not cleaned[-1].isdigit():
        return None
    try:
        return float(cleaned)
    except ValueError:
        return None


def _may_follow(current: int, started: bool, value: int) -> bool:
    if current % 100 == 0:
        return bool(current) or not started or value > 0
    return current % 10 == 0 and current % 100 >= 20 and 0 < value < 10


def _hundreds(words: list[str], at: int) -> bool:
    return words[at - 1] in {"hundred", "thousand"} and at + 1 < len(words) and words[at + 1] in _VALUES


def _with_decimals(words: list[str], at: int, value: float, used: int) -> tuple[float, int]:
    if at + 1 >= len(words) or words[at] != "point" or _VALUES.get(words[at + 1], 10) > 9:
        return value, used
    text = ""
    for word in words[at + 1 :]:
        if _VALUES.get(word, 10) > 9:
            break
        text += str(_VALUES[word])
    return float(f"{int(value)}.{text}"), used + 1 + len(text)
