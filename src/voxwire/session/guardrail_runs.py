"""When guardrails look at a reply, and what a trip means for it. Pure: no tasks, no transport.

A reply is one response; it has one text per item. Each look (a `Check`) is at all of an item's text so far.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..protocol.table import Table

__all__ = ["AT_ONCE", "GUARDED_REPLY", "Check", "GuardrailRuns", "Verdict"]

AT_ONCE: Final = 4
"""Checks of one text that may run at one time; after that, the next waits and sees all that came meanwhile."""
REMEMBERED: Final = 64
"""Replies kept apart; the oldest is forgotten, and what its checks find is ignored."""

GUARDED_REPLY = Table(
    "guarded reply",
    "running",
    {
        ("running", "done"): "done",
        ("running", "cancelled"): "cancelled",
        ("running", "tripped"): "blocked",
        ("done", "tripped"): "blocked",
        ("cancelled", "tripped"): "blocked",
        ("blocked", "done"): "blocked",
        ("blocked", "cancelled"): "blocked",
    },
)
"""One response, from its first sign to a trip; `blocked` is the end, later trips of it are ignored."""

Verdict: TypeAlias = Literal["ignore", "tell", "cancel", "interrupt"]
"""What a trip leads to. `tell` is for replies that are over, be it that another began or that the user cut in;
`cancel` ends a written reply by its id; `interrupt` stops what is heard. The last two are followed by a correction."""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One look at one text.

    Attributes:
        characters: how much of the text had arrived.
        final: whether the text is complete.
    """

    response_id: str
    item_id: str
    text: str
    characters: int
    final: bool = False


@dataclass(slots=True)
class _Text:
    pieces: list[str] = field(default_factory=list[str])
    length: int = 0
    crossing: int = 0
    running: int = 0
    due: bool = False
    """A check should have begun, and waits for one to end."""
    complete: bool = False


@dataclass(slots=True)
class _Reply:
    state: str = GUARDED_REPLY.initial
    spoken: bool = False
    texts: dict[str, _Text] = field(default_factory=dict[str, _Text])
    finals: int = 0
    """Final checks that have not ended yet."""


class GuardrailRuns:
    """The replies of one connection.

    Args:
        debounce: characters between two checks; 0 checks every piece, a negative number only the end.
        continuous: check every piece, since audio waits for its words (hold-back); a negative `debounce` wins.
    """

    def __init__(self, debounce: int, *, continuous: bool = False) -> None:
        self._every = 0 if continuous and debounce >= 0 else debounce
        self._replies: OrderedDict[str, _Reply] = OrderedDict()
        self._newest: str | None = None

    def started(self, response_id: str) -> bool:
        """A response began, or showed its first words. False if it was known."""
        known = self._replies.get(response_id)
        # A service that gives no ids has one reply at a time, called "".
        if known is not None and (response_id or known.state == GUARDED_REPLY.initial):
            return False
        self._replies[response_id] = _Reply()
        self._newest = response_id
        while len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        return True

    def state(self, response_id: str) -> str | None:
        """Where a reply is; None for one that is not known."""
        reply = self._replies.get(response_id)
        return reply.state if reply is not None else None

    def text(self, response_id: str, item_id: str, delta: str, *, spoken: bool) -> Check | None:
        """More words arrived: the check to begin now, if any."""
        self.started(response_id)
        reply = self._replies[response_id]
        if reply.state == "blocked":
            return None
        reply.spoken = reply.spoken or spoken
        text = reply.texts.setdefault(item_id, _Text())
        text.pieces.append(delta)
        text.length += len(delta)
        if self._every < 0 or text.complete:
            return None
        crossing = text.length if self._every == 0 else text.length // self._every
        if crossing <= text.crossing:
            return None
        text.crossing = crossing
        return self._begin(response_id, item_id, text)

    def _begin(self, response_id: str, item_id: str, text: _Text) -> Check | None:
        text.due = text.running >= AT_ONCE
        if text.due:
            return None
        text.running += 1
        text.pieces = ["".join(text.pieces)]
        return Check(response_id, item_id, text.pieces[0], text.length)

    def done(self, response_id: str, texts: Sequence[tuple[str, str]], *, cancelled: bool) -> list[Check]:
        """A response ended: the final checks, one for each item with text.

        Args:
            texts: (item id, final text) as the service has it. Items it does not name keep what arrived.
        """
        self.started(response_id)
        reply = self._replies[response_id]
        event = "cancelled" if cancelled else "done"
        if not GUARDED_REPLY.allows(reply.state, event):
            return []  # said twice
        reply.state = GUARDED_REPLY.step(reply.state, event)
        if reply.state == "blocked":
            return []
        final = {item_id: "".join(text.pieces) for item_id, text in reply.texts.items()}
        final.update((item_id, text) for item_id, text in texts if text)
        for text in reply.texts.values():
            text.complete, text.due = True, False
        checks = [
            Check(response_id, item_id, text, self._length(reply, item_id), final=True)
            for item_id, text in final.items()
        ]
        reply.finals = len(checks)
        return checks

    @staticmethod
    def _length(reply: _Reply, item_id: str) -> int:
        text = reply.texts.get(item_id)
        return text.length if text is not None else 0

    def ended(self, check: Check) -> Check | None:
        """A check ended, whatever it found: the next of this text, if one is due."""
        reply = self._replies.get(check.response_id)
        if reply is None:
            return None
        if check.final:
            reply.finals -= 1
            return None
        text = reply.texts[check.item_id]
        text.running -= 1
        if not text.due or reply.state == "blocked":
            return None
        return self._begin(check.response_id, check.item_id, text)

    def all_passed(self, response_id: str) -> bool:
        """Whether a reply is over, and nothing was found in any of it."""
        reply = self._replies.get(response_id)
        return reply is not None and reply.state in ("done", "cancelled") and reply.finals == 0

    def trip(self, check: Check) -> Verdict:
        """A guardrail found something."""
        reply = self._replies.get(check.response_id)
        if reply is None or reply.state == "blocked":
            return "ignore"
        before, reply.state = reply.state, GUARDED_REPLY.step(reply.state, "tripped")
        if before == "cancelled" or (before == "done" and self._newest != check.response_id):
            return "tell"
        if before == "running" and not reply.spoken:
            return "cancel"
        return "interrupt"
