"""What happens when a timer of the engine fires: nothing may wait for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ..errors import ConnectTimeout, ProviderError
from . import media_frames
from .actions import Action, Emit, SetTimer
from .holding import timed_out
from .interruption import check_playback
from .transport_events import ErrorEvent

if TYPE_CHECKING:
    from .engine import RealtimeEngine

__all__ = ["TIMERS", "watch"]


def watch(engine: RealtimeEngine, now: float) -> list[Action]:
    """Set the timer that ends the wait for a response whose end got lost, if anybody waits for it."""
    if not _waits_for_an_end(engine):
        return []
    return [SetTimer("stall", max(engine.last_activity, now) + engine.options.stall_timeout)]


def _waits_for_an_end(engine: RealtimeEngine) -> bool:
    return bool(engine.responses.busy and engine.responses.pending) or engine.calls.waiting_for_end


def _configure(engine: RealtimeEngine, now: float) -> list[Action]:  # noqa: ARG001 - one signature for all
    if engine.connection not in ("greeting", "configuring"):
        return []
    missing = "session.created" if engine.connection == "greeting" else "session.updated"
    words = f"the service did not send {missing} within {engine.options.configure_timeout:g} s"
    if engine.options.configure_required:
        hint = "raise configure_timeout, or set configure_required=False to go on without it"
        return engine.fail(ConnectTimeout(f"{words}; {hint}"))
    return engine.become_ready("timed out, tolerated", f"{words}; going on without it")


def _response(engine: RealtimeEngine, now: float) -> list[Action]:
    request = engine.responses.unanswered()
    if request is None:
        return []
    error = ProviderError(
        f"response.create {request.event_id} was not answered within "
        f"{engine.options.response_timeout:g} s; it was given up, later ones are sent",
        code="response_timeout",
        event_id=request.event_id,
        retryable=True,
    )
    return [Emit(ErrorEvent(error)), *engine.send_creates(engine.responses.advance(), now)]


def _stall(engine: RealtimeEngine, now: float) -> list[Action]:
    if not _waits_for_an_end(engine):
        return []
    due = engine.last_activity + engine.options.stall_timeout
    if now < due:
        return [SetTimer("stall", due)]
    engine.responses.stalled()
    out = engine.go_on(now) if engine.calls.stalled() else []
    return out + engine.send_creates(engine.responses.advance(), now)


TIMERS: Final[Mapping[str, Callable[[RealtimeEngine, float], list[Action]]]] = {
    "configure": _configure,
    "response": _response,
    "stall": _stall,
    "playback": check_playback,
    "hold_back": timed_out,
    media_frames.TIMER: media_frames.timed_out,
}
"""What to do when the timer of this name fires."""
