"""Every carrier keeps the promises of `voxwire.carriers.base`."""

from __future__ import annotations

import pytest

from voxwire.carriers.picows import PicowsCarrier
from voxwire.carriers.websocket import WebSocketCarrier
from voxwire.testing import carrier_checks
from voxwire.testing.ends import memory_ends, websocket_ends

ENDS = {
    "memory": memory_ends,
    "websocket": lambda: websocket_ends(WebSocketCarrier),
    "picows": lambda: websocket_ends(PicowsCarrier),
}


@pytest.mark.parametrize("check", carrier_checks.CARRIER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ENDS)
async def test_carrier(kind, check):
    await check(ENDS[kind])
