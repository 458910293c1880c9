"""A voice agent at work: the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ..agent import RealtimeAgent
from ..errors import UserError
from ..guardrail import GuardrailSettings
from ..protocol.config import coerce_config, interrupt_response
from ..protocol.prices import DEFAULT_PRICES, PriceTable
from ..protocol.transport_events import (
    ConnectionChange,
    FunctionCall,
    TransportEventBase,
    TurnDone,
    TurnStarted,
)
from ..protocol.usage import Usage
from ..transports.base import ApiKey, ConfigLike
from .agent_session import AgentSession
from .approvals import ToolErrorFormatter
from .choice import TransportLike, choose_transport
from .config import (
    TracingOptions,
    first_config,
    user_config,
)
from .dispatch import Dispatcher
from .events import AgentEnd, AgentStart
from .guardrails import Guardrails
from .permission import ToolOptions
from .seeding import HistoryLike, read_history, seed
from .turns import final_text

__all__ = ["RealtimeSession"]


class RealtimeSession(AgentSession):
    """Runs an agent on a transport: instructions, tools, handoffs, history, events.

        async with RealtimeSession(agent, model="gpt-realtime", api_key=key) as session:
            await session.wait_closed()

    The transport says what happens on the wire; the session adds what an agent is. One session
    can be connected again after its connection has ended: it then begins anew, with its first agent.

    Args:
        agent: who begins.
        transport: `"webrtc"`, `"websocket"`, or a transport of your own. None takes WebRTC where it is installed
            (extra `webrtc`): microphone and loudspeaker of this machine. Else, for a `ws://` or `wss://` address, and where
            guardrails hold audio back, it takes WebSocket, where audio is yours to record and play.
        model: the model's name.
        api_key: a key, or a function or coroutine function that gives one.
        url: the address of a compatible service.
        context: any object of yours; tools find it as `RunContext.context`.
        config: settings beyond the agent's, a `SessionConfig` or a dict with the wire's names. They
            are laid over the defaults; its voice wins over an agent's.
        history: what every conversation begins with: items, or what `export_history()` gave.
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
        history: HistoryLike | None = None,
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
            choose_transport(
                transport,
                store_audio=history_store_audio,
                url=url,
                holds_audio=output_guardrail_settings is not None
                and output_guardrail_settings.hold_back_ms is not None,
            ),
            self._handlers(),
            agent,
            context=context,
            config=user_config(coerce_config(config), model),
            automatic_mcp_response=automatically_trigger_response_for_mcp_tool_calls,
        )
        self._history = read_history(history)
        self._api_key = api_key
        self._url = url
        self._tracing = TracingOptions(tracing_disabled, workflow_name, group_id, trace_metadata)
        self._dispatcher = Dispatcher(self, tool_options)
        self._guardrails = Guardrails(
            self,
            self._turns,
            output=output_guardrails,
            input=input_guardrails,
            output_settings=output_guardrail_settings,
            input_settings=input_guardrail_settings,
        )
        self._prices = prices
        self._attempt: int | None = None
        self._over = asyncio.Event()
        self._over.set()

    def _handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "turn_started": self._turn_started,
            "turn_done": self._turn_done,
            "function_call": self._function_call,
            "session_updated": self._configuration_confirmed,
            "audio_interrupted": self._interrupted,
            "user_speech_started": self._user_speaks,
            "connection_change": self._connection_changed,
        }

    # -- what it is -----------------------------------------------------------------------

    @property
    def usage(self) -> Usage:
        """Tokens used by this session, over all its connections."""
        return self._meter.usage

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

    # -- the connection -------------------------------------------------------------------

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        history: HistoryLike | None = None,
    ) -> None:
        """Connect; instructions and tools are in force, and the history is there, when it returns.

        Args:
            api_key, model, url: instead of those given to the session.
            call_id: attach to this call of the service.
            history: what to begin with, instead of that given to the session; `()` for nothing. An item
                that the service refuses is an `error` event.

        Raises:
            UserError: if it is connected already, or the agent or a setting cannot be used; then
                the transport was not touched.
            ConnectError: if `close()` was called meanwhile.
            Whatever the transport's `connect` raises. After a failure, it may be called again.
        """
        status = "connecting" if self._attempt is not None else self._transport.status
        if status != "disconnected":
            raise UserError(f"the session is {status} already; close it before connecting again")
        beginning = self._history if history is None else read_history(history)
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
            self._clock.attach()
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
            await seed(self._transport, beginning)
            self._check(epoch)
        except BaseException:
            if epoch == self._epoch:
                self._end()
                if self._transport.status != "disconnected":
                    await (
                        self._transport.close()
                    )  # it failed, or was cancelled, behind the transport's own part
            await self._local_mcp.wait_stopped()
            raise
        finally:
            if self._attempt == epoch:
                self._attempt = None

    def _end(self) -> None:
        """The connection is over, however that came about."""
        self._epoch += 1
        self._attempt = None
        self._dispatcher.stop()
        self._guardrails.stop()
        self._asking.stop()
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
            self._clock.detach()
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

    # -- what the transport says ----------------------------------------------------------

    def _turn_started(self, event: TurnStarted) -> None:
        if self._asking.turn_started(event):
            return
        self._dispatcher.progress.note(event)
        self._hosted_mcp.turn_started(event.response_id)
        snapshot = self._turns.started(event.response_id)
        if snapshot is not None:
            agent = snapshot.agent
            self.emit(AgentStart(self._context_of(agent), agent, event.response_id))

    def _turn_done(self, event: TurnDone) -> None:
        if self._asking.turn_done(event):
            return
        self._dispatcher.progress.note(event)
        self._dispatcher.response_done(event.response_id)
        self._hosted_mcp.turn_done(event)
        snapshot = self._turns.done(event.response_id)
        if snapshot is not None:
            agent = snapshot.agent
            context, text = self._context_of(agent), final_text(event.output)
            self.emit(AgentEnd(context, agent, event.response_id, text, event.status))

    def _function_call(self, call: FunctionCall) -> None:
        if self._asking.owns(call.response_id):
            return
        snapshot = self._turns.caller(call.response_id, call.tool_name)
        if snapshot is not None:
            self._dispatcher.function_call(call, snapshot)

    def _configuration_confirmed(self, _event: object) -> None:
        self._turns.confirmed()

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
