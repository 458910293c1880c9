"""How a conversation went, turn by turn: events and times in, `TurnMetrics` out. Pure.

Seen by its user, a turn is one utterance (or message) and all that came of it: every response, the tool
calls between them, what was heard. Times are seconds of one monotonic clock, lengths are ms.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, TypeAlias

from .transport_events import AudioInterrupted, FunctionCall, TransportEventBase, TurnDone
from .usage import Usage

__all__ = ["ToolMetrics", "TurnMeter", "TurnMetrics", "TurnStatus", "TurnTrigger", "cut_ms"]

MAX_CLOSING: Final = 8
"""Turns that were overtaken by the next and wait for their responses to end; the oldest is told of as it is."""
MAX_TOOLS: Final = 256
"""Tool calls of one turn that are kept; more are only counted by the session."""

TurnTrigger: TypeAlias = Literal["speech", "message", "agent"]
TurnStatus: TypeAlias = Literal["completed", "interrupted", "failed", "disconnected"]


@dataclass(frozen=True, slots=True)
class ToolMetrics:
    """One tool call.

    Attributes:
        duration_ms: from the model's call to the answer, waiting for approval included; None if the turn was
            over before.
        failed: the model was told that it went wrong.
    """

    name: str
    call_id: str
    duration_ms: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMetrics(TransportEventBase):
    """One turn, told when it is over: answered and heard, interrupted, or overtaken by the next.

    Attributes:
        number: 1 for the session's first.
        trigger: what it answers: the user's speech, a message (or a push-to-talk commit), or nothing (`agent`).
        status: `interrupted` if the user talked over it or `interrupt()` was called; `failed` if a response failed.
        started_at: when the user had finished, or the first response began; seconds of the event loop's clock.
        duration_ms: from then to its end.
        silence_ms: with speech, the configured silence after which the service decides that the user has
            finished. A listener waits that much longer than the times below say. None where it is not configured.
        response_ms: until the first response was created.
        first_audio_ms: until the first audio arrived; None for a turn without audio.
        first_heard_ms: until the first audio was heard.
        responses: ids of its responses, in order.
        tools: its tool calls, in order.
        interruptions: how often it was interrupted.
        truncated_ms: audio that had arrived and was not heard because of that.
        dropped_ms: audio that arrived after its reply had been interrupted.
        reconnects: connections made anew since the turn before.
        usage: tokens, transcription included.
    """

    name: ClassVar[str] = "turn_metrics"
    number: int
    trigger: TurnTrigger
    status: TurnStatus
    started_at: float
    duration_ms: float
    silence_ms: int | None = None
    response_ms: float | None = None
    first_audio_ms: float | None = None
    first_heard_ms: float | None = None
    responses: tuple[str, ...] = ()
    tools: tuple[ToolMetrics, ...] = ()
    interruptions: int = 0
    truncated_ms: float = 0.0
    dropped_ms: float = 0.0
    reconnects: int = 0
    usage: Usage = field(default_factory=Usage)

    @property
    def tool_ms(self) -> float:
        """Time spent in tools, their lengths added up."""
        return sum(tool.duration_ms or 0.0 for tool in self.tools)


def cut_ms(event: AudioInterrupted) -> float:
    """Audio that had arrived and was not heard because of an interruption, ms."""
    known = [cut for cut in event.truncations if cut.received_ms is not None]
    return float(sum(max(0, (cut.received_ms or 0) - cut.audio_end_ms) for cut in known))


@dataclass(slots=True, eq=False)
class _Tool:
    name: str
    call_id: str
    began: float
    ended: float | None = None
    failed: bool = False

    def metrics(self) -> ToolMetrics:
        length = None if self.ended is None else (self.ended - self.began) * 1000
        return ToolMetrics(self.name, self.call_id, length, self.failed)


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn that is not over."""

    number: int
    trigger: TurnTrigger
    began: float
    silence_ms: int | None
    reconnects: int
    first_response: float | None = None
    first_audio: float | None = None
    first_heard: float | None = None
    responses: dict[str, None] = field(default_factory=dict[str, None])
    running: set[str] = field(default_factory=set[str])
    tools: dict[str, _Tool] = field(default_factory=dict[str, _Tool])
    expecting: bool = False
    """A tool was answered, so that a response will follow."""
    playing: bool = False
    interruptions: int = 0
    truncated_ms: float = 0.0
    dropped_ms: float = 0.0
    failed: bool = False
    usage: Usage = field(default_factory=Usage)

    def is_over(self) -> bool:
        working = any(tool.ended is None for tool in self.tools.values())
        busy = self.running or working or self.expecting or self.playing
        return bool(self.responses) and not busy

    def metrics(self, now: float, *, disconnected: bool) -> TurnMetrics:
        status: TurnStatus = "completed"
        if self.interruptions:
            status = "interrupted"
        elif self.failed:
            status = "failed"
        elif disconnected:
            status = "disconnected"
        return TurnMetrics(
            number=self.number,
            trigger=self.trigger,
            status=status,
            started_at=self.began,
            duration_ms=(now - self.began) * 1000,
            silence_ms=self.silence_ms,
            response_ms=self._since(self.first_response),
            first_audio_ms=self._since(self.first_audio),
            first_heard_ms=self._since(self.first_heard),
            responses=tuple(self.responses),
            tools=tuple(tool.metrics() for tool in self.tools.values()),
            interruptions=self.interruptions,
            truncated_ms=self.truncated_ms,
            dropped_ms=self.dropped_ms,
            reconnects=self.reconnects,
            usage=self.usage,
        )

    def _since(self, at: float | None) -> float | None:
        return None if at is None else max(0.0, (at - self.began) * 1000)


class TurnMeter:
    """Follows a session from turn to turn. Each method returns the turns that are over now.

    Attributes:
        turn: the number of the turn under way; 0 before the first.
    """

    def __init__(self) -> None:
        self.turn = 0
        self._current: _Turn | None = None
        self._closing: OrderedDict[int, _Turn] = OrderedDict()
        self._connections = 0
        self._reconnects = 0

    # -- what can be asked --------------------------------------------------------------------

    def turn_of(self, response_id: str | None) -> int | None:
        """The number of the turn a response belongs to; None for one of a turn that is over."""
        turn = self._of(response_id)
        return turn.number if turn is not None else None

    def began_at(self, number: int) -> float | None:
        """When a turn that is not over began."""
        if self._current is not None and self._current.number == number:
            return self._current.began
        turn = self._closing.get(number)
        return turn.began if turn is not None else None

    @property
    def wants_audio(self) -> bool:
        """Whether the first audio of the current turn is still to come."""
        return self._current is not None and self._current.first_audio is None

    # -- the user -----------------------------------------------------------------------------

    def user_ended(
        self, trigger: TurnTrigger, now: float, *, silence_ms: int | None = None
    ) -> list[TurnMetrics]:
        """The user has finished speaking, or sent a message. What was being answered is overtaken."""
        turn = self._current
        if turn is not None and not turn.responses:
            # Two pieces of one utterance, or a message while nothing had been answered.
            turn.trigger, turn.began, turn.silence_ms = trigger, now, silence_ms
            return []
        over: list[TurnMetrics] = []
        if turn is not None:
            self._closing[turn.number] = turn
            over = self._close_overtaken(now)
        self._begin(trigger, now, silence_ms)
        return over

    def _begin(self, trigger: TurnTrigger, now: float, silence_ms: int | None) -> _Turn:
        self.turn += 1
        reconnects, self._reconnects = self._reconnects, 0
        turn = self._current = _Turn(self.turn, trigger, now, silence_ms, reconnects)
        return turn

    # -- responses and tools ------------------------------------------------------------------

    def response_started(self, response_id: str, now: float) -> None:
        """A response was created; one that nobody asked for begins a turn of its own."""
        turn = self._current or self._begin("agent", now, None)
        turn.responses[response_id] = None
        turn.running.add(response_id)
        turn.expecting = False
        if turn.first_response is None:
            turn.first_response = now

    def response_done(self, event: TurnDone, now: float) -> list[TurnMetrics]:
        """A response ended."""
        turn = self._of(event.response_id)
        if turn is None:
            return []
        turn.running.discard(event.response_id)
        turn.usage = turn.usage + event.usage
        turn.failed = turn.failed or event.status == "failed"
        return self._finished(turn, now)

    def used(self, usage: Usage) -> None:
        """A transcription used this; what a response used comes with its end."""
        if self._current is not None:
            self._current.usage = self._current.usage + usage

    def tool_called(self, call: FunctionCall, now: float) -> None:
        """The model called a tool."""
        turn = self._of(call.response_id) or self._current
        if turn is not None and len(turn.tools) < MAX_TOOLS:
            turn.tools.setdefault(call.call_id, _Tool(call.tool_name, call.call_id, now))

    def tool_answered(
        self, call_id: str, now: float, *, failed: bool, goes_on: bool
    ) -> tuple[list[TurnMetrics], float | None]:
        """A call was answered; `goes_on` if a response will follow. Also returns how long it took, ms, if known."""
        for turn in (self._current, *self._closing.values()):
            tool = turn.tools.get(call_id) if turn is not None else None
            if turn is None or tool is None or tool.ended is not None:
                continue
            tool.ended, tool.failed = now, failed
            turn.expecting = turn.expecting or goes_on
            return self._finished(turn, now), (now - tool.began) * 1000
        return [], None

    # -- what is heard ------------------------------------------------------------------------

    def audio_received(self, response_id: str, now: float) -> bool:
        """Audio arrived. True if it is the current turn's first."""
        turn = self._current
        if turn is None or response_id not in turn.responses:
            return False
        turn.playing = True
        if turn.first_audio is not None:
            return False
        turn.first_audio = now
        return True

    def audio_heard(self, number: int, at: float) -> None:
        """The first audio of this turn began to be heard at `at`."""
        turn = self._current if number == self.turn else self._closing.get(number)
        if turn is not None and turn.first_heard is None:
            turn.first_heard = at

    def playback_started(self) -> None:
        """The listener begins to hear the agent."""
        if self._current is not None:
            self._current.playing = True

    def playback_stopped(self, now: float) -> list[TurnMetrics]:
        """Everything was heard, or playback was cut."""
        if self._current is None:
            return []
        self._current.playing = False
        return self._finished(self._current, now)

    def interrupted(self, event: AudioInterrupted, now: float) -> list[TurnMetrics]:
        """The reply was cut."""
        turn = self._current
        if turn is None or not turn.responses:
            return []
        turn.interruptions += 1
        turn.playing = turn.expecting = False
        turn.truncated_ms += cut_ms(event)
        return self._finished(turn, now)

    def dropped(self, ms: float) -> None:
        """Audio came after its reply had been interrupted."""
        turn = next(reversed(self._closing.values()), self._current)
        if turn is not None:
            turn.dropped_ms += ms

    # -- the connection -----------------------------------------------------------------------

    def connected(self) -> bool:
        """A connection was made. True if it is not the session's first."""
        self._connections += 1
        if self._connections > 1:
            self._reconnects += 1
        return self._connections > 1

    def disconnected(self, now: float) -> list[TurnMetrics]:
        """The connection is gone: no turn goes on."""
        turns = [*self._closing.values(), *([self._current] if self._current is not None else [])]
        self._closing.clear()
        self._current = None
        return [turn.metrics(now, disconnected=True) for turn in turns if turn.responses]

    # -- the end of a turn --------------------------------------------------------------------

    def _of(self, response_id: str | None) -> _Turn | None:
        for turn in (self._current, *reversed(self._closing.values())):
            if turn is not None and response_id in turn.responses:
                return turn
        return None

    def _finished(self, turn: _Turn, now: float) -> list[TurnMetrics]:
        if turn is not self._current:
            return self._close_overtaken(now)
        if not turn.is_over():
            return []
        self._current = None
        return [turn.metrics(now, disconnected=False)]

    def _close_overtaken(self, now: float) -> list[TurnMetrics]:
        """What was overtaken is over once its responses have ended; nobody waits for its tools."""
        over = [turn for turn in self._closing.values() if not turn.running]
        excess = len(self._closing) - len(over) - MAX_CLOSING
        if excess > 0:
            over += [turn for turn in self._closing.values() if turn.running][:excess]
        for turn in over:
            del self._closing[turn.number]
        return [turn.metrics(now, disconnected=False) for turn in over]
