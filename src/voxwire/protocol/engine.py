"""The engine of the Realtime dialect: wire events and commands in, actions out.

One engine serves one transport for its whole life; every connection is an epoch of it. The
shell around it opens the carrier, calls these methods on the event loop and carries out
what they return, in order. `now` is seconds of any monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from ..errors import ConnectTimeout, NotConnectedError, UserError, VoxwireError
from . import commands
from .actions import Action, CancelTimer, Emit, Fail, Ready, Send, SetTimer, StopPlayback
from .calls import ToolCalls
from .config import changed_only, merge_wire
from .formats import PCM16, AudioFormat
from .handlers import HANDLERS
from .history import DEFAULT_MAX_ITEMS, History, HistoryView
from .history_diff import history_changes
from .items import RealtimeItem
from .machines import CONNECTION
from .playback import Playback
from .responses import ResponseSequencer
from .transport_events import (
    AudioInterrupted,
    AudioStopped,
    ConnectionChange,
    ConnectionStatus,
    ErrorEvent,
    FunctionCall,
    HistoryUpdated,
    ItemUpdate,
    McpApprovalRequest,
)
from .usage import Usage

__all__ = ["EngineOptions", "RealtimeEngine"]

STATUS: Final[Mapping[str, ConnectionStatus]] = {
    "disconnected": "disconnected",
    "opening": "connecting",
    "greeting": "connecting",
    "configuring": "connecting",
    "connected": "connected",
    "closing": "disconnecting",
}


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits of an engine; times are seconds.

    Attributes:
        configure_timeout: for `session.created` and the echo of the first `session.update`.
        configure_required: if it passes, fail; otherwise go on with a warning.
        response_timeout: for an answer to a `response.create`.
        stall_timeout: silence of a running response after which others stop waiting for it.
        confirm_truncation: ask the service what is left of an item that was cut.
        max_items, store_audio: see `History`.
    """

    configure_timeout: float = 5.0
    configure_required: bool = True
    response_timeout: float = 15.0
    stall_timeout: float = 60.0
    confirm_truncation: bool = True
    max_items: int = DEFAULT_MAX_ITEMS
    store_audio: bool = False


class RealtimeEngine:
    """What a client of the Realtime API has to know and decide.

    Args:
        ids: `ids("event")` gives a new identifier with that prefix.
        options: limits.
    """

    def __init__(self, *, ids: Callable[[str], str], options: EngineOptions | None = None) -> None:
        self.ids = ids
        self.options = options or EngineOptions()
        self.connection = CONNECTION.initial
        self.epoch = 0
        self.usage = Usage()
        self._begin()

    def _begin(self) -> None:
        """Forget the last connection."""
        self.responses = ResponseSequencer(lambda: self.ids("event"))
        self.playback = Playback()
        self.calls = ToolCalls()
        self.history = History(max_items=self.options.max_items, store_audio=self.options.store_audio)
        self.session: Mapping[str, Any] = {}
        self.output_format: AudioFormat = PCM16
        self.sent_session: dict[str, Any] = {}
        self.configure_event_id: str | None = None
        self.put_first: set[str] = set()
        self.awaiting_heard: set[str] = set()
        self.has_spoken = False
        self.last_activity = 0.0

    @property
    def status(self) -> ConnectionStatus:
        """The connection, as the transport's users see it."""
        return STATUS[self.connection]

    # -- the connection ---------------------------------------------------------------

    def connect(self, session: Mapping[str, Any] | None, now: float) -> list[Action]:
        """Begin a new epoch; `session` is the first configuration, with the wire's names.

        Raises:
            UserError: if there is a connection already.
        """
        if self.connection != "disconnected":
            raise UserError(f"the transport is {self.status} already; close it before connecting again")
        self._begin()
        self.epoch += 1
        self.last_activity = now
        self.sent_session = dict(session or {})
        self.connection = CONNECTION.step(self.connection, "connect")
        return [Emit(ConnectionChange("connecting")), Emit(HistoryUpdated(HistoryView(self.history)))]

    def opened(self, now: float) -> list[Action]:
        """The carrier is open."""
        self.connection = CONNECTION.step(self.connection, "opened")
        out: list[Action] = [SetTimer("configure", now + self.options.configure_timeout)]
        if self.sent_session:
            out.append(Send(self._session_update(self.sent_session)))
        return out

    def _session_update(self, session: Mapping[str, Any]) -> dict[str, Any]:
        event_id = self.ids("event")
        if self.connection != "connected":
            self.configure_event_id = event_id
        # A type other than realtime (a transcription session) is the caller's to name.
        return {"type": "session.update", "event_id": event_id, "session": {"type": "realtime", **session}}

    def become_ready(self, event: str, warning: str | None = None) -> list[Action]:
        """The configuration is in force."""
        self.connection = CONNECTION.step(self.connection, event)
        self.configure_event_id = None
        return [CancelTimer("configure"), Emit(ConnectionChange("connected")), Ready(warning)]

    def fail(self, error: VoxwireError) -> list[Action]:
        """Connecting failed."""
        self.connection = CONNECTION.step(self.connection, "failed")
        return [CancelTimer("configure"), Fail(error)]

    def disconnected(
        self, now: float, *, code: int | None = None, reason: str = "", error: VoxwireError | None = None
    ) -> list[Action]:
        """The carrier is gone, for whatever reason. History and usage stay readable."""
        if self.connection == "disconnected":
            return []
        self.connection = CONNECTION.step(self.connection, "closed")
        out: list[Action] = [CancelTimer(name) for name in ("configure", "response", "stall", "playback")]
        if self.playback.playing:
            out.append(StopPlayback(self.playback.heard_ms(now)))
            out.append(Emit(AudioStopped(interrupted=True)))
        self.responses.reset()
        self.calls.reset()
        self.playback = Playback()
        out.append(Emit(ConnectionChange("disconnected", code, reason, error)))
        return out

    # -- what arrives -----------------------------------------------------------------

    def receive(self, event: Mapping[str, Any], now: float) -> list[Action]:
        """A server event arrived. Unknown types and malformed fields change nothing."""
        handler = HANDLERS.get(event.get("type", ""))
        if handler is None or self.connection in ("disconnected", "closing"):
            return []
        out: list[Action] = []
        self.last_activity = now
        handler(self, event, out, now)
        return out

    def timer(self, name: str, now: float) -> list[Action]:
        """A timer that was set has fired."""
        match name:
            case "configure":
                return self._configure_timed_out()
            case "response":
                return self._response_timed_out(now)
            case "stall":
                return self._response_stalled(now)
            case "playback":
                return self.check_playback(now)
            case _:
                return []

    def _configure_timed_out(self) -> list[Action]:
        if self.connection not in ("greeting", "configuring"):
            return []
        missing = "session.created" if self.connection == "greeting" else "session.updated"
        words = f"the service did not send {missing} within {self.options.configure_timeout:g} s"
        if self.options.configure_required:
            hint = "raise configure_timeout, or set configure_required=False to go on without it"
            return self.fail(ConnectTimeout(f"{words}; {hint}"))
        return self.become_ready("timed out, tolerated", f"{words}; going on without it")

    def _response_timed_out(self, now: float) -> list[Action]:
        request = self.responses.unanswered()
        if request is None:
            return []
        words = (
            f"response.create {request.event_id} was not answered within {self.options.response_timeout:g} s"
        )
        error = ConnectTimeout(f"{words}; it was given up, later ones are sent")
        error.event_id = request.event_id
        return [Emit(ErrorEvent(error)), *self.send_creates(self.responses.advance(), now)]

    def _response_stalled(self, now: float) -> list[Action]:
        if not (self.responses.busy and self.responses.pending):
            return []
        due = self.last_activity + self.options.stall_timeout
        if now < due:
            return [SetTimer("stall", due)]
        self.responses.stalled()
        return self.send_creates(self.responses.advance(), now)

    # -- what the user asks for ---------------------------------------------------------

    def _need_connection(self) -> None:
        if self.connection not in ("connected", "greeting", "configuring"):
            raise NotConnectedError(f"the transport is {self.status}; call connect() first")

    def send_event(self, event: Mapping[str, Any], now: float) -> list[Action]:
        """Send a wire event as it is; creates, cancels and truncations pass through the machines."""
        self._need_connection()
        kind = event.get("type")
        if not isinstance(kind, str) or not kind:
            raise UserError(f"a wire event needs a 'type', got {dict(event)!r}")
        if kind == "response.create":
            return self._create(event, automatic=False, now=now)
        if kind == "session.update" and isinstance(event.get("session"), Mapping):
            self.sent_session = merge_wire(self.sent_session, cast("dict[str, Any]", event["session"]))
        if kind == "conversation.item.create" and event.get("previous_item_id") == "root":
            self._remember_first(event)
        return [Send(dict(event))]

    def _remember_first(self, event: Mapping[str, Any]) -> None:
        item = event.get("item")
        if isinstance(item, Mapping) and isinstance(cast("Mapping[str, Any]", item).get("id"), str):
            self.put_first.add(cast("Mapping[str, str]", item)["id"])

    def request_response(self, response: Mapping[str, Any] | None, now: float) -> list[Action]:
        """Ask for a response; without overrides, several such requests become one."""
        self._need_connection()
        if response is None:
            return self._create(None, automatic=True, now=now)
        return self._create({"type": "response.create", "response": dict(response)}, automatic=False, now=now)

    def _create(self, event: Mapping[str, Any] | None, *, automatic: bool, now: float) -> list[Action]:
        try:
            return self.send_creates(self.responses.request(event, automatic=automatic), now)
        except OverflowError as error:
            raise UserError(f"{error}; wait for one of them to end") from None

    def send_creates(self, creates: list[dict[str, Any]], now: float) -> list[Action]:
        """Put creates on the wire and watch for their answers."""
        out: list[Action] = [Send(event) for event in creates]
        if self.responses.in_flight is not None:
            if creates:
                out.append(SetTimer("response", now + self.options.response_timeout))
        else:
            out.append(CancelTimer("response"))
        if self.responses.pending and self.responses.busy:
            out.append(SetTimer("stall", max(self.last_activity, now) + self.options.stall_timeout))
        return out

    def send_message(
        self,
        message: str | Mapping[str, Any],
        other_event_data: Mapping[str, Any] | None,
        now: float,
        *,
        trigger_response: bool = True,
    ) -> list[Action]:
        """Add a user's message; see `RealtimeTransportLayer.send_message`."""
        self._need_connection()
        out: list[Action] = [Send(commands.create_message(message, other_event_data, self.ids))]
        if trigger_response:
            out += self._create(None, automatic=True, now=now)
        return out

    def update_session(self, config: Mapping[str, Any]) -> list[Action]:
        """Change the configuration, sending only what differs from what was sent before."""
        self._need_connection()
        changed = changed_only(self.sent_session, dict(config))
        if self.has_spoken:
            changed = commands.without_voice(changed)
        if not changed:
            return []
        self.sent_session = merge_wire(self.sent_session, changed)
        return [Send(self._session_update(changed))]

    def send_function_call_output(
        self, call: FunctionCall, output: str, now: float, *, start_response: bool = True
    ) -> list[Action]:
        """Answer a tool call; the model goes on when all calls of its response are answered.

        Raises:
            UserError: if the call was answered already.
        """
        self._need_connection()
        if self.calls.is_answered(call.call_id):
            raise UserError(f"tool call {call.call_id!r} ({call.tool_name}) has been answered already")
        goes_on = self.calls.answer(call.call_id, start_response=start_response)
        out: list[Action] = [Send(commands.function_call_output(call.call_id, output, self.ids))]
        item = self.history.set_output(call.call_id, output)
        if item is not None:
            out += [Emit(ItemUpdate(item)), Emit(HistoryUpdated(HistoryView(self.history)))]
        if goes_on:
            out += self._create(None, automatic=True, now=now)
        return out

    def send_mcp_response(
        self, request: McpApprovalRequest, approved: bool, reason: str | None
    ) -> list[Action]:
        """Answer the service's question whether it may call an MCP tool."""
        self._need_connection()
        return [Send(commands.mcp_approval_response(request.item.item_id, approved, reason, self.ids))]

    def reset_history(self, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> list[Action]:
        """Send what turns `old` into `new`; the local history follows the service's answers."""
        self._need_connection()
        try:
            change = history_changes(old, new, lambda: self.ids("item"))
        except ValueError as error:
            raise UserError(str(error)) from None
        out: list[Action] = []
        for event in change.events:
            if event.get("previous_item_id") == "root":
                self._remember_first(event)
            out.append(Send({"event_id": self.ids("event"), **event}))
        if change.skipped:
            words = f"items {', '.join(change.skipped)} cannot be created by a client and were left out"
            out.append(Emit(ErrorEvent(UserError(words))))
        return out

    # -- playback and interruption --------------------------------------------------------

    def report_heard(self, heard_ms: float | None) -> None:
        """The sink's position: ms of output heard since the connection opened; None if it cannot tell."""
        self.playback.report(heard_ms)

    def report_item_heard(self, item_id: str, content_index: int, heard_ms: float) -> None:
        """A playback mark came back: `heard_ms` of this content part was heard."""
        self.playback.report_item(item_id, content_index, heard_ms)

    def interrupt(self, now: float) -> list[Action]:
        """Stop the current reply: a spoken one, a text-only one, or one that has not begun."""
        self._need_connection()
        out: list[Action] = []
        active = self.responses.active_id
        running = self.responses.state == "active"
        response_id = self.responses.interrupt()
        if response_id is not None:
            out.append(Send(commands.cancel_response(response_id, self.ids)))
        self.stop_playback(out, now, (active,) if active and running else ())
        return out

    def stop_playback(self, out: list[Action], now: float, responses: tuple[str, ...]) -> None:
        """Silence the sink, tell the service what was heard, then tell the listeners."""
        was_playing = self.playback.playing
        result = self.playback.interrupt(now, responses)
        if not was_playing and not responses:
            return
        if was_playing:
            # Silence first: it is what the user is waiting for.
            out.insert(0, StopPlayback(result.heard_ms))
            out.append(CancelTimer("playback"))
        for cut in result.cuts:
            where = cut.truncation
            out.append(Send(commands.truncate(where, self.ids)))
            self.history.truncate(where.item_id, where.content_index, where.audio_end_ms, cut.received_ms)
        out.append(Emit(AudioInterrupted(tuple(cut.truncation for cut in result.cuts))))
        if was_playing:
            out.append(Emit(AudioStopped(interrupted=True)))
        if result.cuts:
            out.append(Emit(HistoryUpdated(HistoryView(self.history))))

    def check_playback(self, now: float) -> list[Action]:
        """Look whether the listener has heard everything; if not, look again later."""
        if self.playback.finish(now):
            return [CancelTimer("playback"), Emit(AudioStopped())]
        if self.playback.playing and self.playback.all_received():
            wait = max(self.playback.remaining_ms(now) / 1000, 0.01)
            return [SetTimer("playback", now + wait)]
        return []
