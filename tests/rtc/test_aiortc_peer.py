"""The peer on aiortc: against stock aiortc, under loss, in every direction, and with peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from voxwire.audio.resample import convert
from voxwire.audio.wav import read_wav
from voxwire.errors import ConnectError, ConnectionLost, UserError
from voxwire.protocol.formats import AudioFormat
from voxwire.rtc import IceServer, peer_base
from voxwire.rtc import liveness as liveness_module
from voxwire.rtc.aiortc_peer import AiortcPeer
from voxwire.rtc.tracks import pcm_of_track, pcm_track

pytestmark = [pytest.mark.needs_module("aiortc"), pytest.mark.usefixtures("quick_reports")]


@contextlib.asynccontextmanager
async def stock_aiortc(monkeypatch):
    """An unchanged `RTCPeerConnection`, but for the loopback address."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    heard = bytearray()
    tasks = []

    async def listen(track):
        async for pcm in pcm_of_track(track):
            heard.extend(pcm)

    pc.on("track", lambda track: tasks.append(asyncio.ensure_future(listen(track))))
    try:
        yield pc, heard
    finally:
        await pc.close()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("we_offer", [True, False])
async def test_stock_aiortc_hears_us_and_is_heard(make_peer, monkeypatch, tone, pitch, until, we_offer):
    async with stock_aiortc(monkeypatch) as (pc, heard):
        track = pcm_track()
        messages = []
        pc.addTrack(track)
        peer, told = make_peer()
        if we_offer:
            pc.on("datachannel", lambda channel: channel.on("message", messages.append))
            await pc.setRemoteDescription(RTCSessionDescription(await peer.offer(), "offer"))
            await pc.setLocalDescription(await pc.createAnswer())
            await peer.take_answer(pc.localDescription.sdp)
        else:
            pc.createDataChannel("oai-events").on("message", messages.append)
            await pc.setLocalDescription(await pc.createOffer())
            answer = await peer.answer(pc.localDescription.sdp)
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await until(lambda: told.channels == ["open"])
        peer.send("to stock")
        track.write(tone(700, 900))
        peer.send_audio(tone(300, 900))
        await until(lambda: peer.sent_ms >= 880 and track.queued_ms == 0 and messages == ["to stock"])
        assert pitch(told.pcm) == pytest.approx(700, abs=5)
        assert pitch(heard) == pytest.approx(300, abs=5)


@pytest.mark.parametrize(
    ("direction", "answered", "we_hear", "they_hear"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", True, False),
        ("recvonly", "sendonly", False, True),
        ("inactive", "inactive", False, False),
    ],
)
async def test_directions_are_kept_and_time_passes_all_the_same(
    make_peer, tone, until, direction, answered, we_hear, they_hear
):
    offering, offering_owner = make_peer()
    answering, answering_owner = make_peer()
    offering.native.addTransceiver("audio", direction=direction)
    answer = await answering.answer(await offering.offer())
    assert f"a={answered}\r\n" in answer
    await offering.take_answer(answer)
    await until(lambda: offering_owner.channels and answering_owner.channels)
    offering.send_audio(tone(500, 200))
    answering.send_audio(tone(500, 200))
    await until(lambda: offering.sent_ms == answering.sent_ms == 200)
    offering.send("alive")
    await until(lambda: answering_owner.messages == ["alive"])
    assert bool(answering_owner.pcm) is we_hear
    assert bool(offering_owner.pcm) is they_hear
    assert (answering.stats().packets_sent > 0) is they_hear
    await until(lambda: they_hear or not we_hear or offering._audio._reports.remote_loss is not None)


@pytest.mark.needs_module("wrtc")
async def test_video_and_other_codecs_of_an_offer_are_refused_and_the_rest_works(make_peer, until):
    offering, offering_owner = make_peer("wrtc")
    prepare = offering._prepare
    offering._prepare = lambda: (prepare(), offering.native.add_transceiver("video"))
    answering, _ = make_peer()
    offer = await offering.offer()
    assert "m=video" in offer
    assert "red/48000" in offer
    answer = await answering.answer(offer)
    assert re.findall(r"m=(\w+) (0 )?", answer) == [("audio", ""), ("video", "0 "), ("application", "")]
    assert re.search(r"m=audio \d+ UDP/TLS/RTP/SAVPF 111\r", answer)
    await offering.take_answer(answer)
    await until(lambda: offering_owner.channels == ["open"] and len(offering_owner.pcm) > 960)


def speech(path):
    voice, pcm = read_wav(path)
    return convert(pcm, voice, AudioFormat("audio/pcm", 24_000))


class Loss:
    """Drops a share of the RTP that a peer sends, chosen at random but the same every time."""

    def __init__(self, peer, share):
        self.share = share
        self._random = random.Random(7)
        self._send = peer._seam.send_rtp
        peer._seam.send_rtp = self.send

    def send(self, packet):
        return self._random.random() < self.share or self._send(packet)


async def test_a_reported_loss_turns_forward_error_correction_on(connect, root, until, monkeypatch):
    left, _, right, _ = await connect(max_queue_ms=None)
    await until(lambda: not left._audio._encoder.fec)  # at first it is on, to be safe
    loss = Loss(left, 0.15)
    for name in ("2-table", "3-handoff"):  # a voice: there is no copy of what is none
        left.send_audio(speech(root / f"src/voxwire/cli/demo_audio/{name}.wav"))
    await until(lambda: left._audio._encoder.fec)
    await until(lambda: right.stats().recovered_ms >= 60)
    assert left.stats().remote_loss is not None
    assert right.stats().packets_lost > 0
    await until(lambda: not right._audio._encoder.fec)
    loss.share = 0
    monkeypatch.setattr("voxwire.rtc.reports._MEMORY", 0)  # else it takes a quarter of a minute
    await until(lambda: not left._audio._encoder.fec)


async def test_no_error_correction_for_a_peer_that_makes_no_use_of_it(connect, until):
    plain = lambda sdp: sdp.replace("useinbandfec=1", "useinbandfec=0")  # noqa: E731
    left, *_ = await connect(change_answer=plain)
    Loss(left, 0.3)
    await until(lambda: (left.stats().remote_loss or 0) > 0)
    assert not left._audio._encoder.fec


async def test_a_peer_that_starts_its_stream_again_is_heard(connect, tone, pitch, until):
    left, _, _, right_owner = await connect()
    left.send_audio(tone(440, 300))
    await until(lambda: left.sent_ms == 300)
    left._audio.sender.ssrc ^= 0x5555
    left._audio.sender._sequence = 40_000
    left._audio.sender._timestamp = 5
    left.send_audio(tone(900, 700))
    await until(lambda: left.sent_ms == 1000)
    await until(lambda: pitch(right_owner.pcm) == pytest.approx(900, abs=5))


async def test_garbage_on_the_socket_is_ignored(connect, until, pitch, tone):
    left, left_owner, right, _ = await connect()
    pair = left._seam._connection._nominated[1]
    address = pair.local_addr
    chance = random.Random(3)
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for first in (0, 1, 20, 22, 63, 64, 127, 128, 144, 191, 200, 255):
            for length in (0, 1, 2, 12, 60):
                noise.sendto(bytes([first])[:length] + chance.randbytes(length), address)
    for packet in (b"", b"\x80", b"\x80\xc8\0\0", b"\xbf" * 20, b"\x80\xc8" + b"\0" * 30):
        left._rtp_came(packet)
        left._rtcp_came(packet)
    right.send("still here")
    await until(lambda: left_owner.messages == ["still here"])
    assert left._seam.rejected >= 10
    assert left.state == "connected"


async def test_a_message_without_an_end_is_stopped(connect, until):
    left, _, right, right_owner = await connect(max_message_bytes=16_384)
    left._max_message = 0
    sctp = left.native.sctp
    sctp._remote_max_message_size = 0
    left.send("x" * 1_000_000)
    await until(lambda: right.state == "closed")
    assert "message that does not end" in right_owner.states[-1][1]


async def test_a_peer_that_takes_nothing_is_given_up(connect, monkeypatch):
    monkeypatch.setattr(peer_base, "MAX_UNSENT_BYTES", 1_000_000)
    left, left_owner, right, _ = await connect()
    right._seam._forward = lambda *_: None
    while left.state == "connected":
        with contextlib.suppress(ConnectionLost):
            left.send("x" * 250_000)
    with pytest.raises(ConnectionLost, match="does not read"):
        left.send("x")
    assert left_owner.names[-1] == "failed"


async def test_sending_while_the_peer_closes_is_a_lost_connection(connect):
    one, _, other, _ = await connect()
    # What aiortc does when the peer resets the channel, before it says that it is closed (RFC 8831, 6.7).
    one._channel._setReadyState("closing")
    with pytest.raises(ConnectionLost, match="the peer is closing it"):
        one.send("{}")
    one._channel._setReadyState("open")
    await other.close()


async def test_a_second_data_channel_is_closed(connect, until):
    left, _, _, right_owner = await connect()
    second = left.native.createDataChannel("more")
    await until(lambda: second.readyState == "closed")
    assert right_owner.channels == ["open"]


async def test_a_vanished_peer_is_disconnected_and_then_gone(connect, until, monkeypatch):
    monkeypatch.setattr(liveness_module, "CONSENT_LIFETIME", 0.8)
    left, left_owner, right, _ = await connect(disconnected_after=0.3)
    right._seam.cut()
    await until(lambda: left.state == "closed")
    assert left_owner.names == ["connecting", "connected", "disconnected", "failed", "closed"]
    assert "nothing heard from the peer" in left_owner.states[2][1]
    assert "the peer is gone" in left_owner.states[-1][1]


async def test_a_peer_that_sends_no_audio_stays_connected_by_its_consent(make_peer, until, monkeypatch):
    monkeypatch.setattr("voxwire.rtc.aiortc_seam.CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr(liveness_module, "CONSENT_LIFETIME", 0.9)
    offering, offering_owner = make_peer(disconnected_after=0.6)
    answering, _ = make_peer(disconnected_after=0.6)
    offering.native.addTransceiver("audio", direction="inactive")
    await offering.take_answer(await answering.answer(await offering.offer()))
    await until(lambda: offering.state == "connected")
    began = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > began + 1.5)
    assert offering_owner.names == ["connecting", "connected"]


async def test_a_certificate_other_than_announced_is_refused(connect, make_peer, until):
    offering, told = make_peer()
    answering, _ = make_peer()
    answer = await answering.answer(await offering.offer())
    await offering.take_answer(answer.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:"))
    await until(lambda: offering.state == "closed")
    assert told.names[-2:] == ["failed", "closed"]
    assert "fingerprint" in told.states[-1][1]


async def test_ice_without_a_way_says_so(make_peer, until):
    offering, told = make_peer()
    answering, _ = make_peer()
    answer = await answering.answer(await offering.offer())
    # Another password: the checks are refused, and there are no further candidates.
    await offering.take_answer(re.sub(r"a=ice-ufrag:\w+", "a=ice-ufrag:nobody", answer))
    await asyncio.sleep(0)
    offering._seam._connection._check_list_state.put_nowait(2)  # aioice takes half a minute to come to this
    await until(lambda: offering.state == "closed", 10)
    assert "ICE failed" in told.states[-1][1]


class DeadServer:
    """A STUN server that does not answer."""

    def __enter__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        return IceServer((f"stun:127.0.0.1:{self._socket.getsockname()[1]}",))

    def __exit__(self, *_):
        self._socket.close()


async def test_a_dead_ice_server_does_not_hold_up_the_offer_for_long(make_peer):
    with DeadServer() as server:
        peer, _ = make_peer(ice_servers=(server,), gather_timeout=0.1)
        async with asyncio.timeout(3):
            assert "a=candidate:" in await peer.offer()


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_gathering_can_be_ended(make_peer, how):
    with DeadServer() as server:
        peer, _ = make_peer(ice_servers=(server,), gather_timeout=60)
        offering = asyncio.ensure_future(peer.offer())
        while peer._seam is None or not peer._seam._connection._protocols:
            await asyncio.sleep(0.01)
        sockets = [p.transport for p in peer._seam._connection._protocols]
        if how == "cancel":
            offering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await offering
        async with asyncio.timeout(2):
            await peer.close()
        if how == "close":
            with pytest.raises(UserError, match="closed while"):
                await offering
        assert all(transport.is_closing() for transport in sockets)


async def test_an_answering_peer_can_be_closed_while_it_gathers(make_peer):
    with DeadServer() as server:
        offering, _ = make_peer()
        peer, _ = make_peer(ice_servers=(server,), gather_timeout=60)
        answering = asyncio.ensure_future(peer.answer(await offering.offer()))
        while peer._seam is None or not peer._seam._connection._protocols:
            await asyncio.sleep(0.01)
        await peer.close()
        with pytest.raises(UserError, match="closed while"):
            await answering


async def test_a_stun_servers_view_is_offered(make_peer):
    from aioice import stun

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            request = stun.parse_message(data)
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.7", 4711)
            self.transport.sendto(bytes(answer), address)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    peer, _ = make_peer(ice_servers=(IceServer((f"stun:127.0.0.1:{port}",)),), addresses=("127.0.0.1",))
    offer = await peer.offer()
    transport.close()
    assert re.search(r"203\.0\.113\.7 4711 typ srflx raddr 127\.0\.0\.1 rport \d+", offer)


async def test_a_relay_that_refuses_is_left_out(make_peer):
    with DeadServer() as server:
        url = server.urls[0].replace("stun:", "turn:")
        peer, _ = make_peer(ice_servers=(IceServer((url,), "user", "secret"),), gather_timeout=0.1)
        assert "typ relay" not in await peer.offer()
        assert "secret" not in repr(IceServer((url,), "user", "secret"))


class Relay(asyncio.DatagramProtocol):
    """A TURN server that asks for no password (RFC 8656 sections 7.2, 8.2 and 12), for one client.

    Allocations are answered once `open` is set. `answers` is where what is sent to any peer really goes.
    """

    def __init__(self):
        self.lifetimes = []
        self.open = asyncio.Event()
        self.open.set()
        self.answers = None
        self.carried = 0
        self._channels = {}
        self._client = None
        self._tasks = set()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        if data[0] & 0xC0 == 0x40:  # ChannelData (RFC 8656, 12.4)
            self.carried += 1
            self._outside.sendto(data[4 : 4 + int.from_bytes(data[2:4], "big")], self.answers)
            return
        from aioice import stun

        task = asyncio.ensure_future(self._answer(stun.parse_message(data), address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request, address):
        from aioice import stun

        answer = stun.Message(request.message_method, stun.Class.RESPONSE, request.transaction_id)
        if "LIFETIME" in request.attributes:
            self.lifetimes.append(request.attributes["LIFETIME"])
            answer.attributes["LIFETIME"] = request.attributes["LIFETIME"]
        if request.message_method == stun.Method.CHANNEL_BIND:
            self._channels[request.attributes["XOR-PEER-ADDRESS"]] = request.attributes["CHANNEL-NUMBER"]
        if request.message_method == stun.Method.ALLOCATE:
            await self.open.wait()
            if self._client is None:
                self._client = address
                self._outside, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: self.Outside(self), local_addr=("127.0.0.1", 0)
                )
            answer.attributes["XOR-RELAYED-ADDRESS"] = self._outside.get_extra_info("sockname")
            answer.attributes["XOR-MAPPED-ADDRESS"] = address
        if not self.transport.is_closing():
            self.transport.sendto(bytes(answer), address)

    class Outside(asyncio.DatagramProtocol):
        """The relayed address. All that comes there is said to come from the only peer there is a channel for."""

        def __init__(self, relay):
            self.relay = relay

        def datagram_received(self, data, _address):
            for number in self.relay._channels.values():
                head = number.to_bytes(2, "big") + len(data).to_bytes(2, "big")
                self.relay.transport.sendto(head + data, self.relay._client)

    def close(self):
        self.transport.close()
        for task in self._tasks:
            task.cancel()
        if self._client is not None:
            self._outside.close()


@pytest.fixture
async def relay():
    transport, relay = await asyncio.get_running_loop().create_datagram_endpoint(
        Relay, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    relay.server = IceServer((f"turn:127.0.0.1:{port}",), "user", "secret")
    yield relay
    relay.close()


async def test_a_relay_allocated_for_an_offer_that_is_given_up_is_let_go(make_peer, relay, until):
    with DeadServer() as stun_server:
        peer, _ = make_peer(ice_servers=(stun_server, relay.server), gather_timeout=60)
        offering = asyncio.ensure_future(peer.offer())
        await until(lambda: any("refresh" in str(task.get_coro()) for task in asyncio.all_tasks()))
        offering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await offering
        await peer.close()
        await until(lambda: relay.lifetimes == [600, 0])


def only_at(sdp, port):
    """A description whose only address is this port of this machine."""
    return re.sub(r"(a=candidate:.* 127\.0\.0\.1) \d+ typ host", rf"\1 {port} typ host", sdp)


@pytest.mark.parametrize("when", ["before the answer", "while checking"])
async def test_a_relay_that_comes_after_the_offer_carries_the_call(make_peer, relay, until, when):
    """Half trickle: nobody waits for it, and the peer learns its address from the checks that come from there."""
    relay.open.clear()
    offering, _ = make_peer(ice_servers=(relay.server,), gather_timeout=0.1, addresses=("127.0.0.1",))
    answering, told = make_peer(addresses=("127.0.0.1",))
    offer = await offering.offer()
    assert "typ relay" not in offer
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nowhere:  # the only way is through the relay
        nowhere.bind(("127.0.0.1", 0))
        dead = nowhere.getsockname()[1]
        answer = await answering.answer(only_at(offer, dead))
        relay.answers = ("127.0.0.1", sockets(answering)[0].local_candidate.port)
        if when == "before the answer":
            relay.open.set()
            await until(lambda: any(p.local_candidate.type == "relay" for p in sockets(offering)))
        await offering.take_answer(only_at(answer, dead))
        if when == "while checking":
            await until(lambda: any(sockets(offering)[0] is pair.protocol for pair in checks(offering)))
            assert offering.state == "connecting"
            relay.open.set()
        await until(lambda: offering.state == answering.state == "connected", 10)
        before = relay.carried
        offering.send_audio(bytes(48_000))
        await until(lambda: len(told.pcm) > 9600 and relay.carried > before + 10)
        await offering.close()
    assert relay.lifetimes == [600, 0]


async def test_a_relay_that_comes_when_there_is_a_connection_is_let_go(make_peer, relay, until):
    relay.open.clear()
    offering, _ = make_peer(ice_servers=(relay.server,), gather_timeout=0.1)
    answering, _ = make_peer()
    await offering.take_answer(await answering.answer(await offering.offer()))
    await until(lambda: offering.state == answering.state == "connected")
    waiting = offering._seam.gathering._waiting
    await until(waiting.done)
    assert [p.local_candidate.type for p in sockets(offering)] == ["host"] * len(sockets(offering))


async def test_closing_does_not_wait_for_a_late_relay(make_peer, relay):
    relay.open.clear()
    peer, _ = make_peer(ice_servers=(relay.server,), gather_timeout=0.1)
    await peer.offer()
    async with asyncio.timeout(2):
        await peer.close()
    assert peer._seam.gathering._waiting.done()


async def test_candidates_may_follow_an_answer_by_way_of_the_librarys_own_connection(make_peer, until):
    from aiortc.sdp import candidate_from_sdp

    offering, _ = make_peer(addresses=("127.0.0.1",))
    answering, _ = make_peer(addresses=("127.0.0.1",))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nowhere:
        nowhere.bind(("127.0.0.1", 0))
        offer = only_at(await offering.offer(), nowhere.getsockname()[1])
        answer = await answering.answer(offer)
        await offering.take_answer(re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", answer))
        await until(lambda: offering.state == "connecting")
        candidate = candidate_from_sdp(re.search(r"a=candidate:(.*)\r", answer)[1])
        candidate.sdpMid = "0"
        await offering.native.addIceCandidate(candidate)
        await until(lambda: offering.state == answering.state == "connected")


def sockets(peer):
    return peer._seam._connection._protocols


def checks(peer):
    return [pair for pair in peer._seam._connection._check_list if pair.task is not None]


def free_range(size):
    """So many free UDP ports in a row."""
    while True:
        low = random.randrange(20_000, 60_000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(low, low + size):
                    handle = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    handle.bind(("127.0.0.1", port))
            except OSError:
                continue
            return low, low + size - 1


async def test_ports_come_from_the_range_until_it_is_empty(make_peer, until):
    low, high = free_range(2)
    options = {"ports": (low, high), "addresses": ("127.0.0.1",)}
    peers = [make_peer(**options) for _ in range(2)]
    offer = await peers[0][0].offer()
    answer = await peers[1][0].answer(offer)
    found = {
        int(port)
        for port in re.findall(r"candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host", offer + answer)
    }
    assert found == {low, high}
    await peers[0][0].take_answer(answer)
    await until(lambda: peers[0][1].channels == ["open"])
    third, _ = make_peer(**options)
    with pytest.raises(ConnectError, match=f"no UDP port from {low} to {high}"):
        await third.offer()
    await peers[0][0].close()
    again, _ = make_peer(**options)
    assert "a=candidate:" in await again.offer()


async def test_a_public_address_is_offered_in_place_of_the_local_one(make_peer):
    peer, _ = make_peer(loopback=False, public_address="203.0.113.9")
    offer = await peer.offer()
    hosts = re.findall(r"candidate:\S+ 1 udp \d+ (\S+) \d+ typ host", offer)
    assert "203.0.113.9" in hosts
    local = {p.transport.get_extra_info("sockname")[0] for p in peer._seam._connection._protocols}
    assert not {host for host in hosts if "." in host} & local


async def test_closing_ends_in_time_whatever_the_library_does(make_peer, monkeypatch, caplog):
    monkeypatch.setattr(peer_base, "_CLOSE_SECONDS", 0.1)
    peer, told = make_peer()
    await peer.offer()
    sockets = [p.transport for p in peer._seam._connection._protocols]
    native_close = peer.native.close
    monkeypatch.setattr(peer.native, "close", asyncio.Event().wait)
    async with asyncio.timeout(2):
        await peer.close()
    assert told.states[-1] == ("closed", "closed here")
    assert all(transport.is_closing() for transport in sockets)
    assert "sockets are cut" in caplog.text
    await native_close()


async def test_a_peer_closed_while_it_connects_leaves_nothing(make_peer, until):
    for _ in range(5):
        offering, told = make_peer()
        answering, _ = make_peer()
        answer = await answering.answer(await offering.offer())
        await offering.take_answer(answer)
        while offering._seam.dtls.state == "new":
            await asyncio.sleep(0)
        await offering.close()
        await answering.close()
        assert told.names[-1] == "closed"


async def test_another_connection_is_adopted_with_its_own_audio(make_peer, owner, until):
    from aiortc import RTCBundlePolicy

    peer, _ = make_peer()
    first = peer.native
    other = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    other.addTransceiver("audio", direction="sendonly")
    peer.adopt(other)
    assert peer.native is other
    offer = await peer.offer()
    assert offer.count("m=audio") == 1
    assert "a=sendonly" in offer
    with pytest.raises(UserError, match="RTCPeerConnection is needed"):
        make_peer()[0].adopt(object())
    await peer.close()
    assert first.connectionState == other.connectionState == "closed"


def test_it_is_what_the_factory_makes():
    assert AiortcPeer.__name__ == "AiortcPeer"
