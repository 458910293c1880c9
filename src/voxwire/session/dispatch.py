"""Carrying out the model's tool calls: one task each, and an answer to every one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from ..agent import RealtimeAgent
from ..errors import ModelBehaviorError
from ..handoffs import Handoff
from ..protocol.transport_events import FunctionCall, TransportEventBase
from ..tools.arguments import InvalidArgumentsError
from ..tools.context import RunContext
from ..tools.function import FunctionTool, default_error_message
from ..tools.images import image_message
from ..tools.running import NO_REASON, ToolResult, run_tool
from ..transports.base import RealtimeTransportLayer
from .approvals import Approvals, Decision
from .events import AgentToolEnd, AgentToolStart
from .ledger import CallLedger, fingerprint
from .permission import Denial, ToolOptions, not_found, permission
from .progress import ProgressSpeech
from .snapshot import AgentSnapshot, is_enabled, may_change

__all__ = ["Dispatcher", "Host"]

logger = logging.getLogger("voxwire")

CLOSE_GRACE: Final = 1.0
"""Seconds that cancelled tools have to clean up before `close()` goes on without them."""
INTERRUPTED: Final = "The user interrupted, so the tool was stopped before it had a result."
SECOND_HANDOFF: Final = "Multiple handoffs detected, ignoring this one."
TOO_MANY: Final = "Too many tool calls are running at once, so this one was not carried out."


class Host(Protocol):
    """What the dispatcher needs of the session."""

    @property
    def transport(self) -> RealtimeTransportLayer:
        """Where answers go."""
        ...

    @property
    def context(self) -> RunContext[Any]:
        """The run context."""
        ...

    def emit(self, event: TransportEventBase, /) -> None:
        """Tell the session's listeners."""

    def is_heard(self, name: str, /) -> bool:
        """Whether anybody listens to an event."""
        ...

    def report(self, error: Exception, /) -> None:
        """Tell them of an error."""

    def tool_answered(self, call_id: str, /, *, failed: bool, goes_on: bool) -> None:
        """A call is being answered; `goes_on` if a response will follow."""

    async def refresh_tools(self) -> None:
        """Look again at what is enabled."""

    async def hand_over(self, source: RealtimeAgent, target: RealtimeAgent, /) -> None:
        """Make `target` the current agent, at the service first."""


@dataclass(slots=True, eq=False)
class _Job:
    """One call being carried out."""

    call: FunctionCall
    snapshot: AgentSnapshot
    ledger: CallLedger
    """That of its connection: a later one has another, which is how late results are recognised."""
    interruptible: bool = False
    task: asyncio.Task[None] | None = field(default=None)


class Dispatcher:
    """The tool calls of a session.

    Attributes:
        approvals: the calls that wait for a person.
        progress: says a word while a tool is slow.
    """

    def __init__(self, host: Host, options: ToolOptions) -> None:
        self._host = host
        self._options = options
        self.approvals = Approvals(host.emit, host.is_heard, options.approval_timeout)
        self.progress = ProgressSpeech(host.transport.request_response, host.report)
        self._ledger = CallLedger()
        self._jobs: set[_Job] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()  # of earlier connections, cancelled

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._jobs)

    # -- what happens -------------------------------------------------------------------------

    def function_call(self, call: FunctionCall, snapshot: AgentSnapshot) -> None:
        """The model called a tool of this agent."""
        handoff = call.tool_name in snapshot.handoffs
        job = _Job(call, snapshot, self._ledger)
        meaning = fingerprint(call.tool_name, call.arguments)
        match self._ledger.admit(call.call_id, call.response_id, handoff=handoff, meaning=meaning):
            case "run":
                self._start(job, None)
            case "second handoff":
                self._start(job, ToolResult(SECOND_HANDOFF))
            case "too many":
                error = ModelBehaviorError(f"tool call {call.call_id!r} ({call.tool_name}): too many at once")
                self._start(job, ToolResult(TOO_MANY, error))
            case "changed":
                words = f"tool call {call.call_id!r} ({call.tool_name}) came again, but not the same"
                self._host.report(ModelBehaviorError(f"{words}; it was not carried out again"))
            case "repeated":
                pass

    def response_done(self, response_id: str) -> None:
        """A response ended."""
        self._ledger.response_done(response_id)
        self._refresh_soon()

    def interrupted(self) -> None:
        """The user wants to speak: stop what may be stopped. A handoff under way is not."""
        if not self._options.cancel_on_interrupt:
            return
        for job in tuple(self._jobs):
            if (
                job.interruptible
                and job.task is not None
                and job.ledger.step(job.call.call_id, "interrupted")
            ):
                job.task.cancel()

    def stop(self) -> None:
        """The connection is over: cancel what runs, and drop what comes all the same."""
        self._ledger = CallLedger()
        self.progress.reset()
        self.approvals.stop()
        refreshing, self._refreshing = self._refreshing, None
        if refreshing is None and not self._jobs:
            return
        mine = asyncio.current_task()
        if refreshing is not None and refreshing is not mine and refreshing.cancel():
            self._leaving.add(refreshing)
            refreshing.add_done_callback(self._leaving.discard)
        for job in self._jobs:
            job.ledger.step(job.call.call_id, "disconnected")
            # A tool may close the session it runs in; it is not made to cancel itself.
            if job.task is not None and job.task is not mine:
                job.task.cancel()

    async def wait_stopped(self) -> None:
        """Give cancelled tools, and functions that say which are enabled, a moment to clean up."""
        tasks = {job.task for job in self._jobs if job.task is not None} | self._leaving
        tasks.discard(asyncio.current_task())
        if not tasks:
            return
        _, stubborn = await asyncio.wait(tasks, timeout=CLOSE_GRACE)
        if stubborn:
            logger.warning("%d tools still run %g s after they were cancelled", len(stubborn), CLOSE_GRACE)

    # -- one call -----------------------------------------------------------------------------

    def _start(self, job: _Job, result: ToolResult | None) -> None:
        self._jobs.add(job)
        job.task = asyncio.get_running_loop().create_task(
            self._carry_out(job, result), name=f"voxwire tool {job.call.tool_name}"
        )
        job.task.add_done_callback(lambda _task: self._jobs.discard(job))

    def _is_current(self, job: _Job) -> bool:
        return job.ledger is self._ledger

    async def _carry_out(self, job: _Job, result: ToolResult | None) -> None:
        try:
            if result is not None:
                await self._answer(job, result)
            elif (entry := job.snapshot.handoffs.get(job.call.tool_name)) is not None:
                await self._answer(job, await self._hand_over(job, entry))
            elif (tool := job.snapshot.tools.get(job.call.tool_name)) is not None:
                await self._use(job, tool)
            else:
                await self._answer(job, not_found(job.call))
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._report(job, error)

    async def _use(self, job: _Job, tool: FunctionTool[..., Any]) -> None:
        agent = job.snapshot.agent
        context = self._host.context.of_call(job.call, agent)
        try:
            if not await is_enabled(tool.is_enabled, context, agent):
                await self._answer(job, not_found(job.call))
                return
            denial = await permission(tool, context, self.approvals, self._options, partial(self._ask, job))
        except Exception as error:  # noqa: BLE001 - the call is answered all the same
            denial = Denial(ToolResult(NO_REASON, error))
        if denial is not None and not denial.told:
            await self._answer(job, denial.result)
            return
        self._emit(job, AgentToolStart(context, agent, tool, job.call))
        if not self._is_current(job):
            return  # a listener has closed the session
        result = denial.result if denial is not None else await self._result(job, tool, context)
        if await self._answer(job, result):
            self._emit(job, AgentToolEnd(context, agent, tool, job.call, result.output, result.error))

    async def _ask(self, job: _Job, tool: FunctionTool[..., Any], context: RunContext[Any]) -> Decision:
        if not job.ledger.step(job.call.call_id, "asked"):
            return Decision(False)  # the connection has ended, and nobody is asked
        decision = await self.approvals.ask(context, tool)
        job.ledger.step(job.call.call_id, "decided")
        return decision

    async def _result(self, job: _Job, tool: FunctionTool[..., Any], context: RunContext[Any]) -> ToolResult:
        job.interruptible = True
        speaking = self.progress.start(tool, context)
        try:
            return await run_tool(tool, context, job.call.arguments, timeout=self._options.timeout)
        except asyncio.CancelledError:
            if job.ledger.state(job.call.call_id) != "cancelling":
                raise
            # The user is speaking: an answer must be there, a response to it need not.
            return ToolResult(INTERRUPTED, start_response=False)
        finally:
            job.interruptible = False
            if speaking is not None:
                speaking.cancel()
            task = asyncio.current_task()
            if task is not None and job.ledger.state(job.call.call_id) == "cancelling":
                task.uncancel()  # that cancellation was meant for the tool

    async def _hand_over(self, job: _Job, entry: Handoff) -> ToolResult:
        agent = job.snapshot.agent
        context = self._host.context.of_call(job.call, agent)
        try:
            if not await is_enabled(entry.is_enabled, context, agent):
                return not_found(job.call)
            target = await entry.prepare(context, job.call.arguments)
            if self._is_current(job):
                await self._host.hand_over(agent, target)
        except InvalidArgumentsError as error:
            return ToolResult(default_error_message(context, error), error)
        except Exception as error:  # noqa: BLE001 - the agent stays, and the model is told
            return ToolResult(f"The handoff to {entry.agent.name} failed.", error)
        return ToolResult(entry.output_for(target))

    async def _answer(self, job: _Job, result: ToolResult) -> bool:
        """Send the answer, once, if anybody is still waiting for it. True if it was sent."""
        if self._is_current(job):
            await self._refresh()
        if not self._is_current(job) or not job.ledger.step(job.call.call_id, "result"):
            return False
        if result.error is not None:
            self._report(job, result.error)
        failed = result.error is not None
        self._host.tool_answered(job.call.call_id, failed=failed, goes_on=result.start_response)
        sent = False
        try:
            if result.images:
                message = image_message(job.call.tool_name, result.images)
                await self._host.transport.send_message(message, trigger_response=False)
            await self._host.transport.send_function_call_output(
                job.call, result.output, start_response=result.start_response
            )
            sent = True
        finally:
            job.ledger.step(job.call.call_id, "sent" if sent else "send failed")
        return self._is_current(job)

    def _refresh_soon(self) -> None:
        if (self._refreshing is None or self._refreshing.done()) and may_change(self._host.context.agent):
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        """What the tool did may have switched others on or off: before the model goes on, it is told."""
        try:
            await self._host.refresh_tools()
        except Exception as error:  # noqa: BLE001 - the call is answered all the same
            if self._host.transport.status == "connected":
                self._host.report(error)

    def _emit(self, job: _Job, event: TransportEventBase) -> None:
        if self._is_current(job):
            self._host.emit(event)

    def _report(self, job: _Job, error: Exception) -> None:
        if self._is_current(job):
            self._host.report(error)
