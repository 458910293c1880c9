"""How an embedded server is set up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import ConfigError
from .limits import Limits
from .mcp import AllowList
from .speech.base import Responder, Synthesizer, Transcriber, VoiceActivityDetector

__all__ = ["DetectorFactory", "ServerOptions"]

DetectorFactory: TypeAlias = Callable[[], VoiceActivityDetector]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of `create_app` and `EmbeddedServer`.

    A component is an object (it stays yours: the server does not close it), a name that
    `voxwire.server.speech.registry` knows, or None for the best that works on this machine.

    Attributes:
        responder: decides what to say.
        transcriber: speech to text.
        synthesizer: text to speech.
        vad: makes a voice activity detector per session; a callable without arguments, or a name.
        api_keys: keys that open sessions; with none, the server is open to everyone who reaches it.
        limits: what sessions may take.
        pace: how fast audio is sent, 1.0 is real time; None sends as fast as it is made, as the
            service does.
        voice: the voice of sessions that name none.
        mcp_servers: URLs of MCP servers that sessions may name as hosted tools; no others are contacted.
            Needs the extra `mcp`.

    Raises:
        ConfigError: a value cannot be used.
    """

    responder: Responder | str | None = None
    transcriber: Transcriber | str | None = None
    synthesizer: Synthesizer | str | None = None
    vad: DetectorFactory | str | None = None
    api_keys: Sequence[str] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)
    pace: float | None = None
    voice: str = "marin"
    mcp_servers: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.api_keys, str):
            object.__setattr__(self, "api_keys", (self.api_keys,))
        for key in self.api_keys:
            if not key.strip():
                raise ConfigError("api_keys must be non-empty strings; leave them out for an open server")
        pace = self.pace
        if pace is not None and not (math.isfinite(pace) and pace > 0):
            raise ConfigError(f"pace must be a positive number or None, not {pace!r}")
        if isinstance(self.mcp_servers, str):
            object.__setattr__(self, "mcp_servers", (self.mcp_servers,))
        AllowList(self.mcp_servers)
        if not self.voice:
            raise ConfigError("voice must not be empty")
