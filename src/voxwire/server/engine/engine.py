"""The server engine: client events and the results of the speech pipeline in, actions out.

It never awaits, reads no clock and makes no identifiers of its own: time (seconds, any
monotonic clock) and ids are handed in. Whatever a client sends, it answers; nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from ..limits import Limits
from .actions import Close, EngineAction, SetTimer
from .client_events import CLIENT_EVENTS
from .config import default_session, merge_session, turn_detection
from .conversation import Conversation
from .errors import ClientError
from .input import InputSide, TurnListener
from .items import ServerItem, public, server_item
from .mcp import McpSide
from .outbox import Ids, Outbox
from .output import QUIET_TIMER, OutputSide
from .playout import PLAYOUT_TIMER, Playout
from .reading import read_message
from .responses import SpokenPiece
from .schema import any_mapping, listed, missing

__all__ = ["ServerEngine"]

SESSION_TIMER = "session"
IDLE_TIMER = "idle"
_Handler: TypeAlias = Callable[[dict[str, Any], float], None]


class ServerEngine:
    """One session.

    Args:
        ids: makes identifiers from a prefix.
        now: seconds on the caller's clock.
        unix_now: seconds since 1970, for `expires_at`.
        model: as the client named it.
        voice: the voice of a new session.
        transcription: a transcription session: it listens and never answers.
        template: a `session` object merged into the defaults (client secrets).
        overrides: a `session` object merged into that (calls).
        played: for a call: how much of the audio of `Play` was played since the beginning, ms. Its
            audio comes by `hear` then, and leaves by `Play` in place of `response.output_audio.delta`.

    Raises:
        ClientError: the template or the overrides are not valid.
    """

    def __init__(
        self,
        *,
        ids: Ids,
        now: float,
        unix_now: float,
        model: str = "gpt-realtime",
        voice: str = "marin",
        transcription: bool = False,
        limits: Limits | None = None,
        template: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        played: Callable[[], float] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._out = Outbox(ids)
        self._transcribing = transcription
        session = default_session(model, voice=voice, transcription=transcription)
        for changes in (template, overrides):
            if changes is not None:
                session = merge_session(session, changes)
        self.session: dict[str, Any] = {
            **session,
            "id": ids("sess_"),
            "expires_at": int(unix_now + self._limits.session_seconds),
        }
        self._last_event = now
        self.conversation = Conversation(ids("conv_"), self._limits.items, self._limits.retained_audio_ms)
        self._mcp = McpSide(self._out, self.conversation, self._limits)
        self._playout = Playout(self._out, self.conversation, played) if played is not None else None
        self._output = OutputSide(
            self._out,
            self.conversation,
            self._limits,
            self.session,
            self._awaits,
            mcp=self._mcp,
            playout=self._playout,
            now=now,
        )
        listener = TurnListener(self._turn_started, self._turn_stopped, self._output.understood)
        self._input = InputSide(
            self._out, self.conversation, self._limits, self.session, listener, media=played is not None
        )
        self._handlers: dict[str, _Handler] = {
            "session.update": self._session_update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._item_create,
            "conversation.item.delete": self._item_delete,
            "conversation.item.retrieve": self._item_retrieve,
            "conversation.item.truncate": self._item_truncate,
            "response.create": self._response_create,
            "response.cancel": self._response_cancel,
            "output_audio_buffer.clear": self._output_clear,
        }

    def greet(self) -> list[EngineAction]:
        """Another client has come to the session: what it, and nobody else, is told first."""
        self._out.send("session.created", session=public(self.session))
        return self._out.take()

    def start(self, now: float) -> list[EngineAction]:
        """The connection is open."""
        self._last_event = now
        self._out.send("session.created", session=public(self.session))
        self._out.do(SetTimer(SESSION_TIMER, now + self._limits.session_seconds))
        self._out.do(SetTimer(IDLE_TIMER, now + self._limits.idle_seconds))
        self._mcp.configure(self.session)
        return self._out.take()

    # -- client events ----------------------------------------------------------------------

    def receive_text(self, message: str | bytes, now: float) -> list[EngineAction]:
        """A message arrived; it may be anything."""
        try:
            event = read_message(message, self._limits.message_bytes)
        except ClientError as exc:
            self._last_event = now
            self._out.error(exc)
            return self._out.take()
        return self.receive(event, now)

    def receive(self, event: object, now: float) -> list[EngineAction]:
        """A client event arrived; malformed ones are answered with an `error`."""
        event_id: str | None = None
        self._last_event = now
        self._look(now)
        try:
            given = cast("dict[str, Any]", event) if isinstance(event, dict) else any_mapping(event, "event")
            event_id = raw_id if isinstance(raw_id := given.get("event_id"), str) else None
            self._dispatch(given, now)
        except ClientError as exc:
            self._out.error(exc, event_id)
        return self._out.take()

    def _dispatch(self, event: dict[str, Any], now: float) -> None:
        if "type" not in event:
            raise missing("type")
        kind = event["type"]
        check = CLIENT_EVENTS.get(kind) if isinstance(kind, str) else None
        if check is None:
            raise ClientError(
                f"Invalid value: {kind!r}. Supported values are: {listed(CLIENT_EVENTS)}.", param="type"
            )
        if self._transcribing and not kind.startswith(("session.", "input_audio_buffer.")):
            raise ClientError(
                f"'{kind}' is not available in a transcription session.",
                code="invalid_session_type",
                param="type",
            )
        self._handlers[kind](check(event, ""), now)

    def _session_update(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        session = merge_session(self.session, event["session"], voice_locked=self._output.spoke)
        self._mcp.check(session)
        self.session = session
        self._input.configure(session)
        self._output.configure(session)
        self._out.send("session.updated", session=public(session))
        self._mcp.configure(session)

    def _append(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        self._input.append(event["audio"])

    def _commit(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        self._input.commit()

    def _clear(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        self._input.clear()

    def _item_create(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        item = server_item(
            event["item"], self._out.new_id("item_"), self._out.new_id("call_"), self._input.buffer.format
        )
        self.conversation.check_free(item.id, self._input.turn_id)
        self._check_answer(item)
        previous = self.conversation.insert(item, event.get("previous_item_id"))
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._out.send(kind, previous_item_id=previous, item=public(item.wire))
        self._input.recognise(item)
        if item.wire["type"] == "mcp_approval_response":
            self._mcp.decided(item.wire)

    def _check_answer(self, item: ServerItem) -> None:
        """An answer needs its question in the conversation."""
        wire = item.wire
        if wire["type"] == "mcp_approval_response":
            self._mcp.check_answer(wire)
        if wire["type"] == "function_call_output" and not any(
            other.wire["type"] == "function_call" and other.wire["call_id"] == wire["call_id"]
            for other in self.conversation
        ):
            raise ClientError(
                f"Tool call ID '{wire['call_id']}' not found in conversation.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )

    def _item_delete(self, event: dict[str, Any], now: float) -> None:
        item_id: str = event["item_id"]
        self.conversation.delete(item_id)
        self._out.send("conversation.item.deleted", item_id=item_id)
        self._input.forget(item_id)
        self._output.forget(item_id, now)
        self._mcp.forget(item_id)

    def _item_retrieve(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        item = self.conversation.find(event["item_id"], "retrieving", "retrieve")
        self._out.send("conversation.item.retrieved", item=item.retrieved())

    def _item_truncate(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        where = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**where)
        self._out.send("conversation.item.truncated", **where)

    def _response_create(self, event: dict[str, Any], now: float) -> None:
        self._output.create(event.get("response") or {}, now)

    def _response_cancel(self, event: dict[str, Any], now: float) -> None:
        self._output.cancel(event.get("response_id"), now)

    def _output_clear(self, event: dict[str, Any], now: float) -> None:  # noqa: ARG002
        if self._playout is None:
            raise ClientError(
                "'output_audio_buffer.clear' is for WebRTC and SIP connections. Over WebSocket, stop your own "
                "playback and send 'conversation.item.truncate'.",
                param="type",
            )
        self._output.clear_audio(now)

    # -- turns ------------------------------------------------------------------------------

    def _awaits(self, item_id: str) -> bool:
        return self._input.awaits(item_id)

    def _turn_started(self, now: float) -> None:
        settings = turn_detection(self.session) or {}
        if settings.get("interrupt_response", True):
            self._output.interrupt(now)

    def _turn_stopped(self, now: float) -> None:
        settings = turn_detection(self.session) or {}
        if self._transcribing or not settings.get("create_response", True):
            return
        self._respond(now)

    def _respond(self, now: float) -> None:
        try:
            self._output.create({}, now)
        except ClientError as exc:
            self._out.error(exc)

    # -- the media plane of a call ------------------------------------------------------------

    def hear(self, pcm: bytes, now: float) -> list[EngineAction]:
        """The next audio of the caller, 24 kHz PCM16; it counts as a sign of life."""
        self._last_event = now
        self._look(now)
        self._input.hear(pcm)
        return self._out.take()

    def press(self, key: str, unix_now: float) -> list[EngineAction]:
        """The caller pressed a key of the telephone."""
        self._out.send("input_audio_buffer.dtmf_event_received", event=key, received_at=int(unix_now))
        return self._out.take()

    def ahead_ms(self, response_id: str) -> float:
        """How far the audio of a response is ahead of what was played, ms; 0 without a media plane."""
        return self._playout.ahead_ms(response_id) if self._playout is not None else 0.0

    def _look(self, now: float) -> None:
        if self._playout is not None:
            self._playout.look(now)

    # -- the speech pipeline ----------------------------------------------------------------

    def voice(self, probabilities: Sequence[float], frame_ms: float, now: float) -> list[EngineAction]:
        """How likely each frame of `Hear` was speech."""
        self._input.voice(probabilities, frame_ms, now)
        return self._out.take()

    def partial(self, item_id: str, text: str, now: float) -> list[EngineAction]:
        """What was recognised of an item so far."""
        self._input.partial(item_id, text, now)
        return self._out.take()

    def transcribed(self, item_id: str, text: str, seconds: float, now: float) -> list[EngineAction]:
        """What was recognised of an item, all of it."""
        self._input.transcribed(item_id, text, seconds, now)
        return self._out.take()

    def transcription_failed(self, item_id: str, message: str, now: float) -> list[EngineAction]:
        """An item could not be recognised."""
        self._input.transcription_failed(item_id, message, now)
        return self._out.take()

    def wrote(self, response_id: str, text: str, now: float) -> list[EngineAction]:
        """More text of a text-only reply; ignored once the response is over, like all of these."""
        self._output.wrote(response_id, text, now)
        return self._out.take()

    def spoken(self, response_id: str, piece: SpokenPiece, now: float) -> list[EngineAction]:
        """More of a spoken reply."""
        self._output.spoken(response_id, piece, now)
        return self._out.take()

    def called(self, response_id: str, name: str, arguments: str, now: float) -> list[EngineAction]:
        """A tool call in a reply."""
        self._output.called(response_id, name, arguments, now)
        return self._out.take()

    def finished(self, response_id: str, now: float) -> list[EngineAction]:
        """The reply is complete."""
        self._output.finished(response_id, now)
        return self._out.take()

    def incomplete(self, response_id: str, reason: str, now: float) -> list[EngineAction]:
        """The reply was cut off: `max_output_tokens` or `content_filter`."""
        self._output.incomplete(response_id, reason, now)
        return self._out.take()

    def failed(self, response_id: str, message: str, code: str, now: float) -> list[EngineAction]:
        """The reply could not be made."""
        self._output.failed(response_id, message, code, now)
        return self._out.take()

    # -- MCP --------------------------------------------------------------------------------

    def mcp_listed(self, item_id: str, tools: Sequence[Mapping[str, Any]]) -> list[EngineAction]:
        """The tools of an MCP server; ignored if the session names it no more, like all of these."""
        self._mcp.listed(item_id, tools)
        return self._out.take()

    def mcp_listing_failed(self, item_id: str, message: str) -> list[EngineAction]:
        """The tools of an MCP server could not be listed."""
        self._mcp.listing_failed(item_id, message)
        return self._out.take()

    def mcp_answered(self, item_id: str, output: str, now: float) -> list[EngineAction]:
        """An MCP call has a result."""
        self._output.mcp_ended(self._mcp.answered(item_id, output), now)
        return self._out.take()

    def mcp_failed(self, item_id: str, error: Mapping[str, Any], now: float) -> list[EngineAction]:
        """An MCP call failed: `type` (`tool_execution_error`, `protocol_error`, `http_error`) and `message`."""
        self._output.mcp_ended(self._mcp.failed(item_id, error), now)
        return self._out.take()

    # -- time -------------------------------------------------------------------------------

    def timer(self, name: str, now: float) -> list[EngineAction]:
        """A timer has fired."""
        if name == SESSION_TIMER:
            minutes = f"{self._limits.session_seconds / 60:g}"
            self._expire(f"Your session hit the maximum duration of {minutes} minutes.", "session_expired")
        elif name == IDLE_TIMER:
            self._check_idle(now)
        elif name == QUIET_TIMER:
            self._user_is_quiet(now)
        elif name == PLAYOUT_TIMER and self._playout is not None:
            self._playout.timer(now)
        return self._out.take()

    def _check_idle(self, now: float) -> None:
        at = self._last_event + self._limits.idle_seconds
        if at > now:
            self._out.do(SetTimer(IDLE_TIMER, at))
            return
        self._expire(f"Your session was idle for {self._limits.idle_seconds:g} seconds.", "session_idle")

    def _expire(self, message: str, code: str) -> None:
        self._out.error(ClientError(message, code=code))
        self._out.do(Close(1001, message))

    def _user_is_quiet(self, now: float) -> None:
        quiet = self._output.quiet_for()
        if quiet is None or self._input.speaking:
            return
        try:
            self.conversation.check_room()
        except ClientError as exc:
            self._out.error(exc)
            return
        self._input.commit_silence(quiet)
        self._respond(now)
