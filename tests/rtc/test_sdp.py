"""What is read from the peer's description, refused in it, and completed in ours."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConnectError
from voxwire.rtc import sdp
from voxwire.rtc.sdp import SdpError, complete_local, read_local, read_remote, reverse

TRANSPORT = """\
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=fingerprint:sha-256 AA:BB
a=setup:actpass
"""
AUDIO = f"""\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
{TRANSPORT}a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=ssrc:3845321785 cname:V+NilCOCooEXbAEw
a=ssrc:3845321785 msid:- a7755445
"""
CHANNEL = f"""\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""
VIDEO = f"m=video 9 UDP/TLS/RTP/SAVPF 96\nc=IN IP4 0.0.0.0\n{TRANSPORT}a=mid:v\na=rtcp-mux\na=rtpmap:96 VP8/90000\n"
HEAD = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
OFFER = HEAD + "a=group:BUNDLE 0 1\n" + AUDIO + CHANNEL


def lines(text):
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def test_chromiums_offer_is_read_and_opus_chosen_among_its_codecs():
    remote = read_remote(OFFER, "offer")
    assert (remote.opus.payload_type, remote.opus.fec, remote.opus.dtx) == (111, True, False)
    assert remote.direction == "sendrecv"
    assert remote.has_channel
    assert remote.max_message_bytes == 262144
    assert remote.refused == ()
    assert lines(remote.text) == OFFER.strip().split("\n")


def test_opus_is_taken_in_the_order_of_preference_and_with_its_settings():
    text = OFFER.replace(" 111 63 9", " 9 112 111").replace(
        "a=rtpmap:111 opus",
        "a=rtpmap:112 OPUS/48000/2\na=fmtp:112 usedtx=1; maxaveragebitrate=20000\na=rtpmap:111 opus",
    )
    opus = read_remote(text, "offer").opus
    assert (opus.payload_type, opus.fec, opus.dtx, opus.max_bitrate) == (112, False, True, 20000)


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
def test_directions(direction):
    assert read_remote(OFFER.replace("a=sendrecv", f"a={direction}"), "offer").direction == direction
    assert reverse(reverse(direction)) == direction


def test_a_direction_of_the_whole_session_holds_where_the_section_has_none():
    text = OFFER.replace("a=sendrecv\n", "").replace("t=0 0\n", "t=0 0\na=recvonly\n")
    assert read_remote(text, "offer").direction == "recvonly"
    assert read_remote(OFFER.replace("a=sendrecv\n", ""), "offer").direction == "sendrecv"
    assert reverse("sendonly") == "recvonly"
    assert reverse("inactive") == "inactive"


CANDIDATES = {
    "a=candidate:1 1 udp 2122260223 192.0.2.4 46154 typ host generation 0": True,
    "a=candidate:1 1 UDP 2122260223 2001:db8::1 46154 typ host": True,
    "a=candidate:2 1 udp 1 203.0.113.9 5000 typ srflx raddr 10.0.0.1 rport 99": True,
    "a=candidate:1 1 udp 2122260223 7c1f0c3e-6a3c-4d8b-9d60-1c7b0f8f0e11.local 46154 typ host": False,
    "a=candidate:1 1 tcp 1518280447 192.0.2.4 9 typ host tcptype active": False,
    "a=candidate:1 2 udp 2122260223 192.0.2.4 46155 typ host": False,
    "a=candidate:1 1 udp many 192.0.2.4 46155 typ host": False,
    "a=candidate:1 1 udp 1 192.0.2.4 0 typ host": False,
    "a=candidate:1 1 udp 1 192.0.2.4 70000 typ host": False,
    "a=candidate:1 1 udp 1 192.0.2.4 7000 kind host": False,
    "a=candidate:1 1 udp 1 192.0.2.4 7000 typ srflx rport x": False,
    "a=candidate:": False,
}


@pytest.mark.parametrize(("line", "kept"), CANDIDATES.items())
def test_candidates_that_a_stack_cannot_use_are_left_out(line, kept):
    text = OFFER.replace("a=mid:0", f"{line}\na=mid:0")
    assert (line in lines(read_remote(text, "offer").text)) is kept
    assert line in lines(read_remote(text, "offer", keep_candidates=True).text)


def test_candidates_are_limited():
    many = "".join(f"a=candidate:{n} 1 udp 1 192.0.2.4 {1000 + n} typ host\n" for n in range(200))
    text = read_remote(OFFER.replace("a=mid:0\n", many + "a=mid:0\n"), "offer").text
    assert text.count("a=candidate:") == 2 * sdp.MAX_CANDIDATES  # in both sections


def test_all_sections_of_a_bundle_get_the_candidates_of_the_one_they_share():
    first = "a=candidate:1 1 udp 1 192.0.2.4 1000 typ host"
    audio = AUDIO + f"{first}\na=end-of-candidates\n"
    channel = CHANNEL + "a=candidate:1 1 udp 1 192.0.2.4 2000 typ host\n"
    for group, count in (("a=group:BUNDLE 0 1\n", 2), ("", 1)):
        found = lines(read_remote(HEAD + group + audio + channel, "offer").text)
        assert found.count(first) == found.count("a=end-of-candidates") == count
    empty = read_remote(HEAD + "a=group:BUNDLE 0 1\n" + audio + CHANNEL + "a=end-of-candidates\n", "offer")
    assert lines(empty.text).count(first) == 2


def test_further_sections_are_refused_in_their_places():
    second = AUDIO.replace("a=mid:0", "a=mid:a2")
    offer = HEAD + "a=group:BUNDLE v 0 a2 1\n" + VIDEO + AUDIO + second + CHANNEL
    remote = read_remote(offer, "offer")
    assert "a=group:BUNDLE 0 1" in lines(remote.text)
    assert [line[:7] for line in lines(remote.text) if line.startswith("m=")] == ["m=audio", "m=appli"]
    answer = complete_local(OFFER, remote.refused)
    sections = [line for line in lines(answer) if line.startswith("m=")]
    assert [line.split()[:2] for line in sections] == [
        ["m=video", "0"],
        ["m=audio", "9"],
        ["m=audio", "0"],
        ["m=application", "9"],
    ]
    assert [line for line in lines(answer) if line.startswith("a=mid:")] == [
        "a=mid:v",
        "a=mid:0",
        "a=mid:a2",
        "a=mid:1",
    ]
    assert "a=group:BUNDLE 0 1" in lines(answer)


def test_an_answer_keeps_what_it_refuses():
    answer = HEAD + "a=group:BUNDLE 0 1\n" + VIDEO.replace("m=video 9", "m=video 0") + AUDIO + CHANNEL
    remote = read_remote(answer, "answer")
    assert [line.split()[0] for line in lines(remote.text) if line.startswith("m=")] == [
        "m=video",
        "m=audio",
        "m=application",
    ]
    assert remote.refused == ()


def test_port_zero_refuses_unless_it_only_says_bundled():
    refused = OFFER.replace("m=application 9", "m=application 0")
    assert not read_remote(refused, "answer").has_channel
    bundled = refused.replace("a=sctp-port", "a=bundle-only\na=sctp-port")
    assert read_remote(bundled, "offer").has_channel


def test_a_bundled_section_takes_its_transport_from_the_first():
    text = OFFER.replace(CHANNEL, CHANNEL.replace(TRANSPORT, ""))
    assert lines(read_remote(text, "offer").text).count("a=ice-ufrag:abcd") == 2
    whole = HEAD + TRANSPORT + AUDIO.replace(TRANSPORT, "") + CHANNEL.replace(TRANSPORT, "")
    assert read_remote(whole, "offer").has_channel


@pytest.mark.parametrize(("line", "size"), [("", 65536), ("a=max-message-size:0\n", 0)])
def test_the_longest_message(line, size):
    assert read_remote(OFFER.replace("a=max-message-size:262144\n", line), "offer").max_message_bytes == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no SDP"),
        ("<html>502 Bad Gateway</html>", "starts with '<html>502"),
        (HEAD, "no audio in Opus"),
        (HEAD + VIDEO, r"it has \['video'\]"),
        (OFFER.replace("opus/48000/2", "speex/16000"), "no audio in Opus"),
        (
            OFFER.replace("a=rtpmap:111 opus", "a=rtpmap:300 opus").replace(" 111 ", " 300 "),
            "no audio in Opus",
        ),
        (OFFER.replace("a=ice-pwd:0123456789012345678901\n", ""), "a=ice-pwd"),
        (OFFER.replace("a=fingerprint:sha-256 AA:BB\n", ""), "a=fingerprint"),
        (OFFER.replace("sha-256 AA:BB", "AA:BB"), "fingerprint that cannot be read"),
        (OFFER.replace("actpass", "holdconn"), "setup:holdconn"),
        (OFFER.replace("a=rtcp-mux\n", ""), "rtcp-mux"),
        (OFFER.replace("262144", "lots"), "'lots'"),
        (OFFER.replace("m=audio 9", "m=audio nine"), "media line"),
        (OFFER.replace("a=mid:1", "a=mid:1\x85m=video 9"), "character"),
        (OFFER + "a=x:" + "y" * 65536, "characters"),
        (HEAD + "m=video 9 RTP/AVP 96\n" * 17, "17 media sections"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_says_why(text, words):
    with pytest.raises(SdpError, match=words) as caught:
        read_remote(text, "offer")
    assert isinstance(caught.value, ConnectError)
    assert not caught.value.retryable


def test_our_own_description_is_read():
    local = read_local(OFFER)
    assert (local.ssrc, local.cname, local.direction) == (3845321785, "V+NilCOCooEXbAEw", "sendrecv")
    bare = "\n".join(line for line in OFFER.split("\n") if not line.startswith("a=ssrc"))
    assert (read_local(bare).ssrc, read_local(bare).cname) == (None, "voxwire")
    with pytest.raises(SdpError, match="our description"):
        read_local(HEAD + CHANNEL)


def test_fec_is_asked_for_where_the_stack_does_not():
    without = OFFER.replace("a=fmtp:111 minptime=10;useinbandfec=1\n", "")
    done = lines(complete_local(without))
    at = done.index("a=rtpmap:111 opus/48000/2")
    assert done[at + 1] == "a=fmtp:111 minptime=10;useinbandfec=1"
    assert lines(complete_local(OFFER)) == OFFER.strip().split("\n")
    other = OFFER.replace("minptime=10;useinbandfec=1", "stereo=1")
    assert complete_local(other).count("a=fmtp:111 ") == 1
    assert read_local(complete_local(other)).opus.fec


pieces = st.sampled_from(
    [*OFFER.split("\n"), *VIDEO.split("\n"), *CANDIDATES, "a=", "m=", "m=audio", "a=fmtp:111"]
)


@given(st.lists(pieces | st.text(max_size=20), max_size=60))
def test_any_lines_are_read_or_refused(parts):
    text = "v=0\n" + "\n".join(parts)
    try:
        remote = read_remote(text, "offer")
    except SdpError:
        return
    again = read_remote(remote.text, "offer")
    assert again.opus == remote.opus
    assert len(re.findall(r"(?m)^m=", remote.text)) <= 2
    assert ".local " not in "".join(line for line in lines(remote.text) if line.startswith("a=candidate:"))


@given(st.data())
def test_a_damaged_offer_is_read_or_refused(data):
    at = data.draw(st.integers(0, len(OFFER) - 1))
    length = data.draw(st.integers(0, 40))
    new = data.draw(st.text(max_size=8))
    try:
        remote = read_remote(OFFER[:at] + new + OFFER[at + length :], "offer")
    except SdpError:
        return
    complete_local(remote.text, remote.refused)
