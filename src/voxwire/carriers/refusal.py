"""Why a connection could not be opened, as the errors of this package.

Messages name the host and port, never the rest of the URL or a header: keys travel there.
"""

from __future__ import annotations

import contextlib
import sys
from http import HTTPStatus
from urllib.parse import urlsplit

from ..errors import ConfigError, ConnectError, ConnectTimeout, ProviderError
from ..protocol.refusals import refusal

__all__ = ["endpoint", "refused", "timed_out", "unreachable"]


def endpoint(url: str, schemes: tuple[str, str] = ("ws", "wss")) -> str:
    """`host:port` of a URL.

    Args:
        schemes: the plain and the encrypted one that it may have; their ports are 80 and 443.

    Raises:
        ConfigError: if it has another scheme, or no host.
    """
    plain, secure = schemes
    what = "WebSocket URL" if plain == "ws" else "URL"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the {what} cannot be read: {error}") from None
    if parts.scheme not in schemes or not host:
        raise ConfigError(
            f"a {what} starts with {plain}:// or {secure}:// and a host, not with {parts.scheme or url[:20]!r}"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port or (443 if parts.scheme == secure else 80)}"


def refused(where: str, status: int, body: bytes | None, location: str | None = None) -> ProviderError:
    """The error for an HTTP answer that was not 101.

    Args:
        where: `host:port`.
        body: as received; an OpenAI error object in it gives message, type, code and param.
        location: where a redirect points to. Redirects are not followed: the key would go along.
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "unknown status"
    if location is not None:
        body, phrase = None, f"redirected to {_named(location)}; connect there directly"
    return refusal(f"{where} refused the connection with HTTP {status}", status, body, phrase)


def unreachable(where: str, error: BaseException) -> ConnectError:
    """The error for a name, a port or a handshake that did not work."""
    if isinstance(error, TimeoutError):
        return timed_out(where, None)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    failure = ConnectError(f"cannot connect to {where}: {reason or type(error).__name__}")
    ssl = sys.modules.get("ssl")  # not imported: Pyodide may have none, and what is not loaded raised nothing
    if ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
        failure.retryable = False
    return failure


def timed_out(where: str, seconds: float | None) -> ConnectTimeout:
    """The error for a peer that did not answer in time."""
    limit = f" within {seconds:g} s" if seconds is not None else " in time"
    return ConnectTimeout(f"{where} did not answer{limit}")


def _named(url: str) -> str:
    """`host:port` if there is one in it, else a harmless description."""
    for schemes in (("ws", "wss"), ("http", "https")):
        with contextlib.suppress(ConfigError):
            return endpoint(url, schemes)
    return "another address"
