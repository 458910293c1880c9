"""What a conversation is made of: turns, replies, tool calls, handoffs, interruptions.

All times are ms since the recording began.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

__all__ = ["AHEAD_MS", "HandoffMade", "Interruption", "Reply", "ToolUse", "Turn", "decoded_arguments"]


AHEAD_MS = 500.0
"""With less than that waiting, audio comes as it is heard."""


@dataclass(slots=True)
class ToolUse:
    """One call of a tool.

    Attributes:
        arguments: as the model wrote them, decoded; a string where they are no JSON object.
        result: what the model was told; None while the tool runs.
    """

    name: str
    arguments: dict[str, Any] | str
    agent: str
    begin_ms: float
    end_ms: float | None = None
    result: str | None = None
    failed: bool = False


@dataclass(slots=True)
class HandoffMade:
    """One agent handed over to another."""

    at_ms: float
    source: str
    target: str


@dataclass(slots=True)
class Interruption:
    """The user talked over a reply.

    Attributes:
        at_ms: when the speaker fell silent.
        reply: what was cut.
        cut_ms: where it was cut, ms of its audio, as found here.
        reaction_ms: from the user's first sample to silence; None if nobody was speaking.
        service_ms: where the service says it was cut, ms; None until it does.
    """

    at_ms: float
    reply: Reply
    cut_ms: int
    reaction_ms: float | None
    service_ms: int | None = None

    @property
    def unheard_ms(self) -> float:
        """Audio that was there and not heard, ms: next to nothing where it comes in real time (WebRTC)."""
        return max(0.0, self.reply.audio_ms - self.cut_ms)


@dataclass(slots=True)
class Reply:
    """One message of an agent.

    Attributes:
        text: all that was generated. heard_text: what history says was heard of it.
        created_ms: when its response was created.
        received_ms: when its first audio arrived; None for text.
        audio_ms: length of the audio that arrived.
        heard_from_ms, heard_until_ms: when the listener heard it.
        spoken: whether it comes as audio, now or in a moment: over WebRTC its words, and the end of its response,
            may be there before its first sound.
        done: whether its response has ended.
        cut: whether it was interrupted. unheard: whether that was before its first sound.
    """

    item_id: str
    response_id: str
    agent: str
    created_ms: float
    text: str = ""
    heard_text: str | None = None
    received_ms: float | None = None
    audio_ms: float = 0.0
    heard_from_ms: float | None = None
    heard_until_ms: float | None = None
    spoken: bool = False
    done: bool = False
    cut: bool = False
    unheard: bool = False

    @property
    def heard_ms(self) -> float:
        """How much of it was heard, ms; 0 while it plays."""
        if self.heard_from_ms is None or self.heard_until_ms is None:
            return 0.0
        return self.heard_until_ms - self.heard_from_ms

    @property
    def over(self) -> bool:
        """Whether it was generated and heard, as far as it ever will be."""
        return self.done and (not self.spoken or self.unheard or self.heard_until_ms is not None)


@dataclass(slots=True)
class Turn:
    """One utterance of the user and all that came of it.

    Attributes:
        text: what was said or typed, as far as it is known beforehand.
        typed: whether it was typed.
        begin_ms, end_ms: from its first to its last sample.
        detected_ms: when the service said that the user had stopped.
        recognised: what the service understood; complete at `recognised_ms`.
    """

    number: int
    text: str
    begin_ms: float
    typed: bool = False
    end_ms: float | None = None
    detected_ms: float | None = None
    recognised: str = ""
    recognised_ms: float | None = None
    replies: list[Reply] = field(default_factory=list["Reply"])
    tools: list[ToolUse] = field(default_factory=list["ToolUse"])
    handoffs: list[HandoffMade] = field(default_factory=list["HandoffMade"])

    @property
    def first_reply(self) -> Reply | None:
        """The reply that was heard (or, for text, received) first."""
        return next((reply for reply in self.replies if reply.heard_from_ms is not None or reply.done), None)

    @property
    def settled(self) -> bool:
        """Whether it was answered: the last word is an agent's, and it was said after every tool."""
        if self.end_ms is None or not self.replies or any(tool.end_ms is None for tool in self.tools):
            return False
        last = self.replies[-1]
        acts = [tool.end_ms or 0.0 for tool in self.tools] + [handoff.at_ms for handoff in self.handoffs]
        return all(reply.over for reply in self.replies) and last.created_ms >= max(acts, default=0.0)


def decoded_arguments(arguments: str) -> dict[str, Any] | str:
    """A tool's arguments as a mapping; the text itself where it is no JSON object."""
    try:
        value: object = json.loads(arguments)
    except ValueError:
        return arguments
    return cast("dict[str, Any]", value) if isinstance(value, dict) else arguments
