"""Signed webhooks: the scheme of Standard Webhooks 1.0.0, symmetric (`v1`).

The sender puts three headers on the request: `webhook-id`, `webhook-timestamp` (Unix seconds of this attempt) and
`webhook-signature`, a list of signatures with spaces between them. A signature is `v1,` and the base64 of
HMAC-SHA256 over `id.timestamp.body`. There are several while a key is being exchanged for another.
Source: the specification's sections "Signature scheme", "Webhook headers" and "Verifying signatures".

Nothing here reads the clock or the network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias, cast

from ..errors import ConfigError, SignatureError, UserError
from .events import WebhookEvent, parse_event

__all__ = ["DEFAULT_TOLERANCE", "HeadersLike", "Secrets", "sign", "verify"]

HeadersLike: TypeAlias = "Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]"
"""Headers of a request: a mapping, or pairs as ASGI has them. Names may have any case."""
Secrets: TypeAlias = "str | bytes | Sequence[str | bytes]"
"""A key, or several of which one has to fit."""

DEFAULT_TOLERANCE: Final = 300.0
"""Seconds that an attempt may be old, or ahead of our clock."""
MAX_SIGNATURES: Final = 16
"""Signatures looked at in one header."""

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1,"
_SAFE_ID: Final = re.compile(r"[^\s.]{1,256}")


def verify(
    payload: bytes | str,
    headers: HeadersLike,
    secret: Secrets,
    *,
    now: float,
    tolerance: float = DEFAULT_TOLERANCE,
) -> WebhookEvent:
    """The event in a signed webhook: an `IncomingCall`, or a `WebhookEvent` of another type.

    Args:
        payload: the request's body as it was received, byte for byte.
        headers: those of the request.
        secret: `whsec_` and base64 as the service gives it, or raw bytes; several while a key is exchanged.
        now: the time, Unix seconds (`time.time()`).
        tolerance: seconds that the attempt's timestamp may differ from it.

    Raises:
        SignatureError: it is not from who knows the key, or is not from now; `reason` says what is wrong.
        WireError: the signature holds, and the body is no event.
        ConfigError: a secret cannot be used.
    """
    keys = read_secrets(secret)
    body = payload.encode() if isinstance(payload, str) else payload
    found = _needed(headers)
    webhook_id, timestamp = found["webhook-id"], found["webhook-timestamp"]
    # Compared before anything of the body is looked at, and before the time is: a clock is no secret.
    given = [part for part in found["webhook-signature"].split() if part.startswith(_VERSION)]
    if not given:
        raise SignatureError("malformed", "webhook-signature has no signature of the version v1")
    sent_at = _seconds(timestamp)
    content = b".".join((webhook_id.encode(), timestamp.encode(), body))
    expected = [_signature(key, content) for key in keys]
    if not _any_equal(expected, given[:MAX_SIGNATURES]):
        raise SignatureError("mismatch", "no signature fits: another key, or the body was changed on its way")
    if sent_at < now - tolerance:
        raise SignatureError(
            "too_old", f"the webhook was sent {now - sent_at:.0f} s ago; at most {tolerance:g} s is accepted"
        )
    if sent_at > now + tolerance:
        raise SignatureError(
            "too_new",
            f"the webhook's time is {sent_at - now:.0f} s ahead of the clock here; at most {tolerance:g} s is accepted",
        )
    return parse_event(body, webhook_id)


def sign(payload: bytes | str, secret: Secrets, *, webhook_id: str, now: float) -> dict[str, str]:
    """The three headers for a webhook; with several keys, a signature by each.

    Args:
        payload: the body that will be sent, byte for byte.
        secret: as for `verify`.
        webhook_id: the same for every attempt to deliver the same event; no space and no dot in it.
        now: the time of this attempt, Unix seconds.

    Raises:
        UserError: if the id cannot be used.
        ConfigError: if a secret cannot.
    """
    if not _SAFE_ID.fullmatch(webhook_id):
        # A dot in it would let one signature fit two different messages.
        raise UserError(f"webhook_id must be 1 to 256 characters without space or dot, got {webhook_id!r}")
    body = payload.encode() if isinstance(payload, str) else payload
    timestamp = str(int(now))
    content = b".".join((webhook_id.encode(), timestamp.encode(), body))
    signatures = (_signature(key, content) for key in read_secrets(secret))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def read_secrets(secret: Secrets) -> tuple[bytes, ...]:
    """The keys as bytes.

    Raises:
        ConfigError: if there is none, or one cannot be used; what it is is never said.
    """
    # None, for example, where an environment variable is not set.
    single = isinstance(secret, (str, bytes)) or not isinstance(cast("object", secret), Iterable)
    several = cast("tuple[object, ...]", (secret,) if single else tuple(cast("Sequence[object]", secret)))
    if not several:
        raise ConfigError("secret is an empty list; pass the endpoint's signing secret (whsec_...)")
    return tuple(_key(one) for one in several)


def _key(secret: object) -> bytes:
    if isinstance(secret, str) and secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret[len(_PREFIX) :], validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError("a secret begins with whsec_, but what follows is not base64") from None
    elif isinstance(secret, str):
        key = secret.encode()
    elif isinstance(secret, bytes):
        key = secret
    else:
        raise ConfigError(f"a secret must be a string or bytes, got {type(secret).__name__}")
    if not key:
        raise ConfigError("a secret is empty; anybody could sign with it")
    return key


def _needed(headers: HeadersLike) -> dict[str, str]:
    pairs = cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = _text(raw_name).lower()
        if name not in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            continue
        if name in found:
            raise SignatureError("malformed", f"the header {name} is there twice")
        found[name] = _text(raw_value).strip()
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not found.get(name):
            raise SignatureError("missing", f"the header {name} is missing: this is no signed webhook")
    return found


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _seconds(timestamp: str) -> int:
    # Not int() alone: it takes "1_000", "+1" and digits of other scripts.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("malformed", "webhook-timestamp is no whole number of seconds")
    return int(timestamp)


def _signature(key: bytes, content: bytes) -> str:
    return _VERSION + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode("ascii")


def _any_equal(expected: Sequence[str], given: Sequence[str]) -> bool:
    """Whether any of these is any of those; always compares them all."""
    equal = False
    for ours in expected:
        for theirs in given:
            equal |= hmac.compare_digest(ours.encode(), theirs.encode())
    return equal
