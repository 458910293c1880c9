"""A history for people: as text, and as WebVTT captions of a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .items import FunctionCallItem, McpCallItem, MessageItem, OutputAudio, RealtimeItem

__all__ = ["ItemTimes", "history_to_text", "history_to_webvtt"]

SPEAKERS = {"user": "User", "assistant": "Agent", "system": "System"}
SHORTEST_MS = 1000.0
MS_PER_CHARACTER = 60.0
"""How long a caption of written text stays: about the speed of reading."""


class ItemTimes(NamedTuple):
    """When an item was said or heard, ms since the connection began; `end_ms` is None while it lasts.

    `spoken` is False for what was written or done, which has no length of its own.
    """

    begin_ms: float
    end_ms: float | None
    spoken: bool = True


def history_to_text(items: Sequence[RealtimeItem]) -> str:
    """One line per item: who said what, which tools were called. What was not heard is left out.

    A line break within a message becomes a space; a reply that was interrupted ends in an ellipsis.
    """
    return "".join(f"{line}\n" for item in items if (line := _line(item)))


def _line(item: RealtimeItem) -> str:
    words = _words(item)
    if isinstance(item, MessageItem):
        return f"{SPEAKERS[item.role]}: {words}" if words else ""
    return f"[{words}]" if words else ""


def _words(item: RealtimeItem) -> str:
    if isinstance(item, MessageItem):
        cut = any(isinstance(part, OutputAudio) and part.heard_ms is not None for part in item.content)
        text = " ".join(item.text.split())
        return f"{text} ..." if cut and text else text
    if isinstance(item, (FunctionCallItem, McpCallItem)):
        result = "" if item.output is None else f" -> {item.output}"
        return " ".join(f"{item.name}({item.arguments}){result}".split())
    return ""


def history_to_webvtt(items: Sequence[RealtimeItem], times: Mapping[str, ItemTimes]) -> str:
    """Captions: one cue for each message whose time is known, with the speaker as a voice tag, in order of time.

    A cue of speech lasts from its first to its last heard sample; one of written text as long as it takes to read, but
    not beyond the next. Tools have no cues. Source of the format: W3C, WebVTT.
    """
    cues: list[tuple[float, float | None, str]] = []
    for item in items:
        when, words = times.get(item.item_id), _words(item)
        if isinstance(item, MessageItem) and when is not None and words:
            end = when.end_ms if when.spoken else None
            cues.append((when.begin_ms, end, f"<v {SPEAKERS[item.role]}>{_escaped(words)}"))
    cues.sort(key=lambda cue: cue[0])
    blocks = ["WEBVTT"]
    for number, (begin, end, text) in enumerate(cues):
        following = cues[number + 1][0] if number + 1 < len(cues) else None
        blocks.append(f"{_clock(begin)} --> {_clock(_end(begin, end, text, following))}\n{text}")
    return "\n\n".join(blocks) + "\n"


def _end(begin: float, end: float | None, text: str, following: float | None) -> float:
    if end is not None and end > begin:
        return end
    read = begin + max(SHORTEST_MS, MS_PER_CHARACTER * len(text))
    # A cue must not be empty.
    return read if following is None else max(begin + 1, min(read, following))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(ms: float) -> str:
    total = max(0, round(ms))
    return f"{total // 3_600_000:02d}:{total // 60_000 % 60:02d}:{total // 1000 % 60:02d}.{total % 1000:03d}"
