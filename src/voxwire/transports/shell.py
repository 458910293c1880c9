"""The shell around an engine: it carries out actions, and owns time, the sink and the listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from ..audio.base import AudioSink
from ..errors import ConnectionLost, UserError, WireError
from ..listeners import Listeners
from ..protocol import wire
from ..protocol.actions import Action, CancelTimer, Emit, Fail, Play, Ready, Send, SetTimer, StopPlayback
from ..protocol.audio_gate import HoldBack
from ..protocol.call_events import CALL_EVENTS
from ..protocol.engine import RealtimeEngine
from ..protocol.events import parse_server_event
from ..protocol.formats import AudioFormat
from ..protocol.observed import ObservedEngine, Observer
from ..protocol.options import EngineOptions
from ..protocol.transport_events import AudioEvent, ConnectionChange, ErrorEvent, TransportEventBase
from .base import RealtimeTransportLayer
from .link import Link

__all__ = ["EngineShell"]

logger = logging.getLogger("voxwire")

T = TypeVar("T")

LISTENING = frozenset(
    {
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "response.output_audio.done",
        "response.done",
    }
)
"""Events for which the engine has to know what was heard."""
SINK_HIGH_MS = 120_000.0
"""Audio waiting in the sink, ms, at which reading pauses; a sink may set its own `max_buffer_ms`."""
SINK_CHECK = 0.25
"""Seconds between two looks at a sink that is too full."""
OWN_NAMES = frozenset({"*", "sent", "connected", "disconnected"}) | {
    event.name for event in (*TransportEventBase.__subclasses__(), *CALL_EVENTS)
}
"""Names of listeners that a wire event must not reach by being called so."""


FOR_LISTENERS = (Play, Emit)
"""Actions that wait until the wire and the sink have had theirs."""


class EngineShell(RealtimeTransportLayer):
    """Carries out what an engine decides: first the wire and the sink, then the listeners.

    Args:
        engine: decides.
        sink: where output audio goes, beside the `audio` event.
        max_message_bytes: a larger message is refused.
    """

    def __init__(self, engine: RealtimeEngine, sink: AudioSink | None, max_message_bytes: int) -> None:
        self.listeners = Listeners(flow=self, on_error=self._listener_failed)
        self._engine = engine
        self._sink = sink
        self._max_bytes = max_message_bytes
        self._link: Link | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._laggards: dict[int, object] = {}
        self._sink_began_at: float | None = None
        self._sink_format: AudioFormat | None = None

    @property
    def engine_options(self) -> EngineOptions:
        """The limits of the engine."""
        return self._engine.options

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Show every step of the engine to `observer`, before it is carried out, until the result is called.

        Raises:
            UserError: if another observer looks on already.
        """
        if isinstance(self._engine, ObservedEngine):
            raise UserError("this transport is being recorded already; close the other recorder first")
        observed = ObservedEngine(self._engine, observer)
        self._engine = cast("RealtimeEngine", observed)

        def stop() -> None:
            self._engine = observed.release()

        return stop

    # -- what arrives -----------------------------------------------------------------------

    def _received(self, link: Link, data: str | bytes) -> None:
        try:
            event = wire.decode(data, self._max_bytes, self._engine.codec)
        except WireError as error:
            self._emit(ErrorEvent(error))
            return
        kind: str = event["type"]
        if kind in LISTENING:
            self._ask_sink()
        actions = self._engine.receive(event, link.now())
        if len(actions) == 1 and isinstance(actions[0], Play):
            named = self.listeners.named
            if kind not in named and "*" not in named:
                self._play(actions[0].audio, link)  # audio, fifty times a second: the rest would do no more
                return
        self._carry_out(link, event, actions)

    def _carry_out(self, link: Link, event: dict[str, Any], actions: Sequence[Action]) -> None:
        """First the wire and the sink; then the listeners, of this event and of what it means."""
        kind: str = event["type"]
        listeners = self.listeners
        for action in actions:
            if not isinstance(action, FOR_LISTENERS):
                self._act(action)
        # Parsed before a listener of "*" can change the dict, which is the listener's to keep.
        typed = parse_server_event(event) if kind not in OWN_NAMES and listeners.has(kind) else None
        if listeners.has("*"):
            listeners.emit("*", event)
        if typed is not None:
            listeners.emit(kind, typed)
        for action in actions:
            self._tell(action, link)
        if self._sink_format is not None and self._engine.output_format != self._sink_format:
            self._sink_format = None  # until it is open again
            link.hold(self)
            link.start(self._reopen_sink(link))

    def _perform(self, actions: Sequence[Action]) -> None:
        """Carry out what the engine decided: first the wire and the sink, then the listeners."""
        for action in actions:
            if not isinstance(action, FOR_LISTENERS):
                self._act(action)
        link = self._link
        for action in actions:
            self._tell(action, link)

    def _act(self, action: Action) -> None:
        match action:
            case Send(event=event):
                self._send_now(event)
            case StopPlayback(heard_ms=heard):
                if self._sink is not None:
                    self._guarded(self._sink.clear, heard + (self._sink_began_at or 0.0))
            case SetTimer(name=name, at=at):
                self._cancel_timer(name)
                loop = asyncio.get_running_loop()
                self._timers[name] = loop.call_at(at, self._timer, name)
            case CancelTimer(name=name):
                self._cancel_timer(name)
            case _:
                pass

    def _tell(self, action: Action, link: Link | None) -> None:
        if isinstance(action, Play):
            self._play(action.audio, link)
        elif isinstance(action, Emit):
            self._emit(action.event)
        elif link is not None and not link.ready.done():
            match action:
                case Ready(warning=warning):
                    if self._sink is not None:
                        link.hold(self)  # until the sink is open, too
                    link.ready.set_result(warning)
                case Fail(error=error):
                    link.ready.set_exception(error)
                case _:
                    pass

    def _play(self, audio: AudioEvent, link: Link | None) -> None:
        sink = self._sink
        if sink is not None:
            self._guarded(sink.write, audio.data)
            if link is not None:
                self._watch_sink(link, sink)
        self.listeners.emit("audio", audio)

    def _watch_sink(self, link: Link, sink: AudioSink) -> None:
        limit = getattr(sink, "max_buffer_ms", SINK_HIGH_MS)
        if self._asked(sink.buffered_ms, 0.0) > limit:
            link.hold(sink)
            link.later("sink", SINK_CHECK, lambda: self._watch_sink(link, sink))
        else:
            link.release(sink)

    def _emit(self, event: TransportEventBase) -> None:
        name = event.name
        if isinstance(event, ErrorEvent) and not self.listeners.has("error"):
            # Nobody listens: the log is told what kind of thing happened, not what was said.
            code = getattr(event.error, "code", None)
            logger.warning("unheard error: %s%s", type(event.error).__name__, f" ({code})" if code else "")
        self.listeners.emit(name, event)
        if isinstance(event, ConnectionChange) and event.status in ("connected", "disconnected"):
            self.listeners.emit(event.status, event)

    def _listener_failed(self, error: Exception) -> None:
        logger.error("a listener raised %s", type(error).__name__, exc_info=error)

    def _guarded(self, function: Callable[[Any], None], argument: Any) -> None:
        try:
            function(argument)
        except Exception as error:  # noqa: BLE001 - a broken loudspeaker must not end the call
            self._emit(ErrorEvent(error))

    def _asked(self, function: Callable[[], T], otherwise: T) -> T:
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - as above
            self._emit(ErrorEvent(error))
            return otherwise

    # -- time, sink, flow ---------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _timer(self, name: str) -> None:
        self._timers.pop(name, None)
        if name == "playback":
            self._ask_sink()
        self._perform(self._engine.timer(name, self._now()))

    def _cancel_timer(self, name: str) -> None:
        handle = self._timers.pop(name, None)
        if handle is not None:
            handle.cancel()

    def _ask_sink(self) -> None:
        """Tell the engine what was heard on this connection; the sink counts from its first one."""
        if self._sink is None or self._sink_began_at is None:
            return
        heard = self._asked(self._sink.heard_ms, None)
        if heard is not None:
            self._engine.report_heard(heard - self._sink_began_at)

    async def _open_sink(self, link: Link) -> None:
        """Get the sink ready for the format in force, while no audio can arrive."""
        sink = self._sink
        if sink is None:
            return
        link.hold(self)
        try:
            audio_format = None
            while audio_format != self._engine.output_format:
                audio_format = self._engine.output_format
                await sink.open(audio_format)
        finally:
            link.release(self)
        self._sink_format = audio_format

    async def _reopen_sink(self, link: Link) -> None:
        try:
            await self._open_sink(link)
        except Exception as error:  # noqa: BLE001 - a broken loudspeaker must not end the call
            self._emit(ErrorEvent(error))

    def hold_back_audio(self, limits: HoldBack | None) -> None:
        """Keep output audio until `release_audio`; see `RealtimeTransportLayer`."""
        self._perform(self._engine.hold_back_audio(limits, self._now()))

    def release_audio(
        self, response_id: str, item_id: str | None = None, characters: int | None = None
    ) -> None:
        """Let held audio go; see `RealtimeTransportLayer`."""
        self._perform(self._engine.release_audio(response_id, item_id, characters, self._now()))

    def withhold_audio(self, response_id: str) -> None:
        """Never play what is held of this response; see `RealtimeTransportLayer`."""
        self._perform(self._engine.withhold_audio(response_id, self._now()))

    @property
    def holds_audio(self) -> bool:
        """Whether output audio is being held back right now; see `hold_back_audio`."""
        return bool(self._engine.gate)

    async def interrupt_response(
        self, response_id: str, *, generation: bool = True, playback: bool = True
    ) -> None:
        """Stop one response, and no other: its generation, its playback, or both.

        While audio of another response waits in the sink as well, what is in there of this one is heard.
        """
        self._ask_sink()
        if playback:
            self.withhold_audio(response_id)
        self._perform(
            self._engine.interrupt_response(
                response_id, self._now(), generation=generation, playback=playback
            )
        )
        if self._link is not None:
            await self._link.carrier.drain()

    @property
    def audio_output(self) -> AudioSink | None:
        """Where output audio goes, beside the `audio` event; may be set while there is no connection."""
        return self._sink

    @audio_output.setter
    def audio_output(self, sink: AudioSink | None) -> None:
        if self._link is not None:
            raise UserError(f"the transport is {self.status}; set audio_output before connecting")
        self._sink = sink

    def hold(self, who: object, /) -> None:
        """A consumer of events lags behind: stop reading (see `voxwire.listeners.Flow`)."""
        self._laggards[id(who)] = who
        if self._link is not None:
            self._link.hold(who)

    def release(self, who: object, /) -> None:
        """It has caught up."""
        self._laggards.pop(id(who), None)
        if self._link is not None:
            self._link.release(who)

    # -- what goes out ------------------------------------------------------------

    def _send_now(self, event: Mapping[str, Any]) -> None:
        link = self._link
        if link is None:
            return
        try:
            link.carrier.send(wire.encode(event))
        except ConnectionLost:
            return  # the carrier says so itself, through closed()
        if self.listeners.has("sent"):
            self.listeners.emit("sent", event)
