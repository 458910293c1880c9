"""What a session passes on to its transport, and its listeners."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ..errors import UserError
from ..listeners import EventStream, Listeners, ListenerT
from ..protocol.history_export import history_to_text, history_to_webvtt
from ..protocol.history_json import history_to_json
from ..protocol.items import RealtimeItem
from ..protocol.prices import DEFAULT_PRICES, Cost
from ..protocol.transport_events import ConnectionChange, ConnectionStatus, ErrorEvent, TransportEventBase
from ..tools.calling import call as call_function
from ..transports.base import MessageLike, RealtimeTransportLayer
from .events import SESSION_EVENTS
from .item_times import ItemClock
from .metrics import SessionMeter, SessionMetrics
from .relay import Relay, flow_of

__all__ = ["HistoryChange", "SessionBase"]

logger = logging.getLogger("voxwire")

HistoryChange: TypeAlias = (
    Sequence[RealtimeItem]
    | Callable[[Sequence[RealtimeItem]], Sequence[RealtimeItem] | Awaitable[Sequence[RealtimeItem]]]
)
"""A new history, or a function or coroutine function that makes it of the old one."""


class SessionBase:
    """The part of a session that knows nothing of agents.

    Args:
        handlers: what the session does with an event of the transport before its listeners hear it.
    """

    def __init__(
        self, transport: RealtimeTransportLayer, handlers: Mapping[str, Callable[[Any], None]]
    ) -> None:
        self._transport = transport
        self._listeners = Listeners(flow=flow_of(transport))
        self._relay = Relay(transport, self._listeners, {"error": self._log_unheard, **handlers})
        self._meter = SessionMeter(self)
        self._clock = ItemClock(transport)
        self._prices = DEFAULT_PRICES
        self._ended: ConnectionChange | None = None
        """How the last connection ended; None while there is one, or has been none."""

    # -- what it is -----------------------------------------------------------------------

    @property
    def transport(self) -> RealtimeTransportLayer:
        """The transport, for everything the session does not do."""
        return self._transport

    @property
    def history(self) -> Sequence[RealtimeItem]:
        """The conversation, oldest item first; still there after the connection ended."""
        return self._transport.history

    @property
    def status(self) -> ConnectionStatus:
        """Where the connection is."""
        return self._transport.status

    @property
    def muted(self) -> bool | None:
        """Whether input audio is held back; None if the transport cannot."""
        return self._transport.muted

    @property
    def metrics(self) -> SessionMetrics:
        """Latency, tools, interruptions and tokens so far, and the last turns; each is told as `turn_metrics`."""
        return self._meter.snapshot()

    @property
    def meter(self) -> SessionMeter:
        """What measures the turns while they go on; `metrics` is what it says of those that are over."""
        return self._meter

    @property
    def cost(self) -> Cost:
        """What the session has cost so far; `amount` is None where a model has no price in the table."""
        return self._meter.costs.total(self._prices)

    # -- what the user asks for -----------------------------------------------------------

    async def send_message(
        self,
        message: MessageLike,
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Add a message of the user; see `RealtimeTransportLayer.send_message`."""
        self._user_sent(trigger_response)
        await self._transport.send_message(message, other_event_data, trigger_response=trigger_response)

    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Append audio in the session's input format; `commit` ends the user's turn."""
        if commit:
            self._user_sent(True)
        await self._transport.send_audio(pcm, commit=commit)

    async def add_image(
        self, image: str, *, detail: str | None = None, trigger_response: bool = True
    ) -> None:
        """Add a picture (data URL or address) as a message of the user."""
        self._user_sent(trigger_response)
        await self._transport.add_image(image, detail=detail, trigger_response=trigger_response)

    async def interrupt(self) -> None:
        """Stop the current reply: generation and playback, heard or not yet begun."""
        self._before_interrupt()
        await self._transport.interrupt()

    async def mute(self, muted: bool = True) -> None:
        """Hold input audio back, or let it through again."""
        await self._transport.mute(muted)

    async def update_history(self, change: HistoryChange) -> None:
        """Change the conversation at the service; `history` follows as the service confirms.

        Raises:
            UserError: if an item is in the new history twice.
        """
        old = self._transport.history
        new = await call_function(change, old) if callable(change) else change
        await self._transport.reset_history(old, new)

    def export_history(self, format: Literal["json", "text", "webvtt"] = "json") -> str:
        """The conversation as a document.

        Args:
            format: `json` has everything, and `RealtimeSession(history=...)` takes it back; `text` has a line per
                item; `webvtt` has captions, whose times are those at which the items were heard, since `connect`.

        Raises:
            UserError: if it is none of these.
        """
        match format:
            case "json":
                return history_to_json(self.history)
            case "text":
                return history_to_text(self.history)
            case "webvtt":
                return history_to_webvtt(self.history, self._clock.times)
            case _:
                raise UserError(f"a history is exported as 'json', 'text' or 'webvtt', not {format!r}")

    def _user_sent(self, trigger_response: bool) -> None:
        if trigger_response:
            self._meter.user_ended("message")

    def tool_answered(self, call_id: str, /, *, failed: bool, goes_on: bool) -> None:
        """A tool call is being answered; its time is up. `goes_on` if a response will follow."""
        self._meter.tool_answered(call_id, failed=failed, goes_on=goes_on)

    def _before_interrupt(self) -> None:
        """The user of the session interrupts."""

    # -- listeners ------------------------------------------------------------------------

    def on(self, name: str, listener: ListenerT) -> ListenerT:
        """Call `listener(event)`, a function or coroutine function, for every event of this name."""
        self._relay.want(name)
        return self._listeners.on(name, listener)

    def once(self, name: str, listener: ListenerT) -> ListenerT:
        """Like `on`, for the next event only."""
        self._relay.want(name)
        return self._listeners.once(name, listener)

    def off(self, name: str, listener: Callable[[Any], Any]) -> None:
        """Remove a listener."""
        self._listeners.off(name, listener)

    def events(self, *names: str) -> EventStream:
        """Iterate the events of these names, or all but `transport_event`, from now on.

        The iteration ends with the connection. After that it ends at once, until `connect` is called.
        """
        for name in names:
            self._relay.want(name)
        stream = self._listeners.stream(*(names or SESSION_EVENTS))
        if self._ended is not None:
            stream.close()
        return stream

    def __aiter__(self) -> EventStream:
        return self.events()

    def emit(self, event: TransportEventBase) -> None:
        """Tell the listeners."""
        self._listeners.emit(event.name, event)

    def report(self, error: Exception) -> None:
        """Tell the listeners of an error."""
        event = ErrorEvent(error)
        self._log_unheard(event)
        self.emit(event)

    def _log_unheard(self, event: ErrorEvent) -> None:
        if not self._listeners.has("error"):
            # What kind of thing happened, not what was said.
            code = getattr(event.error, "code", None)
            logger.warning("unheard error: %s%s", type(event.error).__name__, f" ({code})" if code else "")
