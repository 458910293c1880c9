"""Typed wire events, and how to get one from a dict.

Reading never raises: an event of an unknown type, or a known one that lacks what it must
have, becomes a `RawEvent` with the untouched dict. A class is named after its event:
`response.output_audio.delta` is `ResponseOutputAudioDeltaEvent`; only `error` is
`ServerErrorEvent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from . import client_events, response_events, server_events
from .client_events import *  # noqa: F403
from .event_base import ClientEvent, RawEvent, ServerEvent, WireEvent, read_event
from .response_events import *  # noqa: F403
from .server_events import *  # noqa: F403

__all__ = [
    "CLIENT_EVENTS",
    "SERVER_EVENTS",
    "ClientEvent",
    "RawEvent",
    "ServerEvent",
    "WireEvent",
    "parse_client_event",
    "parse_server_event",
]
__all__ += client_events.__all__
__all__ += response_events.__all__
__all__ += server_events.__all__

EventT = TypeVar("EventT", bound=WireEvent)


def _registry(base: type[EventT], *modules: ModuleType) -> Mapping[str, type[EventT]]:
    classes = [getattr(module, name) for module in modules for name in module.__all__]
    return MappingProxyType({cls.type: cls for cls in classes if issubclass(cls, base)})


CLIENT_EVENTS = _registry(ClientEvent, client_events)
"""The events a client sends, by `type`."""

SERVER_EVENTS = _registry(ServerEvent, server_events, response_events)
"""The events a service sends, by `type`."""


def parse_client_event(data: Mapping[str, Any]) -> ClientEvent | RawEvent:
    """Read what a client sent; never raises for a mapping with string keys."""
    return _parse(CLIENT_EVENTS, data)


def parse_server_event(data: Mapping[str, Any]) -> ServerEvent | RawEvent:
    """Read what a service sent; never raises for a mapping with string keys."""
    return _parse(SERVER_EVENTS, data)


def _parse(registry: Mapping[str, type[EventT]], data: Mapping[str, Any]) -> EventT | RawEvent:
    kind = data.get("type")
    if not isinstance(kind, str):
        return RawEvent("", data)
    cls = registry.get(kind)
    event = read_event(cls, data) if cls is not None else None
    return RawEvent(kind, data) if event is None else event
