"""ICE servers as people write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ConfigError
from .base import IceServer

__all__ = ["ice_servers"]

_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")


def ice_servers(given: Iterable[IceServer | Mapping[str, Any] | str]) -> tuple[IceServer, ...]:
    """The servers for URLs, for mappings as a browser takes them (`urls`, `username`, `credential`), or as they are.

    Raises:
        ConfigError: one of them cannot be used.
    """
    return tuple(_server(entry) for entry in given)


def _server(entry: IceServer | Mapping[str, Any] | str) -> IceServer:
    if isinstance(entry, str):
        entry = {"urls": entry}
    if not isinstance(entry, IceServer):
        unknown = set(entry) - {"urls", "username", "credential"}
        urls = entry.get("urls", ())
        if unknown or not urls:
            raise ConfigError(
                "an ICE server has urls, and may have username and credential, and nothing else"
            )
        entry = IceServer(
            (urls,) if isinstance(urls, str) else tuple(urls), entry.get("username"), entry.get("credential")
        )
    for url in entry.urls:
        if not url.startswith(_SCHEMES):
            raise ConfigError(f"{url!r} is no ICE server; it must begin with one of {', '.join(_SCHEMES)}")
        if url.startswith("turn") and not (entry.username and entry.credential):
            raise ConfigError(f"{url!r} needs a username and a credential")
    return entry
