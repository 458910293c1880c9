"""A voice agent at work: the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self

from ..agent import RealtimeAgent
from ..errors import ConnectError, NotConnectedError, UserError
from ..protocol.config import coerce_config, interrupt_response, merge_wire
from ..protocol.prices import DEFAULT_PRICES, PriceTable
from ..protocol.transport_events import ConnectionChange, FunctionCall, TurnDone, TurnStarted, UsageUpdate
from ..protocol.usage import Usage
from ..tools.context import RunContext
from ..transports.base import ApiKey, ConfigLike
from .base import SessionBase
from .choice import TransportLike, choose_transport
from .config import AgentSettings, TracingOptions, agent_settings, agent_update, first_config, user_config
from .dispatch import Dispatcher
from .events import AgentEnd, AgentHandoff, AgentStart
from .snapshot import AgentSnapshot, take_snapshot
from .turns import Turns, final_text

__all__ = ["RealtimeSession"]


class RealtimeSession(SessionBase):
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
    ) -> None:
        if not isinstance(agent, RealtimeAgent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"a session needs a RealtimeAgent, got {agent!r}")
        if tool_timeout is not None and not tool_timeout > 0:
            raise UserError(f"tool_timeout must be more than 0 s or None, got {tool_timeout!r}")
        super().__init__(choose_transport(transport, store_audio=history_store_audio), self._handlers())
        self._initial_agent = agent
        self._api_key = api_key
        self._url = url
        self._user_context = context
        self._user_config = user_config(coerce_config(config), model)
        self._tracing = TracingOptions(tracing_disabled, workflow_name, group_id, trace_metadata)
        self._turns = Turns()
        self._dispatcher = Dispatcher(
            self, tool_timeout=tool_timeout, cancel_on_interrupt=cancel_tools_on_interrupt
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
        return await cls(agent, **options).get_initial_session_config()

    async def _prepared(self, agent: RealtimeAgent) -> tuple[AgentSnapshot, AgentSettings]:
        context = self._context_of(agent)
        snapshot = await take_snapshot(agent, context)
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
            self._meter.attach()
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
        self._over.set()

    async def close(self) -> None:
        """End the connection and stop running tools; idempotent. History stays readable."""
        self._end()
        try:
            await self._transport.close()
        finally:
            await self._dispatcher.wait_stopped()
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

    async def hand_over(self, source: RealtimeAgent, target: RealtimeAgent) -> None:
        """Configure the service to `target`, make it the current agent, and tell the listeners.

        Raises:
            ConnectError: if the connection ended meanwhile.
        """
        epoch = self._epoch
        snapshot, settings = await self._prepared(target)
        async with self._switching:
            self._check(epoch)
            update = agent_update(self._configured, self._user_config, settings)
            await self._transport.update_session_config(update)
            self._check(epoch)
            self._configured = merge_wire(self._configured, update)
            self._turns.switch(snapshot)
        self.emit(AgentHandoff(self.context, source, target))

    # -- what the transport says ----------------------------------------------------------

    def _turn_started(self, event: TurnStarted) -> None:
        snapshot = self._turns.started(event.response_id)
        if snapshot is not None:
            agent = snapshot.agent
            self.emit(AgentStart(self._context_of(agent), agent, event.response_id))

    def _turn_done(self, event: TurnDone) -> None:
        self._dispatcher.response_done(event.response_id)
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

    def _user_speaks(self, _event: object) -> None:
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
