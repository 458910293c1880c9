"""`session.metrics`: listens to the transport, with the time, and adds up what the turns were like."""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ..protocol.metrics import TurnMeter, TurnMetrics, TurnTrigger, cut_ms
from ..protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    ConnectionChange,
    FunctionCall,
    SessionUpdated,
    TransportEventBase,
    TurnDone,
    TurnStarted,
    UsageUpdate,
)
from ..protocol.usage import Usage
from ..transports.base import RealtimeTransportLayer
from .cost import CostMeter, setting

__all__ = ["SessionMeter", "SessionMetrics"]

RECENT_TURNS: Final = 100
"""Turns that `session.metrics` shows."""
LOOK_AGAIN: Final = 0.1
"""Seconds between two looks whether the first audio of a turn is being heard."""
LOOKS: Final = 100


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """Totals of a session, over all its connections, and its last turns.

    Attributes:
        turns: turns that are over.
        responses: responses that ended.
        tool_calls, tool_failures, tool_ms: tool calls that were answered, those that went wrong, their time.
        interruptions, truncated_ms, dropped_ms, reconnects: see `TurnMetrics`.
        usage: tokens.
        recent: the last 100 turns, oldest first.
    """

    turns: int = 0
    responses: int = 0
    tool_calls: int = 0
    tool_failures: int = 0
    tool_ms: float = 0.0
    interruptions: int = 0
    truncated_ms: float = 0.0
    dropped_ms: float = 0.0
    reconnects: int = 0
    usage: Usage = field(default_factory=Usage)
    recent: Sequence[TurnMetrics] = ()

    @property
    def first_audio_ms(self) -> float | None:
        """The median of the recent turns' times until the first audio arrived."""
        return _median(turn.first_audio_ms for turn in self.recent)

    @property
    def first_heard_ms(self) -> float | None:
        """The median of the recent turns' times until the first audio was heard."""
        return _median(turn.first_heard_ms for turn in self.recent)


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


class Host(Protocol):
    """What the meter needs of the session."""

    @property
    def transport(self) -> RealtimeTransportLayer:
        """Whom to listen to."""
        ...

    def emit(self, event: TransportEventBase, /) -> None:
        """Tell the session's listeners."""


class SessionMeter:
    """Measures one session. Nothing is done per audio delta but the first of each turn.

    It hears each event before the session's listeners do, and tells of a turn after them.

    Attributes:
        turns: the turns under way.
        costs: what was used, by model.
        usage: what was used in all.
    """

    def __init__(self, host: Host) -> None:
        self.turns = TurnMeter()
        self.costs = CostMeter()
        self._host = host
        self._recent: deque[TurnMetrics] = deque(maxlen=RECENT_TURNS)
        self._over: list[TurnMetrics] = []
        self._counts = {"turns": 0, "responses": 0, "tool_calls": 0, "tool_failures": 0}
        self._counts |= {"interruptions": 0, "reconnects": 0}
        self._tool_ms = self._truncated_ms = self._dropped_ms = 0.0
        self.usage = Usage()
        self._silence_ms: int | None = None
        self._attached = False
        self._waiting_for_audio = False
        self._looking: asyncio.TimerHandle | None = None
        self._first: tuple[int, float] | None = None
        """The turn whose first audio is not heard yet, and where that begins in the output, ms."""
        self._silent_at: float | None = None
        """Where in the output silence has just ended, ms."""
        self._handlers: Mapping[str, Callable[[Any], None]] = {
            "connection_change": self._connection_changed,
            "session_updated": self._configured,
            "user_speech_stopped": lambda _event: self.user_ended("speech"),
            "turn_started": self._turn_started,
            "turn_done": self._turn_done,
            "usage_update": self._used,
            "function_call": self._tool_called,
            "audio_start": self._playback_started,
            "audio_stopped": self._playback_stopped,
            "audio_interrupted": self._interrupted,
        }

    # -- what it says -------------------------------------------------------------------------

    def snapshot(self) -> SessionMetrics:
        """The totals now."""
        self._note_dropped()
        return SessionMetrics(
            **self._counts,
            tool_ms=self._tool_ms,
            truncated_ms=self._truncated_ms,
            dropped_ms=self._dropped_ms,
            usage=self.usage,
            recent=tuple(self._recent),
        )

    # -- listening ----------------------------------------------------------------------------

    def attach(self) -> None:
        """Begin to listen; before the session's relay does."""
        if not self._attached:
            self._attached = True
            for name, handler in self._handlers.items():
                self._host.transport.on(name, handler)

    def detach(self) -> None:
        """Stop, and tell what is left to tell."""
        if self._attached:
            self._attached = False
            for name, handler in self._handlers.items():
                self._host.transport.off(name, handler)
        self._tell()

    def _connection_changed(self, event: ConnectionChange) -> None:
        if event.status == "connected":
            self._counts["reconnects"] += self.turns.connected()
        elif event.status == "disconnected":
            self._stop_looking()
            self._first = self._silent_at = None
            self._waiting_for_audio = False
            self._host.transport.off("audio", self._audio)
            self._note_dropped()
            self._finish(self.turns.disconnected(self._now()))

    def _configured(self, event: SessionUpdated) -> None:
        self.costs.configured(event.session)
        silence = setting(event.session, "audio", "input", "turn_detection", "silence_duration_ms")
        self._silence_ms = silence if isinstance(silence, int) else None

    def user_ended(self, trigger: TurnTrigger) -> None:
        """The user has finished speaking, or sent a message."""
        silence = self._silence_ms if trigger == "speech" else None
        self._finish(self.turns.user_ended(trigger, self._now(), silence_ms=silence))

    def _turn_started(self, event: TurnStarted) -> None:
        self.turns.response_started(event.response_id, self._now())
        if self.turns.wants_audio and not self._waiting_for_audio:
            self._waiting_for_audio = True
            self._host.transport.on("audio", self._audio)

    def _turn_done(self, event: TurnDone) -> None:
        self._counts["responses"] += 1
        self._note_dropped()
        if getattr(self._host.transport, "holds_audio", False):
            self.turns.playback_started()  # it will be heard, or its reply interrupted
        self._finish(self.turns.response_done(event, self._now()))

    def _used(self, event: UsageUpdate) -> None:
        self.usage = self.usage + event.usage
        self.costs.used(event.usage)
        if not event.usage.requests:
            self.turns.used(event.usage)

    def _tool_called(self, event: FunctionCall) -> None:
        self.turns.tool_called(event, self._now())

    def tool_answered(self, call_id: str, *, failed: bool, goes_on: bool) -> None:
        """A tool call was answered."""
        over, took = self.turns.tool_answered(call_id, self._now(), failed=failed, goes_on=goes_on)
        self._counts["tool_calls"] += 1
        self._counts["tool_failures"] += failed
        self._tool_ms += took or 0.0
        self._finish(over)

    # -- what is heard ------------------------------------------------------------------------

    def _audio(self, event: AudioEvent) -> None:
        if not self.turns.audio_received(event.response_id, self._now()):
            return  # of a turn before
        self._waiting_for_audio = False
        self._host.transport.off("audio", self._audio)
        heard, unheard = self._position()
        if heard is None:
            return  # then "audio_start" has to do
        begins, self._silent_at = self._silent_at, None
        if begins is None:  # behind a reply that is still being heard
            begins = heard + unheard - event.format.duration_ms(len(event.data))
        self._first = self.turns.turn, begins
        self._look_later((begins - heard) / 1000, LOOKS)

    def _playback_started(self, event: AudioStarted) -> None:
        now = self._now()
        self.turns.playback_started()
        self._silent_at = self._position()[0]
        if self._silent_at is None:
            # It plays somewhere else (WebRTC): the service says when.
            self.turns.audio_received(event.response_id, now)
            self.turns.audio_heard(self.turns.turn, now)

    def _playback_stopped(self, _event: object) -> None:
        self._look()
        self._finish(self.turns.playback_stopped(self._now()))

    def _interrupted(self, event: AudioInterrupted) -> None:
        self._look()
        self._counts["interruptions"] += 1
        self._truncated_ms += cut_ms(event)
        self._finish(self.turns.interrupted(event, self._now()))

    def _position(self) -> tuple[float | None, float]:
        transport = self._host.transport
        return getattr(transport, "heard_ms", None), getattr(transport, "unheard_ms", 0.0)

    def _look_later(self, seconds: float, looks: int) -> None:
        self._stop_looking()
        delay = max(seconds, 0.0) + LOOK_AGAIN
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(delay, self._look_again, looks - 1) if looks else None

    def _look_again(self, looks: int) -> None:
        self._looking = None
        if not self._look():
            self._look_later(0.0, looks)

    def _look(self) -> bool:
        """Whether the first audio of the turn has been heard, and so, since when. It has been playing ever since."""
        if self._first is None:
            return True
        number, begins = self._first
        heard = self._position()[0]
        if heard is None or heard <= begins:
            return False
        self.turns.audio_heard(number, self._now() - (heard - begins) / 1000)
        self._first = None
        return True

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _note_dropped(self) -> None:
        total = getattr(self._host.transport, "dropped_ms", 0.0)
        if total > self._dropped_ms:
            self.turns.dropped(total - self._dropped_ms)
            self._dropped_ms = total

    # -- the end of a turn --------------------------------------------------------------------

    def _finish(self, over: Sequence[TurnMetrics]) -> None:
        if not over:
            return
        for turn in over:
            self._recent.append(turn)
            self._counts["turns"] += 1
        if not self._over:
            # After the event that ended it has been told to everybody.
            asyncio.get_running_loop().call_soon(self._tell)
        self._over += over

    def _tell(self) -> None:
        over, self._over = self._over, []
        for turn in over:
            self._host.emit(turn)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
