"""What a session lets us expect of its speakers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import ConfigError
from ...protocol.formats import parse_format
from .base import SpeechHints
from .shapes import as_list, as_mapping

__all__ = ["hints_from_session"]

_SEPARATOR = re.compile(r"[\n;|,]+|(?<=[.!?])\s+")
_MAX_PHRASES = 400
_MAX_CHARACTERS = 200
_NARROWBAND_RATE = 8000


def hints_from_session(session: Mapping[str, Any]) -> SpeechHints:
    """Hints from a session object as on the wire.

    Phrases come from the transcription's prompt (separated by line breaks, `,`, `;`, `|` or the ends of
    sentences) and keywords, then from the tools: name, description, enum values. At most 400
    of at most 200 characters; what is malformed is passed over.
    """
    sound = as_mapping(as_mapping(session.get("audio")).get("input"))
    transcription = as_mapping(sound.get("transcription"))
    prompt = transcription.get("prompt")
    language = transcription.get("language")
    phrases: dict[str, None] = {}
    for phrase in _phrases(prompt, transcription.get("keywords"), session.get("tools")):
        cleaned = " ".join(phrase.split())
        if cleaned and len(cleaned) <= _MAX_CHARACTERS and len(phrases) < _MAX_PHRASES:
            phrases.setdefault(cleaned)
    return SpeechHints(
        language=language if isinstance(language, str) else None,
        phrases=tuple(phrases),
        prompt=prompt if isinstance(prompt, str) else None,
        narrowband=_is_narrowband(sound.get("format")),
    )


def _is_narrowband(format: Any) -> bool:
    try:
        return parse_format(format).rate <= _NARROWBAND_RATE
    except ConfigError:
        return False


def _phrases(prompt: Any, keywords: Any, tools: Any) -> Iterator[str]:
    if isinstance(prompt, str):
        # A sentence may hold commas: it is a phrase as a whole and in its parts.
        for line in re.split(r"[\n;|]+", prompt):
            yield line
            yield from _SEPARATOR.split(line)
    yield from _strings(keywords)
    for tool in as_list(tools):
        tool = as_mapping(tool)
        for text in (tool.get("name"), tool.get("description")):
            if isinstance(text, str):
                yield text.replace("_", " ")
        yield from _enum_values(tool.get("parameters"))


def _enum_values(schema: Any) -> Iterator[str]:
    for part in as_mapping(as_mapping(schema).get("properties")).values():
        part = as_mapping(part)
        yield from _strings(part.get("enum"))
        yield from _strings(as_mapping(part.get("items")).get("enum"))


def _strings(value: Any) -> list[str]:
    return [item for item in as_list(value) if isinstance(item, str)]
