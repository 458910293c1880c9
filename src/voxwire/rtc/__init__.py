"""Peer connections: SDP, ICE and DTLS by a library, the audio in them by `voxwire.media`."""

from __future__ import annotations

import importlib.util
from typing import Literal, TypeAlias, cast, get_args

from ..errors import ConfigError, MissingExtraError
from .base import (
    CHANNEL_LABEL,
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLE_RATE,
    IceServer,
    PeerState,
    RtcEvents,
    RtcOptions,
    RtcPeer,
    RtcPeerFactory,
    RtcStats,
)

__all__ = [
    "CHANNEL_LABEL",
    "FRAME_MS",
    "FRAME_SAMPLES",
    "SAMPLE_RATE",
    "Backend",
    "IceServer",
    "PeerState",
    "RtcEvents",
    "RtcOptions",
    "RtcPeer",
    "RtcPeerFactory",
    "RtcStats",
    "peer_factory",
]

Backend: TypeAlias = Literal["aiortc", "wrtc"]
"""A library that peers can be made with."""


def peer_factory(name: Backend | None = None) -> RtcPeerFactory:
    """What makes peers on one of the libraries; nothing of it is imported before this is called.

    Args:
        name: "aiortc" (extra `webrtc`), "wrtc" (libwebrtc, extra `libwebrtc`); None takes the first of these
            that is installed.

    Raises:
        MissingExtraError: if it is not installed.
        ConfigError: if there is no such name.
    """
    known: tuple[str, ...] = get_args(Backend)
    if name is not None and name not in known:
        raise ConfigError(f"there is no WebRTC back-end {name!r}; take one of {', '.join(known)}, or None")
    chosen: str = name or next((n for n in known if importlib.util.find_spec(n) is not None), "aiortc")
    if importlib.util.find_spec(chosen) is None:
        raise MissingExtraError("WebRTC", {"aiortc": "webrtc", "wrtc": "libwebrtc"}[chosen], chosen)
    if chosen == "aiortc":
        from .aiortc_peer import AiortcPeer

        return AiortcPeer
    from .wrtc_peer import WrtcPeer

    return cast("RtcPeerFactory", WrtcPeer)
