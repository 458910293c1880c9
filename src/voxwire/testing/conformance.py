"""Checks that a carrier, a transport, a sink or a source keeps its promises.

For people who write one. Run the check in a test of yours; a broken promise is an
`AssertionError` that names it.

    async def test_my_carrier():
        await check_carrier(lambda: websocket_ends(MyCarrier))
"""

from __future__ import annotations

from .audio_checks import check_sink, check_source
from .carrier_checks import check_carrier
from .ends import CarrierEnds, CarrierPeer, MakeEnds, memory_ends, websocket_ends
from .transport_checks import MakeTransport, check_transport

__all__ = [
    "CarrierEnds",
    "CarrierPeer",
    "MakeEnds",
    "MakeTransport",
    "check_carrier",
    "check_sink",
    "check_source",
    "check_transport",
    "memory_ends",
    "websocket_ends",
]
