"""Vonage Voice API, a WebSocket endpoint of an NCCO `connect` action.

Source: Vonage documentation, "WebSockets in the Vonage Voice API". Audio is 16 bit little endian PCM at 8000, 16000 or 24000 Hz in
binary messages of 20 ms; commands and events are JSON text. A mark is a `notify` command. At most 3072 messages may
wait to be played. The end of the call is the end of the socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...errors import WireError
from ...protocol.call_events import CallStarted, MarkReturned
from ...protocol.formats import AudioFormat
from ...protocol.transport_events import DtmfReceived
from .protocol import (
    CallMedia,
    Frame,
    MediaStreamProtocol,
    Parsed,
    dumped,
    linear,
    member,
    needed,
    text,
    texts,
    whole,
)
from .twilio import encoding

__all__ = ["VonageProtocol"]

_NAMES = ("uuid", "call_uuid", "conversation_uuid")


class VonageProtocol(MediaStreamProtocol):
    """Vonage's messages."""

    provider: ClassVar[str] = "vonage"
    default_format: ClassVar[AudioFormat] = linear(16_000)

    def parse_binary(self, data: bytes) -> Parsed:
        """Binary messages are audio; half a sample is a mistake."""
        if len(data) % 2:
            raise WireError(f"a binary message has {len(data)} bytes, which is no whole number of samples")
        return Parsed(CallMedia(data), None)

    def parse_message(self, message: Mapping[str, Any]) -> Frame:
        """Read one event; those without a name of ours are passed on."""
        match message.get("event"):
            case "websocket:connected":
                return self._start(message)
            case "websocket:notify":
                name = text(member(message, "payload").get("mark"))
                return MarkReturned(name) if name else self.other(message)
            case "websocket:dtmf":
                return DtmfReceived(needed(message, "digit", "websocket:dtmf"))
            case _:
                return self.other(message)

    def _start(self, message: Mapping[str, Any]) -> CallStarted:
        # The headers of the NCCO endpoint are fields of the message; Vonage has no name of the call among its own.
        named = next((text(message.get(key)) for key in _NAMES if message.get(key)), "")
        parameters = {key: value for key, value in message.items() if key not in ("event", "content-type")}
        kind, _, rest = text(message.get("content-type")).partition(";")
        rate = whole(rest.strip().removeprefix("rate="))
        sound = encoding(kind.strip(), rate, self.default_format)
        return CallStarted("", named, sound, texts(parameters), message)

    def media(self, audio: bytes) -> bytes:
        """A binary message."""
        return audio

    def mark(self, name: str) -> str:
        """A `notify` command."""
        return dumped({"action": "notify", "payload": {"mark": name}})

    def clear(self) -> str:
        """A `clear` command."""
        return '{"action":"clear"}'
