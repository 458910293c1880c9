"""Which transport a session runs on."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..errors import UserError
from ..protocol.engine import EngineOptions
from ..transports.base import RealtimeTransportLayer

__all__ = ["TransportLike", "choose_transport"]

TransportLike: TypeAlias = 'RealtimeTransportLayer | Literal["webrtc", "websocket"] | None'
"""A transport, the name of a kind, or None for the best there is."""


def choose_transport(choice: object, *, store_audio: bool) -> RealtimeTransportLayer:
    """The transport for this choice; one that was passed in is taken as it is.

    Raises:
        UserError: if there is none of this kind.
    """
    if isinstance(choice, RealtimeTransportLayer):
        if store_audio:
            raise UserError(
                "history_store_audio is for transports the session makes; "
                "give yours options=EngineOptions(store_audio=True)"
            )
        return choice
    if choice is None or choice == "websocket":
        from ..transports.websocket import OpenAIRealtimeWebSocket

        return OpenAIRealtimeWebSocket(options=EngineOptions(store_audio=store_audio))
    if choice == "webrtc":
        raise UserError(
            "transport='webrtc' is not in this version yet; use 'websocket' or a transport of your own"
        )
    raise UserError(
        f"transport must be 'webrtc', 'websocket', a RealtimeTransportLayer or None, got {choice!r}"
    )
