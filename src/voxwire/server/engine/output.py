"""The speaking half of the engine: which responses run, what they are made from, when they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...protocol.formats import PCM16, parse_format
from ..limits import Limits
from ..speech.base import ResponseRequest
from .actions import CancelResponse, CancelTimer, SetTimer, StartResponse
from .config import turn_detection
from .conversation import Conversation
from .errors import ClientError
from .items import ServerItem, server_item
from .mcp import McpSide
from .outbox import Outbox
from .playout import Playout
from .rates import RateLimits
from .responses import FinalStatus, Response, ResponseSettings, SpokenPiece
from .usage import count_items

__all__ = ["QUIET_TIMER", "OutputSide"]

QUIET_TIMER = "user_quiet"
"""Fires `idle_timeout_ms` after the last reply was played."""


@dataclass(slots=True)
class _Running:
    """A response, and what it waits for before it is made."""

    response: Response
    options: dict[str, Any]
    context: list[ServerItem]
    waiting: set[str] = field(default_factory=set[str])
    written: bool = False
    """The responder has nothing to add; only MCP calls are awaited."""


class OutputSide:
    """Everything that happens to responses.

    Args:
        awaits: whether the text of an item is still to come.
        mcp: the tools of MCP servers.
        playout: what plays the audio, on a call.
    """

    def __init__(
        self,
        out: Outbox,
        conversation: Conversation,
        limits: Limits,
        session: Mapping[str, Any],
        awaits: Callable[[str], bool],
        *,
        mcp: McpSide,
        playout: Playout | None,
        now: float,
    ) -> None:
        self._out = out
        self._conversation = conversation
        self._limits = limits
        self._session = session
        self._awaits = awaits
        self._mcp = mcp
        self._playout = playout
        self._rates = RateLimits(limits.responses_per_minute, limits.tokens_per_minute, now)
        self._running: dict[str, _Running] = {}
        self._made = 0
        self._playing_until = now
        self.spoke = False

    def configure(self, session: Mapping[str, Any]) -> None:
        """The session changed; responses that run keep what they began with."""
        self._session = session
        if self._quiet_ms() is None:
            self._out.do(CancelTimer(QUIET_TIMER))

    @property
    def active(self) -> Response | None:
        """The response that runs in the default conversation."""
        found = (entry.response for entry in self._running.values() if entry.response.in_band)
        return next(found, None)

    # -- creating -------------------------------------------------------------------------

    def create(self, params: Mapping[str, Any], now: float) -> None:
        """`response.create`, its parameters checked.

        Raises:
            ClientError: one is running already, or too many are, or `input` names what does not exist.
        """
        in_band = params.get("conversation") != "none"
        active = self.active if in_band else None
        if active is not None:
            raise ClientError(
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        if len(self._running) >= self._limits.responses:
            raise ClientError(
                f"{len(self._running)} responses are in progress, the most that one session may have. "
                "Wait until one is finished.",
                code="too_many_responses",
            )
        context = self._context(params.get("input"))
        options = {**self._session, **{name: value for name, value in params.items() if value is not None}}
        settings = self._settings(params, options)
        response = Response(
            self._out,
            settings,
            self._conversation if in_band else None,
            self._mcp.response_ends,
            self._playout.add if self._playout is not None else None,
        )
        entry = _Running(response, options, context)
        self._running[response.id] = entry
        self._out.do(CancelTimer(QUIET_TIMER))
        response.created()
        beyond = self._rates.request(now)
        if beyond is not None:
            error = {
                "type": beyond,
                "code": "rate_limit_exceeded",
                "message": f"Rate limit reached on {beyond} per minute. Try again later.",
            }
            self._end(entry, "failed", now, error=error)
            return
        entry.waiting = {item.id for item in context if self._awaits(item.id)}
        if not entry.waiting:
            self._launch(entry)

    def _settings(self, params: Mapping[str, Any], options: Mapping[str, Any]) -> ResponseSettings:
        own: dict[str, Any] = params.get("audio") or {}
        sound: dict[str, Any] = {**self._session["audio"]["output"], **own.get("output", {})}
        if self.spoke and sound["voice"] != self._session["audio"]["output"]["voice"]:
            raise ClientError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="response.audio.output.voice",
            )
        return ResponseSettings(
            modality=options["output_modalities"][0],
            format=PCM16 if self._playout is not None else parse_format(sound["format"]),
            format_wire=sound["format"],
            voice=sound["voice"],
            max_output_tokens=options["max_output_tokens"],
            metadata=params.get("metadata"),
            parallel_tool_calls=options.get("parallel_tool_calls") is not False,
        )

    def _context(self, given: list[dict[str, Any]] | None) -> list[ServerItem]:
        if given is None:
            return list(self._conversation)
        heard = parse_format(self._session["audio"]["input"]["format"])
        items: list[ServerItem] = []
        for index, entry in enumerate(given):
            if entry["type"] != "item_reference":
                items.append(server_item(entry, self._out.new_id("item_"), self._out.new_id("call_"), heard))
                continue
            known = self._conversation.get(entry["id"])
            if known is None:
                raise ClientError(
                    f"Item with id '{entry['id']}' not found.",
                    code="item_not_found",
                    param=f"response.input[{index}].id",
                )
            items.append(known)
        return items

    def understood(self, item_id: str, now: float) -> None:  # noqa: ARG002 - a TurnListener
        """The text of an item is there, or will never be."""
        for entry in list(self._running.values()):
            entry.waiting.discard(item_id)
            if not entry.waiting and entry.response.state == "waiting":
                self._launch(entry)

    def forget(self, item_id: str, now: float) -> None:
        """The item was deleted: responses that are not made yet are made without it."""
        for entry in self._running.values():
            entry.context = [item for item in entry.context if item.id != item_id]
        self.understood(item_id, now)

    def _launch(self, entry: _Running) -> None:
        options, response = entry.options, entry.response
        response.launch(count_items(entry.context, options["instructions"]))
        taken = {"instructions", "tools", "tool_choice", "model", "output_modalities", "input", "audio"}
        request = ResponseRequest(
            instructions=options["instructions"],
            items=tuple(item.context() for item in entry.context),
            tools=self._mcp.offered(options["tools"]),
            tool_choice=options["tool_choice"],
            modalities=(response.settings.modality,),
            model=options["model"],
            response_number=self._made,
            options={name: value for name, value in options.items() if name not in taken},
        )
        self._made += 1
        sound: dict[str, Any] = self._session["audio"]
        transcription: dict[str, Any] = sound["input"]["transcription"] or {}
        voice = response.settings.voice
        self._out.do(
            StartResponse(
                response.id,
                request,
                response.settings.format,
                voice if isinstance(voice, str) else str(voice.get("id", "")) or None,
                float(sound["output"]["speed"]),
                transcription.get("language"),
            )
        )

    # -- what the shell makes ---------------------------------------------------------------

    def wrote(self, response_id: str, text: str, now: float) -> None:
        """Text of a reply; ignored once the response is over, like all of these."""
        self._advance(response_id, now, lambda response: response.write(text))

    def spoken(self, response_id: str, piece: SpokenPiece, now: float) -> None:
        """A piece of a spoken reply."""
        entry = self._running.get(response_id)
        if entry is None:
            return
        self._advance(response_id, now, lambda response: response.speak(piece))
        if piece.pcm:
            self.spoke = True
            length = entry.response.settings.format.duration_ms(len(piece.pcm)) / 1000
            self._playing_until = max(self._playing_until, now) + length
            if self._playout is not None:
                self._playout.look(now)

    def called(self, response_id: str, name: str, arguments: str, now: float) -> None:
        """A tool call, of a declared tool or one of an MCP server."""
        entry = self._running.get(response_id)
        found = self._mcp.find(entry.options["tools"], name) if entry is not None else None
        if found is None:
            self._advance(response_id, now, lambda response: response.call(name, arguments))
        else:
            self._advance(response_id, now, lambda response: self._mcp.call(response, found, arguments))

    def finished(self, response_id: str, now: float) -> None:
        """The reply is complete, but for the MCP calls that it waits for."""
        entry = self._running.get(response_id)
        if entry is not None and entry.response.awaits_mcp:
            entry.written = True
            return
        self._end_by_id(response_id, "completed", now)

    def mcp_ended(self, response: Response | None, now: float) -> None:
        """An MCP call of this response has ended."""
        entry = self._running.get(response.id) if response is not None else None
        if entry is not None and entry.written and not entry.response.awaits_mcp:
            self._end(entry, "completed", now)

    def incomplete(self, response_id: str, reason: str, now: float) -> None:
        """The reply was cut off: `max_output_tokens` or `content_filter`."""
        self._end_by_id(response_id, "incomplete", now, reason=reason)

    def failed(self, response_id: str, message: str, code: str, now: float) -> None:
        """The reply could not be made."""
        error = {"type": "server_error", "code": code, "message": message}
        self._end_by_id(response_id, "failed", now, error=error)

    def _advance(self, response_id: str, now: float, step: Callable[[Response], None]) -> None:
        entry = self._running.get(response_id)
        if entry is None:
            return
        try:
            step(entry.response)
        except ClientError as exc:
            entry.response.fail(exc)
        if not entry.response.running:
            self._over(entry, now)
            self._out.do(CancelResponse(response_id))

    # -- ending -----------------------------------------------------------------------------

    def cancel(self, response_id: str | None, now: float) -> None:
        """`response.cancel`.

        Raises:
            ClientError: nothing of the kind is running.
        """
        active = self.active
        wanted = response_id if response_id is not None else (active.id if active else None)
        entry = self._running.get(wanted) if wanted is not None else None
        if entry is None:
            raise ClientError(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        self._stop(entry, "client_cancelled", now)

    def interrupt(self, now: float) -> None:
        """The user began to speak over the response of the default conversation, or over its sound."""
        self.clear_audio(now)
        active = self.active
        if active is not None:
            self._stop(self._running[active.id], "turn_detected", now)
        self._playing_until = now

    def clear_audio(self, now: float) -> None:
        """Play nothing more of what was said so far."""
        if self._playout is not None and self._playout.clear(now):
            self._playing_until = now

    def _stop(self, entry: _Running, reason: str, now: float) -> None:
        if entry.response.state == "making":
            self._out.do(CancelResponse(entry.response.id))
        self._end(entry, "cancelled", now, reason=reason)

    def _end_by_id(
        self,
        response_id: str,
        status: FinalStatus,
        now: float,
        *,
        reason: str | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        entry = self._running.get(response_id)
        if entry is not None:
            self._end(entry, status, now, reason=reason, error=error)

    def _end(
        self,
        entry: _Running,
        status: FinalStatus,
        now: float,
        *,
        reason: str | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        entry.response.end(status, reason, error)
        self._over(entry, now)

    def _over(self, entry: _Running, now: float) -> None:
        response = entry.response
        del self._running[response.id]
        if self._playout is not None:
            self._playout.made(response.id, now)
        self._rates.spend(response.tokens, now)
        self._out.send("rate_limits.updated", rate_limits=self._rates.to_wire(now))
        quiet = self._quiet_ms()
        if response.in_band and quiet is not None and not response.called_tools:
            self._out.do(SetTimer(QUIET_TIMER, max(self._playing_until, now) + quiet / 1000))

    def _quiet_ms(self) -> float | None:
        value = (turn_detection(self._session) or {}).get("idle_timeout_ms")
        return None if value is None else float(value)

    def quiet_for(self) -> float | None:
        """The timer fired: how long the user was quiet, ms; None if that no longer matters."""
        return None if self.active is not None else self._quiet_ms()
