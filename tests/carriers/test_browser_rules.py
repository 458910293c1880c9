"""What of the page's carriers needs no page: the rest is tested in Chromium, in tests/page."""

from __future__ import annotations

import sys

import pytest

from voxwire import ConfigError, OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket, UserError
from voxwire.carriers import browser_host
from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.browser import BrowserWebRTCCarrier, BrowserWebSocketCarrier, key_protocols
from voxwire.carriers.browser_stats import read_stats
from voxwire.rtc.base import RtcStats
from voxwire.transports.default_audio import DEFAULT
from voxwire.transports.page import check_page_key, microphone_constraints, page_devices


def test_a_key_becomes_a_sub_protocol():
    request = CarrierRequest("wss://example.com/v1/realtime", {"Authorization": "Bearer ek_1"})
    assert key_protocols(request) == ["realtime", "openai-insecure-api-key.ek_1"]
    assert key_protocols(CarrierRequest("ws://127.0.0.1/")) == ["realtime"]
    assert key_protocols(CarrierRequest("ws://127.0.0.1/", subprotocols=("own",))) == ["own"]


@pytest.mark.parametrize("header", [{"X-Team": "voice"}, {"Authorization": "Basic abc"}, {"api-key": "k"}])
def test_any_other_header_is_refused_by_name(header):
    with pytest.raises(ConfigError, match=next(iter(header))):
        key_protocols(CarrierRequest("ws://127.0.0.1/", header))


def test_statistics_of_a_browser():
    entries = [
        {"type": "inbound-rtp", "kind": "audio", "packetsReceived": 100, "packetsLost": 2, "jitter": 0.004,
         "jitterBufferDelay": 960.0, "jitterBufferTargetDelay": 480.0, "jitterBufferEmittedCount": 9600,
         "concealedSamples": 4800, "silentConcealedSamples": 2400, "fecPacketsReceived": 3},
        {"type": "inbound-rtp", "kind": "video", "packetsReceived": 9999},
        {"type": "outbound-rtp", "kind": "audio", "packetsSent": 120},
        {"type": "remote-inbound-rtp", "kind": "audio", "fractionLost": 0.25, "roundTripTime": 0.05},
        {"type": "candidate-pair", "nominated": False, "currentRoundTripTime": 9.0},
        {"type": "media-source", "kind": "audio", "audioLevel": 0.1},
    ]  # fmt: skip
    assert read_stats(entries) == RtcStats(
        rtt_ms=50.0,
        packets_sent=120,
        packets_received=100,
        packets_lost=2,
        remote_loss=0.25,
        jitter_ms=4.0,
        buffer_ms=100.0,
        target_ms=50.0,
        concealed_ms=50.0,
        recovered_ms=60.0,
        input_level=pytest.approx(-20.0),
        output_level=-96.0,
    )


def test_statistics_before_there_are_any():
    assert read_stats([]) == RtcStats()
    pair = {"type": "candidate-pair", "nominated": True, "currentRoundTripTime": 0.02}
    assert read_stats([pair]).rtt_ms == 20.0


def given(**changes):
    settled = {
        "audio_input": DEFAULT,
        "audio_output": DEFAULT,
        "media_stream": None,
        "audio_element": None,
        "echo_cancellation": True,
        "backend": None,
        "proxy": True,
    }
    return page_devices(**(settled | changes))


def test_what_the_arguments_mean_in_a_page():
    usual = given()
    assert (usual.microphone, usual.media_stream, usual.audio_element, usual.audible) == (
        True,
        None,
        None,
        True,
    )
    assert given(audio_input=None).microphone is False
    assert given(audio_output=None).audible is False
    assert microphone_constraints("require") == {"echoCancellation": {"exact": True}}
    assert microphone_constraints(False) == {"echoCancellation": False}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio_input": object()}, "media_stream="),
        ({"audio_output": object()}, "audio_element="),
        ({"backend": "aiortc"}, "browser's WebRTC"),
        ({"proxy": "http://127.0.0.1:1"}, "proxy"),
    ],
)
def test_what_cannot_be_had_in_a_page_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        given(**changes)


def test_outside_of_a_page_every_key_will_do():
    check_page_key("sk-standard", {}, allowed=False)


class Page:
    """What of a page's global object tells that it is one."""

    document = object()


class Worker(Page):
    WebSocketPair = object()


@pytest.fixture
def host(monkeypatch):
    """Pretend that this is a JavaScript host with such a global object."""

    def pretend(kind):
        monkeypatch.setattr(sys, "platform", "emscripten")
        monkeypatch.setitem(sys.modules, "js", kind)

    return pretend


@pytest.mark.parametrize(
    ("key", "headers", "refused"),
    [
        ("ek_1", {}, False),
        (None, {}, False),
        ("sk-1", {}, True),
        (None, {"Authorization": "Bearer sk-1"}, True),
        (None, {"authorization": "sk-1"}, True),
        (None, {"api-key": "0123"}, True),
        (None, {"api-key": "ek_1"}, False),
        (None, {"Authorization": "Bearer ek_1", "X-Team": "voice"}, False),
    ],
)
def test_a_page_takes_ephemeral_keys(host, key, headers, refused):
    host(Page)
    if refused:
        with pytest.raises(UserError, match="use_insecure_api_key=True"):
            check_page_key(key, headers, allowed=False)
    else:
        check_page_key(key, headers, allowed=False)
    check_page_key(key, headers, allowed=True)


def test_a_worker_is_no_page(host):
    host(Worker)
    assert not browser_host.in_page()
    check_page_key("sk-1", {}, allowed=False)


def test_elsewhere_the_carriers_say_where_they_run():
    assert BrowserWebRTCCarrier(microphone=False).plays_itself
    assert not browser_host.host_has("document")


async def test_elsewhere_they_do_not_open():
    request = CarrierRequest("ws://127.0.0.1/")
    with pytest.raises(UserError, match="JavaScript host"):
        await BrowserWebSocketCarrier().open(request, None)
    with pytest.raises(UserError, match="JavaScript host"):
        await BrowserWebRTCCarrier(microphone=False).open(request, None)
    with pytest.raises(UserError, match="JavaScript host"):
        await BrowserWebRTCCarrier().open(request, None)


@pytest.mark.parametrize("kind", ["page", "worker"])
def test_the_default_carriers_are_the_hosts(host, kind):
    from voxwire.carriers.workers import WorkersCarrier

    host(Page if kind == "page" else Worker)
    assert isinstance(OpenAIRealtimeWebRTC()._new_carrier(), BrowserWebRTCCarrier)
    expected = BrowserWebSocketCarrier if kind == "page" else WorkersCarrier
    assert isinstance(OpenAIRealtimeWebSocket()._new_carrier(), expected)


def test_a_session_takes_webrtc_where_the_page_has_it(host):
    from voxwire.session.choice import choose_transport

    host(Page)
    assert isinstance(choose_transport(None, store_audio=False), OpenAIRealtimeWebSocket)
    host(type("Browser", (Page,), {"RTCPeerConnection": object()}))
    assert isinstance(choose_transport(None, store_audio=False), OpenAIRealtimeWebRTC)
    assert isinstance(
        choose_transport(None, store_audio=False, url="ws://127.0.0.1"), OpenAIRealtimeWebSocket
    )
