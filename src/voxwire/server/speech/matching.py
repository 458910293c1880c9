"""How well an utterance fits a tool: shared words, weighed by where they are and how rare they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .shapes import as_list, as_mapping, word_set

__all__ = ["Match", "best_match", "is_handoff", "properties", "stem", "tokens"]

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HANDOFF = "transfer_to_"
THRESHOLD = 1.8

_STOP = word_set(
    """
    a about all am an and any are as at be been but by can could did do does for from had has have he
    her hers him his how i i'd i'll i'm i've if in into is it it's its let let's like may me might my of
    on one or our out please shall she should so some than that that's the their them then there these
    they this those to too up us very want was we were what what's when where which who why will with
    would you your yes no ok okay hello hi hey need now just also much many more go going gonna wanna
    really thing things something anything use used using handoff agent handle request requests
    specialist given return returns tool function user users
    """
)
_GENERIC = word_set(
    """
    get set find make create look lookup show tell give search fetch check update run call add list read
    new start stop send take know help info information name value current number ask question talk
    speak transfer connect change time day
    """
)
_SAME = {
    "reserve": "book",
    "reservation": "book",
    "booking": "book",
    "forecast": "weather",
    "temperature": "weather",
    "rain": "weather",
    "snow": "weather",
    "sunny": "weather",
    "umbrella": "weather",
    "mail": "email",
    "delete": "remove",
    "erase": "remove",
    "maths": "math",
    "mathematics": "math",
    "phone": "call",
    "purchase": "buy",
}
_TRANSFER = re.compile(
    r"\b(talk|speak|transfer|connect|switch|hand|put|pass|forward|bring)\b.*\b(to|with|through|over|me)\b",
    re.IGNORECASE,
)
_SOMEONE = re.compile(
    r"\b(someone|somebody|human|person|colleague|specialist|operator|agent)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Match:
    """A tool and how well it fits; from `THRESHOLD` on it is taken to be meant."""

    tool: Mapping[str, Any]
    score: float


def tokens(text: str) -> list[str]:
    """The stems of the words of `text` that carry meaning."""
    spaced = _CAMEL.sub(" ", text.replace("_", " "))
    found = [match.lower().replace("\u2019", "'") for match in _TOKEN.findall(spaced)]
    return [stem(word.removesuffix("'s")) for word in found if word not in _STOP]


def stem(word: str) -> str:
    """A word without its English endings, so that `stories` and `story` are the same."""
    if word in _SAME:
        return _SAME[word]
    for ending, replacement in (
        ("ies", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("ed", ""),
        ("es", "e"),
        ("s", ""),
    ):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and not (ending == "s" and rest[-1] in "su"):
            if ending in {"ing", "ed"} and rest[-1] == rest[-2]:
                rest = rest[:-1]
            word = rest + replacement
            break
    return _SAME.get(word, word.removesuffix("e") if len(word) > 4 else word)


def is_handoff(tool: Mapping[str, Any]) -> bool:
    """Whether calling this tool hands the conversation over to another agent."""
    return str(tool.get("name", "")).startswith(_HANDOFF)


def properties(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of the tool's parameters; empty if there are none."""
    parameters = as_mapping(tool.get("parameters"))
    return as_mapping(parameters.get("properties"))


def best_match(text: str, tools: Sequence[Mapping[str, Any]]) -> Match | None:
    """The tool that fits best, however badly; the first of equals. None without tools."""
    said = set(tokens(text))
    common = Counter(token for tool in tools for token in _weights(tool))
    matches = [Match(tool, _score(said, tool, common) + _wish(text, tool, tools)) for tool in tools]
    return max(matches, key=lambda match: match.score, default=None)


def _score(said: Iterable[str], tool: Mapping[str, Any], common: Counter[str]) -> float:
    weights = _weights(tool)
    score = 0.0
    for word in said:
        near = [(_likeness(word, own), own) for own in weights]
        likeness, own = max(near, default=(0.0, ""))
        if likeness:
            # A word of every tool says little about this one.
            score += likeness * weights[own] / common[own] ** 0.5
    return score


def _weights(tool: Mapping[str, Any]) -> dict[str, float]:
    weights: dict[str, float] = {}
    description = str(tool.get("description") or "")
    name = str(tool.get("name", "")).removeprefix(_HANDOFF)
    values = [str(v) for schema in properties(tool).values() for v in as_list(as_mapping(schema).get("enum"))]
    for weight, texts in ((0.8, list(properties(tool))), (1.0, [description]), (1.2, values), (2.0, [name])):
        for text in texts:
            for token in tokens(text):
                weights[token] = max(weights.get(token, 0.0), 0.5 if token in _GENERIC else weight)
    return weights


def _likeness(said: str, own: str) -> float:
    if said == own:
        return 1.0
    short, long = sorted((said, own), key=len)
    return 0.8 if len(short) >= 4 and long.startswith(short) else 0.0


def _wish(text: str, tool: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> float:
    """What an expressed wish to talk to somebody else adds to a handoff."""
    if not is_handoff(tool) or not _TRANSFER.search(text):
        return 0.0
    alone = sum(map(is_handoff, tools)) == 1
    return 2.0 if alone and _SOMEONE.search(text) else 1.0
