"""Which transport a session runs on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, TypeAlias

from ..carriers.browser_host import host_has
from ..carriers.js import on_javascript
from ..errors import UserError
from ..protocol.engine import EngineOptions
from ..transports.base import RealtimeTransportLayer

__all__ = ["TransportLike", "choose_transport"]

TransportLike: TypeAlias = 'RealtimeTransportLayer | Literal["webrtc", "websocket"] | None'
"""A transport, the name of a kind, or None for the best there is."""


def choose_transport(
    choice: object, *, store_audio: bool, url: str | None = None, holds_audio: bool = False
) -> RealtimeTransportLayer:
    """The transport for this choice; one that was passed in is taken as it is.

    Args:
        url: where the session will connect, if that is known: `ws://` and `wss://` name a WebSocket.
        holds_audio: whether audio has to wait for guardrails, which it can only over WebSocket.

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
    if choice is None:
        choice = _best(url, holds_audio=holds_audio)
    options = EngineOptions(store_audio=store_audio)
    if choice == "websocket":
        from ..transports.websocket import OpenAIRealtimeWebSocket

        return OpenAIRealtimeWebSocket(options=options)
    if choice == "webrtc":
        from ..transports.webrtc import OpenAIRealtimeWebRTC

        return OpenAIRealtimeWebRTC(options=options)
    raise UserError(
        f"transport must be 'webrtc', 'websocket', a RealtimeTransportLayer or None, got {choice!r}"
    )


def _best(url: str | None, *, holds_audio: bool) -> Literal["webrtc", "websocket"]:
    """What serves best here: in a page its browser's WebRTC, elsewhere that of the extra `webrtc`."""
    if holds_audio or (url is not None and url.startswith(("ws:", "wss:"))):
        return "websocket"
    if on_javascript():
        return "webrtc" if host_has("RTCPeerConnection") else "websocket"
    return "webrtc" if find_spec("aiortc") is not None else "websocket"
