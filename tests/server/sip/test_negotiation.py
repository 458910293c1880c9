"""Descriptions, offers and answers (RFC 8866, RFC 3264)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.server.sip.negotiation import LocalMedia, Negotiation, NoCommonCodecError, codecs_named
from voxwire.server.sip.sdp import SdpError, parse_sdp, reverse

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
OPUS_96 = (
    HEAD
    + "m=audio 4000 RTP/AVP 96 0 101 13\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 usedtx=1;useinbandfec=1\r\n"
    + "a=rtpmap:101 telephone-event/8000\r\na=ptime:30\r\n"
)


def side(*names: str, port: int = 30_000) -> Negotiation:
    made = Negotiation(codecs_named(names or ("opus", "PCMU", "PCMA")))
    made.place(LocalMedia("192.0.2.2", port, 7))
    return made


def answer(text: str, *names: str) -> tuple[Negotiation, str]:
    made = side(*names)
    return made, made.answer(text.encode()).decode()


def test_opus_by_its_name_whatever_its_number() -> None:
    for number in (96, 111, 127):
        made, text = answer(OPUS_96.replace("96", str(number)))
        assert made.agreed is not None
        assert (made.agreed.codec.name, made.agreed.codec.payload_type) == ("opus", number)
        assert f"a=rtpmap:{number} opus/48000/2\r\n" in text
        assert f"m=audio 30000 RTP/AVP {number} 101\r\n" in text


def test_a_number_without_its_name_means_nothing() -> None:
    with pytest.raises(NoCommonCodecError):
        answer(HEAD + "m=audio 4000 RTP/AVP 96\r\n")
    with pytest.raises(NoCommonCodecError):  # a rate that Opus does not have
        answer(HEAD + "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/16000\r\n", "opus")
    made, _ = answer(HEAD + "m=audio 4000 RTP/AVP 97 8\r\na=rtpmap:97 pcma/8000\r\n", "PCMA")
    assert made.agreed is not None
    assert made.agreed.codec.payload_type == 97


def test_the_order_of_the_offer_counts() -> None:
    made, _ = answer(HEAD + "m=audio 4000 RTP/AVP 8 0\r\n")
    assert made.agreed is not None
    assert (made.agreed.codec.name, made.agreed.events, made.agreed.comfort) == ("PCMA", None, False)


def test_without_opus() -> None:
    made, text = answer(OPUS_96, "PCMU")
    assert made.agreed is not None
    assert (made.agreed.codec.name, made.agreed.comfort, made.agreed.ptime) == ("PCMU", True, 30)
    assert made.agreed.events is not None
    assert made.agreed.events.payload_type == 101
    assert "m=audio 30000 RTP/AVP 0 13 101\r\n" in text
    assert "a=fmtp:101 0-15\r\n" in text
    assert "a=ptime:20\r\n" in text


def test_events_with_the_clock_of_the_codec() -> None:
    both = OPUS_96.replace("101 13", "101 102") + "a=rtpmap:102 telephone-event/48000\r\n"
    made, _ = answer(both)
    assert made.agreed is not None
    assert made.agreed.events is not None
    assert made.agreed.events.payload_type == 102


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_directions(theirs: str, ours: str) -> None:
    made, text = answer(OPUS_96 + f"a={theirs}\r\n")
    assert made.agreed is not None
    assert made.agreed.direction == ours
    assert f"a={ours}\r\n" in text
    assert made.agreed.held == (ours in ("recvonly", "inactive"))
    assert reverse(reverse(made.agreed.direction)) == made.agreed.direction


def test_hold_by_an_address_of_zeros() -> None:
    made, _ = answer(OPUS_96.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"))
    assert made.agreed is not None
    assert (made.agreed.remote, made.agreed.direction) == (None, "recvonly")


def test_other_media_are_refused_line_by_line() -> None:
    offer = OPUS_96 + "m=video 5000 RTP/AVP 34\r\nm=audio 6000 RTP/SAVP 0\r\n"
    _, text = answer(HEAD + "m=image 0 udptl t38\r\n" + offer.removeprefix(HEAD))
    lines = [line for line in text.split("\r\n") if line.startswith("m=")]
    assert lines == [
        "m=image 0 udptl t38",
        "m=audio 30000 RTP/AVP 96 101",
        "m=video 0 RTP/AVP 34",
        "m=audio 0 RTP/SAVP 0",
    ]


def test_lines_stay_in_their_places() -> None:
    """RFC 3264 section 8: a later offer has every line that there was, refused ones with port 0."""
    ours = Negotiation(codecs_named(["PCMU"]))
    ours.place(LocalMedia("192.0.2.2", 30_000))
    offer = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        b"m=video 5000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
        b"m=audio 4000 RTP/AVPF 0\r\nm=application 6000 UDP/BFCP *\r\n"
    )
    answer = parse_sdp(ours.answer(offer))
    again = parse_sdp(ours.offer())
    for description in (answer, again):
        lines = [(line.kind, line.port, line.protocol) for line in description.media]
        assert lines == [
            ("video", 0, "RTP/AVP"),
            ("audio", 30_000, "RTP/AVPF"),
            ("application", 0, "UDP/BFCP"),
        ]
    ours.take_answer(offer.replace(b"video 5000", b"video 0").replace(b"4000", b"4002"))
    assert ours.agreed is not None
    assert ours.agreed.remote == ("192.0.2.1", 4002)


def test_rtcp() -> None:
    made, text = answer(OPUS_96)
    assert made.agreed is not None
    assert made.agreed.remote_rtcp == ("192.0.2.1", 4001)
    assert "rtcp-mux" not in text
    made, _ = answer(OPUS_96 + "a=rtcp:4500 IN IP4 192.0.2.1\r\n")
    assert made.agreed is not None
    assert made.agreed.remote_rtcp == ("192.0.2.1", 4500)
    made, text = answer(OPUS_96 + "a=rtcp-mux\r\n")
    assert made.agreed is not None
    assert made.agreed.remote_rtcp == ("192.0.2.1", 4000)
    assert "a=rtcp-mux\r\n" in text


def test_an_address_of_the_media_itself_and_ipv6() -> None:
    made, _ = answer(OPUS_96 + "c=IN IP6 2001:db8::9\r\n")
    assert made.agreed is not None
    assert made.agreed.remote == ("2001:db8::9", 4000)
    six = side()
    six.place(LocalMedia("2001:db8::1", 30_000))
    assert b"c=IN IP6 2001:db8::1\r\n" in six.offer()


def test_offer_and_answer_with_each_other() -> None:
    for names in (("opus", "PCMU"), ("PCMA",), ("PCMU", "opus")):
        caller, callee = side(*names, port=20_000), side()
        caller.take_answer(callee.answer(caller.offer()))
        assert caller.agreed is not None
        assert callee.agreed is not None
        assert caller.agreed.codec.name == callee.agreed.codec.name == names[0]
        assert caller.agreed.events is not None
        assert caller.agreed.events.rate == caller.agreed.codec.rate
        assert (caller.agreed.remote, callee.agreed.remote) == (("192.0.2.2", 30_000), ("192.0.2.2", 20_000))


def test_a_change_keeps_the_codec_and_counts_the_version() -> None:
    caller, callee = side("opus", "PCMU", port=20_000), side()
    caller.take_answer(callee.answer(caller.offer()))
    again = callee.offer()
    assert again.decode().split("\r\n")[1] == "o=voxwire 7 2 IN IP4 192.0.2.2"
    caller.take_answer  # noqa: B018 - the other way round now
    callee.take_answer(caller.answer(again))
    assert callee.agreed is not None
    assert callee.agreed.codec.name == "opus"
    assert callee.offer() == again


def test_a_failed_change_changes_nothing() -> None:
    made, _ = answer(OPUS_96)
    before = made.agreed
    with pytest.raises(NoCommonCodecError):
        made.answer(HEAD.encode() + b"m=audio 4000 RTP/AVP 9\r\n")
    assert made.agreed is before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=1\r\n",
        HEAD + "m=audio\r\n",
        HEAD + "m=audio 99999 RTP/AVP 0\r\n",
        HEAD + "m=audio x RTP/AVP 0\r\n",
        HEAD + "m=audio 4000 RTP/AVP 0\r\na=rtcp:999999\r\n",
        HEAD.replace("192.0.2.1\r\nt", "phone.example\r\nt") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD.replace("IN IP4 192.0.2.1\r\nt", "IN\r\nt") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD.replace("c=IN IP4 192.0.2.1\r\n", "") + "m=audio 4000 RTP/AVP 0\r\n",
        HEAD + "m=audio 0 RTP/AVP 0\r\n",
        HEAD + "a=x\r\n" * 2000,
        "v=0\r\nc=IN IP4 1.2.3.4\r\nm=audio 1 RTP/AVP 255 x 0x1\r\n",
    ],
)
def test_what_cannot_be_used(text: str) -> None:
    with pytest.raises(SdpError):
        answer(text)
    with pytest.raises(SdpError):
        side().check(b"\xff")


def test_answers_that_are_none() -> None:
    made = side()
    with pytest.raises(SdpError):
        made.take_answer(OPUS_96.encode())
    made.offer()
    with pytest.raises(NoCommonCodecError):
        made.take_answer(HEAD.encode() + b"m=audio 0 RTP/AVP 0\r\n")
    made.offer()
    with pytest.raises(NoCommonCodecError):
        made.take_answer(HEAD.encode() + b"m=audio 9 RTP/AVP 9\r\n")
    with pytest.raises(RuntimeError):
        Negotiation(codecs_named(("PCMU",))).offer()


def test_lines_that_are_passed_over() -> None:
    odd = "a=rtpmap:0\r\na=rtpmap:x y/z\r\na=fmtp:\r\nb=AS:64\r\nz=\r\na=ptime:x\r\n\r\nk\r\n"
    line = parse_sdp((HEAD + "m=audio 4000/2 RTP/AVP 0 8\r\n" + odd).encode()).media[0]
    assert ([codec.name for codec in line.codecs], line.ptime, line.port) == (["PCMU", "PCMA"], None, 4000)


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    for body in (data, HEAD.encode() + data, OPUS_96.encode().replace(b"96 0", data, 1)):
        with contextlib.suppress(SdpError):
            side().answer(body)
