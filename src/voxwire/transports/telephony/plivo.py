"""Plivo Audio Streaming, bidirectional (`<Stream bidirectional="true">`).

Source: Plivo documentation, "Stream Event Protocol" and "Audio Streaming Protocol Reference". Audio is mu-law at 8000 Hz or
16 bit PCM at 8000 or 16000 Hz, taken as little endian, since the documentation names no byte order.
A mark is a `checkpoint`, answered by `playedStream` only if what was before it was played; there is no `stop`: the
socket closes. Timestamps are the time of day, which tells nothing about gaps in the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...protocol.call_events import CallStarted, CallStopped, MarkReturned
from ...protocol.formats import AudioFormat
from ...protocol.transport_events import DtmfReceived
from .protocol import (
    CallMedia,
    Frame,
    MediaStreamProtocol,
    dumped,
    linear,
    member,
    needed,
    text,
    texts,
    whole,
)
from .twilio import encoding

__all__ = ["PlivoProtocol"]


class PlivoProtocol(MediaStreamProtocol):
    """Plivo's messages."""

    provider: ClassVar[str] = "plivo"
    default_format: ClassVar[AudioFormat] = linear(8_000)

    def parse_message(self, message: Mapping[str, Any]) -> Frame:
        """Read one message."""
        match message.get("event"):
            case "media":
                media = member(message, "media")
                if media.get("track", "inbound") != "inbound":
                    return self.other(message)
                return CallMedia(self.audio(media.get("payload")))
            case "playedStream" | "played":  # the second is in Plivo's older pages
                return MarkReturned(needed(message, "name", "playedStream"))
            case "start":
                return self._start(message)
            case "dtmf":
                return DtmfReceived(needed(member(message, "dtmf"), "digit", "dtmf"))
            case "stop":
                return CallStopped(text(message.get("reason")), message)
            case _:
                return self.other(message)

    def _start(self, message: Mapping[str, Any]) -> CallStarted:
        start = member(message, "start")
        described = member(start, "mediaFormat")
        rate = whole(described.get("sampleRate"))
        return CallStarted(
            needed(start, "streamId", "start"),
            text(start.get("callId")),
            encoding(text(described.get("encoding")), rate, self.default_format),
            extra_headers(message.get("extra_headers")),
            message,
        )

    def media(self, audio: bytes) -> str:
        """A `playAudio` message."""
        sent = self.output_format
        kind = "audio/x-mulaw" if sent.sample_bytes == 1 else "audio/x-l16"
        return (
            f'{{"event":"playAudio","media":{{"contentType":"{kind}","sampleRate":{sent.rate},'
            f'"payload":"{self._base64(audio)}"}}}}'
        )

    def mark(self, name: str) -> str:
        """A `checkpoint` message."""
        return dumped({"event": "checkpoint", "streamId": self.stream_sid, "name": name})

    def clear(self) -> str:
        """A `clearAudio` message."""
        return dumped({"event": "clearAudio", "streamId": self.stream_sid})

    def dtmf(self, digits: str) -> str:
        """A `sendDTMF` message."""
        return dumped({"event": "sendDTMF", "dtmf": digits})


def extra_headers(value: object) -> dict[str, str]:
    """`a=1;b=2` (or with commas, or an object) as a mapping."""
    if not isinstance(value, str):
        return texts(value)
    pairs = (part.partition("=") for part in value.strip("{} ").replace(",", ";").split(";"))
    return {key.strip(): item.strip() for key, found, item in pairs if found}
