"""What every peer does, whichever library is on either side."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import threading

import pytest

from voxwire.errors import ConfigError, ConnectError, ConnectionLost, MissingExtraError, UserError
from voxwire.rtc import IceServer, RtcOptions, peer_factory
from voxwire.rtc.capacity import process_capacity
from voxwire.rtc.sdp import SdpError

pytestmark = [
    pytest.mark.needs_module("aiortc"),
    pytest.mark.needs_module("wrtc"),
    pytest.mark.usefixtures("quick_reports"),
]

PAIRS = [("aiortc", "aiortc"), ("aiortc", "wrtc"), ("wrtc", "aiortc")]
BOTH = pytest.mark.parametrize("backend", ["aiortc", "wrtc"])


@pytest.mark.parametrize(("offering", "answering"), PAIRS)
async def test_a_call(connect, tone, pitch, until, offering, answering):
    left, left_owner, right, right_owner = await connect(offering, answering)
    assert left_owner.names[:2] == right_owner.names[:2] == ["connecting", "connected"]
    assert left.state == right.state == "connected"
    left.send("a" * 200_000)
    right.send("ümläut 🎙")
    left.send("")
    left.send_audio(tone(440, 900))
    right.send_audio(tone(1000, 900))
    assert left.queued_ms == pytest.approx(900, abs=25)
    await until(lambda: left.sent_ms >= 800 and right.sent_ms >= 800)
    assert pitch(left_owner.pcm) == pytest.approx(1000, abs=5)
    assert pitch(right_owner.pcm) == pytest.approx(440, abs=5)
    await until(lambda: len(right_owner.messages) == 2)
    assert right_owner.messages == ["a" * 200_000, ""]
    assert left_owner.messages == ["ümläut 🎙"]
    await until(lambda: left.stats().rtt_ms is not None and right.stats().rtt_ms is not None)
    for stats in (left.stats(), right.stats()):
        assert stats.packets_sent >= 40
        assert stats.packets_received >= 40
        assert stats.packets_lost == 0
        assert 0 <= stats.rtt_ms < 500
    await left.close()
    await until(lambda: right.state == "closed", 12)
    assert left_owner.states[-1] == ("closed", "closed here")
    assert right_owner.states[-1] == ("closed", "the peer closed the connection")
    assert left_owner.channels == right_owner.channels == ["open", "closed"]
    with pytest.raises(ConnectionLost, match="the peer closed"):
        right.send("too late")
    with pytest.raises(ConnectionLost):
        await right.drain()


@BOTH
async def test_cleared_audio_is_not_sent_and_what_was_sent_is_counted(connect, tone, pitch, until, backend):
    left, _, _, right_owner = await connect(backend, "aiortc")
    left.send_audio(tone(440, 1000))
    await until(lambda: left.sent_ms >= 200)
    left.clear_audio()
    sent = left.sent_ms
    assert left.queued_ms == 0
    heard = len(right_owner.pcm)
    await until(lambda: len(right_owner.pcm) >= heard + 48 * 1000)
    assert pitch(right_owner.pcm) == 0
    assert left.sent_ms == sent < 1000


@BOTH
async def test_the_queue_of_audio_is_bounded_and_live(make_peer, connect, backend):
    left, *_ = await connect(backend, "aiortc", max_queue_ms=200)
    left.send_audio(bytes(48 * 1000))
    assert left.queued_ms == 200
    left.send_audio(b"\1")
    assert left.queued_ms == 200


@BOTH
async def test_a_failing_owner_does_not_harm_the_connection(make_peer, owner, until, caplog, backend):
    class Bad(owner):
        def audio(self, pcm):
            super().audio(pcm)
            raise ZeroDivisionError("not my day")

        def message(self, data):
            super().message(data)
            raise ZeroDivisionError

    told = Bad()
    bad = peer_factory(backend)(RtcOptions(loopback=True), told)
    good, _ = make_peer()
    await bad.take_answer(await good.answer(await bad.offer()))
    await until(lambda: told.channels == ["open"])
    good.send("1")
    good.send("2")
    await until(lambda: told.messages == ["1", "2"] and len(told.pcm) > 4800)
    await bad.close()
    assert "owner failed" in caplog.text


@BOTH
async def test_a_used_peer_is_not_used_again(make_peer, backend):
    peer, _ = make_peer(backend)
    offer = await peer.offer()
    assert offer.index("m=audio") < offer.index("m=application")
    assert "useinbandfec=1" in offer
    with pytest.raises(UserError, match="use a new one"):
        await peer.offer()
    with pytest.raises(UserError, match="replaced only before"):
        peer.adopt(peer.native)
    await peer.close()
    with pytest.raises(UserError, match="closed"):
        await peer.take_answer(offer)


@BOTH
async def test_a_peer_that_is_not_connected_sends_nothing(make_peer, backend):
    peer, told = make_peer(backend)
    assert isinstance(peer.stats().packets_sent, int)
    with pytest.raises(ConnectionLost, match="not open yet"):
        peer.send("x")
    with pytest.raises(ConnectionLost, match="not open yet"):
        await peer.drain()
    peer.send_audio(bytes(960))
    peer.clear_audio()
    assert (peer.state, peer.sent_ms, peer.queued_ms) == ("new", 0, 0)
    await peer.close()
    await peer.close()
    assert told.states == [("closed", "closed here")]
    assert told.channels == []
    with pytest.raises(ConnectionLost, match="closed here"):
        peer.send("x")


@BOTH
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sdp: "", "no SDP"),
        (lambda sdp: sdp.replace("opus/48000", "speex/16000"), "no audio in Opus"),
        (lambda sdp: sdp.replace("a=ice-pwd:", "a=ice-pwd:\u00e4 "), "ice-pwd"),
        (lambda sdp: sdp.replace("a=setup:actpass", "a=setup:holdconn"), "setup"),
    ],
)
async def test_a_bad_offer_is_an_error_and_leaves_nothing(make_peer, change, words, backend):
    offering, _ = make_peer()
    offer = change(await offering.offer())
    peer, _ = make_peer(backend)
    with pytest.raises(ConnectError, match=words) as caught:
        await peer.answer(offer)
    assert isinstance(caught.value, SdpError)


@BOTH
async def test_a_bad_answer_is_an_error(make_peer, backend):
    peer, _ = make_peer(backend)
    offer = await peer.offer()
    other, _ = make_peer()
    answer = await other.answer(offer)
    with pytest.raises(SdpError, match="no data channel"):
        await peer.take_answer(answer[: answer.index("m=application")])


@BOTH
async def test_a_peer_that_never_connects_fails(make_peer, until, backend):
    peer, told = make_peer(backend, connect_timeout=0.3)
    other, _ = make_peer()
    answer = await other.answer(await peer.offer())
    await other.close()
    await peer.take_answer("\r\n".join(line for line in answer.split("\r\n") if "candidate" not in line))
    await until(lambda: peer.state == "closed")
    assert told.names[-2:] == ["failed", "closed"]
    assert "not connected within 0.3 s" in told.states[-1][1]


@BOTH
async def test_ports_and_addresses_that_cannot_be_had_are_errors(make_peer, backend):
    if backend == "wrtc":
        with pytest.raises(ConfigError, match="no say in ports"):
            make_peer(backend, ports=(40000, 40001))
    else:
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            peer, _ = make_peer(backend, ports=(port, port), addresses=("127.0.0.1",))
            with pytest.raises(ConnectError, match=f"no UDP port from {port} to {port}"):
                await peer.offer()


def handles():
    return len(os.listdir("/proc/self/fd"))


@BOTH
async def test_thirty_calls_leave_nothing_behind(connect, until, caplog, backend):
    caplog.set_level(logging.ERROR)
    left, _, right, _ = await connect(backend, "aiortc")
    await asyncio.gather(left.close(), right.close())
    before, threads, places = handles(), threading.active_count(), process_capacity().count
    for _ in range(30):
        left, _, right, _ = await connect(backend, "aiortc")
        left.send("x")
        await left.close()
        await right.close()
    # libwebrtc closes sockets on a thread of its own: a call or two may be under way.
    await until(lambda: handles() <= before + 2 and process_capacity().count == places)
    assert threading.active_count() <= threads


async def test_peers_are_made_by_name_and_by_what_is_installed(owner, monkeypatch):
    best = peer_factory()(RtcOptions(), owner())
    assert type(best).__name__ == "AiortcPeer"
    await best.close()
    assert peer_factory("wrtc").__name__ == "WrtcPeer"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "aiortc" else object())
    assert peer_factory().__name__ == "WrtcPeer"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"voxwire\[webrtc\]"):
        peer_factory()
    with pytest.raises(MissingExtraError, match=r"voxwire\[libwebrtc\]"):
        peer_factory("wrtc")
    with pytest.raises(ConfigError, match="'sip'"):
        peer_factory("sip")


@pytest.mark.parametrize(("backend", "module"), [("aiortc", "aiortc"), ("wrtc", "webrtc"), ("wrtc", "numpy")])
async def test_a_library_that_cannot_be_imported_takes_no_place(owner, monkeypatch, backend, module):
    factory = peer_factory(backend)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtraError):
        factory(RtcOptions(), owner())
    assert process_capacity().count == 0


async def test_an_ice_server_that_libwebrtc_cannot_use_takes_no_place(owner):
    options = RtcOptions(ice_servers=(IceServer(("stun:",)),))
    with pytest.raises(ConfigError, match="ICE servers"):
        peer_factory("wrtc")(options, owner())
    assert process_capacity().count == 0


@BOTH
async def test_a_channel_that_is_closing_is_a_lost_connection(connect, backend):
    peer, *_ = await connect(backend, "aiortc")
    peer._channel.close()
    with pytest.raises(ConnectionLost, match="closing"):
        peer.send("too late")


@BOTH
async def test_a_dead_ice_server_holds_up_a_description_only_for_so_long(make_peer, backend, until):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        server = IceServer((f"stun:127.0.0.1:{dead.getsockname()[1]}",))
        offering, _ = make_peer(backend, ice_servers=(server,), gather_timeout=0.2)
        answering, _ = make_peer("aiortc", ice_servers=(server,), gather_timeout=0.2)
        async with asyncio.timeout(4):
            await offering.take_answer(await answering.answer(await offering.offer()))
            await until(lambda: offering.state == answering.state == "connected")


@BOTH
async def test_an_offer_that_waited_for_no_candidate_is_enough(make_peer, backend, until):
    """As `@openai/agents-realtime` makes it: its address is learned from its checks (RFC 8445, 7.3.1.3)."""
    offering, _ = make_peer(backend)
    answering, _ = make_peer("aiortc")
    offer = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", await offering.offer())
    assert "candidate" not in offer
    await offering.take_answer(await answering.answer(offer))
    await until(lambda: offering.state == answering.state == "connected")
