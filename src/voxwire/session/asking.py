"""Asking the model something beside the conversation: out-of-band responses, and what comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, cast

from ..errors import ConnectionLost, ModelBehaviorError, ProviderError, UserError
from ..protocol.items import RealtimeItem, item_to_wire
from ..protocol.transport_events import ErrorEvent, FunctionCall, TurnDone, TurnStarted
from ..tools.context import RunContext
from ..tools.function import FunctionTool
from ..tools.running import run_tool
from ..transports.base import RealtimeTransportLayer
from .answers import AnswerReader
from .turns import final_text

__all__ = ["Asking", "Host", "Question", "is_answer"]

METADATA_KEY: Final = "voxwire_ask"
"""Where a response says which question it answers; the service gives metadata back."""
MAX_QUESTIONS: Final = 64
"""Questions under way; one more is refused."""
MAX_TOOL_ROUNDS: Final = 8
"""How often one question may call tools before it has to be answered."""

Question: TypeAlias = str | Mapping[str, Any] | Sequence[Mapping[str, Any] | RealtimeItem]
"""A text, an item of the wire, or several items."""


class Host(Protocol):
    """What asking needs of the session."""

    @property
    def transport(self) -> RealtimeTransportLayer:
        """Where questions go."""
        ...

    @property
    def context(self) -> RunContext[Any]:
        """The run context, for tools."""
        ...


def _mark(response: Mapping[str, Any]) -> str | None:
    metadata: Any = response.get("metadata")
    mark = cast("Mapping[str, Any]", metadata).get(METADATA_KEY) if isinstance(metadata, Mapping) else None
    return mark if isinstance(mark, str) else None


def is_answer(response: Mapping[str, Any]) -> bool:
    """Whether a response of the wire answers a question, and is not the agent's turn."""
    return _mark(response) is not None


@dataclass(slots=True, eq=False)
class _Open:
    """One `response.create`, until its response is done."""

    event_id: str
    done: asyncio.Future[TurnDone] = field(repr=False)
    response_id: str | None = None
    given_up: bool = False


class Asking:
    """The questions under way. Their responses are no turns of an agent: the session passes over them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._open: dict[str, _Open] = {}
        self._responses: dict[str, _Open] = {}
        self._cancels: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Questions that wait for an answer."""
        return len(self._open)

    def owns(self, response_id: str | None) -> bool:
        """Whether this response answers a question."""
        return response_id in self._responses

    async def ask(
        self,
        question: Question,
        *,
        output_type: Any,
        instructions: str | None,
        tools: Sequence[FunctionTool[..., Any]],
        with_history: bool,
        timeout: float | None,
    ) -> Any:
        """See `RealtimeSession.ask`."""
        _refuse_tools(tools)
        reader = AnswerReader(output_type)
        items = [*(_references(self._host.transport.history) if with_history else ()), *_items(question)]
        response: dict[str, Any] = {
            "conversation": "none",
            "output_modalities": ["text"],
            "tools": [tool.to_wire() for tool in tools],
        }
        words = "\n\n".join(filter(None, (instructions, reader.instructions)))
        if words:
            response["instructions"] = words
        timer = asyncio.timeout(timeout)
        try:
            async with timer:
                text = await self._answer(response, items, tools)
                answer, problem = reader.read(text)
                if problem is None:
                    return answer
                # Once more, with what was wrong; more often seldom helps.
                items += [_said("assistant", text), _said("user", reader.again(problem))]
                text = await self._answer(response, items, tools)
                return reader.read_or_raise(text)
        except TimeoutError:
            if not timer.expired():
                raise  # somebody else's
            words = f"the model gave no answer within {timeout} s"
            raise ProviderError(words, code="ask_timeout", retryable=True) from None

    async def _answer(
        self, response: dict[str, Any], items: list[dict[str, Any]], tools: Sequence[FunctionTool[..., Any]]
    ) -> str:
        by_name = {tool.name: tool for tool in tools}
        for _ in range(MAX_TOOL_ROUNDS):
            done = await self._respond({**response, "input": items})
            calls = [item for item in done.output if item.get("type") == "function_call"]
            if not calls:
                return final_text(done.output)
            outputs = await asyncio.gather(*(self._run(item, by_name, done.response_id) for item in calls))
            for item, output in zip(calls, outputs, strict=True):
                call_id = str(item.get("call_id"))
                call = {key: item.get(key) for key in ("type", "call_id", "name", "arguments")}
                items += [call, {"type": "function_call_output", "call_id": call_id, "output": output}]
        raise ModelBehaviorError(f"the model called tools {MAX_TOOL_ROUNDS} times and gave no answer")

    async def _run(
        self, item: Mapping[str, Any], tools: Mapping[str, FunctionTool[..., Any]], response_id: str
    ) -> str:
        name, arguments = str(item.get("name")), str(item.get("arguments") or "")
        tool = tools.get(name)
        if tool is None:
            return f"Tool {name} not found"
        context = self._host.context
        call = FunctionCall(str(item.get("call_id")), name, arguments, str(item.get("id")), response_id)
        return (await run_tool(tool, context.of_call(call, context.agent), arguments)).output

    async def _respond(self, response: dict[str, Any]) -> TurnDone:
        if len(self._open) >= MAX_QUESTIONS:
            raise UserError(f"{MAX_QUESTIONS} questions wait for an answer already; wait for one of them")
        mark = secrets.token_hex(8)
        question = _Open(f"ask_{mark}", asyncio.get_running_loop().create_future())
        self._open[mark] = question
        self._listen()
        try:
            create = {**response, "metadata": {METADATA_KEY: mark}}
            event = {"type": "response.create", "event_id": question.event_id, "response": create}
            try:
                await self._host.transport.send_event(event)
            except Exception as error:
                _settle(question, error)  # nothing was asked, and nothing has to be taken back
                raise
            return _completed(await question.done)
        finally:
            self._give_up(mark, question)

    # -- what the transport says -------------------------------------------------------------------

    def turn_started(self, event: TurnStarted) -> bool:
        """A response began; whether it answers a question."""
        mark = _mark(event.response)
        question = self._open.get(mark) if mark is not None else None
        if question is None:
            return False
        question.response_id = event.response_id
        self._responses[event.response_id] = question
        if question.given_up:
            self._open.pop(str(mark), None)
            self._cancel(event.response_id)
        return True

    def turn_done(self, event: TurnDone) -> bool:
        """A response ended; whether it answered a question."""
        question = self._responses.pop(event.response_id, None)
        if question is None:
            return False
        if not question.done.done():
            question.done.set_result(event)
        return True

    def stop(self) -> None:
        """The connection is over."""
        for question in self._open.values():
            _settle(question, ConnectionLost("the connection ended before there was an answer"))
        self._open.clear()
        self._responses.clear()
        self._unlisten()

    def _failed(self, event: ErrorEvent) -> None:
        wanted = getattr(event.error, "event_id", None)
        for mark, question in tuple(self._open.items()):
            if wanted == question.event_id:
                if question.given_up:
                    del self._open[mark]
                elif not question.done.done():
                    question.done.set_exception(event.error)

    def _give_up(self, mark: str, question: _Open) -> None:
        """Nobody waits any more: forget the question, or take it back."""
        if question.done.done() and not question.done.cancelled():
            self._open.pop(mark, None)
        elif question.response_id is not None:
            self._open.pop(mark, None)
            self._cancel(question.response_id)
        else:
            question.given_up = True  # until it is known what to cancel
        if not self._open:
            self._unlisten()

    def _cancel(self, response_id: str) -> None:
        if self._host.transport.status != "connected":
            return
        event = {"type": "response.cancel", "response_id": response_id}
        task = asyncio.get_running_loop().create_task(_quietly(self._host.transport.send_event(event)))
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)

    def _listen(self) -> None:
        if len(self._open) == 1:
            self._host.transport.off("error", self._failed)
            self._host.transport.on("error", self._failed)

    def _unlisten(self) -> None:
        self._host.transport.off("error", self._failed)


async def _quietly(sending: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(ConnectionLost, UserError):  # with the connection, the response is gone as well
        await sending


def _settle(question: _Open, error: Exception) -> None:
    if not question.done.done():
        question.done.set_exception(error)
        question.done.exception()  # whoever asked may be gone


def _refuse_tools(tools: Sequence[FunctionTool[..., Any]]) -> None:
    for tool in tools:
        if not isinstance(tool, FunctionTool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"ask() takes function tools, got {tool!r}")
        if tool.needs_approval is not False:
            raise UserError(f"tool {tool.name!r} needs approval, which nobody can give within ask()")


def _items(question: Question) -> list[dict[str, Any]]:
    if isinstance(question, str):
        return [_said("user", question)]
    if isinstance(question, Mapping):
        return [{"type": "message", "role": "user", **question}]
    items: list[dict[str, Any]] = []
    for item in question:
        wire = [{"type": "message", **item}] if isinstance(item, Mapping) else item_to_wire(item)
        # Items of the conversation would be there twice if they kept their ids.
        items += [{key: value for key, value in entry.items() if key != "id"} for entry in wire]
    if not items:
        raise UserError("ask() needs a question, got no items")
    return items


def _references(history: Sequence[RealtimeItem]) -> list[dict[str, Any]]:
    ids = [
        found for item in history for found in (item.item_id, getattr(item, "output_item_id", None)) if found
    ]
    return [{"type": "item_reference", "id": item_id} for item_id in ids]


def _said(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _completed(done: TurnDone) -> TurnDone:
    if done.status == "completed":
        return done
    details = done.status_details or {}
    error: Any = details.get("error") or {}
    reason = error.get("message") or details.get("reason") or "no reason given"
    raise ProviderError(
        f"the answer is {done.status}: {reason}",
        type=error.get("type"),
        code=error.get("code") or f"response_{done.status}",
        raw=json.loads(json.dumps(done.response, default=str)),
    )
