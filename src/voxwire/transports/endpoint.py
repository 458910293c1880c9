"""Where to connect, and how to show the key: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ..errors import UserError
from ..protocol.keys import key_headers

__all__ = [
    "DEFAULT_CALLS_URL",
    "DEFAULT_URL",
    "Endpoint",
    "azure_url",
    "calls_endpoint",
    "calls_url",
    "endpoint",
    "is_loopback",
]

DEFAULT_CALLS_URL: Final = "https://api.openai.com/v1/realtime/calls"
DEFAULT_URL: Final = "wss://api.openai.com/v1/realtime"
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address and the headers of an upgrade request; `headers` hold the key."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


def endpoint(
    *, url: str | None, key: str | None, model: str, call_id: str | None, headers: Mapping[str, str]
) -> Endpoint:
    """Work out the address and the headers.

    `call_id` attaches to a call that exists (`?call_id=`); otherwise the default address gets
    `?model=`. An address given by the user stays as it is, but that http(s) becomes ws(s) and
    a missing `model` or `call_id` is added where the path is the Realtime API's own.
    Headers of the user win over ours; one that carries a key makes `key` unnecessary.

    Raises:
        UserError: if the address is not one, or there is no key for a host that needs one.
    """
    address = _with_query(url or DEFAULT_URL, model, call_id, own=url is None)
    return Endpoint(address, key_headers(urlsplit(address).hostname or "", key, headers))


def calls_url(address: str | None) -> str:
    """Where a WebRTC offer is posted.

    The address of an API (`http://127.0.0.1:8089/v1`), of a server (`http://127.0.0.1:8089`) or of its WebSocket
    (`ws://127.0.0.1:8089/v1/realtime?model=...`) stands for that of its calls; any other path is taken as it is.

    Raises:
        UserError: if it is no address.
    """
    if address is None:
        return DEFAULT_CALLS_URL
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UserError(f"base_url {address!r} cannot be read: {error}") from None
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise UserError(f"base_url {address!r} is no http:// or https:// address")
    path = parts.path.rstrip("/")
    if path in ("", "/realtime") or path.endswith(("/v1", "/v1/realtime")):
        path = f"{path.removesuffix('/realtime') or '/v1'}/realtime/calls"
    pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "model"]
    scheme = "https" if parts.scheme in ("https", "wss") else "http"
    return urlunsplit((scheme, parts.netloc, path, urlencode(pairs), ""))


def calls_endpoint(address: str | None, *, key: str | None, headers: Mapping[str, str]) -> Endpoint:
    """Address and headers of the request that makes a WebRTC call; keys and headers as for `endpoint`.

    Raises:
        UserError: if the address is not one, or there is no key for a host that needs one.
    """
    url = calls_url(address)
    return Endpoint(url, key_headers(urlsplit(url).hostname or "", key, headers))


def is_loopback(url: str) -> bool:
    """Whether this address is on the machine itself."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _with_query(url: str, model: str, call_id: str | None, *, own: bool) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UserError(f"url {url!r} cannot be read: {error}") from None
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise UserError(f"url {url!r} is not a ws://, wss://, http:// or https:// address")
    query = parts.query
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if call_id is not None:
        pairs = parse_qsl(query, keep_blank_values=True)
        kept = [pair for pair in pairs if pair[0] not in ("model", "call_id")]
        query = urlencode([*kept, ("call_id", call_id)])
    elif not names & {"model", "call_id", "deployment", "intent"} and (
        own or parts.path.rstrip("/").endswith("/realtime")
    ):
        query = "&".join(filter(None, (query, urlencode({"model": model}))))
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path, query, ""))


def azure_url(resource: str, deployment: str, *, api_version: str | None = None) -> str:
    """The Realtime address of an Azure OpenAI resource.

    Args:
        resource: its endpoint, `https://NAME.openai.azure.com`.
        deployment: the name the model was deployed under.
        api_version: for the dated API (`/openai/realtime?api-version=`); without it, the
            versionless one (`/openai/v1/realtime`). Source: Azure OpenAI, "Realtime API" how-to.
    """
    base = resource.rstrip("/")
    name = quote(deployment, safe="")
    if api_version is None:
        return _ws(f"{base}/openai/v1/realtime?model={name}")
    return _ws(f"{base}/openai/realtime?api-version={quote(api_version, safe='')}&deployment={name}")


def _ws(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise UserError(f"resource {url!r} must begin with https://")
    return urlunsplit((_SCHEMES[parts.scheme], *parts[1:]))
