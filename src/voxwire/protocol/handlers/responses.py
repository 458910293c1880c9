"""Responses: begin, items, end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from .. import holding
from ..actions import Action, CancelTimer, Emit
from ..audio_gate import ResponseEnd
from ..interruption import cancel, check_playback
from ..items import FunctionCallItem
from ..transport_events import FunctionCall, TurnDone, TurnStarted, UsageUpdate
from ..usage import usage_from_wire
from .fields import Handler, WireEvent, mapping, string
from .items import take_item

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["HANDLERS"]


def response_created(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.created`: ours, or one that voice activity detection made."""
    response = mapping(event, "response")
    response_id = string(response, "id")
    in_conversation = response["conversation_id"] is not None if "conversation_id" in response else None
    withdrawn = engine.responses.created(response_id, in_conversation=in_conversation)
    if engine.responses.in_flight is None:
        out.append(CancelTimer("response"))
    if withdrawn:
        engine.playback.discard(response_id)
        out.append(cancel(engine, response_id))
    out.append(Emit(TurnStarted(response_id, response)))
    out += engine.send_creates(engine.responses.advance(), now)


def response_done(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.done`: completed or not, its usage counts and the next may begin."""
    response = mapping(event, "response")
    response_id = string(response, "id")
    output = _output(response)
    for item in output:
        # Some services tell of a call only here.
        if item.get("type") == "function_call" and string(item, "id") not in engine.history:
            output_item_done(engine, {"response_id": response_id, "item": item}, out, now)
        else:
            _announce(engine, item, response_id, out, None)
    usage = usage_from_wire(response.get("usage"))
    engine.usage = engine.usage + usage
    if engine.gate is None:
        if engine.plane is None:  # else it is played until the service says that it was
            engine.playback.response_done(response_id)
    else:
        out += holding.hold(engine, engine.gate, ResponseEnd(response_id), now)
    out.append(Emit(UsageUpdate(usage)))
    details = response.get("status_details")
    out.append(
        Emit(
            TurnDone(
                response_id,
                string(response, "status") or "completed",
                cast("Mapping[str, Any]", details) if isinstance(details, Mapping) else None,
                output,
                usage,
                response,
            )
        )
    )
    out += check_playback(engine, now)
    if engine.calls.response_done(response_id):
        # Before the next is sent, so that it may become one with a request that waits.
        out += engine.go_on(now)
    out += engine.send_creates(engine.responses.done(response_id), now)


def _output(response: WireEvent) -> tuple[Mapping[str, Any], ...]:
    output = response.get("output")
    items = cast("list[object]", output) if isinstance(output, list) else []
    return tuple(cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping))


def output_item_added(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_item.added`."""
    if not _is_out_of_band(engine, event):
        take_item(engine, event, out, "in_progress")


def output_item_done(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_item.done`: a tool call is complete and can be carried out."""
    if not _is_out_of_band(engine, event):
        take_item(engine, event, out, "completed")
    item = mapping(event, "item")
    _announce(engine, item, string(event, "response_id"), out, string(event, "previous_item_id") or None)


def _is_out_of_band(engine: RealtimeEngine, event: WireEvent) -> bool:
    return string(event, "response_id") in engine.responses.out_of_band


def _announce(
    engine: RealtimeEngine, item: WireEvent, response_id: str, out: list[Action], previous: str | None
) -> None:
    """Tell of a tool call, once, when it is complete; one cut short is never carried out."""
    if item.get("type") != "function_call" or item.get("status", "completed") != "completed":
        return
    item_id = string(item, "id")
    call_id = string(item, "call_id") or item_id
    if not call_id or not engine.calls.announce(call_id, response_id):
        return
    known = engine.history.get(item_id)
    if isinstance(known, FunctionCallItem):
        previous = previous or known.previous_item_id
    name, arguments = string(item, "name"), string(item, "arguments")
    out.append(Emit(FunctionCall(call_id, name, arguments, item_id, response_id, previous)))


HANDLERS: Final[dict[str, Handler]] = {
    "response.created": response_created,
    "response.done": response_done,
    "response.output_item.added": output_item_added,
    "response.output_item.done": output_item_done,
}
