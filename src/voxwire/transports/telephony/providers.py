"""A transport for each provider's media stream. Twilio's is in `voxwire.transports.twilio`."""

from __future__ import annotations

from typing import Unpack

from ...protocol.config import FormatLike
from ...protocol.formats import AudioFormat, parse_format
from .exotel import ExotelProtocol
from .layer import LineOptions, TelephonyTransportLayer
from .plivo import PlivoProtocol
from .sockets import SocketLike
from .telnyx import TelnyxProtocol
from .vonage import VonageProtocol

__all__ = [
    "ExotelRealtimeTransportLayer",
    "PlivoRealtimeTransportLayer",
    "TelnyxRealtimeTransportLayer",
    "VonageRealtimeTransportLayer",
]


def _format(value: FormatLike | None) -> AudioFormat | None:
    return parse_format(value) if value is not None else None


class TelnyxRealtimeTransportLayer(TelephonyTransportLayer):
    """A call on a Telnyx media stream with `stream_bidirectional_mode="rtp"`.

    Args:
        websocket: Telnyx's connection.
        output_format: the call's `stream_bidirectional_codec` (PCMU, PCMA, or L16 as PCM at its sampling rate), which
            Telnyx does not repeat; None for its default, PCMU.
        options: see `TelephonyTransportLayer`.
    """

    def __init__(
        self,
        *,
        websocket: SocketLike,
        output_format: FormatLike | None = None,
        **options: Unpack[LineOptions],
    ) -> None:
        protocol = TelnyxProtocol(output_format=_format(output_format))
        super().__init__(websocket=websocket, protocol=protocol, **options)


class PlivoRealtimeTransportLayer(TelephonyTransportLayer):
    """A call on a Plivo audio stream with `bidirectional="true"`; extra headers are the custom parameters.

    Args:
        websocket: Plivo's connection.
        options: see `TelephonyTransportLayer`.
    """

    def __init__(self, *, websocket: SocketLike, **options: Unpack[LineOptions]) -> None:
        super().__init__(websocket=websocket, protocol=PlivoProtocol(), **options)


class VonageRealtimeTransportLayer(TelephonyTransportLayer):
    """A call on a Vonage WebSocket endpoint; the endpoint's `headers` are the custom parameters.

    Args:
        websocket: Vonage's connection.
        options: see `TelephonyTransportLayer`.
    """

    def __init__(self, *, websocket: SocketLike, **options: Unpack[LineOptions]) -> None:
        super().__init__(websocket=websocket, protocol=VonageProtocol(), **options)


class ExotelRealtimeTransportLayer(TelephonyTransportLayer):
    """A call on an Exotel Voicebot applet.

    Args:
        websocket: Exotel's connection.
        options: see `TelephonyTransportLayer`.
    """

    def __init__(self, *, websocket: SocketLike, **options: Unpack[LineOptions]) -> None:
        super().__init__(websocket=websocket, protocol=ExotelProtocol(), **options)
