"""What a docstring says about a function and its arguments: Google, NumPy and Sphinx style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Docstring", "parse_docstring"]

_ARGUMENTS: Final = frozenset({"args", "arguments", "parameters", "params", "other parameters"})
_OTHERS: Final = frozenset(
    {"returns", "return", "yields", "yield", "raises", "attributes", "example", "examples", "see also"}
)
_GOOGLE_HEAD: Final = re.compile(r"^([A-Za-z ]+):\s*$")
_GOOGLE_ENTRY: Final = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_RULE: Final = re.compile(r"^-{3,}\s*$")
_NUMPY_ENTRY: Final = re.compile(r"^\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_SPHINX_FIELD: Final = re.compile(r"^:(\w+)(?:\s+([^:]*))?:\s*(.*)$")
_SPHINX_ARGUMENT: Final = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})


@dataclass(frozen=True, slots=True)
class Docstring:
    """The words before the first section, and those about each argument."""

    description: str = ""
    arguments: dict[str, str] = field(default_factory=dict[str, str])


def parse_docstring(text: str | None) -> Docstring:
    """Read a docstring. The styles may be mixed; what is in none of them is left out."""
    if not text or not text.strip():
        return Docstring()
    lines = inspect.cleandoc(text).splitlines()
    found: dict[str, list[str]] = {}
    end = len(lines)
    index = 0
    while index < len(lines):
        section, begin = _section(lines, index)
        if section is None:
            index += 1
            continue
        end = min(end, index)
        stop = _end_of_section(lines, begin)
        body = lines[index:stop] if section == "field" else lines[begin:stop]
        for name, words in _entries(section, body):
            found.setdefault(name, []).append(words)
        index = max(stop, index + 1)
    description = "\n".join(lines[:end]).strip()
    return Docstring(description, {name: " ".join(words).strip() for name, words in found.items()})


def _section(lines: list[str], index: int) -> tuple[str | None, int]:
    """Which kind of section begins here, if one does, and where its body begins."""
    line = lines[index]
    if line[:1].isspace():
        return None, index
    if _SPHINX_FIELD.match(line):
        return "field", index + 1
    google = _GOOGLE_HEAD.match(line)
    if google and google[1].lower() in _ARGUMENTS | _OTHERS:
        return ("google" if google[1].lower() in _ARGUMENTS else "other"), index + 1
    name = line.strip().lower()
    if (
        name in _ARGUMENTS | _OTHERS | {"notes", "references", "warnings"}
        and index + 1 < len(lines)
        and _NUMPY_RULE.match(lines[index + 1])
    ):
        return ("numpy" if name in _ARGUMENTS else "other-numpy"), index + 2
    return None, index


def _end_of_section(lines: list[str], begin: int) -> int:
    for index in range(begin, len(lines)):
        if _section(lines, index)[0] is not None:
            return index
    return len(lines)


def _entries(section: str, body: list[str]) -> Iterator[tuple[str, str]]:
    match section:
        case "google":
            return _indented(_dedented(body), _GOOGLE_ENTRY)
        case "numpy":
            return _indented(body, _NUMPY_ENTRY)
        case "field":
            return _sphinx(body)
        case _:
            return iter(())


def _dedented(body: list[str]) -> list[str]:
    """A section's lines up to where the text returns to the margin, without the common indentation."""
    inside: list[str] = []
    for line in body:
        if line.strip() and not line[:1].isspace():
            break
        inside.append(line)
    return inspect.cleandoc("\n" + "\n".join(inside)).splitlines()


def _indented(lines: list[str], entry: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Entries at the margin, their continuation lines indented below them."""
    names: tuple[str, ...] = ()
    words: list[str] = []
    for line in lines:
        if line[:1].isspace() or not line.strip():
            words.append(line.strip())
            continue
        yield from _spread(names, words)
        match = entry.match(line)
        names = tuple(name.strip() for name in match[1].split(",")) if match else ()
        words = [match[2]] if match and entry.groups > 1 else []
    yield from _spread(names, words)


def _spread(names: tuple[str, ...], words: list[str]) -> Iterator[tuple[str, str]]:
    text = " ".join(word for word in words if word)
    return ((name, text) for name in names)


def _sphinx(body: list[str]) -> Iterator[tuple[str, str]]:
    match = _SPHINX_FIELD.match(body[0])
    if match is None or match[1] not in _SPHINX_ARGUMENT or not match[2]:
        return
    name = match[2].split()[-1].lstrip("*")  # a type may stand before the name
    words = [match[3], *(line.strip() for line in body[1:])]
    yield name, " ".join(word for word in words if word)
