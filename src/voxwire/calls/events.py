"""What a service reports through webhooks, typed. Unknown types are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ..errors import WireError
from .sip_headers import SipAddress, SipHeaders, parse_address

__all__ = ["IncomingCall", "WebhookEvent", "parse_event"]

MAX_HEADERS: Final = 256
"""SIP headers kept of one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """Something happened at the service.

    Attributes:
        type: as the service calls it, such as `response.completed`.
        id: of the event; empty if the service named none.
        webhook_id: of the delivery, the same for every attempt; empty if the event was not delivered.
        created_at: Unix seconds; None if the service did not say.
        data: the event's own fields, untouched.
        raw: all of it.
    """

    type: str
    id: str = ""
    webhook_id: str = ""
    created_at: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingCall(WebhookEvent):
    """`realtime.call.incoming`: the phone rings. Accept it, reject it, or let somebody else do so.

    Attributes:
        call_id: what `Calls.accept` and the others take.
        sip_headers: those of the INVITE. The caller's side wrote them; they prove nothing.
        media_security: `srtp` or `rtp` on the caller's leg; None if the service did not say.
    """

    type: str = "realtime.call.incoming"
    call_id: str
    sip_headers: SipHeaders = field(default_factory=SipHeaders)
    media_security: str | None = None

    @property
    def from_(self) -> SipAddress:
        """Who calls, as the From header says."""
        return parse_address(self.sip_headers.get("From") or "")

    @property
    def to(self) -> SipAddress:
        """Who was called, as the To header says."""
        return parse_address(self.sip_headers.get("To") or "")


def parse_event(body: bytes, webhook_id: str = "") -> WebhookEvent:
    """The event in a webhook's body, which has been verified.

    Raises:
        WireError: if it is no JSON object with a `type`, or lacks what its type needs.
    """
    try:
        raw: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the webhook's body is no JSON: {type(error).__name__}") from None
    if not isinstance(raw, dict):
        raise WireError(f"the webhook's body is a JSON {type(raw).__name__}, not an object")
    event = cast("dict[str, Any]", raw)
    kind = event.get("type")
    if not isinstance(kind, str) or not kind:
        raise WireError("the webhook's body has no 'type'")
    found = event.get("data")
    data = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    identifier, created = event.get("id"), event.get("created_at")
    common: dict[str, Any] = {
        "type": kind,
        "id": identifier if isinstance(identifier, str) else "",
        "webhook_id": webhook_id,
        "created_at": created if type(created) is int else None,
        "data": data,
        "raw": event,
    }
    if kind != "realtime.call.incoming":
        return WebhookEvent(**common)
    call_id, security = data.get("call_id"), data.get("sip_media_security")
    if not isinstance(call_id, str) or not call_id:
        raise WireError("realtime.call.incoming has no data.call_id")
    return IncomingCall(
        call_id=call_id,
        sip_headers=SipHeaders(_headers(data.get("sip_headers"))),
        media_security=security if isinstance(security, str) else None,
        **common,
    )


def _headers(value: object) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for entry in cast("list[object]", value)[:MAX_HEADERS] if isinstance(value, list) else ():
        if isinstance(entry, dict):
            header = cast("dict[str, Any]", entry)
            name, text = header.get("name"), header.get("value")
            if isinstance(name, str) and isinstance(text, str):
                pairs.append((name, text))
    return pairs
