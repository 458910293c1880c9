"""A transport that is no Realtime API at all: a conversation in writing with any language model.

RealtimeSession(agent, transport=PipelineTransport(think))

`think` is given the history and the session's configuration (instructions, tools), and answers with words or
with tool calls. See `docs/guide/own-transport.md`.
"""

# ruff: noqa: ARG002 - the interface's

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from voxwire import (
    ConnectionChange,
    ErrorEvent,
    FunctionCall,
    FunctionCallItem,
    HistoryAdded,
    HistoryUpdated,
    McpApprovalRequest,
    MessageItem,
    NotConnectedError,
    OutputText,
    RealtimeItem,
    RealtimeTransportLayer,
    SessionUpdated,
    TextDelta,
    TurnDone,
    TurnStarted,
    Usage,
    UserError,
)
from voxwire.listeners import Listeners
from voxwire.protocol.config import coerce_config, merge_wire
from voxwire.protocol.history import History
from voxwire.protocol.items import item_from_wire, item_to_wire
from voxwire.protocol.transport_events import ConnectionStatus, TransportEventBase
from voxwire.transports.base import ApiKey, ConfigLike, MessageLike

Answer: TypeAlias = str | Sequence[tuple[str, str]]
"""The words of a reply, or tool calls: names, and arguments as JSON."""
Think: TypeAlias = Callable[[Sequence[RealtimeItem], Mapping[str, Any]], Awaitable[Answer]]


class PipelineTransport(RealtimeTransportLayer):
    """A conversation in writing with `think(history, config)`."""

    def __init__(self, think: Think) -> None:
        self.listeners = Listeners()
        self._think = think
        self._status: ConnectionStatus = "disconnected"
        self._config: dict[str, Any] = {}
        self._history = History()
        self._numbers = itertools.count(1)
        self._work: asyncio.Task[None] | None = None  # what replies
        self._wanted = False  # another reply, after the one under way
        self._response_id = ""  # of the reply under way
        self._unanswered: set[str] = set()  # tool calls

    # -- what it is ---------------------------------------------------------------------------

    @property
    def status(self) -> ConnectionStatus:
        return self._status

    @property
    def muted(self) -> bool | None:
        return None  # it has no input audio

    @property
    def history(self) -> Sequence[RealtimeItem]:
        return self._history.snapshot()

    # -- connecting ---------------------------------------------------------------------------

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        if self._status != "disconnected":
            raise UserError(f"the transport is {self._status} already; close it first")
        self._history = History()
        self._config = {}
        self._unanswered.clear()
        self._change("connecting")
        await self.update_session_config(initial_session_config or {})
        self._change("connected")

    async def close(self) -> None:
        if self._status != "disconnected":
            self._stop()
            self._change("disconnected")
            self.listeners.end_streams()

    async def update_session_config(self, config: ConfigLike) -> None:
        self._config = merge_wire(self._config, coerce_config(config).to_wire())
        self._emit(SessionUpdated(self._config))

    # -- the conversation ---------------------------------------------------------------------

    async def send_message(
        self,
        message: MessageLike,
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        self._check()
        if isinstance(message, str):
            message = {"role": "user", "content": [{"type": "input_text", "text": message}]}
        self._add(item_from_wire({"type": "message", **message, "id": self._new("item")}))
        if trigger_response:
            await self.request_response()

    async def add_image(
        self, image: str, *, detail: str | None = None, trigger_response: bool = True
    ) -> None:
        part = {"type": "input_image", "image_url": image, "detail": detail}
        await self.send_message({"role": "user", "content": [part]}, trigger_response=trigger_response)

    async def request_response(self, response: Mapping[str, Any] | None = None) -> None:
        self._check()
        if response:
            raise UserError(f"{type(self).__name__} has no settings for one response, got {response!r}")
        self._wanted = True
        if self._work is None:
            self._work = asyncio.create_task(self._reply())

    async def interrupt(self) -> None:
        self._check()
        self._stop()

    async def send_event(self, event: Mapping[str, Any]) -> None:
        if event.get("type") != "response.cancel":  # with which guardrails stop what is written
            raise UserError(f"{type(self).__name__} has no wire, so it cannot send {event.get('type')!r}")
        if event.get("response_id") in (None, self._response_id):
            await self.interrupt()

    async def send_function_call_output(
        self, call: FunctionCall, output: str, *, start_response: bool = True
    ) -> None:
        self._check()
        self._history.set_output(call.call_id, output)
        self._emit(HistoryUpdated(self.history))
        self._unanswered.discard(call.call_id)
        self._wanted = self._wanted or start_response
        if self._wanted and not self._unanswered:
            await self.request_response()

    async def reset_history(self, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> None:
        self._check()
        self._history = History()
        for item in new:
            self._history.upsert(item)
        self._emit(HistoryUpdated(self.history))

    # -- what it cannot do --------------------------------------------------------------------

    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        raise UserError(f"{type(self).__name__} has no ears; use send_message()")

    async def mute(self, muted: bool) -> None:
        raise UserError(f"{type(self).__name__} has no input audio to mute")

    async def send_mcp_response(
        self, request: McpApprovalRequest, approved: bool, reason: str | None = None
    ) -> None:
        raise UserError(f"{type(self).__name__} makes no MCP calls; give the agent mcp_servers instead")

    # -- replying -----------------------------------------------------------------------------

    async def _reply(self) -> None:
        while self._wanted and not self._unanswered:
            self._wanted = False
            self._response_id = self._new("resp")
            self._emit(TurnStarted(self._response_id))
            try:
                answer = await self._think(self.history, self._config)
            except Exception as error:  # noqa: BLE001 - one reply fails, and the conversation goes on
                self._emit(ErrorEvent(error))
                self._done("failed")
            else:
                self._done(
                    "completed", [self._say(answer)] if isinstance(answer, str) else self._call(answer)
                )
        self._work = None

    def _say(self, text: str) -> RealtimeItem:
        item = MessageItem(self._new("item"), "assistant", (OutputText(text),))
        self._add(item)
        self._emit(TextDelta(text, item.item_id, self._response_id))
        return item

    def _call(self, calls: Sequence[tuple[str, str]]) -> Sequence[RealtimeItem]:
        items = [FunctionCallItem(self._new("item"), self._new("call"), *call) for call in calls]
        self._unanswered.update(item.call_id for item in items)
        for item in items:
            self._add(item)
            self._emit(FunctionCall(item.call_id, item.name, item.arguments, item.item_id, self._response_id))
        return items

    def _done(self, status: str, items: Sequence[RealtimeItem] = ()) -> None:
        response_id, self._response_id = self._response_id, ""
        output = tuple(raw for item in items for raw in item_to_wire(item))
        self._emit(TurnDone(response_id, status, None, output, Usage(requests=1)))

    def _stop(self) -> None:
        self._wanted = False
        if self._work is not None:
            self._work.cancel()
            self._work = None
        if self._response_id:
            self._done("cancelled")

    # -- small things -------------------------------------------------------------------------

    def _check(self) -> None:
        if self._status != "connected":
            raise NotConnectedError(f"the transport is {self._status}; call connect() first")

    def _new(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def _add(self, item: RealtimeItem | None) -> None:
        if item is not None:
            self._history.upsert(item)
            self._emit(HistoryAdded(item))
            self._emit(HistoryUpdated(self.history))

    def _change(self, status: ConnectionStatus) -> None:
        self._status = status
        self._emit(ConnectionChange(status))

    def _emit(self, event: TransportEventBase) -> None:
        self.listeners.emit(event.name, event)
