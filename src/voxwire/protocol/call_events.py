"""What a phone call carried by a media stream tells, beside the events of its transport.

The names are those of the providers' messages. Pressed keys are `DtmfReceived`, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .formats import PCMU, AudioFormat
from .transport_events import TransportEventBase

__all__ = ["CALL_EVENTS", "CallStarted", "CallStopped", "MarkReturned", "TelephonyMessage"]


@dataclass(frozen=True, slots=True)
class CallStarted(TransportEventBase):
    """The provider's first words about the call.

    Attributes:
        stream_sid: its name for the media stream; empty where it has none.
        call_sid: its name for the call; empty where it does not say.
        format: of the caller's audio.
        custom_parameters: what was attached to the stream when it was asked for.
        message: the message, untouched.
    """

    name: ClassVar[str] = "start"
    stream_sid: str
    call_sid: str
    format: AudioFormat = PCMU
    custom_parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    message: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class CallStopped(TransportEventBase):
    """The call is over, or the provider sends no more of it.

    Attributes:
        reason: in the provider's words, if it gave one.
        message: its message; empty if the socket just ended.
    """

    name: ClassVar[str] = "stop"
    reason: str = ""
    message: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class MarkReturned(TransportEventBase):
    """The caller has heard everything that was sent before this mark, or it was cleared.

    Attributes:
        mark: the name it was sent with.
        cleared: whether an interruption dropped what was before it.
    """

    name: ClassVar[str] = "mark"
    mark: str
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class TelephonyMessage(TransportEventBase):
    """A message of the provider that no other event stands for.

    Attributes:
        provider: `twilio`, `telnyx`, ...; listeners may also use the name `<provider>_message`.
        message: untouched.
    """

    name: ClassVar[str] = "telephony_message"
    provider: str
    message: Mapping[str, Any]


CALL_EVENTS: tuple[type[TransportEventBase], ...] = (CallStarted, CallStopped, MarkReturned, TelephonyMessage)
"""All of them."""
