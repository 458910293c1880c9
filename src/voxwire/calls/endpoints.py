"""Where the endpoints of calls are, and what may stand in a request: pure functions."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from ..errors import UserError

__all__ = [
    "DEFAULT_BASE_URL",
    "call_id_in",
    "check_call_id",
    "check_status_code",
    "endpoint_url",
    "realtime_url",
    "target_of",
]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_HTTP: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_WEBSOCKET: Final = {"http": "ws", "https": "wss"}
_NUMBER: Final = re.compile(r"\+?[0-9][0-9().\- ]{1,30}")
_TARGET: Final = re.compile(r"(sip|sips|tel):[^\s<>\"]+", re.IGNORECASE)


def endpoint_url(base_url: str, *segments: str) -> str:
    """The address below a base such as `https://api.openai.com/v1` or `https://NAME.openai.azure.com/openai/v1`.

    A query of the base (`?api-version=`) stays. The address of the WebSocket (`ws://.../v1/realtime`) is taken as well.

    Raises:
        UserError: if the base is no address.
    """
    try:
        parts = urlsplit(base_url)
    except ValueError as error:
        raise UserError(f"base_url {base_url!r} cannot be read: {error}") from None
    if parts.scheme not in _HTTP or not parts.netloc:
        raise UserError(f"base_url {base_url!r} is no http:// or https:// address")
    path = parts.path.rstrip("/").removesuffix("/calls").removesuffix("/realtime")
    path += "".join("/" + quote(segment, safe="") for segment in segments)
    return urlunsplit((_HTTP[parts.scheme], parts.netloc, path, parts.query, ""))


def realtime_url(base_url: str) -> str:
    """The WebSocket address that belongs to a base."""
    parts = urlsplit(endpoint_url(base_url, "realtime"))
    return urlunsplit((_WEBSOCKET[parts.scheme], *parts[1:]))


def call_id_in(location: str | None) -> str | None:
    """The call's id in a `Location` such as `/v1/realtime/calls/rtc_abc`; None if there is none."""
    if not location:
        return None
    try:
        path = urlsplit(location).path
    except ValueError:
        return None
    before, _, last = path.rstrip("/").rpartition("/")
    return last if last and before.endswith("/calls") else None


def check_call_id(call_id: object) -> str:
    """The id as it is, if it can be one.

    Raises:
        UserError: if it cannot. It becomes part of a path, which "." and ".." would leave even when quoted.
    """
    if not isinstance(call_id, str) or not call_id.strip() or call_id in (".", ".."):
        raise UserError(f"call_id must be what the service calls the call (rtc_...), got {call_id!r}")
    return call_id


def check_status_code(status_code: object) -> int:
    """A SIP status that ends a call attempt: 300 to 699 (RFC 3261 section 21).

    Raises:
        UserError: if it is something else.
    """
    if type(status_code) is not int or not 300 <= status_code <= 699:
        raise UserError(
            "status_code must be a SIP status that refuses a call, 300 to 699 (486 is busy, 603 is decline), "
            f"got {status_code!r}"
        )
    return status_code


def target_of(target: object) -> str:
    """What stands in Refer-To: a `sip:`, `sips:` or `tel:` address; a bare number becomes a `tel:` one.

    Raises:
        UserError: if it is none of these.
    """
    if isinstance(target, str):
        text = target.strip()
        if _TARGET.fullmatch(text):
            return text
        if _NUMBER.fullmatch(text):
            return "tel:" + re.sub(r"[^+0-9]", "", text)
    raise UserError(
        f"target must be a sip:, sips: or tel: address, or a number such as +14155550123, got {target!r}"
    )
