"""What the media streams of all providers have in common: one connection's messages, read and written.

A phone provider opens a WebSocket to us and sends the caller's audio; what we send back is played to the
caller. All of them can be asked to report when a piece of audio has been played (a *mark*), and to drop
what waits (*clear*). They differ in names, encodings and who numbers what, which is all that is in here.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, cast

from ...errors import UserError, WireError
from ...protocol import wire
from ...protocol.call_events import CallStarted, CallStopped, MarkReturned, TelephonyMessage
from ...protocol.codec import STANDARD, Codec
from ...protocol.formats import PCM16, PCMU, AudioFormat
from ...protocol.transport_events import DtmfReceived

__all__ = ["MAX_MESSAGE_BYTES", "CallMedia", "Frame", "MediaStreamProtocol", "Parsed"]

MAX_MESSAGE_BYTES = 1024 * 1024
"""A longer message is refused; the largest in use, ten seconds of 16 kHz audio, has 430 KB."""


@dataclass(frozen=True, slots=True)
class CallMedia:
    """A piece of the caller's audio.

    Attributes:
        audio: samples in the format of the call's start; PCM in little endian.
        timestamp_ms: when it begins, ms since the stream began; None if the provider does not say.
    """

    audio: bytes
    timestamp_ms: int | None = None


Frame: TypeAlias = CallStarted | CallMedia | MarkReturned | DtmfReceived | CallStopped | TelephonyMessage
"""What one message means."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """One message: what it means, and the JSON object it was (None for binary audio)."""

    frame: Frame
    message: Mapping[str, Any] | None


class MediaStreamProtocol(ABC):
    """The messages of one provider. One object serves one connection; no I/O in here.

    Subclass it for a provider that is not among ours, and hand it to `TelephonyTransportLayer(protocol=...)`.

    Args:
        output_format: of the audio we send; None for `default_output`.
        codec: what does base64.
    """

    provider: ClassVar[str]
    """Its name in lower case, as in the event `<name>_message`."""
    default_format: ClassVar[AudioFormat] = PCMU
    """The caller's audio, unless the start says otherwise."""

    def __init__(self, *, output_format: AudioFormat | None = None, codec: Codec = STANDARD) -> None:
        self.format = self.default_format
        self.stream_sid = ""
        self._output_format = output_format
        self._codec = codec

    # -- what arrives -----------------------------------------------------------------------

    def parse(self, data: str | bytes) -> Parsed:
        """Read one message.

        Raises:
            WireError: if it is too long, not JSON, or lacks what it must have; the next may be fine.
        """
        if isinstance(data, bytes):
            return self.parse_binary(data)
        message = self._load(data)
        frame = self.parse_message(message)
        if isinstance(frame, CallStarted):
            self.stream_sid = frame.stream_sid
            self.format = frame.format
        return Parsed(frame, message)

    def parse_binary(self, data: bytes) -> Parsed:
        """Read one binary message; for most providers it is text all the same."""
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            raise WireError(f"a binary message of {len(data)} bytes is not text") from None
        return self.parse(text)

    @abstractmethod
    def parse_message(self, message: Mapping[str, Any]) -> Frame:
        """Say what a JSON object means.

        Raises:
            WireError: if it lacks what it must have.
        """

    def _load(self, text: str) -> Mapping[str, Any]:
        if len(text) > MAX_MESSAGE_BYTES:
            raise WireError(f"the message has {len(text)} characters; at most {MAX_MESSAGE_BYTES} are taken")
        try:
            message = self._codec.loads(text)
        except (ValueError, RecursionError) as error:
            # The text of a parser's error may quote the message.
            raise WireError(f"the message is not JSON ({type(error).__name__})") from None
        if not isinstance(message, dict):
            raise WireError(f"the message is a JSON {type(message).__name__}, not an object")
        return cast("dict[str, Any]", message)

    def other(self, message: Mapping[str, Any]) -> TelephonyMessage:
        """A message without a meaning of its own."""
        return TelephonyMessage(self.provider, message)

    def audio(self, payload: object) -> bytes:
        """The audio of a base64 field."""
        return wire.decode_audio(cast("str", payload), self._codec)

    # -- what goes out ------------------------------------------------------------------------

    @property
    def output_format(self) -> AudioFormat:
        """The audio we send: as was asked for, else as it arrives."""
        return self._output_format or self.format

    @property
    def frame_ms(self) -> float:
        """How much audio goes into one message, ms; for most 20, a frame of the phone network."""
        return 20

    @abstractmethod
    def media(self, audio: bytes) -> str | bytes:
        """Play this audio (in `output_format`) behind what waits."""

    @abstractmethod
    def mark(self, name: str) -> str | bytes:
        """Say `name` when everything sent so far has been played."""

    @abstractmethod
    def clear(self) -> str | bytes:
        """Fall silent, drop what waits."""

    def dtmf(self, digits: str) -> str | bytes:
        """Play these keys to the caller.

        Raises:
            UserError: if the provider's media stream has no message for it.
        """
        raise UserError(
            f"{self.provider} cannot send {digits!r} on a media stream; use its REST interface, or play the tones"
        )

    def _base64(self, audio: bytes) -> str:
        return self._codec.b64encode(audio)


# -- reading fields ---------------------------------------------------------------------------------


def member(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within a message; empty if there is none."""
    value = message.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def needed(message: Mapping[str, Any], name: str, kind: str) -> str:
    """A text that a message cannot do without."""
    value = message.get(name)
    if not isinstance(value, str) or not value:
        raise WireError(f"the {kind!r} message has no {name!r}")
    return value


def text(value: object) -> str:
    """A text, or nothing."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """A count of ms, which some send as a number and most as its digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else None


def texts(value: object) -> dict[str, str]:
    """Names and texts; numbers become text, the rest is left out."""
    pairs = cast("Mapping[object, object]", value).items() if isinstance(value, Mapping) else ()
    return {str(key): str(item) for key, item in pairs if isinstance(item, (str, int, float))}


def linear(rate: int) -> AudioFormat:
    """16 bit PCM at this rate."""
    return PCM16 if rate == PCM16.rate else AudioFormat("audio/pcm", rate)


def swapped(pcm: bytes) -> bytes:
    """16 bit samples with their bytes in the other order; half a sample at the end is dropped."""
    whole_samples = pcm[: len(pcm) & ~1]
    out = bytearray(len(whole_samples))
    out[0::2] = whole_samples[1::2]
    out[1::2] = whole_samples[0::2]
    return bytes(out)


def dumped(message: Mapping[str, Any]) -> str:
    """Compact JSON."""
    return json.dumps(message, separators=(",", ":"))
