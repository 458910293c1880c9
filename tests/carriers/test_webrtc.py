"""The WebRTC carrier, against a peer in the same process that answers its offers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import re
from array import array

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
        self._held = (seam._take_dtls, [])
        seam._take_dtls = lambda *datagram: self._held[1].append(datagram)

    def resume(self):
        take, held = self._held
        self.peer._seam._take_dtls = take
        for datagram in held:
            take(*datagram)


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
async def nothing_is_left(caplog):
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(6):
        while asyncio.all_tasks() - before - {asyncio.current_task()} or process_capacity().count:
            await asyncio.sleep(0.01)
    gc.collect()  # a task that failed with nobody looking says so when it is collected
    records = caplog.get_records("call") + caplog.get_records("teardown")
    assert [record.getMessage() for record in records if record.name == "asyncio"] == []


@contextlib.asynccontextmanager
async def webrtc_ends():
    async with signalling() as made:
        yield CarrierEnds(
            carrier_to(made), REQUEST, made.accept, close_codes=False, max_message_bytes=256 * 1024
        )


@pytest.mark.parametrize("check", carrier_checks.CARRIER_CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_the_promises_of_a_carrier(check):
    await check(webrtc_ends)


def tone(hertz, ms):
    return array(
        "h", (int(8000 * math.sin(2 * math.pi * hertz * n / 24000)) for n in range(24 * ms))
    ).tobytes()


def pitch(pcm):
    """The loudest frequency of the last half second, Hz; 0 for silence."""
    import numpy as np

    samples = np.frombuffer(bytes(pcm[-24000:]), dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 24000 / len(samples)) if spectrum.max() > 1e5 else 0.0


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_audio_goes_both_ways_and_the_call_has_a_name(service, receiver):
    carrier = carrier_to(service)
    assert isinstance(carrier, MediaCarrier)
    assert (carrier.call_id, carrier.native, carrier.stats(), carrier.plays_itself) == (
        None,
        None,
        RtcStats(),
        False,
    )
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    assert carrier.call_id == "rtc_1"
    assert service.requests == [REQUEST]
    far.peer.send_audio(tone(1000, 800))
    carrier.send_media(tone(400, 800))
    assert carrier.media_queued_ms() == pytest.approx(800, abs=25)
    await until(lambda: far.peer.sent_ms >= 700 and carrier.media_queued_ms() < 100)
    assert pitch(receiver.pcm) == pytest.approx(1000, abs=5)
    assert pitch(far.heard) == pytest.approx(400, abs=5)
    assert receiver.media_log == [("connected", "")]
    stats = carrier.stats()
    assert stats.packets_sent > 30
    assert stats.packets_received > 30
    assert stats.packets_lost == 0
    await carrier.close()
    assert receiver.how == CarrierClosed(1000, "")
    assert receiver.media_log == [("connected", "")]
    await far.closed()


async def test_muted_input_is_silence_at_its_pace(service, receiver):
    carrier = carrier_to(service)
    carrier.mute_media(True)
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    carrier.send_media(tone(400, 400))
    await until(lambda: carrier.media_queued_ms() == 0 and len(far.heard) > 9600)
    assert pitch(far.heard) == 0
    carrier.mute_media(False)
    carrier.send_media(tone(400, 700))
    await until(lambda: carrier.media_queued_ms() < 100)
    assert pitch(far.heard) == pytest.approx(400, abs=5)
    carrier.send_media(tone(400, 900))
    carrier.mute_media(True)
    assert carrier.media_queued_ms() == 0
    await carrier.close()
    carrier.send_media(b"\0\0")
    assert carrier.media_queued_ms() == 0


async def test_a_receiver_without_audio_is_fine(service):
    receiver = RecordingReceiver()
    carrier = carrier_to(service)
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    await until(lambda: len(far.heard) > 4800)
    await carrier.close()
    assert receiver.log == ["closed"]


@pytest.mark.parametrize("error", [AuthenticationError("no"), ConnectError("no way"), ZeroDivisionError()])
async def test_what_signalling_raises_is_raised_and_all_is_closed(receiver, error):
    async def fail(request, offer):
        raise error

    carrier = WebRTCCarrier(fail, options=OPTIONS)
    with pytest.raises(type(error)):
        await carrier.open(REQUEST, receiver)
    assert carrier.native.connectionState == "closed"
    assert receiver.log == []
    with pytest.raises(ConnectionLost):
        carrier.send("x")
    with pytest.raises(UserError, match="used once"):
        await carrier.open(REQUEST, receiver)


async def stall():
    await asyncio.Event().wait()


def unreachable(sdp):
    """An answer with addresses where nobody is."""
    return "\r\n".join(line for line in sdp.split("\r\n") if "candidate" not in line)


async def test_the_time_to_open_is_limited_while_signalling(service, receiver):
    service.before = stall
    carrier = carrier_to(service)
    with pytest.raises(ConnectTimeout, match=r"within 0\.2 s"):
        await carrier.open(CarrierRequest("x", open_timeout=0.2), receiver)


async def test_the_time_to_open_is_limited_while_connecting(service, receiver):
    far_closes = carrier_to(service)

    def change(sdp):
        service.far.drop()
        return unreachable(sdp)

    service.change = change
    with pytest.raises(ConnectTimeout):
        await far_closes.open(CarrierRequest("x", open_timeout=0.4), receiver)
    assert receiver.log == []


@pytest.mark.parametrize("step", ["hook", "signalling", "connecting"])
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_it_can_be_given_up_at_every_step(service, receiver, step, how):
    reached = asyncio.Event()

    async def wait_here(*_):
        reached.set()
        await stall()

    hook = None
    if step == "hook":
        hook = wait_here
    elif step == "signalling":
        service.before = wait_here
    else:

        def change(sdp):
            service.far.drop()
            asyncio.get_running_loop().call_later(0.1, reached.set)
            return unreachable(sdp)

        service.change = change
    carrier = carrier_to(service, change_peer_connection=hook)
    opening = asyncio.ensure_future(carrier.open(REQUEST, receiver))
    await asyncio.wait_for(reached.wait(), 5)
    if how == "cancel":
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    else:
        await carrier.close()
        with pytest.raises(ConnectError, match="closed before it was open"):
            await opening
    assert carrier.native.connectionState == "closed"
    assert receiver.log == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sdp: "<html>", "no SDP"),
        (lambda sdp: re.sub(r"m=application \d+", "m=application 0", sdp), "no data channel"),
        (lambda sdp: sdp[: sdp.index("m=application")], "no data channel"),
        (lambda sdp: sdp.replace("opus", "speex"), "no audio in Opus"),
        (lambda sdp: sdp.replace("a=mid:1", "a=mid:7"), "cannot be used"),
    ],
)
async def test_an_unusable_answer_is_an_error(service, receiver, change, words):
    service.change = change
    with pytest.raises(ConnectError, match=words) as caught:
        await carrier_to(service).open(REQUEST, receiver)
    assert not caught.value.retryable


async def test_a_wrong_certificate_is_refused(service, receiver):
    service.change = lambda sdp: sdp.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:")
    with pytest.raises(ConnectError, match="fingerprint"):
        await carrier_to(service).open(REQUEST, receiver)


async def test_a_message_longer_than_the_peer_takes_is_the_callers_mistake(service, receiver):
    service.change = lambda sdp: sdp.replace("a=max-message-size:262144", "a=max-message-size:1000")
    carrier = carrier_to(service)
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    with pytest.raises(UserError, match="1001 bytes is longer than the peer takes"):
        carrier.send("x" * 1001)
    carrier.send("y" * 1000)
    assert await far.receive() == "y" * 1000
    await carrier.close()


async def test_a_message_longer_than_we_take_ends_the_connection(service, receiver):
    carrier = carrier_to(service)
    await carrier.open(CarrierRequest("x", max_message_bytes=1000), receiver)
    far = await service.accept()
    far.peer.send("ä" * 501)
    how = await receiver.ended()
    assert (how.code, how.clean) == (1006, False)
    assert "1002 bytes" in how.reason
    assert receiver.messages == []


async def test_a_flood_while_paused_ends_the_connection(service, receiver, monkeypatch):
    monkeypatch.setattr("voxwire.carriers.webrtc.MAX_HELD_BYTES", 5000)
    carrier = carrier_to(service)
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    carrier.pause_reading()
    for _ in range(6):
        far.peer.send("x" * 1000)
    await far.closed()
    assert receiver.log == []
    carrier.resume_reading()
    how = await receiver.ended()
    assert how.code == 1009
    assert len(receiver.messages) == 5
    assert receiver.media_log[-1][0] == "lost"


async def test_a_lost_data_channel_is_the_end(service, receiver):
    carrier = carrier_to(service)
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    far.peer._channel.close()
    how = await receiver.ended()
    assert how.reason == "the data channel closed"
    await far.closed()


class Outage:
    """Lets nothing through to a carrier's peer."""

    def __init__(self, carrier):
        self._connection = carrier._link.peer._seam._connection
        self._original = self._connection.data_received

    def begin(self):
        self._connection.data_received = lambda *_: None

    def end(self):
        self._connection.data_received = self._original


async def test_an_outage_is_told_and_survived_within_the_grace(service, receiver):
    carrier = carrier_to(
        service, options=RtcOptions(loopback=True, disconnected_after=0.3), disconnect_grace=20
    )
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    outage = Outage(carrier)
    outage.begin()
    await receiver.until(lambda: receiver.media_log[-1][0] == "disconnected")
    far.peer.send("during")
    outage.end()
    await receiver.until(lambda: receiver.media_log[-1][0] == "connected")
    await receiver.until(lambda: receiver.messages == ["during"])
    assert receiver.how is None
    await carrier.close()


async def test_an_outage_longer_than_the_grace_is_the_end(service, receiver):
    carrier = carrier_to(
        service, options=RtcOptions(loopback=True, disconnected_after=0.2), disconnect_grace=0.1
    )
    await carrier.open(REQUEST, receiver)
    Outage(carrier).begin()
    how = await receiver.ended()
    assert (how.code, how.clean) == (1006, False)
    assert "out of reach" in how.reason
    assert [state for state, _ in receiver.media_log] == ["connected", "disconnected", "lost"]
    with pytest.raises(ConnectionLost, match="out of reach"):
        await carrier.drain()


async def test_a_track_of_the_callers_is_sent_and_stays_the_callers(service, receiver):
    from aiortc.mediastreams import AudioStreamTrack
    from av import AudioFrame

    class Tone(AudioStreamTrack):
        """8 kHz, as aiortc's own; a tone of 500 Hz."""

        async def recv(self):
            silent = await super().recv()
            frame = AudioFrame(format="s16", layout="mono", samples=160)
            frame.planes[0].update(tone(1500, 20)[: 2 * 160])  # 1500 Hz at 24 kHz is 500 Hz at 8 kHz
            frame.pts, frame.sample_rate, frame.time_base = silent.pts, 8000, silent.time_base
            return frame

    track = Tone()
    carrier = carrier_to(service, media_stream=track)
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    await until(lambda: len(far.heard) > 40000)
    assert pitch(far.heard) == pytest.approx(500, abs=5)
    await carrier.close()
    assert track.readyState == "live"
    track.stop()


async def test_a_track_is_not_read_where_the_connection_ends_as_it_begins(service, receiver):
    from voxwire.rtc.tracks import pcm_track

    def make(options, events):
        class OpensAndFails:
            def __getattr__(self, name):
                return getattr(events, name)

            def channel(self, state):
                events.channel(state)
                events.state("failed", "cut")

        return peer_factory("aiortc")(options, OpensAndFails())

    carrier = WebRTCCarrier(service, options=OPTIONS, peers=make, media_stream=pcm_track())
    await carrier.open(REQUEST, receiver)
    await receiver.ended()
    await carrier.close()  # see `nothing_is_left`


async def test_the_connection_can_be_looked_at_and_replaced(service, receiver):
    from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection

    seen = []
    own = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))

    async def replace(native):
        seen.append(native)
        return own

    carrier = carrier_to(service, change_peer_connection=replace)
    await carrier.open(REQUEST, receiver)
    assert carrier.native is own
    assert seen[0] is not own
    far = await service.accept()
    carrier.send("through")
    assert await far.receive() == "through"
    await carrier.close()
    assert own.connectionState == seen[0].connectionState == "closed"


async def test_a_hook_that_returns_nothing_changes_nothing(service, receiver):
    seen = []
    carrier = carrier_to(service, change_peer_connection=seen.append)
    await carrier.open(REQUEST, receiver)
    assert seen == [carrier.native]
    await carrier.close()


@pytest.mark.parametrize("backend", ["aiortc", "wrtc"])
async def test_a_hook_that_returns_something_else_is_told_so(service, receiver, backend):
    carrier = carrier_to(service, backend=backend, change_peer_connection=lambda _: "a string")
    with pytest.raises(UserError, match="not str"):
        await carrier.open(REQUEST, receiver)


async def test_a_full_process_refuses(service, receiver, monkeypatch):
    monkeypatch.setattr(process_capacity(), "limit", 0)
    with pytest.raises(CapacityError, match="takes no more than 0"):
        await carrier_to(service).open(REQUEST, receiver)


async def test_an_unknown_back_end_is_named(service, receiver):
    with pytest.raises(ConfigError, match="'netscape'"):
        await carrier_to(service, backend="netscape").open(REQUEST, receiver)


@pytest.mark.needs_module("wrtc")
async def test_the_same_on_libwebrtc(service, receiver):
    carrier = carrier_to(service, backend="wrtc")
    await carrier.open(REQUEST, receiver)
    far = await service.accept()
    carrier.send("question")
    assert await far.receive() == "question"
    far.peer.send("answer")
    await receiver.until(lambda: receiver.messages == ["answer"])
    far.peer.send_audio(tone(1000, 900))
    carrier.send_media(tone(400, 900))
    await until(lambda: far.peer.sent_ms >= 800 and carrier.media_queued_ms() < 100)
    assert pitch(receiver.pcm) == pytest.approx(1000, abs=5)
    assert pitch(far.heard) == pytest.approx(400, abs=5)
    await far.close()
    how = await receiver.ended()
    assert how.clean
