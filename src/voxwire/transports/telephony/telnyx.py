"""Telnyx Media Streaming in bidirectional RTP mode (`stream_bidirectional_mode: rtp`).

Source: Telnyx documentation, "Media Streaming over WebSockets" and the AsyncAPI description "Stream call media over
WebSocket". Payloads are RTP payloads without headers: G.711, or L16, which RTP carries in network byte order (RFC 3551,
section 4.5.11). Our own audio is in the codec that the call was set up with (`stream_bidirectional_codec`),
which the start does not repeat. `clear` returns the marks that wait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from ...protocol.call_events import CallStarted
from ...protocol.formats import PCMU, AudioFormat
from .protocol import CallMedia, Frame, member, needed, swapped, text, texts, whole
from .twilio import TwilioProtocol, encoding

__all__ = ["TelnyxProtocol"]


class TelnyxProtocol(TwilioProtocol):
    """Telnyx's messages.

    `output_format` is the `stream_bidirectional_codec` of the call; Telnyx's default, and ours, is PCMU.
    """

    provider: ClassVar[str] = "telnyx"

    @property
    def output_format(self) -> AudioFormat:
        """As was asked for, else mu-law."""
        return self._output_format or PCMU

    def parse_message(self, message: Mapping[str, Any]) -> Frame:
        """Read one message."""
        frame = super().parse_message(message)
        if isinstance(frame, CallMedia) and self.format.sample_bytes == 2:
            return CallMedia(swapped(frame.audio), frame.timestamp_ms)
        return frame

    def _start(self, message: Mapping[str, Any]) -> CallStarted:
        start = member(message, "start")
        described = member(start, "media_format")
        return CallStarted(
            needed(message, "stream_id", "start"),
            text(start.get("call_control_id")),
            encoding(
                text(described.get("encoding")), whole(described.get("sample_rate")), self.default_format
            ),
            texts(start.get("custom_parameters")),
            message,
        )

    def media(self, audio: bytes) -> str:
        """A `media` message; Telnyx knows the stream by its connection."""
        if self.output_format.sample_bytes == 2:
            audio = swapped(audio)
        return f'{{"event":"media","media":{{"payload":"{self._base64(audio)}"}}}}'

    def mark(self, name: str) -> str:
        """A `mark` message."""
        return f'{{"event":"mark","mark":{{"name":{json.dumps(name)}}}}}'

    def clear(self) -> str:
        """A `clear` message."""
        return '{"event":"clear"}'
