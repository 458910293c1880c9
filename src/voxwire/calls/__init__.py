"""Calls at the service: control (accept, reject, refer, hang up), client secrets, webhooks. No session is needed."""

from __future__ import annotations

from .client import BUSY, DECLINE, Call, Calls, ClientSecret
from .digits import Digits, collect_digits
from .events import IncomingCall, WebhookEvent
from .signatures import sign, verify
from .sip_headers import SipAddress, SipHeaders
from .twilio_signature import sign_twilio, verify_twilio
from .twiml import twiml
from .webhooks import WebhookApp, webhook_app

__all__ = [
    "BUSY",
    "DECLINE",
    "Call",
    "Calls",
    "ClientSecret",
    "Digits",
    "IncomingCall",
    "SipAddress",
    "SipHeaders",
    "WebhookApp",
    "WebhookEvent",
    "collect_digits",
    "sign",
    "sign_twilio",
    "twiml",
    "verify",
    "verify_twilio",
    "webhook_app",
]
