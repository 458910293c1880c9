"""The engine of the Realtime dialect: wire events and commands in, actions out.

One engine serves one transport for its whole life; every connection is an epoch of it. The
shell around it opens the carrier, calls these methods on the event loop and carries out
what they return, in order. `now` is seconds of any monotonic clock.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..errors import NotConnectedError, UserError, VoxwireError
from . import commands, holding, interruption, media_frames, raw_sending, timeouts
from .actions import Action, CancelTimer, Emit, Fail, Ready, Send, SetTimer, StopPlayback
from .audio_gate import AudioGate, HoldBack
from .calls import ToolCalls
from .codec import STANDARD, Codec
from .config_merge import interrupt_response, output_format
from .formats import PCM16, AudioFormat
from .handlers import HANDLERS
from .history import History, HistoryView
from .items import RealtimeItem
from .machines import CONNECTION
from .media_plane import MediaPlane
from .options import EngineOptions
from .playback import Playback
from .recent import RecentSet
from .responses import ResponseSequencer
from .settings import SentSettings
from .transport_events import (
    AudioStopped,
    ConnectionChange,
    ConnectionStatus,
    FunctionCall,
    HistoryUpdated,
    ItemUpdate,
    McpApprovalRequest,
    SessionUpdated,
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


MAX_EARLY = 256
"""Events kept that arrive before the carrier says it is open."""
MAX_REMEMBERED = 256
"""Items remembered until the service answers what was asked about them."""


class RealtimeEngine:
    """What a client of the Realtime API has to know and decide.

    Args:
        ids: `ids("event")` gives a new identifier with that prefix.
        options: limits.
        codec: what decodes audio.
    """

    def __init__(
        self, *, ids: Callable[[str], str], options: EngineOptions | None = None, codec: Codec = STANDARD
    ) -> None:
        self.ids = ids
        self.options = options or EngineOptions()
        self.codec = codec
        self.connection = CONNECTION.initial
        self.epoch = 0
        self.usage = Usage()
        self.dropped_ms = 0.0
        self.calls = ToolCalls()
        self.gate: AudioGate | None = None
        self.plane: MediaPlane | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget the last connection."""
        self.responses = ResponseSequencer(lambda: self.ids("event"))
        self.playback = Playback()
        self.gate = AudioGate(self.gate.limits) if self.gate is not None else None
        self.plane = MediaPlane() if self.options.media_plane else None
        self.history = History(max_items=self.options.max_items, store_audio=self.options.store_audio)
        self.session: Mapping[str, Any] = {}
        self.session_interrupts = True
        self.output_format: AudioFormat = PCM16
        self.output_bytes_per_ms = PCM16.bytes_per_ms
        self.settings = SentSettings()
        self.configure_event_id: str | None = None
        self.put_first = RecentSet(MAX_REMEMBERED)
        self.awaiting_heard = RecentSet(MAX_REMEMBERED)
        self.cancels = RecentSet(MAX_REMEMBERED)
        self.has_spoken = False
        self.last_activity = 0.0
        self._first_session: Mapping[str, Any] = {}
        self._early: deque[Mapping[str, Any]] = deque(maxlen=MAX_EARLY)

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
        self._first_session = copy.deepcopy(dict(session or {}))
        self.connection = CONNECTION.step(self.connection, "connect")
        return [Emit(ConnectionChange("connecting")), Emit(HistoryUpdated(HistoryView(self.history)))]

    def opened(self, now: float) -> list[Action]:
        """The carrier is open."""
        self.connection = CONNECTION.step(self.connection, "opened")
        out: list[Action] = [SetTimer("configure", now + self.options.configure_timeout)]
        if self._first_session:
            out.append(Send(self._session_update(self._first_session)))
        while self._early:
            out += self.receive(self._early.popleft(), now)
        return out

    def _session_update(self, session: Mapping[str, Any]) -> dict[str, Any]:
        event_id = self.ids("event")
        self.settings.sent(event_id, session)
        if self.connection != "connected":
            self.configure_event_id = event_id
        # A type other than realtime (a transcription session) is the caller's to name.
        return {"type": "session.update", "event_id": event_id, "session": {"type": "realtime", **session}}

    def take_session(self, session: Mapping[str, Any], out: list[Action]) -> None:
        """The service said which configuration is in force."""
        # A copy: listeners hold the event itself.
        self.session = copy.deepcopy(session)
        self.session_interrupts = interrupt_response(session)
        # Frames of a media plane are what the carrier makes of them, whatever the session says.
        self.output_format = output_format(session) if self.plane is None else PCM16
        self.output_bytes_per_ms = self.output_format.bytes_per_ms
        out.append(Emit(SessionUpdated(self.session)))

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
        out: list[Action] = [CancelTimer(name) for name in timeouts.TIMERS]
        if self.playback.playing:
            out.append(StopPlayback(self.playback.heard_ms(now)))
            out.append(Emit(AudioStopped(interrupted=True)))
        self.responses.reset()
        self.calls.disconnected()
        self.playback = Playback()
        self.plane = MediaPlane() if self.options.media_plane else None
        self.gate = AudioGate(self.gate.limits) if self.gate is not None else None
        out.append(Emit(ConnectionChange("disconnected", code, reason, error)))
        return out

    # -- what arrives -----------------------------------------------------------------

    def receive(self, event: Mapping[str, Any], now: float) -> list[Action]:
        """A server event arrived. Unknown types and malformed fields change nothing."""
        kind = event.get("type")
        if not isinstance(kind, str) or self.connection in ("disconnected", "closing"):
            return []
        if kind.startswith("response."):
            self.last_activity = now
        handler = HANDLERS.get(kind)
        if handler is None:
            return []
        if self.connection == "opening":
            self._early.append(event)
            return []
        out: list[Action] = []
        handler(self, event, out, now)
        return out

    def media(self, pcm: bytes, silent: bool, now: float) -> list[Action]:
        """A frame of the media plane arrived (PCM16, mono, 24 kHz); `silent` if there is nothing to hear in it."""
        return media_frames.frame(self, pcm, silent, now)

    def timer(self, name: str, now: float) -> list[Action]:
        """A timer that was set has fired."""
        handler = timeouts.TIMERS.get(name)
        return handler(self, now) if handler is not None else []

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
        return raw_sending.send_noted(self, event)

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
        return out + timeouts.watch(self, now)

    def go_on(self, now: float) -> list[Action]:
        """All calls of a response are answered: let the model go on."""
        return self._create(None, automatic=True, now=now)

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
        changed = self.settings.difference(config)
        if self.has_spoken:
            changed = commands.without_voice(changed)
        if not changed:
            return []
        return [Send(self._session_update(changed))]

    def send_function_call_output(
        self, call: FunctionCall, output: str, now: float, *, start_response: bool = True
    ) -> list[Action]:
        """Answer a tool call; the model goes on when all calls of its response are answered.

        Raises:
            UserError: if the call was answered already, or was made on an earlier connection.
        """
        self._need_connection()
        if self.calls.is_dropped(call.call_id):
            words = f"tool call {call.call_id!r} ({call.tool_name}) was made on a connection that has ended"
            raise UserError(f"{words}; nobody waits for its output")
        if self.calls.is_answered(call.call_id):
            raise UserError(f"tool call {call.call_id!r} ({call.tool_name}) has been answered already")
        goes_on = self.calls.answer(call.call_id, start_response=start_response)
        out: list[Action] = [Send(commands.function_call_output(call.call_id, output, self.ids))]
        item = self.history.set_output(call.call_id, output)
        if item is not None:
            out += [Emit(ItemUpdate(item)), Emit(HistoryUpdated(HistoryView(self.history)))]
        return out + (self.go_on(now) if goes_on else timeouts.watch(self, now))

    def send_mcp_response(
        self, request: McpApprovalRequest, approved: bool, reason: str | None
    ) -> list[Action]:
        """Answer the service's question whether it may call an MCP tool."""
        self._need_connection()
        return [Send(commands.mcp_approval_response(request.item.item_id, approved, reason, self.ids))]

    def reset_history(self, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> list[Action]:
        """Send what turns `old` into `new`; the local history follows the service's answers."""
        self._need_connection()
        return raw_sending.change_history(self, old, new)

    # -- playback and interruption --------------------------------------------------------

    def report_heard(self, heard_ms: float | None) -> None:
        """The sink's position: ms of output heard since the connection opened; None if it cannot tell."""
        self.playback.report(heard_ms)

    def report_item_heard(self, item_id: str, content_index: int, heard_ms: float) -> None:
        """A playback mark came back: `heard_ms` of this content part was heard."""
        self.playback.report_item(item_id, content_index, heard_ms)

    def note_dropped(self, delta: object) -> None:
        """Audio of an interrupted reply came late: count it (base64, 4 characters for 3 bytes) and no more."""
        if isinstance(delta, str):
            self.dropped_ms += len(delta) * 3 // 4 / self.output_bytes_per_ms

    def interrupt(self, now: float) -> list[Action]:
        """Stop the current reply: a spoken one, a text-only one, or one that has not begun."""
        self._need_connection()
        return interruption.interrupt(self, now)

    def interrupt_response(
        self, response_id: str, now: float, *, generation: bool = True, playback: bool = True
    ) -> list[Action]:
        """Stop one response, and no other; see `interruption.interrupt_response`."""
        self._need_connection()
        return interruption.interrupt_response(
            self, response_id, now, generation=generation, playback=playback
        )

    # -- holding audio back -----------------------------------------------------------------

    def hold_back_audio(self, limits: HoldBack | None, now: float) -> list[Action]:
        """Hold output audio until `release_audio`, from now on; None lets all of it through again.

        Raises:
            UserError: if the service plays the audio itself.
        """
        if limits is not None and self.options.media_plane:
            raise UserError(
                "on this transport the service plays the audio in real time, so that it cannot be held back until "
                "it has been checked; leave hold_back_ms unset, or use transport='websocket'"
            )
        before, self.gate = self.gate, AudioGate(limits) if limits is not None else None
        return holding.release_all(self, before, now) if before is not None else []

    def release_audio(
        self, response_id: str, item_id: str | None, characters: int | None, now: float
    ) -> list[Action]:
        """Text has passed; see `RealtimeTransportLayer.release_audio`."""
        if self.gate is None:
            return []
        self.gate.passed(response_id, item_id, characters)
        return holding.release(self, self.gate, now)

    def withhold_audio(self, response_id: str, now: float) -> list[Action]:
        """Never play what is held of a response; see `RealtimeTransportLayer.withhold_audio`."""
        return holding.drop(self, self.gate, response_id, now) if self.gate is not None else []
