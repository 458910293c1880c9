"""A voice agent at work: the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ..agent import RealtimeAgent
from ..errors import ConnectError, NotConnectedError, UserError
from ..guardrail import GuardrailSettings
from ..protocol.config import coerce_config, interrupt_response, merge_wire
from ..protocol.prices import DEFAULT_PRICES, PriceTable
from ..protocol.transport_events import (
    ConnectionChange,
    FunctionCall,
    TransportEventBase,
    TurnDone,
    TurnStarted,
    UsageUpdate,
)
from ..protocol.usage import Usage
from ..tools.context import RunContext
from ..transports.base import ApiKey, ConfigLike
from .approvals import ToolErrorFormatter
from .choice import TransportLike, choose_transport
from .config import (
    AgentSettings,
    TracingOptions,
    agent_settings,
    agent_update,
    first_config,
    tools_update,
    user_config,
)
from .dispatch import Dispatcher
from .events import AgentEnd, AgentHandoff, AgentStart
from .guardrails import Guardrails
from .mcp_session import McpSession
from .permission import ToolOptions
from .snapshot import AgentSnapshot, may_change, take_snapshot
from .turns import Turns, final_text

__all__ = ["RealtimeSession"]


class RealtimeSession(McpSession):
    """Runs an agent on a transport: instructions, tools, handoffs, history, events.

        async with RealtimeSession(agent, model="gpt-realtime", api_key=key) as session:
            await session.wait_closed()

    The transport says what happens on the wire; the session adds what an agent is. One session
    can be connected again after its connection has ended: it then begins anew, with its first agent.

    Args:
        agent: who begins.
        transport: `"websocket"`, or a transport of your own. None takes WebRTC where it is installed,
            else WebSocket; this version has no WebRTC transport yet, so that it is WebSocket.
        model: the model's name.
        api_key: a key, or a function or coroutine function that gives one.
        url: the address of a compatible service.
        context: any object of yours; tools find it as `RunContext.context`.
        config: settings beyond the agent's, a `SessionConfig` or a dict with the wire's names. They
            are laid over the defaults; its voice wins over an agent's.
        history_store_audio: keep base64 audio in history items.
        tracing_disabled, workflow_name, group_id, trace_metadata: how the service traces the session.
        tool_timeout: seconds a tool may run that has no limit of its own.
        cancel_tools_on_interrupt: stop running tools when the user interrupts.
        prices: what `cost` counts with.
        automatically_trigger_response_for_mcp_tool_calls: let the model go on once the service has made
            all hosted MCP calls of a response.
        tool_error_formatter: what the model is told of a rejected tool; see `ToolErrorFormatterArgs`.
        pre_approval_input_guardrails: run a tool's input guardrails before a person is asked, too.
        approval_timeout: seconds a person has to approve a tool; after that it is rejected.
        output_guardrails, input_guardrails: checks of what every agent says, and of what the user says.
        output_guardrail_settings, input_guardrail_settings: when they run, and what a trip leads to.

    Raises:
        UserError: if a value cannot be used.
    """

    def __init__(
        self,
        agent: RealtimeAgent,
        *,
        transport: TransportLike = None,
        model: str | None = None,
        api_key: ApiKey | None = None,
        url: str | None = None,
        context: Any = None,
        config: ConfigLike | None = None,
        history_store_audio: bool = False,
        tracing_disabled: bool = False,
        workflow_name: str | None = None,
        group_id: str | None = None,
        trace_metadata: Mapping[str, Any] | None = None,
        tool_timeout: float | None = None,
        cancel_tools_on_interrupt: bool = False,
        prices: PriceTable = DEFAULT_PRICES,
        automatically_trigger_response_for_mcp_tool_calls: bool = True,
        tool_error_formatter: ToolErrorFormatter | None = None,
        pre_approval_input_guardrails: bool = False,
        approval_timeout: float | None = None,
        output_guardrails: Sequence[Any] = (),
        input_guardrails: Sequence[Any] = (),
        output_guardrail_settings: GuardrailSettings | None = None,
        input_guardrail_settings: GuardrailSettings | None = None,
    ) -> None:
        if not isinstance(agent, RealtimeAgent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"a session needs a RealtimeAgent, got {agent!r}")
        tool_options = ToolOptions(
            timeout=tool_timeout,
            cancel_on_interrupt=cancel_tools_on_interrupt,
            error_formatter=tool_error_formatter,
            guard_before_approval=pre_approval_input_guardrails,
            approval_timeout=approval_timeout,
        )
        super().__init__(
            choose_transport(transport, store_audio=history_store_audio),
            self._handlers(),
            automatic_mcp_response=automatically_trigger_response_for_mcp_tool_calls,
        )
        self._initial_agent = agent
        self._api_key = api_key
        self._url = url
        self._user_context = context
        self._user_config = user_config(coerce_config(config), model)
        self._tracing = TracingOptions(tracing_disabled, workflow_name, group_id, trace_metadata)
        self._turns = Turns()
        self._dispatcher = Dispatcher(self, tool_options)
        self._guardrails = Guardrails(
            self,
            self._turns,
            output=output_guardrails,
            input=input_guardrails,
            output_settings=output_guardrail_settings,
            input_settings=input_guardrail_settings,
        )
        self._usage = Usage()
        self._prices = prices
        self._configured: dict[str, Any] = {}
        self._epoch = 0
        self._attempt: int | None = None
        self._switching = asyncio.Lock()
        self._over = asyncio.Event()
        self._over.set()

    def _handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "turn_started": self._turn_started,
            "turn_done": self._turn_done,
            "function_call": self._function_call,
            "usage_update": self._count_usage,
            "session_updated": self._configuration_confirmed,
            "audio_interrupted": self._interrupted,
            "user_speech_started": self._user_speaks,
            "connection_change": self._connection_changed,
        }

    # -- what it is -----------------------------------------------------------------------

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
        return RunContext(self._user_context, self, agent)

    @property
    def usage(self) -> Usage:
        """Tokens used by this session, over all its connections."""
        return self._usage

    # -- configuration --------------------------------------------------------------------

    async def get_initial_session_config(self) -> dict[str, Any]:
        """The first configuration, with the wire's names; changes nothing.

        Raises:
            UserError: if the agent or the settings cannot be used.
        """
        _, settings = await self._prepared(self._initial_agent)
        return first_config(self._user_config, settings, self._tracing)

    @classmethod
    async def compute_initial_session_config(cls, agent: RealtimeAgent, **options: Any) -> dict[str, Any]:
        """The first configuration of `cls(agent, **options)`, to accept a call with, say.

        A transport among the options is neither used nor closed.
        """
        session = cls(agent, **options)
        try:
            return await session.get_initial_session_config()
        finally:
            session._stop_mcp()
            await session._local_mcp.wait_stopped()

    async def _prepared(self, agent: RealtimeAgent) -> tuple[AgentSnapshot, AgentSettings]:
        context = self._context_of(agent)
        snapshot = await take_snapshot(agent, context, await self._local_mcp.tools(agent))
        return snapshot, await agent_settings(snapshot, context)

    # -- the connection -------------------------------------------------------------------

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
    ) -> None:
        """Connect; instructions and tools are in force when it returns.

        Args:
            api_key, model, url: instead of those given to the session.
            call_id: attach to this call of the service.

        Raises:
            UserError: if it is connected already, or the agent or a setting cannot be used; then
                the transport was not touched.
            ConnectError: if `close()` was called meanwhile.
            Whatever the transport's `connect` raises. After a failure, it may be called again.
        """
        status = "connecting" if self._attempt is not None else self._transport.status
        if status != "disconnected":
            raise UserError(f"the session is {status} already; close it before connecting again")
        self._epoch += 1
        epoch = self._attempt = self._epoch
        self._over.clear()
        self._ended = None
        try:
            snapshot, settings = await self._prepared(self._initial_agent)
            self._check(epoch)
            user = self._user_config if model is None else {**self._user_config, "model": model}
            self._configured = first_config(user, settings, self._tracing)
            self._turns.reset(snapshot)
            self._hosted_mcp.reset(self._configured)
            self._meter.attach()
            self._guardrails.attach(self._initial_agent, self._configured)
            self._relay.attach()
            await self._transport.connect(
                api_key=api_key if api_key is not None else self._api_key,
                model=model if model is not None else self._user_config.get("model"),
                url=url if url is not None else self._url,
                call_id=call_id,
                initial_session_config=self._configured,
            )
            self._check(epoch)
        except BaseException:
            if epoch == self._epoch:
                self._end()
            raise
        finally:
            if self._attempt == epoch:
                self._attempt = None

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise ConnectError("the connection was closed before this was done")

    def _end(self) -> None:
        """The connection is over, however that came about."""
        self._epoch += 1
        self._attempt = None
        self._dispatcher.stop()
        self._guardrails.stop()
        self._stop_mcp()
        self._over.set()

    async def close(self) -> None:
        """End the connection and stop running tools; idempotent. History stays readable."""
        self._end()
        try:
            await self._transport.close()
        finally:
            await self._dispatcher.wait_stopped()
            await self._guardrails.detach()
            await self._local_mcp.wait_stopped()
            self._relay.detach()
            self._meter.detach()
            self._listeners.end_streams()

    async def wait_closed(self) -> ConnectionChange | None:
        """Wait until the connection is over, whoever ends it.

        Returns:
            How it ended (code, reason, error); None if there was no connection.
        """
        await self._over.wait()
        return self._ended

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    # -- agents -----------------------------------------------------------------------------

    async def update_agent(self, agent: RealtimeAgent) -> None:
        """Let another agent go on; the conversation stays.

        Raises:
            UserError: if the agent cannot be used; the current one stays.
            NotConnectedError: if there is no connection.
        """
        if self._transport.status != "connected":
            raise NotConnectedError(f"the session is {self._transport.status}; call connect() first")
        await self.hand_over(self.current_agent, agent)

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

    # -- what the transport says ----------------------------------------------------------

    def _turn_started(self, event: TurnStarted) -> None:
        self._dispatcher.progress.note(event)
        self._hosted_mcp.turn_started(event.response_id)
        snapshot = self._turns.started(event.response_id)
        if snapshot is not None:
            agent = snapshot.agent
            self.emit(AgentStart(self._context_of(agent), agent, event.response_id))

    def _turn_done(self, event: TurnDone) -> None:
        self._dispatcher.progress.note(event)
        self._dispatcher.response_done(event.response_id)
        self._hosted_mcp.turn_done(event)
        snapshot = self._turns.done(event.response_id)
        if snapshot is not None:
            agent = snapshot.agent
            context, text = self._context_of(agent), final_text(event.output)
            self.emit(AgentEnd(context, agent, event.response_id, text, event.status))

    def _function_call(self, call: FunctionCall) -> None:
        snapshot = self._turns.caller(call.response_id, call.tool_name)
        if snapshot is not None:
            self._dispatcher.function_call(call, snapshot)

    def _configuration_confirmed(self, _event: object) -> None:
        self._turns.confirmed()

    def _count_usage(self, event: UsageUpdate) -> None:
        self._usage = self._usage + event.usage

    def _before_interrupt(self) -> None:
        self._dispatcher.interrupted()

    def _interrupted(self, _event: object) -> None:
        self._dispatcher.interrupted()

    def _user_speaks(self, event: TransportEventBase) -> None:
        self._dispatcher.progress.note(event)
        # Also while nothing is heard, when the transport has nothing to interrupt.
        if interrupt_response(self._configured):
            self._dispatcher.interrupted()

    def _connection_changed(self, event: ConnectionChange) -> None:
        if event.status == "disconnected":
            self._ended = event
            self._end()
            # After this event itself, which comes last.
            asyncio.get_running_loop().call_soon(self._end_streams, self._epoch)

    def _end_streams(self, epoch: int) -> None:
        if epoch == self._epoch:
            self._listeners.end_streams()
