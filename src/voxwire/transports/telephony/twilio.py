"""Twilio Media Streams, bidirectional (`<Connect><Stream>`).

Source: Twilio documentation, "Media Streams - WebSocket Messages". Audio is mu-law at 8000 Hz both ways; `clear`
makes Twilio return every mark that waits. Exotel's messages are the same in snake case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from ...errors import WireError
from ...protocol.call_events import CallStarted, CallStopped, MarkReturned
from ...protocol.formats import PCMA, PCMU, AudioFormat
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

__all__ = ["TwilioProtocol", "encoding"]

_LAWS = {"audio/x-mulaw": PCMU, "pcmu": PCMU, "mulaw": PCMU, "audio/x-alaw": PCMA, "pcma": PCMA}
_LINEAR = frozenset(
    {"l16", "audio/x-l16", "audio/l16", "audio/x-raw", "raw/slin", "base64", "slin", "linear16"}
)


def encoding(name: str, rate: int | None, default: AudioFormat) -> AudioFormat:
    """The format that a provider's `encoding` and sample rate (Hz) name.

    Raises:
        WireError: if it is none that can be read.
    """
    key = name.lower()
    if not key:
        return default
    if key in _LAWS:
        return _LAWS[key]
    if key in _LINEAR:
        rate = rate or 8_000
        if 8_000 <= rate <= 48_000:
            return linear(rate)
        raise WireError(f"the stream has a sample rate of {rate} Hz, outside 8000 to 48000")
    raise WireError(
        f"the stream is encoded as {name!r}; G.711 and linear PCM can be read, set it up for one of them"
    )


class TwilioProtocol(MediaStreamProtocol):
    """Twilio's messages."""

    provider: ClassVar[str] = "twilio"
    stream_key: ClassVar[str] = "streamSid"
    call_key: ClassVar[str] = "callSid"
    parameters_key: ClassVar[str] = "customParameters"
    format_key: ClassVar[str] = "mediaFormat"
    rate_key: ClassVar[str] = "sampleRate"

    def parse_message(self, message: Mapping[str, Any]) -> Frame:
        """Read one message; a piece of another track than the caller's is passed on as it is."""
        kind = message.get("event")
        if kind == "media":
            media = member(message, "media")
            if media.get("track", "inbound") != "inbound":
                return self.other(message)
            return CallMedia(self.audio(media.get("payload")), whole(media.get("timestamp")))
        if kind == "mark":
            return MarkReturned(needed(member(message, "mark"), "name", "mark"))
        if kind == "start":
            return self._start(message)
        if kind == "dtmf":
            return DtmfReceived(needed(member(message, "dtmf"), "digit", "dtmf"))
        if kind == "stop":
            return CallStopped(text(member(message, "stop").get("reason")), message)
        return self.other(message)

    def _start(self, message: Mapping[str, Any]) -> CallStarted:
        start = member(message, "start")
        described = member(start, self.format_key)
        rate = whole(described.get(self.rate_key))
        return CallStarted(
            needed({**message, **start}, self.stream_key, "start"),
            text(start.get(self.call_key)),
            encoding(text(described.get("encoding")), rate, self.default_format),
            texts(start.get(self.parameters_key)),
            message,
        )

    def media(self, audio: bytes) -> str:
        """A `media` message."""
        # Built by hand, fifty times a second: base64 needs no escaping, and the name was escaped once.
        return f'{{"event":"media",{self._stream()},"media":{{"payload":"{self._base64(audio)}"}}}}'

    def mark(self, name: str) -> str:
        """A `mark` message."""
        return f'{{"event":"mark",{self._stream()},"mark":{{"name":{json.dumps(name)}}}}}'

    def clear(self) -> str:
        """A `clear` message."""
        return dumped({"event": "clear", self.stream_key: self.stream_sid})

    def _stream(self) -> str:
        return f'"{self.stream_key}":{json.dumps(self.stream_sid)}'
