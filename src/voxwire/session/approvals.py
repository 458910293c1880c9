"""Asking a person before a tool runs.

The book of approvals is pure: it knows which calls wait, what was decided and what was decided
for good. `Approvals` lets the calls' tasks wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from ..agent import RealtimeAgent
from ..errors import UserError
from ..protocol.table import Table
from ..tools.arguments import InvalidArgumentsError, read_json
from ..tools.calling import call as call_function
from ..tools.context import RunContext
from ..tools.function import FunctionTool
from .events import ToolApprovalRequested

__all__ = [
    "APPROVAL",
    "ApprovalBook",
    "Approvals",
    "Decision",
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
    "approval_needed",
    "rejection_text",
]

logger = logging.getLogger("voxwire")

NOT_APPROVED: Final = "Tool execution was not approved."
NOBODY_DECIDED: Final = "Nobody approved the tool in time, so it was not run."
REMEMBERED: Final = 1024
"""Decided approvals that are remembered, to recognise a second decision."""

APPROVAL = Table(
    "approval",
    "asked",
    {
        ("asked", "approve"): "approved",
        ("asked", "reject"): "rejected",
        ("asked", "timed out"): "rejected",
    },
)
"""One question to a person. What is decided stays decided; the end of the connection ends them all."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a question.

    Attributes:
        message: the rejecter's words for the model; None leaves them to the formatter.
    """

    approved: bool
    message: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ToolErrorFormatterArgs:
    """What a `tool_error_formatter` is asked about.

    Attributes:
        kind: `approval_rejected`, so far the only one.
        tool_type: `function`.
        tool_name, call_id: of the call that was rejected.
        default_message: what the model is told if the formatter gives None.
        run_context: the call's.
    """

    kind: Literal["approval_rejected"]
    tool_type: Literal["function"]
    tool_name: str
    call_id: str
    default_message: str
    run_context: RunContext[Any]


ToolErrorFormatter: TypeAlias = Callable[[ToolErrorFormatterArgs], "str | Awaitable[str | None] | None"]
"""Words for the model in place of a result, or None for the default."""


async def rejection_text(
    message: str | None, formatter: ToolErrorFormatter | None, context: RunContext[Any]
) -> str:
    """What the model is told of a rejection: the rejecter's words, even empty, else the formatter's, else ours."""
    if message is not None:
        return message
    if formatter is None or context.call is None:
        return NOT_APPROVED
    call = context.call
    args = ToolErrorFormatterArgs(
        "approval_rejected", "function", call.tool_name, call.call_id, NOT_APPROVED, context
    )
    try:
        words: object = await call_function(formatter, args)
    except Exception as error:  # noqa: BLE001 - the call is answered all the same
        logger.warning("tool_error_formatter raised %s; the default text is used", type(error).__name__)
        return NOT_APPROVED
    if words is not None and not isinstance(words, str):
        logger.warning(
            "tool_error_formatter gave %s, not a string; the default text is used", type(words).__name__
        )
        return NOT_APPROVED
    return NOT_APPROVED if words is None else words


def readable(arguments: str) -> Mapping[str, Any] | None:
    """The arguments, or None if they are no JSON object."""
    try:
        return MappingProxyType(read_json(arguments))
    except InvalidArgumentsError:
        return None


async def approval_needed(tool: FunctionTool[..., Any], context: RunContext[Any], arguments: str) -> bool:
    """Whether a person has to agree to this call.

    A function is not asked about arguments it could not read: then a person is.

    Raises:
        Whatever the tool's function raises.
    """
    policy = tool.needs_approval
    if not callable(policy):
        return bool(policy)
    values = readable(arguments)
    return True if values is None else bool(await call_function(policy, context, values))


@dataclass(slots=True, eq=False)
class _Entry:
    request: ToolApprovalRequested
    state: str = APPROVAL.initial
    decision: Decision | None = None
    on_decided: Callable[[], object] | None = field(default=None, repr=False)


class ApprovalBook:
    """The questions of one connection, by call id, and what was decided for good.

    Args:
        connection: its number, which its requests carry.
    """

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self._entries: dict[str, _Entry] = {}
        self._always: dict[tuple[RealtimeAgent, str], Decision] = {}

    def standing(self, agent: RealtimeAgent, tool_name: str) -> Decision | None:
        """What was decided for good about this tool of this agent."""
        return self._always.get((agent, tool_name))

    def open(self) -> tuple[ToolApprovalRequested, ...]:
        """The questions without an answer, oldest first."""
        return tuple(entry.request for entry in self._entries.values() if entry.state == "asked")

    def add(self, request: ToolApprovalRequested, on_decided: Callable[[], object] | None = None) -> None:
        """A question was asked; `on_decided` is called when it is answered, or will never be."""
        self._entries[request.call.call_id] = _Entry(request, on_decided=on_decided)
        self._forget_old()

    def decision(self, call_id: str) -> Decision | None:
        """What was decided about this call, if anything."""
        entry = self._entries.get(call_id)
        return entry.decision if entry is not None else None

    def close(self) -> None:
        """The connection is over: whoever waits need not."""
        for entry in self._entries.values():
            if entry.decision is None and entry.on_decided is not None:
                entry.on_decided()

    def decide(
        self, request: ToolApprovalRequested, event: str, decision: Decision, *, always: bool = False
    ) -> bool:
        """Answer a question. False, and nothing changes, if it was answered before.

        Raises:
            UserError: if it is not one of this connection's questions, or not as it was asked.
        """
        entry = self._find(request)
        if not APPROVAL.allows(entry.state, event):
            return False
        entry.state = APPROVAL.step(entry.state, event)
        entry.decision = decision
        if always:
            self._always[entry.request.agent, entry.request.tool.name] = decision
        if entry.on_decided is not None:
            entry.on_decided()
        return True

    def _find(self, request: ToolApprovalRequested) -> _Entry:
        what = f"approval of call {request.call.call_id!r} ({request.call.tool_name})"
        if request.connection != self.connection:
            raise UserError(f"{what}: it was asked on a connection that has ended, nobody waits for it")
        entry = self._entries.get(request.call.call_id)
        if entry is None:
            raise UserError(f"{what}: this session has not asked for it")
        if not _same(request, entry.request):
            raise UserError(f"{what}: it is not as it was asked; pass on the event itself, unchanged")
        return entry

    def _forget_old(self) -> None:
        while len(self._entries) > REMEMBERED:
            decided = (call for call, entry in self._entries.items() if entry.state != "asked")
            oldest = next(decided, None)
            if oldest is None:
                return
            del self._entries[oldest]


def _same(given: ToolApprovalRequested, asked: ToolApprovalRequested) -> bool:
    """Whether somebody agrees to what will be done: a copy will do, a changed one will not."""
    if given.call != asked.call or given.agent is not asked.agent or given.tool is not asked.tool:
        return False
    if given.context.session is not asked.context.session:
        return False
    # The arguments shown are for reading; the call runs with the text the model wrote.
    return given.arguments == readable(asked.call.arguments)


class Approvals:
    """The approvals of a session.

    Args:
        emit: tells the session's listeners.
        is_heard: whether somebody listens to the question.
        timeout: seconds a person has; None for any time.
    """

    def __init__(
        self,
        emit: Callable[[ToolApprovalRequested], None],
        is_heard: Callable[[str], bool],
        timeout: float | None = None,
    ) -> None:
        self._emit = emit
        self._is_heard = is_heard
        self._timeout = timeout
        self._book = ApprovalBook(0)

    @property
    def pending(self) -> tuple[ToolApprovalRequested, ...]:
        """The requests that wait for a decision, oldest first."""
        return self._book.open()

    def standing(self, agent: RealtimeAgent, tool_name: str) -> Decision | None:
        """What was decided for good about this tool of this agent, on this connection."""
        return self._book.standing(agent, tool_name)

    async def ask(self, context: RunContext[Any], tool: FunctionTool[..., Any]) -> Decision:
        """Tell the listeners, and wait for what they decide.

        Raises:
            UserError: outside of a tool call.
        """
        book, call = self._book, context.call
        if call is None:
            raise UserError("only a tool call can be approved")
        request = ToolApprovalRequested(
            context, context.agent, tool, call, readable(call.arguments), book.connection
        )
        decided = asyncio.Event()
        book.add(request, decided.set)
        if not self._is_heard(request.name):
            logger.warning(
                "tool %r waits for approval and nobody listens to %r; see session.pending_approvals",
                tool.name,
                request.name,
            )
        self._emit(request)
        try:
            async with asyncio.timeout(self._timeout):
                await decided.wait()
        except TimeoutError:
            book.decide(request, "timed out", Decision(False, NOBODY_DECIDED))
        return book.decision(call.call_id) or Decision(False)

    def approve(self, request: ToolApprovalRequested, *, always: bool) -> bool:
        """Let it run; see `RealtimeSession.approve`."""
        return self._book.decide(request, "approve", Decision(True), always=always)

    def reject(self, request: ToolApprovalRequested, *, always: bool, message: str | None) -> bool:
        """Do not let it run; see `RealtimeSession.reject`."""
        return self._book.decide(request, "reject", Decision(False, message), always=always)

    def stop(self) -> None:
        """The connection is over: what was asked and decided on it holds no more."""
        self._book.close()
        self._book = ApprovalBook(self._book.connection + 1)
