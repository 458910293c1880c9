"""A conversation in lines of text, as it happens; says what to show, not how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..protocol.server_events import ConversationItemInputAudioTranscriptionCompletedEvent
from ..protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    ConnectionChange,
    ErrorEvent,
    HistoryUpdated,
    TurnDone,
)
from ..recording.latency import latency_of
from ..recording.timeline import Timeline
from ..recording.turns import AHEAD_MS, Reply, decoded_arguments
from ..recording.words import call_text
from ..session.events import AgentHandoff, AgentToolEnd

__all__ = ["Entry", "Narrator", "Partial", "partial"]

MS_PER_CHARACTER = 65.0
"""How long a character is spoken, until a voice has said something."""
TELLING = 20
"""A reply with fewer characters says little about the pace of the voice."""
RECENT_TURNS = 4

Kind = Literal["user", "agent", "tool", "handoff", "interruption", "latency", "error", "info"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Attributes:
        who: who speaks or acts; empty for remarks.
        rest: words that were said but not heard.
    """

    at_ms: float
    kind: Kind
    who: str
    text: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """What is being said right now.

    Attributes:
        state: in words.
        user: what has been understood of the user so far.
        agent: who is speaking. heard, ahead: what was heard of it, and what is still to come.
    """

    state: str
    user: str
    agent: str
    heard: str
    ahead: str


class Narrator:
    """Turns events into lines, after the timeline has taken them."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._told: set[str] = set()
        self._timed: set[int] = set()
        self._cuts = 0

    def take(self, event: object, at: float) -> list[Entry]:
        """What to say of this event; mostly nothing."""
        return list(self._entries(event, at))

    def _entries(self, event: object, at: float) -> Iterator[Entry]:
        match event:
            case ConversationItemInputAudioTranscriptionCompletedEvent(transcript=text):
                yield Entry(at, "user", "You", text.strip() or "(nothing was understood)")
            case AudioStarted() | AudioEvent():  # over WebRTC the first frames may come before their name
                yield from self._latency(at)
            case AudioStopped() | TurnDone() | HistoryUpdated():
                yield from self._replies(at)
            case AudioInterrupted():
                yield from self._interruption(at)
            case AgentToolEnd(agent=agent, tool=tool, call=call, result=result):
                made = call_text(tool.name, decoded_arguments(call.arguments))
                yield Entry(at, "tool", agent.name, f"{made} -> {result}")
            case AgentHandoff(from_agent=source, to_agent=target):
                yield Entry(at, "handoff", source.name, f"hands over to {target.name}")
            case ErrorEvent(error=error):
                yield Entry(at, "error", "", f"{type(error).__name__}: {error}")
            case ConnectionChange(status="disconnected", error=error) if error is not None:
                yield Entry(at, "error", "", f"the connection was lost: {error}")
            case _:
                pass

    def _latency(self, at: float) -> Iterator[Entry]:
        turn = self._timeline.current
        latency = latency_of(turn) if turn is not None else None
        if turn is None or latency is None or latency.heard_ms is None or turn.number in self._timed:
            return
        self._timed.add(turn.number)
        parts = ", ".join(f"{name} {ms:.0f}" for name, ms in latency.stages if ms >= 1)
        yield Entry(at, "latency", "", f"heard after {latency.heard_ms:.0f} ms: {parts}")

    def _replies(self, at: float) -> Iterator[Entry]:
        for turn in self._timeline.turns[-2:]:
            for reply in turn.replies:
                if reply.item_id in self._told or not reply.over or (reply.cut and reply.heard_text is None):
                    continue
                self._told.add(reply.item_id)
                yield _spoken(reply, at)

    def _interruption(self, at: float) -> Iterator[Entry]:
        cuts = self._timeline.interruptions
        for cut in cuts[self._cuts :]:
            silent = f"; silent after {cut.reaction_ms:.0f} ms" if cut.reaction_ms is not None else ""
            received = f" of {cut.reply.audio_ms / 1000:.1f} s received" if cut.unheard_ms >= AHEAD_MS else ""
            yield Entry(
                at,
                "interruption",
                "You",
                f"interrupt {cut.reply.agent} at {cut.cut_ms / 1000:.1f} s{received}{silent}",
            )
        self._cuts = len(cuts)


def _spoken(reply: Reply, at: float) -> Entry:
    heard = reply.heard_text if reply.cut and reply.heard_text is not None else reply.text
    return Entry(
        at, "agent", reply.agent, heard.strip(), reply.text[len(heard) :].strip() if reply.cut else ""
    )


def partial(timeline: Timeline, now: float, *, live: bool = False) -> Partial:
    """What is being said at `now`.

    Args:
        live: audio comes as it is heard (WebRTC), so that its length says nothing of what is still to come.
    """
    turn = timeline.current
    if turn is None:
        return Partial("connected", "", "", "", "")
    reply = timeline.playing
    speaking = turn.end_ms is None
    if reply is not None:
        begin = reply.heard_from_ms or 0.0
        length = max(reply.audio_ms, _pace(timeline) * len(reply.text)) if live else reply.audio_ms
        share = min(1.0, (now - begin) / length) if length else 0.0
        at = _word_end(reply.text, round(share * len(reply.text)))
        state = f"you talk over {reply.agent}" if speaking else f"{reply.agent} speaks"
        user = turn.recognised if speaking else ""
        return Partial(state, user, reply.agent, reply.text[:at], reply.text[at:])
    open_user = turn.recognised if turn.recognised_ms is None else ""
    state = "you speak" if speaking else "quiet" if timeline.settled else f"{timeline.agent} thinks"
    return Partial(state, open_user, "", "", "")


def _pace(timeline: Timeline) -> float:
    """How long a character was spoken in what was last said in full, ms."""
    for turn in reversed(timeline.turns[-RECENT_TURNS:]):
        for reply in reversed(turn.replies):
            if reply.over and not reply.cut and len(reply.text) >= TELLING:
                return reply.audio_ms / len(reply.text)
    return MS_PER_CHARACTER


def _word_end(text: str, at: int) -> int:
    while 0 < at < len(text) and not text[at].isspace():
        at += 1
    return at
