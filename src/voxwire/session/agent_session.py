"""The part of a session that knows which agent is at work, and what the service was told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..agent import RealtimeAgent
from ..errors import ConnectError, NotConnectedError
from ..protocol.config import merge_wire
from ..tools.context import RunContext
from ..tools.function import FunctionTool
from ..transports.base import RealtimeTransportLayer
from .asking import Asking, Question
from .config import AgentSettings, agent_settings, agent_update, tools_update
from .events import AgentHandoff
from .mcp_session import McpSession
from .snapshot import AgentSnapshot, may_change, take_snapshot
from .turns import Turns

if TYPE_CHECKING:
    from .session import RealtimeSession

__all__ = ["AgentSession"]


class AgentSession(McpSession):
    """Agents, and how one follows another.

    Args:
        agent: who begins.
        context: the user's object.
        config: the user's settings, with the wire's names.
    """

    def __init__(
        self,
        transport: RealtimeTransportLayer,
        handlers: Mapping[str, Callable[[Any], None]],
        agent: RealtimeAgent,
        *,
        context: Any,
        config: Mapping[str, Any],
        automatic_mcp_response: bool,
    ) -> None:
        super().__init__(transport, handlers, automatic_mcp_response=automatic_mcp_response)
        self._initial_agent = agent
        self._user_context = context
        self._user_config = config
        self._turns = Turns()
        self._asking = Asking(self)
        self._configured: dict[str, Any] = {}
        """What the service was told, as far as is known here."""
        self._epoch: int = 0
        """Which connection this is; work begun under another one is dropped."""
        self._switching = asyncio.Lock()

    @property
    def initial_agent(self) -> RealtimeAgent:
        """Who begins every connection."""
        return self._initial_agent

    @property
    def current_agent(self) -> RealtimeAgent:
        """Who the next response will be by."""
        return self._turns.current.agent if self._turns.current else self._initial_agent

    @property
    def context(self) -> RunContext[Any]:
        """What tools and listeners are told about the session."""
        return self._context_of(self.current_agent)

    def _context_of(self, agent: RealtimeAgent) -> RunContext[Any]:
        # What users are told about is the whole of it.
        return RunContext(self._user_context, cast("RealtimeSession", self), agent)

    async def _prepared(self, agent: RealtimeAgent) -> tuple[AgentSnapshot, AgentSettings]:
        context = self._context_of(agent)
        snapshot = await take_snapshot(agent, context, await self._local_mcp.tools(agent))
        return snapshot, await agent_settings(snapshot, context)

    async def update_agent(self, agent: RealtimeAgent) -> None:
        """Let another agent go on; the conversation stays.

        Raises:
            UserError: if the agent cannot be used; the current one stays.
            NotConnectedError: if there is no connection.
        """
        if self._transport.status != "connected":
            raise NotConnectedError(f"the session is {self._transport.status}; call connect() first")
        await self.hand_over(self.current_agent, agent)

    async def ask(
        self,
        question: Question,
        *,
        output_type: Any = None,
        instructions: str | None = None,
        tools: Sequence[FunctionTool[..., Any]] = (),
        with_history: bool = False,
        timeout: float | None = 60.0,
    ) -> Any:
        """Ask the model something beside the conversation, which neither sees nor hears of it.

        The answer is text, made while the agent may be speaking; several questions can be asked at once.
        Cancelling the caller cancels the answer.

        Args:
            question: a text, an item of the wire, or several items (also of a history).
            output_type: a type pydantic can read (a model, a dataclass, `list[str]`): the answer is one of these.
            instructions: instead of the agent's.
            tools: what the model may call for it; none of the agent's.
            with_history: whether the model sees the conversation so far.
            timeout: seconds until the answer, with all tools and a second attempt.

        Returns:
            The text, or a value of `output_type`.

        Raises:
            ProviderError: the service refused, failed or did not answer in time (code `ask_timeout`).
            ModelBehaviorError: the answer is no `output_type`, and the second one was none either.
            UserError: a tool needs approval, or too many questions are open.
            NotConnectedError, ConnectionLost: there is no connection any more.
        """
        return await self._asking.ask(
            question,
            output_type=output_type,
            instructions=instructions,
            tools=tools,
            with_history=with_history,
            timeout=timeout,
        )

    async def refresh_tools(self) -> None:
        """Look again at which tools and handoffs of the current agent are enabled, and tell the service.

        Done by itself before a tool call is answered and after every response; call it when
        something else has changed what an `is_enabled` function says.

        Raises:
            Whatever an `is_enabled` function raises.
        """
        current, epoch = self._turns.current, self._epoch
        if current is None or self._transport.status != "connected" or not may_change(current.agent):
            return
        async with self._switching:
            agent = current.agent
            snapshot = await take_snapshot(agent, self._context_of(agent), self._local_mcp.known(agent))
            current = self._turns.current
            if epoch != self._epoch or current is None or current.agent is not snapshot.agent:
                return
            if snapshot.wire_tools() == current.wire_tools():
                return
            update = tools_update(self._configured, self._user_config, snapshot)
            await self._reconfigure(epoch, snapshot, update)

    async def hand_over(self, source: RealtimeAgent, target: RealtimeAgent) -> None:
        """Configure the service to `target`, make it the current agent, and tell the listeners.

        Raises:
            ConnectError: if the connection ended meanwhile.
        """
        epoch = self._epoch
        snapshot, settings = await self._prepared(target)
        async with self._switching:
            update = agent_update(self._configured, self._user_config, settings)
            await self._reconfigure(epoch, snapshot, update)
        self.emit(AgentHandoff(self.context, source, target))

    async def _reconfigure(self, epoch: int, snapshot: AgentSnapshot, update: Mapping[str, Any]) -> None:
        self._check(epoch)
        await self._transport.update_session_config(update)
        self._check(epoch)
        self._configured = merge_wire(self._configured, update)
        self._turns.switch(snapshot)
        self._hosted_mcp.configured(self._configured)

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise ConnectError("the connection was closed before this was done")
