"""Answers the phone: chooses an agent for each call, accepts it, and runs a session until it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from ...agent import RealtimeAgent
from ...calls.client import BUSY, DECLINE, Calls
from ...calls.endpoints import check_status_code
from ...calls.events import IncomingCall, WebhookEvent
from ...errors import ProviderError, UserError, VoxwireError
from ...tools.calling import call as call_function
from ...transports.base import ConfigLike
from ...transports.endpoint import DEFAULT_URL
from ...transports.sip_config import accept_payload
from ..session import RealtimeSession
from .routes import AddressPattern, CallHandler, HeaderPattern, Route, make_route
from .sip import OpenAIRealtimeSIP

__all__ = ["IgnoreCall", "Receptionist", "RejectCall"]

CallHandlerT = TypeVar("CallHandlerT", bound=CallHandler)
SessionFactory: TypeAlias = Callable[[RealtimeAgent, IncomingCall], RealtimeSession]
SessionHook: TypeAlias = Callable[[RealtimeSession, IncomingCall], Any]
SessionHookT = TypeVar("SessionHookT", bound=SessionHook)

GONE: Final = frozenset({404, 409, 410})
"""HTTP statuses that say that a call cannot be answered any more: the caller has gone, or somebody else has it."""
HANGUP_SECONDS: Final = 5.0

logger = logging.getLogger("voxwire")


@dataclass(frozen=True, slots=True)
class RejectCall:
    """What a handler gives to refuse a call, with a SIP status of 300 to 699: 603 is decline, 486 busy."""

    status_code: int = DECLINE

    def __post_init__(self) -> None:
        check_status_code(self.status_code)


@dataclass(frozen=True, slots=True)
class IgnoreCall:
    """What a handler gives to let the phone ring: somebody else may answer."""


class Receptionist:
    """Answers incoming calls with agents.

        receptionist = Receptionist(Calls(api_key=key), config=config)

        @receptionist.incoming(to="+15551230000")
        async def sales(call):
            return sales_agent

        @receptionist.incoming(from_="anonymous")
        def unknown(call):
            return RejectCall(603)

        app = webhook_app(receptionist, secret=...)

    The first route that fits a call decides; without one the phone rings on. An agent is given the call by
    `context`: tools find the `IncomingCall` as `RunContext.context`.

    Args:
        calls: accepts and rejects. Its key and address are used for the sessions as well.
        model, config: of every session.
        greeting: let the agent speak first; a text tells it how.
        max_calls: calls at a time; one more is rejected as busy.
        make_session: makes the session for an agent and a call, instead of `model`, `config` and `context`; its transport
            has to be an `OpenAIRealtimeSIP`.

    Raises:
        UserError: if a value cannot be used.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        model: str | None = None,
        config: ConfigLike | None = None,
        greeting: bool | str = True,
        max_calls: int = 100,
        make_session: SessionFactory | None = None,
    ) -> None:
        if max_calls < 1:
            raise UserError(f"max_calls must be at least 1, got {max_calls!r}")
        if make_session is not None and (model is not None or config is not None):
            raise UserError("make_session was given, and model or config as well; set them in make_session")
        self._calls = calls
        self._model = model
        self._config = config
        self._greeting = greeting
        self._max_calls = max_calls
        self._make_session = make_session or self._session_for
        self._routes: list[Route] = []
        self._default: Route | None = None
        self._hooks: list[SessionHook] = []
        self._active: dict[str, RealtimeSession] = {}

    @property
    def active(self) -> Mapping[str, RealtimeSession]:
        """The sessions of the calls that go on, by call id."""
        return MappingProxyType(self._active)

    # -- who answers ----------------------------------------------------------------------

    def incoming(
        self,
        *,
        to: AddressPattern = None,
        from_: AddressPattern = None,
        header: HeaderPattern = None,
        when: Callable[[IncomingCall], object] | None = None,
    ) -> Callable[[CallHandlerT], CallHandlerT]:
        """Decide about calls that fit all that is given here; with nothing given, about every call.

        The handler, a function or coroutine function, gets the `IncomingCall` and gives an agent, a `RejectCall`, an
        `IgnoreCall`, or None if it has seen to the call by itself.

        Args:
            to, from_: a number (`+1 555 123-0000`), a user or an address (`sip:sales@example.com`), a compiled pattern
                that fits one of them whole, or several of these. Headers of the caller's: no proof of anything.
            header: the name of a header that is there, `("X-Team", "sales")`, or a dict of several.
            when: any other condition.

        Raises:
            UserError: if a condition can mean nothing.
        """

        def register(handler: CallHandlerT) -> CallHandlerT:
            self._routes.append(make_route(handler, to, from_, header, when))
            return handler

        return register

    def default(self, handler: CallHandlerT) -> CallHandlerT:
        """Decide about calls that no other route fits, whichever was written first."""
        self._default = Route(handler)
        return handler

    def on_session(self, hook: SessionHookT) -> SessionHookT:
        """Call `hook(session, call)`, a function or coroutine function, before a session connects: to listen to it."""
        self._hooks.append(hook)
        return hook

    # -- a call ---------------------------------------------------------------------------

    async def __call__(self, event: WebhookEvent) -> None:
        """Handle a webhook's event; those that are no calls are left alone. This is what `webhook_app` takes."""
        if isinstance(event, IncomingCall):
            await self.handle(event)

    async def handle(self, call: IncomingCall) -> None:
        """Find out who answers a call, and see it to its end.

        Raises:
            VoxwireError: the service refused, or the session could not be connected; then the call was hung up.
            UserError: a handler gave something that is no answer.
            Whatever a handler raises. The phone rings on.
        """
        route = next((route for route in self._routes if route.matches(call)), self._default)
        if route is None:
            logger.info("no route fits call %s; it rings on", call.call_id)
            return
        answer: object = await call_function(route.handler, call)
        match answer:
            case RealtimeAgent():
                await self.answer(call, answer)
            case RejectCall(status_code=status_code):
                await self._unless_gone(call, self._calls.reject(call.call_id, status_code))
            case IgnoreCall() | None:
                pass
            case _:
                raise UserError(
                    f"the handler for call {call.call_id} must give a RealtimeAgent, RejectCall(), IgnoreCall() "
                    f"or None, got {answer!r}"
                )

    async def answer(self, call: IncomingCall, agent: RealtimeAgent) -> None:
        """Accept a call with an agent, and return when it is over.

        Cancelling this hangs up. Errors are those of `handle`.
        """
        if call.call_id in self._active:
            return  # told twice
        if len(self._active) >= self._max_calls:
            logger.warning("%d calls go on; call %s is rejected as busy", len(self._active), call.call_id)
            await self._unless_gone(call, self._calls.reject(call.call_id, BUSY))
            return
        session = self._make_session(agent, call)
        if not isinstance(session.transport, OpenAIRealtimeSIP):
            raise UserError(
                f"a session for a phone call needs transport=OpenAIRealtimeSIP(), got {session.transport!r}"
            )
        self._active[call.call_id] = session
        try:
            payload = accept_payload(await session.get_initial_session_config())
            if await self._unless_gone(call, self._calls.accept(call.call_id, payload)):
                await self._talk(call, session)
        finally:
            del self._active[call.call_id]
            await session.close()

    async def _talk(self, call: IncomingCall, session: RealtimeSession) -> None:
        try:
            for hook in self._hooks:
                await call_function(hook, session, call)
            await session.connect(call_id=call.call_id)
            if self._greeting and session.status == "connected":
                wanted = {"instructions": self._greeting} if isinstance(self._greeting, str) else None
                await session.transport.request_response(wanted)
            await session.wait_closed()
        except VoxwireError:
            if await self._hang_up(call):
                raise
            # The caller went just then, which is nobody's fault.
        except BaseException:
            await self._hang_up(call)  # nobody would listen to the caller any more
            raise

    async def _hang_up(self, call: IncomingCall) -> bool:
        """End a call that nobody sees to; False if there is none any more."""
        try:
            async with asyncio.timeout(HANGUP_SECONDS):
                return await self._unless_gone(call, self._calls.hangup(call.call_id))
        except (VoxwireError, TimeoutError) as error:
            logger.warning("call %s could not be hung up: %s", call.call_id, type(error).__name__)
            return True

    async def _unless_gone(self, call: IncomingCall, request: Any) -> bool:
        """Carry out a request; False if there is no such call any more, which is nobody's fault."""
        try:
            await request
        except ProviderError as error:
            if error.status not in GONE:
                raise
            logger.info("there is no call %s any more: HTTP %s", call.call_id, error.status)
            return False
        return True

    def _session_for(self, agent: RealtimeAgent, call: IncomingCall) -> RealtimeSession:
        url = self._calls.realtime_url
        # The default address is left to the transport, which knows where its key may be.
        transport = OpenAIRealtimeSIP(url=None if url == DEFAULT_URL else url, api_key=self._calls.api_key)
        return RealtimeSession(
            agent, transport=transport, model=self._model, config=self._config, context=call
        )
