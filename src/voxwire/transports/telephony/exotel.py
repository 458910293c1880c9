"""Exotel AgentStream, Voicebot applet (bidirectional).

Source: Exotel documentation, "WebSocket protocol" and "Working with the Stream and Voicebot Applet". Audio is 16
bit little endian PCM at 8000, 16000 or 24000 Hz. What we send has to come in multiples of 320 bytes and should
not be shorter than 3200, so that a frame is longer than the 20 ms of other providers.
"""

from __future__ import annotations

from typing import ClassVar

from ...protocol.formats import AudioFormat
from .protocol import linear
from .twilio import TwilioProtocol

__all__ = ["ExotelProtocol"]

MIN_CHUNK_BYTES = 3200


class ExotelProtocol(TwilioProtocol):
    """Exotel's messages: Twilio's in snake case."""

    provider: ClassVar[str] = "exotel"
    default_format: ClassVar[AudioFormat] = linear(8_000)
    stream_key: ClassVar[str] = "stream_sid"
    call_key: ClassVar[str] = "call_sid"
    parameters_key: ClassVar[str] = "custom_parameters"
    format_key: ClassVar[str] = "media_format"
    rate_key: ClassVar[str] = "sample_rate"

    @property
    def frame_ms(self) -> float:
        """200 ms at 8 kHz, 100 ms at 16 kHz, 80 ms at 24 kHz."""
        frame = self.output_format.size_of(20)
        return 20 * -(-MIN_CHUNK_BYTES // frame)
