"""Whether a request really comes from Twilio.

Source: Twilio documentation, "Secure webhooks" ("Authenticate with signatures"). The signature is the base64 of an
HMAC-SHA1, with the account's auth token as the key, over the URL as Twilio called it and the form's fields, sorted. A JSON body is
not in it, but its SHA-256 is a parameter of the URL, `bodySHA256`. The handshake of a media stream's WebSocket is signed, too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast
from urllib.parse import SplitResult, parse_qs, urlsplit

from ..errors import ConfigError

__all__ = ["FormFields", "sign_twilio", "verify_twilio"]

FormFields: TypeAlias = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]]
"""A form: names with one value or several, or pairs as `urllib.parse.parse_qsl` gives them."""

_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


def verify_twilio(
    url: str, params: FormFields | bytes | str | None, signature: str | None, auth_token: str
) -> bool:
    """Whether this request was signed with `auth_token`; takes the same time whatever is wrong.

    Args:
        url: the whole URL that Twilio called, query included. Behind a proxy that is not the one your
            server sees. With and without the default port are both tried, since Twilio does either.
        params: the fields of a form (keep empty ones: `parse_qsl(body, keep_blank_values=True)`), the body of a request
            that is no form, or None for a GET or a WebSocket handshake.
        signature: the header `X-Twilio-Signature`; None if there was none.
        auth_token: the account's primary auth token.

    Raises:
        ConfigError: if `auth_token` is empty, with which anybody could sign.
    """
    fields: FormFields = ()
    body_matches = True
    if isinstance(params, (bytes, str)):
        body_matches = _body_matches(url, params.encode() if isinstance(params, str) else params)
    elif params is not None:
        fields = params
    fields = _pairs(fields)
    given = (signature or "").encode()
    found = False
    for candidate in _spellings(url):
        expected = sign_twilio(candidate, fields, auth_token).encode()
        found |= hmac.compare_digest(expected, given)
    return found and body_matches


def sign_twilio(url: str, params: FormFields | None, auth_token: str) -> str:
    """The signature that Twilio would send: for tests of your own endpoints.

    Raises:
        ConfigError: if `auth_token` is empty.
    """
    if not auth_token:
        raise ConfigError("the Twilio auth token is empty; it is shown in Twilio's console")
    text = url + "".join(name + value for name, value in _pairs(params or ()))
    digest = hmac.digest(auth_token.encode(), text.encode(), "sha1")
    return base64.b64encode(digest).decode("ascii")


def _pairs(params: FormFields) -> list[tuple[str, str]]:
    if not isinstance(params, Mapping):
        return sorted(set(params))  # a value that comes twice counts once
    fields = cast("Mapping[str, str | Sequence[str]]", params)
    return sorted({(name, one) for name in fields for one in _values(fields[name])})


def _values(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _body_matches(url: str, body: bytes) -> bool:
    given = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
    expected = hashlib.sha256(body).hexdigest()
    return hmac.compare_digest(expected.encode(), given.lower().encode())


def _spellings(url: str) -> list[str]:
    """The URL as it is, without its port, with the default port, and a handshake's with a slash at the end."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return [url]
    urls = [url]
    default = _DEFAULT_PORTS.get(parts.scheme)
    if port is not None:
        urls.append(_with_netloc(parts, _host(parts)))
    elif default is not None:
        urls.append(_with_netloc(parts, f"{_host(parts)}:{default}"))
    if parts.scheme in ("wss", "ws") and not parts.query:
        urls += [one if one.endswith("/") else f"{one}/" for one in urls]
    return urls


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc


def _with_netloc(parts: SplitResult, netloc: str) -> str:
    return parts._replace(netloc=netloc).geturl()
