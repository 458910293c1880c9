"""Calls at the service: control (accept, reject, refer, hang up), client secrets, webhooks. No session is needed."""

from __future__ import annotations

from .addresses import SipAddress, SipHeaders
from .events import IncomingCall, WebhookEvent
from .signatures import sign, verify

__all__ = ["IncomingCall", "SipAddress", "SipHeaders", "WebhookEvent", "sign", "verify"]
