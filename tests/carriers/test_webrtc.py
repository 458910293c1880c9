"""The WebRTC carrier, against a peer in the same process that answers its offers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from voxwire.carriers.base import CarrierClosed, CarrierRequest, MediaCarrier
from voxwire.carriers.signalling import Answer
from voxwire.carriers.webrtc import WebRTCCarrier
from voxwire.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    UserError,
)
from voxwire.rtc import RtcOptions, RtcStats, peer_factory
from voxwire.rtc.capacity import CapacityError, process_capacity
from voxwire.testing import carrier_checks
from voxwire.testing.ends import CarrierEnds
from voxwire.testing.receiver import RecordingReceiver

pytestmark = pytest.mark.needs_module("aiortc")

OPTIONS = RtcOptions(loopback=True, disconnected_after=1.0)
REQUEST = CarrierRequest("http://127.0.0.1/v1/realtime/calls")


class FarEnd:
    """The service's side: a peer that answers, as `CarrierPeer` and as `RtcEvents`."""

    def __init__(self, backend="aiortc", options=OPTIONS):
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.inbox = asyncio.Queue()
        self.heard = bytearray()
        self.peer = peer_factory(backend)(options, self)
        self._held = None

    def state(self, state, reason):
        if state == "closed":
            self.ended.set()

    def channel(self, state):
        if state == "open":
            self.opened.set()

    def message(self, data):
        self.inbox.put_nowait(data)

    def audio(self, pcm):
        self.heard += pcm

    async def send(self, text):
        self.peer.send(text)

    async def receive(self):
        return await asyncio.wait_for(self.inbox.get(), 5)

    async def close(self, code=1000, reason=""):
        await self.peer.close()

    async def closed(self):
        await asyncio.wait_for(self.ended.wait(), 5)
        return None, None

    def drop(self):
        self.peer._seam.cut()

    def pause(self):
        """Read no datagram but media: nothing is acknowledged any more."""
        seam = self.peer._seam
        self._held = (seam._forward, [])
        seam._forward = lambda *datagram: self._held[1].append(datagram)

    def resume(self):
        forward, held = self._held
        self.peer._seam._forward = forward
        for datagram in held:
            forward(*datagram)


class Signalling:
    """Hands the offer to a `FarEnd`; what it is to do otherwise is set by a test."""

    def __init__(self, make=FarEnd):
        self.make = make
        self.far = None
        self.requests = []
        self.before = None
        self.change = lambda sdp: sdp

    async def __call__(self, request, offer):
        self.requests.append(request)
        if self.before is not None:
            await self.before()
        self.far = self.make()
        return Answer(self.change(await self.far.peer.answer(offer)), "rtc_1")

    async def accept(self):
        await asyncio.wait_for(self.far.opened.wait(), 5)
        return self.far


@contextlib.asynccontextmanager
async def signalling():
    made = Signalling()
    yield made
    if made.far is not None:
        await made.far.peer.close()


@pytest.fixture
async def service():
    async with signalling() as made:
        yield made


class MediaRecorder(RecordingReceiver):
    """A receiver that takes audio as well."""

    def __init__(self):
        super().__init__()
        self.pcm = bytearray()
        self.media_log = []

    def media(self, pcm):
        self.pcm += pcm
        self._changed.set()

    def media_state(self, state, reason):
        self.media_log.append((state, reason))
        self._changed.set()


@pytest.fixture
def receiver():
    return MediaRecorder()


def carrier_to(service, **settings):
    return WebRTCCarrier(
        service, **({"options": OPTIONS, "backend": "aiortc", "disconnect_grace": 0.3} | settings)
    )


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert process_capacity().count == 0


@contextlib.asynccontextmanager
async def webrtc_ends():
    async with signalling() as made:
        yield CarrierEnds(
            carrier_to(made), REQUEST, made.accept, close_codes=False, max_message_bytes=256 * 1024
        )


@pytest.mark.parametrize("check", carrier_checks.CARRIER_CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_the_promises_of_a_carrier(check):
    await check(webrtc_ends)
