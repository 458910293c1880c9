"""Where a conversation takes place: which service, over which transport."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..protocol.config import DEFAULT_MODEL, AudioConfig, AudioInput, ServerVad, SessionConfig, Transcription
from ..protocol.unset import UNSET, UnsetType
from ..transports.websocket import OpenAIRealtimeWebSocket

if TYPE_CHECKING:
    from ..audio.base import AudioSink, AudioSource
    from ..transports.webrtc import OpenAIRealtimeWebRTC

__all__ = ["Place", "Wire", "choose_wire", "key_for", "make_config", "open_service", "open_transport"]

Wire: TypeAlias = Literal["webrtc", "websocket"]

_ELSEWHERE: Final[Mapping[Wire, str]] = {
    "webrtc": "https://api.openai.com/v1/realtime/calls",
    "websocket": "wss://api.openai.com/v1/realtime",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the conversation takes place.

    Attributes:
        url: a server's address; None for the embedded server, or OpenAI's if there is a key.
        transcription_model: who transcribes the user.
        wire: the transport.
    """

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    transcription_model: str = "gpt-4o-mini-transcribe"
    wire: Wire = "websocket"

    @property
    def embedded(self) -> bool:
        """Whether a server has to be started."""
        return self.url is None and self.api_key is None

    def address(self, started: str | None) -> str:
        """What to call the place, given the address of a server that was started."""
        return started or self.url or _ELSEWHERE[self.wire]


def choose_wire(wanted: str | None, url: str | None) -> Wire:
    """The transport that is meant: WebRTC where it is installed and the address does not name a WebSocket.

    Raises:
        ConfigError: there is none of this name, or it cannot reach this address.
    """
    names_socket = url is not None and urlsplit(url).scheme in ("ws", "wss")
    if wanted is None:
        return "websocket" if names_socket or find_spec("aiortc") is None else "webrtc"
    for wire in _ELSEWHERE:
        if wanted == wire:
            return wire
    raise ConfigError(f"--transport {wanted!r} is unknown; choose webrtc or websocket")


def key_for(url: str | None, key: str | None) -> str | None:
    """The key given; for OpenAI's own address the usual environment variable will do."""
    if key is None and url is not None and urlsplit(url).hostname == "api.openai.com":
        return os.environ.get("OPENAI_API_KEY")
    return key


@asynccontextmanager
async def open_service(place: Place, **settings: Any) -> AsyncGenerator[tuple[str | None, str | None]]:
    """The address and the key of the service; starts the embedded one if it is that.

    Args:
        settings: of the embedded server.
    """
    if not place.embedded:
        yield place.url, place.api_key
        return
    from ..server.serve import EmbeddedServer

    async with EmbeddedServer(api_keys=[f"sk-{secrets.token_urlsafe(16)}"], **settings) as server:
        yield (server.http_url if place.wire == "webrtc" else server.url), server.api_key


def open_transport(
    place: Place, url: str | None, key: str | None, source: AudioSource | None, sink: AudioSink | None
) -> OpenAIRealtimeWebRTC | OpenAIRealtimeWebSocket:
    """A transport between that microphone and that loudspeaker and the service at `url`."""
    model = place.model or DEFAULT_MODEL
    proxy = None if place.embedded else True
    if place.wire == "websocket":
        return OpenAIRealtimeWebSocket(
            url=url, api_key=key, proxy=proxy, audio_input=source, audio_output=sink, model=model
        )
    from ..transports.webrtc import OpenAIRealtimeWebRTC

    return OpenAIRealtimeWebRTC(
        base_url=url, api_key=key, proxy=proxy, audio_input=source, audio_output=sink, model=model
    )


def make_config(
    place: Place, *, prompt: str = "", turn_detection: ServerVad | UnsetType | None = UNSET
) -> SessionConfig:
    """What is asked of the service: words for both sides, and that it notices when the user speaks.

    Args:
        prompt: what a transcriber may expect to hear.
        turn_detection: None leaves it to the user to say when a turn is over.
    """
    words: dict[str, Any] = {"prompt": prompt} if prompt else {}
    detection = ServerVad(create_response=True, interrupt_response=True)
    return SessionConfig(
        audio=AudioConfig(
            input=AudioInput(
                transcription=Transcription(model=place.transcription_model, language="en", **words),
                turn_detection=detection if turn_detection is UNSET else turn_detection,
            )
        )
    )
