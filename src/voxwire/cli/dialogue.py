"""What the user of the demo says, and what should come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "Expectation", "Line", "built_in", "built_in_prompt", "own_questions"]

FOLDER = Path(__file__).parent / "demo_audio"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a line should lead to; everything may be left open.

    Attributes:
        agent: who is asked.
        tool, arguments: the tool that should be called, and with what.
        handoff: who should take over.
        interrupts: whether the line is to be said over the reply to the one before.
    """

    agent: str | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    handoff: str | None = None
    interrupts: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance: a recording, or a text to type.

    Attributes:
        text: what is said, if that is known.
    """

    text: str
    file: Path | None = None
    expect: Expectation = Expectation()

    @property
    def label(self) -> str:
        """The text, or else the file's name."""
        return self.text or (self.file.name if self.file else "")


def _load() -> Mapping[str, Any]:
    dialogue: dict[str, Any] = json.loads((FOLDER / "dialogue.json").read_text(encoding="utf-8"))
    return dialogue


def built_in() -> list[Line]:
    """The dialogue that comes with the package."""
    return [_line(turn) for turn in _load()["turns"]]


def built_in_prompt() -> str:
    """What a transcriber may expect to hear in it."""
    return str(_load()["prompt"])


def _line(turn: Mapping[str, Any]) -> Line:
    known = {key: value for key, value in turn["expect"].items() if key in Expectation.__slots__}
    return Line(turn["text"], FOLDER / turn["file"], Expectation(**known))


def own_questions(audio: Sequence[Path], text: Sequence[str]) -> list[Line]:
    """The user's own lines, recordings first; nothing is expected but an answer."""
    return [*(Line("", path) for path in audio), *(Line(words) for words in text)]
