"""A Twilio call as a transport."""

from __future__ import annotations

from typing import Unpack

from .telephony.layer import LineOptions, TelephonyTransportLayer
from .telephony.sockets import SocketLike
from .telephony.twilio import TwilioProtocol

__all__ = ["TwilioRealtimeTransportLayer"]


class TwilioRealtimeTransportLayer(TelephonyTransportLayer):
    """A call on a Twilio media stream (`<Connect><Stream>`).

        @app.websocket("/media")
        async def media(websocket):
            transport = TwilioRealtimeTransportLayer(twilio_websocket=websocket, api_key=key)
            async with RealtimeSession(agent, transport=transport) as session:
                await session.wait_closed()

    Audio is G.711 mu-law both ways unless the configuration names something else than the default of 24 kHz PCM.
    Marks, interruption, gaps and the events `start`, `dtmf`, `mark`, `stop` and `twilio_message`: see
    `TelephonyTransportLayer`.

    Args:
        twilio_websocket: Twilio's connection.
        options: see `TelephonyTransportLayer`.
    """

    def __init__(self, *, twilio_websocket: SocketLike, **options: Unpack[LineOptions]) -> None:
        super().__init__(websocket=twilio_websocket, protocol=TwilioProtocol(), **options)
