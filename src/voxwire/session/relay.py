"""From a transport's listeners to a session's: the same event objects, with as little between as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from ..listeners import Flow, Listeners
from ..transports.base import RealtimeTransportLayer
from .events import RELAYED, TransportEvent

__all__ = ["Relay", "flow_of"]


def flow_of(transport: RealtimeTransportLayer) -> Flow | None:
    """The transport, where it can be asked to stop reading while a listener of the session lags behind."""
    return cast("Flow", transport) if hasattr(transport, "hold") and hasattr(transport, "release") else None


class Relay:
    """Passes on a transport's events while it is attached.

    Args:
        handlers: what the session does with an event before it passes it on, by name.
    """

    def __init__(
        self,
        transport: RealtimeTransportLayer,
        listeners: Listeners,
        handlers: Mapping[str, Callable[[Any], None]],
    ) -> None:
        self._transport = transport
        self._listeners = listeners
        self._handlers = handlers
        self._attached: list[tuple[str, Callable[[Any], Any]]] = []
        self._wants_wire = False

    def attach(self) -> None:
        """Begin; does nothing if it has begun."""
        if self._attached:
            return
        for name in RELAYED:
            handler = self._handlers.get(name)
            if handler is not None:
                self._listen(name, handler)
            self._listen(name, partial(self._listeners.emit, name))
        if self._wants_wire:
            self._listen("*", self._wire_event)

    def detach(self) -> None:
        """Stop; the transport may have another user."""
        for name, listener in self._attached:
            self._transport.off(name, listener)
        self._attached.clear()

    def want(self, name: str) -> None:
        """Somebody listens to this. The wire's own events are only relayed from then on."""
        if name == TransportEvent.name and not self._wants_wire:
            self._wants_wire = True
            if self._attached:
                self._listen("*", self._wire_event)

    def _listen(self, name: str, listener: Callable[[Any], Any]) -> None:
        self._transport.on(name, listener)
        self._attached.append((name, listener))

    def _wire_event(self, event: Mapping[str, Any]) -> None:
        self._listeners.emit(TransportEvent.name, TransportEvent(event))
