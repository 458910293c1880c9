"""The session itself: hello, configuration, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import AuthenticationError, ProviderError
from ..actions import Action, Emit
from ..machines import CONNECTION
from ..transport_events import ErrorEvent
from .fields import Handler, WireEvent, mapping, string

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["HANDLERS", "error_from_wire"]

RETRYABLE_CODES: Final = frozenset(
    {"rate_limit_exceeded", "server_error", "service_unavailable", "overloaded"}
)
NOTHING_TO_CANCEL: Final = "response_cancel_not_active"
KEY_CODES: Final = frozenset({"invalid_api_key", "authentication_error", "expired_api_key"})


def session_created(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`session.created`: the service is there, with its defaults."""
    if engine.connection != "greeting":
        return  # said too late: what we configured is in force by now
    engine.take_session(mapping(event, "session"), out)
    if engine.configure_event_id is None:
        out += engine.become_ready("created, nothing to configure")
    else:
        engine.connection = CONNECTION.step(engine.connection, "created")


def session_updated(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`session.updated`: our configuration is in force."""
    engine.settings.accepted()
    engine.take_session(mapping(event, "session"), out)
    if engine.connection in ("greeting", "configuring"):
        out += engine.become_ready("configured")


def error_from_wire(event: WireEvent) -> ProviderError:
    """The `error` event as an exception."""
    body = mapping(event, "error")
    code = string(body, "code") or None
    kind = string(body, "type") or None
    cls = AuthenticationError if code in KEY_CODES else ProviderError
    return cls(
        string(body, "message") or f"the service reported an error of type {kind!r} without a message",
        type=kind,
        code=code,
        param=string(body, "param") or None,
        event_id=string(body, "event_id") or None,
        retryable=code in RETRYABLE_CODES or kind in RETRYABLE_CODES,
        raw=event,
    )


def error(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`error`: about our configuration, about a create, or about anything else."""
    problem = error_from_wire(event)
    about_config = problem.event_id in (engine.configure_event_id, None)
    if engine.connection in ("greeting", "configuring") and about_config:
        out.append(Emit(ErrorEvent(problem, event)))
        out += engine.fail(problem)
        return
    engine.settings.refused(problem.event_id)
    if problem.code == NOTHING_TO_CANCEL and problem.event_id in engine.cancels:
        return  # the response ended while our cancel was on its way
    handled, creates = engine.responses.failed(problem.event_id, problem.code, problem.message)
    if not handled:
        out.append(Emit(ErrorEvent(problem, event)))
    out += engine.send_creates(creates, now)


HANDLERS: Final[dict[str, Handler]] = {
    "session.created": session_created,
    "session.updated": session_updated,
    "error": error,
}
