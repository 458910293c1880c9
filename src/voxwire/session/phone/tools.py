"""Tools for agents on the phone: transfer the call, end the call. Both let the agent finish its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...calls.client import Calls
from ...calls.endpoints import target_of
from ...errors import UserError
from ...tools.background import BackgroundResult, background_result
from ...tools.context import RunContext
from ...tools.function import FunctionTool, tool
from .speech import SpeechEnd, finish_speaking

__all__ = ["end_call", "transfer_call"]

SPEECH_TIMEOUT: Final = 20.0
"""Seconds that the agent may go on speaking; then the call is transferred or ended in the middle of it."""

_END: Final = (
    "End the phone call. Say goodbye first, in the same response; the call ends when the caller has heard it."
)
_TRANSFER: Final = (
    "Transfer the caller to somebody else. Say whom you transfer to first, in the same response. "
    "You are not part of the call after that."
)


def transfer_call(
    calls: Calls,
    targets: Mapping[str, str],
    *,
    call_id: str | None = None,
    name: str = "transfer_call",
    description: str = _TRANSFER,
    speech_timeout: float = SPEECH_TIMEOUT,
) -> FunctionTool[..., Any]:
    """A tool with which the agent transfers the call to one of `targets`, and to nobody else.

        agent = RealtimeAgent("Reception", tools=[transfer_call(calls, {"sales": "tel:+15550100", "support": "sip:..."})])

    The model chooses a name; addresses are not shown to it. The transfer waits until the caller has heard the agent's
    words. A caller who interrupts them is listened to: the call stays, and the agent is told.

    Args:
        calls: carries it out.
        targets: name, as the model sees it, to address: `sip:`, `sips:`, `tel:` or a number.
        call_id: which call; None takes the one that the session is attached to.
        name, description: as the model sees the tool.
        speech_timeout: seconds that the agent may go on speaking.

    Raises:
        UserError: if there is no target, or one is no address.
    """
    if not targets:
        raise UserError("transfer_call needs at least one target, such as {'sales': 'tel:+15550100'}")
    addresses = {label: target_of(address) for label, address in targets.items()}
    parameters = {
        "type": "object",
        "properties": {"target": {"type": "string", "enum": list(addresses), "description": "Whom to."}},
        "required": ["target"],
        "additionalProperties": False,
    }

    async def transfer(context: RunContext[Any], target: str) -> BackgroundResult | str:
        address = addresses.get(target)
        if address is None:
            return f"There is no target {target!r}; choose one of {', '.join(addresses)}."
        call = _call_of(context, call_id)
        if await _heard_out(context, speech_timeout) == "interrupted":
            return "The caller interrupted you, and was not transferred. Listen to the caller first."
        await calls.refer(call, address)
        return background_result(f"The caller was transferred to {target}.")

    return tool(
        name=name,
        description=description,
        parameters=parameters,
        error_message=lambda _context, error: f"The caller could not be transferred: {error} Say so.",
    )(transfer)


def end_call(
    calls: Calls | None = None,
    *,
    call_id: str | None = None,
    name: str = "end_call",
    description: str = _END,
    speech_timeout: float = SPEECH_TIMEOUT,
) -> FunctionTool[..., Any]:
    """A tool with which the agent hangs up, once the caller has heard what it said.

    A caller who interrupts the goodbye is listened to: the call stays, and the agent is told.

    Args:
        calls: ends the call at the service, which closes the session. None closes the session's connection, which is
            the call where the audio passes here (WebRTC, WebSocket, Twilio).
        call_id: which call; None takes the one that the session is attached to.
        name, description: as the model sees the tool.
        speech_timeout: seconds that the agent may go on speaking.
    """

    async def end(context: RunContext[Any]) -> BackgroundResult | str:
        transport = context.session.transport
        call = _call_of(context, call_id) if calls is not None else ""
        if await _heard_out(context, speech_timeout) == "interrupted":
            return "The caller interrupted you, and the call goes on. Listen to the caller first."
        if calls is not None:
            await calls.hangup(call)
        else:
            await transport.close()
        return background_result("The call has ended.")

    return tool(
        name=name,
        description=description,
        parameters={"type": "object", "properties": {}, "additionalProperties": False},
        error_message=lambda _context, error: f"The call could not be ended: {error}",
    )(end)


async def _heard_out(context: RunContext[Any], timeout: float) -> SpeechEnd:
    """Wait until the caller has heard what was said, above all in the response that called the tool."""
    response_id = context.call.response_id if context.call is not None else None
    return await finish_speaking(context.session.transport, timeout, response_id or "")


def _call_of(context: RunContext[Any], call_id: str | None) -> str:
    call = call_id or context.session.transport.call_id
    if not call:
        raise UserError("the session is not attached to a call; pass call_id= to the tool")
    return call
