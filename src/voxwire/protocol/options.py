"""Limits of an engine."""

from __future__ import annotations

from dataclasses import dataclass

from .history import DEFAULT_MAX_ITEMS

__all__ = ["EngineOptions"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits of an engine; times are seconds.

    Attributes:
        configure_timeout: for `session.created` and the echo of the first `session.update`.
        configure_required: if it passes, fail; otherwise go on with a warning.
        response_timeout: for an answer to a `response.create`.
        stall_timeout: silence of a running response after which others stop waiting for it.
        confirm_truncation: ask the service what is left of an item that was cut.
        max_items, store_audio: see `History`.
        media_plane: the service plays the audio itself (WebRTC, SIP): it comes as frames beside the events. Transports
            set it as their carrier needs.
    """

    configure_timeout: float = 5.0
    configure_required: bool = True
    response_timeout: float = 15.0
    stall_timeout: float = 60.0
    confirm_truncation: bool = True
    max_items: int = DEFAULT_MAX_ITEMS
    store_audio: bool = False
    media_plane: bool = False
