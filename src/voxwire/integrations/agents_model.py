"""What `RealtimeRunner` asks of a model, done by a voxwire transport. Knows their classes only by name."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

from ..errors import ConnectionLost, UserError
from ..listeners import EventStream
from ..protocol.config import output_format
from ..protocol.items import MessageItem
from ..protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    ConnectionChange,
    FunctionCall,
    ItemUpdate,
    SessionUpdated,
    TurnDone,
    TurnStarted,
)
from ..transports.base import RealtimeTransportLayer
from ..transports.shell import EngineShell
from .agents_events import make, message_item, simple_event, tool_item, usage_event
from .agents_settings import settings_to_wire, user_message
from .agents_sink import TrackedSink

__all__ = ["TransportModel"]

HEARD: Final = (
    "*",
    *("audio", "audio_done", "audio_interrupted", "audio_transcript_delta", "output_text_delta"),
    *("connection_change", "error", "function_call", "input_timeout", "item_deleted", "item_update"),
    *("session_updated", "turn_started", "turn_done"),
    *("audio_start", "audio_stopped", "user_speech_started", "user_speech_stopped", "user_transcript_delta"),
    *("dtmf", "mcp_approval_request", "mcp_tool_call_completed", "mcp_tools_listed"),
)
TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
FORMAT_NAMES: Final = {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
MAX_RESPONSES: Final = 256
"""Responses whose audio is remembered, should they be interrupted; their session lets go of them itself."""
EXPIRED: Final = 1001
"""The close code of a session that has reached its time limit: as clean an end as 1000."""


class TransportModel:
    """A voxwire transport as a `RealtimeModel` for `RealtimeRunner`; see `as_realtime_model`.

    Attributes:
        transport: for everything that their interface has no word for.
    """

    theirs: ClassVar[Any]

    def __init__(self, transport: RealtimeTransportLayer) -> None:
        self.transport = transport
        self._listeners: list[Any] = []
        self._pump: asyncio.Task[None] | None = None
        self._closing = False
        self._attached = False
        self._tracker: Any = None
        self._audio: OrderedDict[str, dict[tuple[str, int], None]] = OrderedDict()
        self._last_audio: tuple[str, int] | None = None
        self._active: set[str] = set()
        self._silenced: set[str] = set()
        self._told: set[tuple[str, int]] = set()
        self._takers: Mapping[type, Callable[[Any], Awaitable[None]]] = {
            dict: self._take_wire,
            AudioEvent: self._take_audio,
            AudioInterrupted: self._take_interruption,
            ConnectionChange: self._take_status,
            FunctionCall: self._take_call,
            ItemUpdate: self._take_item,
            SessionUpdated: self._take_config,
            TurnStarted: self._take_start,
            TurnDone: self._take_end,
        }
        self._commands: Mapping[str, Callable[[Any], Awaitable[None]]] = {
            "RealtimeModelSendAudio": lambda event: transport.send_audio(event.audio, commit=event.commit),
            "RealtimeModelSendUserInput": lambda event: transport.send_message(
                user_message(event.user_input)
            ),
            "RealtimeModelSendToolOutput": self._send_output,
            "RealtimeModelSendInterrupt": self._interrupt,
            "RealtimeModelSendSessionUpdate": self._send_settings,
            "RealtimeModelSendRawMessage": self._send_raw,
        }

    # -- listeners ------------------------------------------------------------------------

    def add_listener(self, listener: Any) -> None:
        """Tell `listener.on_event(event)` of everything."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: Any) -> None:
        """Tell it no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def _emit(self, event: Any) -> None:
        for listener in tuple(self._listeners):
            await listener.on_event(event)

    async def _tell(self, name: str, /, **fields: Any) -> None:
        await self._emit(make(self.theirs, name, **fields))

    # -- the connection -------------------------------------------------------------------

    async def connect(self, options: Mapping[str, Any]) -> None:
        """Connect; their settings are in force when it returns.

        Raises:
            UserError: if it is connected, or an option is given that belongs to the transport.
            Whatever the transport's `connect` raises.
        """
        if self._pump is not None:
            raise UserError("the model is connected already; close it before connecting again")
        if options.get("headers") is not None:
            raise UserError("headers belong to the transport: give them to its constructor")
        settings: Mapping[str, Any] = options.get("initial_model_settings") or {}
        call_id, model = options.get("call_id"), settings.get("model_name")
        if call_id and model:
            raise UserError(f"call_id={call_id!r} and model_name={model!r}: a call has its model already")
        self._attached = bool(call_id)
        config = self._to_wire(settings)
        if settings.get("tracing", "auto") is not None:
            config["tracing"] = settings.get("tracing", "auto")
        self._forget()
        self._track(options.get("playback_tracker"))
        self._pump = asyncio.get_running_loop().create_task(self._pass_on(self.transport.events(*HEARD)))
        try:
            await self.transport.connect(
                api_key=options.get("api_key"),
                model=model,
                url=options.get("url"),
                call_id=call_id,
                initial_session_config=config,
            )
        except BaseException:
            await self.close()
            raise

    def _to_wire(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        model = None if self._attached else getattr(self.transport, "model", None)
        return settings_to_wire(settings, model=model, attached=self._attached)

    def _forget(self) -> None:
        self._closing = False
        self._audio.clear()
        self._active.clear()
        self._silenced.clear()
        self._told.clear()
        self._last_audio = None

    def _track(self, tracker: Any) -> None:
        """Let their tracker say what was heard, where the transport can be told."""
        self._tracker = tracker
        transport = self.transport
        if not isinstance(transport, EngineShell):
            return
        sink = transport.audio_output
        if isinstance(sink, TrackedSink):
            transport.audio_output = sink = sink.inner
        if tracker is not None:
            transport.audio_output = TrackedSink(tracker, sink)

    async def close(self) -> None:
        """End the connection; idempotent. Listeners hear no more of it."""
        self._closing = True
        pump, self._pump = self._pump, None
        try:
            await self.transport.close()
        finally:
            if pump is not None and pump is not asyncio.current_task():
                pump.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pump
            self._track(None)

    # -- what the transport says ----------------------------------------------------------

    async def _pass_on(self, stream: EventStream) -> None:
        """One event after the other; where a listener is slow, the transport reads no faster."""
        tracked = self.transport.audio_output if isinstance(self.transport, EngineShell) else None
        if isinstance(tracked, TrackedSink):
            self.transport.on("audio", tracked.took)
        try:
            async for event in stream:
                if self._closing:
                    return
                try:
                    await self._translate(event)
                except Exception as error:  # noqa: BLE001 - told to the session, which ends with it
                    context = "Error handling an event of the transport"
                    await self._tell("Exception", exception=error, context=context)
        finally:
            stream.close()
            if isinstance(tracked, TrackedSink):
                self.transport.off("audio", tracked.took)

    async def _translate(self, event: Any) -> None:
        taker = self._takers.get(event.__class__)
        if taker is not None:
            await taker(event)
        else:
            await self._emit(simple_event(self.theirs, event))

    async def _take_wire(self, event: dict[str, Any]) -> None:
        await self._tell("RawServer", data=event)
        if event.get("type") == TRANSCRIBED and isinstance(event.get("transcript"), str):
            item_id, words = str(event.get("item_id", "")), event["transcript"]
            await self._tell("InputAudioTranscriptionCompleted", item_id=item_id, transcript=words)

    async def _take_audio(self, event: AudioEvent) -> None:
        response_id, part = event.response_id, (event.item_id, event.content_index)
        if response_id in self._silenced:
            return
        parts = self._audio.get(response_id)
        if parts is None:
            parts = self._audio[response_id] = {}
            while len(self._audio) > MAX_RESPONSES:
                self._audio.popitem(last=False)
        parts[part] = None
        self._last_audio = part
        await self._tell(
            "Audio", data=event.data, response_id=response_id, item_id=part[0], content_index=part[1]
        )

    async def _take_interruption(self, event: AudioInterrupted) -> None:
        cut = [(entry.item_id, entry.content_index) for entry in event.truncations]
        if not cut and self._last_audio is not None:
            cut = [self._last_audio]
        self._last_audio = None
        for part in cut:
            if part not in self._told:
                await self._tell("AudioInterrupted", item_id=part[0], content_index=part[1])

    async def _take_item(self, event: ItemUpdate) -> None:
        # A tool call's item comes with the call, and with its output.
        if isinstance(event.item, MessageItem):
            item = message_item(self.theirs, event.item)
            await self._tell("ItemUpdated", item=item)

    async def _take_start(self, event: TurnStarted) -> None:
        self._active.add(event.response_id)
        self._told.clear()
        await self._emit(simple_event(self.theirs, event))

    async def _take_call(self, call: FunctionCall) -> None:
        await self._tell("ItemUpdated", item=tool_item(self.theirs, call, None))
        await self._tell(
            "ToolCall",
            name=call.tool_name,
            call_id=call.call_id,
            arguments=call.arguments,
            id=call.item_id,
            previous_item_id=call.previous_item_id,
        )

    async def _take_end(self, event: TurnDone) -> None:
        self._active.discard(event.response_id)
        self._silenced.discard(event.response_id)
        used = usage_event(self.theirs, event)
        if used is not None:
            await self._emit(used)
        await self._emit(simple_event(self.theirs, event))

    async def _take_status(self, event: ConnectionChange) -> None:
        if event.status == "disconnecting":
            return  # their status has no such word
        error = event.error
        clean = error is None or (isinstance(error, ConnectionLost) and error.code == EXPIRED)
        if event.status == "disconnected" and not clean:
            context = "The connection ended unexpectedly"
            await self._tell("Exception", exception=error, context=context)
            return
        await self._tell("ConnectionStatus", status=event.status)
        if event.status == "disconnected":
            await self._tell("EndOfStream")

    async def _take_config(self, event: SessionUpdated) -> None:
        if self._tracker is not None:
            kind = output_format(event.session).type
            self._tracker.set_audio_format(FORMAT_NAMES.get(kind, "pcm16"))
        await self._emit(simple_event(self.theirs, event))

    # -- what their session asks for ------------------------------------------------------

    async def send_event(self, event: Any) -> None:
        """Carry out one of their commands."""
        command = self._commands.get(type(event).__name__)
        if command is None:
            raise UserError(f"unknown command {type(event).__name__}")
        await command(event)

    async def send_event_if(self, event: Any, send_if: Callable[[], bool]) -> bool:
        """Carry it out if `send_if()` is true then; returns whether it was.

        Nothing can happen in between: voxwire's transports put a command on the wire before they wait for anything.
        """
        if not send_if():
            return False
        await self.send_event(event)
        return True

    async def _send_settings(self, event: Any) -> None:
        await self.transport.update_session_config(self._to_wire(event.session_settings))

    async def _send_raw(self, event: Any) -> None:
        message: Mapping[str, Any] = event.message
        await self.transport.send_event({"type": message["type"], **message.get("other_data", {})})

    async def _send_output(self, event: Any) -> None:
        made = event.tool_call
        item_id, previous = made.id or "", made.previous_item_id
        call = FunctionCall(made.call_id, made.name, made.arguments, item_id, None, previous)
        await self.transport.send_function_call_output(
            call, event.output, start_response=event.start_response
        )
        done = tool_item(self.theirs, call, event.output)
        await self._tell("ItemUpdated", item=done)

    async def _interrupt(self, event: Any) -> None:
        """Stop everything, or one response, or its generation, or its playback."""
        if event.playback_only and (event.cancel_response_only or event.force_response_cancel):
            raise ValueError("playback_only cannot be combined with explicit cancellation modes")
        response_id = event.response_id
        if response_id is None:
            if event.cancel_response_only:
                raise ValueError("cancel_response_only requires response_id")
            await self.transport.interrupt()
            return
        generation, playback = not event.playback_only, not event.cancel_response_only
        if playback:
            await self._silence(response_id)
        await self._stop(response_id, generation=generation, playback=playback)

    async def _silence(self, response_id: str) -> None:
        """Pass on no more audio of it, and tell players to drop what they have."""
        if response_id in self._active:
            self._silenced.add(response_id)
        for part in self._audio.pop(response_id, {}):
            self._told.add(part)
            await self._tell("AudioInterrupted", item_id=part[0], content_index=part[1])

    async def _stop(self, response_id: str, *, generation: bool, playback: bool) -> None:
        if isinstance(self.transport, EngineShell):
            await self.transport.interrupt_response(response_id, generation=generation, playback=playback)
        elif generation and response_id in self._active:
            await self.transport.send_event({"type": "response.cancel", "response_id": response_id})

    def _retire_response_audio(self, response_id: str) -> None:
        """Their session is done with this response."""
        self._silenced.discard(response_id)
        self._audio.pop(response_id, None)
