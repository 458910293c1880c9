"""Fill a tool's arguments from what was said, by the tool's JSON schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .matching import properties, stem, tokens
from .numbers import number_at
from .shapes import as_list, as_mapping, word_set

__all__ = ["Filled", "fill_arguments"]

_WORD = re.compile(r"[^\s\"\u201c\u201d]+")
_QUOTED = re.compile(r"[\"\u201c]([^\"\u201d]+)[\"\u201d]")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IDENTIFIER = re.compile(r"\b(?=[\w-]*\d)[A-Za-z0-9][\w-]*")
_PLACE = (
    r"(?=\b(?:{})\s+(?!the\s+(?:weather|forecast|morning|afternoon|evening)\b)(?:the\s+)?"
    r"([^\W\d_][\w'\u2019-]*(?:\s+[^\W\d_][\w'\u2019-]*){{0,3}}))"
)
_PREPOSITIONS = {"origin": "from", "from": "from", "destination": "to", "to": "to"}
_PLACE_ENDS = word_set(
    """
    today tomorrow tonight now please right this next on at for in and or is like going with from to by
    looking be will what how if when monday tuesday wednesday thursday friday saturday sunday thanks
    thank
    """
)
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DATE = re.compile(
    rf"\b((?:next\s+)?(?:today|tonight|tomorrow|yesterday|{_DAYS}|(?:{_MONTHS})\s+\w+|\d{{4}}-\d\d-\d\d|week|month))\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:at\s+)?(noon|midnight|\d{1,2}:\d\d(?:\s*[ap]\.?m\.?)?|\d{1,2}\s*[ap]\.?m\b|"
    r"(?<=at )(?:\w+)(?:\s+(?:o'clock|am|pm|thirty|fifteen))?)(?:\b|$)",
    re.IGNORECASE,
)
_NOT_NAMES = word_set("today tonight tomorrow yesterday next week month of the and")
_PERSON = re.compile(
    r"\b(?:my name is|name is|i am|i'm|this is|called|named|under the name(?: of)?|for|to|with)\s+([A-Z][\w'\u2019-]*(?:\s+[A-Z][\w'\u2019-]*)*)"
)
_PERSON_SPOKEN = re.compile(r"\b(?:my name is|name is|called|named)\s+(\w+)", re.IGNORECASE)
_TOPIC = re.compile(
    r"\b(?:about|saying|says?|that|search for|look up|find|for|is|to|what is|what's)\s+(.+)$", re.IGNORECASE
)
_YES = re.compile(r"\b(yes|yeah|sure|with|on|enable|enabled|true|definitely|of course)\b", re.IGNORECASE)
_NO = re.compile(r"\b(no|not|don't|without|off|disable|disabled|false|never)\b", re.IGNORECASE)

_PLACES = word_set("city place location town country where destination address region origin area from to")
_DATES = word_set("date day when weekday")
_TIMES = word_set("time hour clock")
_NAMES = word_set("name person who customer guest recipient contact")
_TOPICS = word_set("query question message text topic reason subject content note search term body title")


@dataclass(slots=True)
class Filled:
    """Arguments found, and the required ones that were not, by name."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    missing: list[str] = field(default_factory=list[str])


def fill_arguments(tool: Mapping[str, Any], text: str, *, answers: Mapping[str, str] | None = None) -> Filled:
    """Find a value for each parameter in `text`; required ones first, so that they get theirs.

    Args:
        tool: the declared tool, as on the wire.
        text: what the user said.
        answers: what the user answered when asked for a parameter, by its name.
    """
    parameters = as_mapping(tool.get("parameters"))
    required = [str(name) for name in as_list(parameters.get("required"))]
    schemas = properties(tool)
    finder = _Finder(tool, text)
    filled = Filled()
    for name in sorted(
        schemas, key=lambda name: (name not in required, _kind(as_mapping(schemas[name])) != "enum")
    ):
        schema = as_mapping(schemas[name])
        value = finder.find(name, schema)
        if value is None and answers and name in answers:
            value = _Finder(tool, answers[name]).find(name, schema)
            if value is None and _kind(schema) == "string":
                value = _tidy(answers[name].strip().rstrip(".?!"), name)
        if value is not None:
            filled.values[name] = value
        elif name in required:
            filled.missing.append(name)
    order = list(schemas)
    filled.values = dict(sorted(filled.values.items(), key=lambda pair: order.index(pair[0])))
    return filled


class _Finder:
    """Looks for values in one utterance; a number is given out only once."""

    def __init__(self, tool: Mapping[str, Any], text: str) -> None:
        self._tool = tool
        self._text = text.strip()
        self._words = [word.strip(",.?!;:").lower() for word in _WORD.findall(text)]
        self._numbers = self._find_numbers()

    def find(self, name: str, schema: Mapping[str, Any]) -> Any:
        kind = _kind(schema)
        if kind == "enum":
            return self._enum(as_list(schema.get("enum")))
        if kind == "boolean":
            return self._boolean(name)
        if kind in {"integer", "number"}:
            return self._number(name, whole=kind == "integer")
        if kind == "array":
            return self._array(name, as_mapping(schema.get("items")))
        if kind == "object":
            inner = fill_arguments({"parameters": schema}, self._text)
            return inner.values if inner.values and not inner.missing else None
        return self._string(name, schema)

    def _enum(self, values: list[Any]) -> Any:
        said = set(tokens(self._text)) | {stem(word) for word in self._words}
        scored = [(self._share(str(value), said), -i) for i, value in enumerate(values)]
        share, index = max(scored, default=(0.0, 0))
        return values[-index] if share >= 0.5 else None

    def _share(self, value: str, said: set[str]) -> float:
        own = [stem(word) for word in re.findall(r"\w+", value.replace("_", " ").lower())]
        return sum(word in said for word in own) / len(own) if own else 0.0

    def _boolean(self, name: str) -> bool | None:
        mentioned = set(tokens(name)) & set(tokens(self._text))
        if _NO.search(self._text) and (mentioned or len(self._words) <= 4):
            return False
        if mentioned or (len(self._words) <= 4 and _YES.search(self._text)):
            return True
        return None

    def _find_numbers(self) -> list[tuple[int, int, float]]:
        found: list[tuple[int, int, float]] = []
        dated = _DATE.search(self._text)
        skipped = set((dated[1] if dated else "").lower().split())
        at = 0
        while at < len(self._words):
            number = None if self._words[at] in skipped or not self._words[at] else number_at(self._words, at)
            if number is None:
                at += 1
                continue
            found.append((at, at + number[1], number[0]))
            at += number[1]
        return found

    def _number(self, name: str, *, whole: bool) -> float | int | None:
        if not self._numbers:
            return None
        own = set(tokens(name))

        def distance(entry: tuple[int, int, float]) -> int:
            begin, end, _ = entry
            around = self._words[max(0, begin - 2) : begin] + self._words[end : end + 2]
            return 0 if own & {stem(word) for word in around} else 1

        best = min(self._numbers, key=distance)
        self._numbers.remove(best)
        value = best[2]
        return int(value) if whole or value.is_integer() else value

    def _array(self, name: str, items: Mapping[str, Any]) -> list[Any] | None:
        kind = _kind(items)
        if kind == "enum":
            said = set(tokens(self._text)) | {stem(word) for word in self._words}
            return [v for v in as_list(items.get("enum")) if self._share(str(v), said) >= 0.5] or None
        if kind in {"integer", "number"}:
            values: list[Any] = []
            while (value := self._number(name, whole=kind == "integer")) is not None:
                values.append(value)
            return values or None
        quoted = _QUOTED.findall(self._text)
        text = self._string(name, items)
        return quoted or (
            [part.strip() for part in re.split(r",|\band\b", text) if part.strip()] if text else None
        )

    def _string(self, name: str, schema: Mapping[str, Any]) -> str | None:
        hints = {*re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())}
        declared = schema.get("format")
        if "email" in hints or declared == "email":
            found = _EMAIL.search(self._text)
            return found[0] if found else None
        if hints & _DATES or declared in {"date", "date-time"}:
            return _tidy(_first(_DATE, self._text))
        if hints & _TIMES or declared == "time":
            return _first(_TIME, self._text)
        if hints & _PLACES:
            own = next((word for hint, word in _PREPOSITIONS.items() if hint in hints), "in|at|near|for")
            return self._place(own, "to|from|of|in|for")
        if hints & {"id", "number", "code", "phone", "order"}:
            found = _IDENTIFIER.search(self._text)
            return found[0] if found else None
        if quoted := _first(_QUOTED, self._text):
            return quoted
        if hints & _NAMES:
            return _first(_PERSON, self._text) or _tidy(_first(_PERSON_SPOKEN, self._text))
        if hints & _TOPICS:
            return (_first(_TOPIC, self._text) or self._text).rstrip(".?! ") or None
        return self._place("in|at|near|for") or self._left_over()

    def _place(self, *prepositions: str) -> str | None:
        for words in prepositions:
            for match in re.finditer(_PLACE.format(words), self._text, re.IGNORECASE):
                if place := self._until_end(match[1]):
                    return place
        return None

    def _until_end(self, text: str) -> str | None:
        words: list[str] = []
        for word in text.split():
            if word.lower() in _PLACE_ENDS or number_at([word.lower()], 0):
                break
            words.append(word)
        if not words or set(tokens(" ".join(words))) <= set(tokens(str(self._tool.get("name", "")))):
            return None
        return _tidy(" ".join(words))

    def _left_over(self) -> str | None:
        known = set(tokens(f"{self._tool.get('name', '')} {self._tool.get('description', '')}"))
        words = [word for word in _WORD.findall(self._text) if tokens(word) and not set(tokens(word)) & known]
        return " ".join(words).strip(",.?!;: ") or None


def _kind(schema: Mapping[str, Any]) -> str:
    if as_list(schema.get("enum")):
        return "enum"
    options = as_list(schema.get("type")) or [schema.get("type")]
    for variant in as_list(schema.get("anyOf")) + as_list(schema.get("oneOf")):
        options.append(as_mapping(variant).get("type"))
    return next((str(option) for option in options if option not in {None, "null"}), "string")


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1].strip(" ,.?!") if found else None


def _tidy(text: str | None, parameter: str = "name") -> str | None:
    """Give names their capitals where a recogniser wrote them without."""
    if text is None or not set(parameter.lower().split("_")) & (_PLACES | _DATES | _NAMES):
        return text
    if text != text.lower() or text in _NOT_NAMES:
        return text
    return " ".join(word if word in _NOT_NAMES else word[:1].upper() + word[1:] for word in text.split())
