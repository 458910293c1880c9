"""The audio of a call without sockets: latching, keys, levels, ports."""

from __future__ import annotations

import array
import socket
from random import Random

import pytest

from voxwire.media.rtcp import ReceiverReport, ReportBlock, is_rtcp, pack_rtcp, parse_rtcp
from voxwire.media.rtp import RtpPacket, pack_rtp, parse_rtp
from voxwire.server.sip.audio import SipAudio
from voxwire.server.sip.latch import Latch
from voxwire.server.sip.negotiation import AgreedMedia
from voxwire.server.sip.ports import NoPortError, bind_pair
from voxwire.server.sip.sdp import Codec
from voxwire.server.sip.telephone_codecs import Steady, make_decoder, make_encoder, widener
from voxwire.server.sip.telephone_event import KEYS, EventReceiver, EventSender

A, B, C = ("192.0.2.1", 4000), ("192.0.2.2", 4000), ("192.0.2.3", 4000)
PCMU, PCMA, OPUS = (
    Codec(0, "PCMU", 8000),
    Codec(8, "PCMA", 8000),
    Codec(96, "opus", 48000, 2, "useinbandfec=1"),
)
EVENTS = Codec(101, "telephone-event", 8000)


def packet(
    sequence: int, ssrc: int = 1, kind: int = 0, timestamp: int = 0, payload: bytes = b"x"
) -> RtpPacket:
    return RtpPacket(kind, sequence & 0xFFFF, timestamp, ssrc, payload)


# -- latching -------------------------------------------------------------------------------------


def test_the_first_source_is_followed() -> None:
    latch = Latch(A)
    assert latch.target == A
    assert latch.accepts(B, packet(1), 0.0)
    assert (latch.target, latch.source) == (B, B)
    assert not latch.accepts(C, packet(1, 2), 0.5)
    assert latch.target == B


def test_the_announced_address_is_always_right() -> None:
    latch = Latch(A)
    latch.accepts(C, packet(1), 0.0)
    assert latch.accepts(A, packet(1, 2), 0.1)
    assert latch.target == A


def test_another_source_when_the_first_is_quiet() -> None:
    latch = Latch(None)
    assert latch.target is None
    latch.accepts(B, packet(1), 0.0)
    for number in range(10):
        assert not latch.accepts(C, packet(number, 2), 1.9)
    assert [latch.accepts(C, packet(number, 2), 3.0) for number in (65535, 0, 1)] == [False, False, True]
    assert latch.target == C


def test_noise_does_not_convince() -> None:
    latch = Latch(None)
    latch.accepts(B, packet(1), 0.0)
    for number in (1, 3, 5, 7, 9):
        assert not latch.accepts(C, packet(number, 2), 9.0)
    for ssrc in range(5):
        assert not latch.accepts(C, packet(20 + ssrc, ssrc), 9.0)
    assert latch.accepts(B, packet(2), 9.0)


def test_a_new_description_opens_it() -> None:
    latch = Latch(A)
    latch.accepts(B, packet(1), 0.0)
    latch.announce(A)
    assert latch.target == B
    latch.announce(C)
    assert latch.target == C
    assert latch.accepts(C, packet(1, 5), 0.1)


# -- keys -----------------------------------------------------------------------------------------


def test_keys_there_and_back() -> None:
    sender, receiver = EventSender(8000), EventReceiver()
    sender.press(KEYS.lower())
    heard, timestamp, packets = "", 0xFFFF_F000, 0
    for tick in range(16 * 13 + 5):
        out = sender.tick(timestamp)
        if out is not None:
            packets += 1
            key = receiver.receive(packet(tick, 1, 101, out.timestamp, out.payload))
            heard += key or ""
            assert out.marker == (key is not None)
        timestamp = timestamp + 160 & 0xFFFF_FFFF
    assert heard == KEYS
    assert packets == 16 * 8  # five of the tone, three of its end
    assert not sender.busy


def test_what_packets_of_a_key_say() -> None:
    """RFC 4733 section 2.5.1: durations grow, the end comes three times with the last one."""
    sender = EventSender(8000)
    sender.press("5")
    payloads = [out.payload for tick in range(8) if (out := sender.tick(1000)) is not None]
    durations = [int.from_bytes(payload[2:], "big") for payload in payloads]
    assert durations == [160, 320, 480, 640, 800, 800, 800, 800]
    assert [payload[1] >> 7 for payload in payloads] == [0] * 5 + [1] * 3
    assert {payload[0] for payload in payloads} == {5}
    assert sender.tick(0) is None


def test_keys_with_loss_and_disorder() -> None:
    receiver = EventReceiver()

    def key(number: int, timestamp: int, duration: int, ssrc: int = 1, marker: bool = False) -> str | None:
        payload = bytes((number, 10)) + duration.to_bytes(2, "big")
        return receiver.receive(RtpPacket(101, 0, timestamp, ssrc, payload, marker))

    assert key(1, 1000, 480) == "1"  # its beginning was lost
    assert key(1, 1000, 800) is None
    assert key(2, 3000, 160, marker=True) == "2"
    assert key(1, 1000, 800) is None  # late
    assert key(2, 3000 + 0xFFFF, 160) is None  # the same key, held for 8 s
    assert key(2, 3000 + 0xFFFF + 1, 160, marker=True) == "2"
    assert key(3, 5, 160, ssrc=2) == "3"
    assert key(16, 9000, 160, ssrc=2) is None  # a hook flash
    assert receiver.receive(packet(1, payload=b"\x01\x02")) is None


def test_keys_that_cannot_be_sent() -> None:
    sender = EventSender(8000)
    with pytest.raises(ValueError, match="no key"):
        sender.press("12x")
    with pytest.raises(ValueError, match="wait"):
        sender.press("1" * 65)
    assert not sender.busy


# -- codecs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_in", "rate_out"), [(24_000, 8_000), (8_000, 24_000)])
def test_frames_come_out_one_for_one(rate_in: int, rate_out: int) -> None:
    steady = Steady(rate_in, rate_out)
    tone = array.array("h", [8000 if n // (rate_in // 1000) % 2 else -8000 for n in range(rate_in)]).tobytes()
    size = rate_in // 50 * 2
    frames = [steady.feed(tone[at : at + size]) for at in range(0, len(tone), size)]
    assert {len(frame) for frame in frames} == {rate_out // 50 * 2}
    assert all(max(map(abs, array.array("h", frame))) > 5000 for frame in frames[4:])


@pytest.mark.parametrize("codec", [PCMU, PCMA, OPUS])
def test_every_codec(codec: Codec) -> None:
    encoder, decoder = make_encoder(codec), make_decoder(codec)
    assert (encoder.sample_rate, encoder.clock_rate) == (24_000, codec.rate)
    wide = widener(decoder)
    assert (wide is None) == (codec is OPUS)
    tone = array.array("h", [9000 if n // 24 % 2 else -9000 for n in range(480)]).tobytes()
    for _ in range(12):
        pcm = decoder.decode(encoder.encode(tone))
        pcm = wide.feed(pcm) if wide is not None else pcm
    assert len(pcm) == 960
    assert max(map(abs, array.array("h", pcm))) > 4000
    encoder.close()
    decoder.close()


# -- the streams ----------------------------------------------------------------------------------


def agreed(codec: Codec = PCMU, **more: object) -> AgreedMedia:
    fields = {"events": EVENTS, "comfort": True, "remote": A, "remote_rtcp": ("192.0.2.1", 4001)}
    return AgreedMedia(codec, direction="sendrecv", **(fields | more))  # type: ignore[arg-type]


def stream(**more: object) -> SipAudio:
    return SipAudio(agreed(**more), Random(1), cname="c@h", wall=1e9)  # type: ignore[arg-type]


TONE = array.array("h", [9000 if n // 24 % 2 else -9000 for n in range(480)]).tobytes()


def test_keys_keep_the_sequence_and_wait_for_nobody() -> None:
    audio = stream()
    audio.sender.write(TONE * 30)
    audio.press("5")
    packets = [parse_rtp(out[0]) for n in range(20) if (out := audio.tick(n / 50)) is not None]
    assert [p.payload_type for p in packets] == [101] * 8 + [0] * 12
    assert [(p.sequence - packets[0].sequence) % 65536 for p in packets] == list(range(20))
    assert {p.timestamp for p in packets[:8]} == {packets[0].timestamp}
    assert packets[8].timestamp - packets[0].timestamp == 8 * 160  # audio waited, and the clock went on
    assert audio.queued_ms == 600 - 12 * 20
    with pytest.raises(ValueError, match="telephone-event"):
        stream(events=None).press("1")


def test_what_is_heard() -> None:
    audio = stream()
    assert audio.pull(0.0) is None
    encoder = make_encoder(PCMU)
    heard = []
    for n in range(30):
        data = pack_rtp(0, n, n * 160, 7, encoder.encode(TONE))
        assert audio.received(data, B, n / 50) is None
        audio.received(pack_rtp(0, n, n * 160, 8, b"\x00" * 160), C, n / 50)  # somebody else
        pcm = audio.pull(n / 50 + 0.01)
        heard.append(pcm or b"")
    assert max(map(abs, array.array("h", heard[-1]))) > 4000
    assert (audio.received_packets, audio.lost_packets) == (30, 0)
    assert audio.tick(1.0) is not None
    out = audio.tick(1.02)
    assert out is not None
    assert out[1] == B  # back to where it comes from


def test_what_is_not_heard() -> None:
    audio = stream()
    for data in (b"", b"\x80", b"\x80\x09" + bytes(20), pack_rtp(33, 1, 1, 1, b"x"), b"\x00" * 30):
        assert audio.received(data, B, 0.0) is None
    assert audio.last_packet is None
    audio.received(pack_rtp(13, 1, 0, 1, b"\x40"), B, 0.0)
    assert audio.last_packet == 0.0
    assert audio.received(pack_rtp(101, 2, 0, 1, b"\x09\x0a\x00\xa0"), B, 0.1) == "9"
    audio.close()
    assert audio.received(pack_rtp(0, 3, 0, 1, b"x" * 160), B, 0.2) is None
    assert audio.pull(0.2) is None
    assert audio.tick(0.2) is None
    audio.close()


def test_hold() -> None:
    audio = stream()
    audio.sender.write(TONE * 10)
    audio.tick(0.0)
    before = audio.queued_ms
    held = AgreedMedia(PCMU, EVENTS, True, A, None, "recvonly")
    audio.change(held)
    assert [audio.tick(n / 50) for n in range(5)] == [None] * 5
    assert audio.queued_ms == before
    heard = [audio.pull(n / 50) for n in range(60)]
    assert heard == [bytes(960)] * 50 + [None] * 10
    audio.change(agreed())
    assert audio.tick(2.0) is not None


def test_another_number_and_another_codec_in_mid_call() -> None:
    audio = stream()
    audio.sender.write(TONE * 10)
    audio.change(agreed(Codec(97, "PCMU", 8000)))
    out = audio.tick(0.0)
    assert out is not None
    assert parse_rtp(out[0]).payload_type == 97
    audio.change(agreed(OPUS, remote=C))
    assert audio.queued_ms == 180
    out = audio.tick(0.02)
    assert out is not None
    assert (parse_rtp(out[0]).payload_type, out[1]) == (96, C)


def keys_in(audio: SipAudio, ticks: int) -> list[tuple[int, str, int]]:
    """The keys that are sent from now on: stream, key, and the longest duration that was said."""
    found: dict[tuple[int, int, int], int] = {}
    for n in range(ticks):
        out = audio.tick(n / 50)
        heard = parse_rtp(out[0]) if out is not None else None
        if heard is not None and heard.payload_type == 101:
            which = (heard.ssrc, heard.timestamp, heard.payload[0])
            found[which] = max(found.get(which, 0), int.from_bytes(heard.payload[2:], "big"))
    return [(ssrc, KEYS[event], duration) for (ssrc, _, event), duration in found.items()]


def test_another_clock_of_keys_with_the_same_codec() -> None:
    """RFC 4733 section 2.1: durations are in units of the clock that was agreed on."""
    audio = stream(codec=OPUS, events=Codec(101, "telephone-event", 8000))
    audio.change(agreed(OPUS, events=Codec(101, "telephone-event", 48000)))
    audio.press("7")
    assert [key[1:] for key in keys_in(audio, 20)] == [("7", 4800)]


def test_keys_that_wait_are_sent_after_a_change_of_codec() -> None:
    audio = stream()
    audio.press("123")
    for n in range(3):
        audio.tick(n / 50)  # 1 has been told, and is not told again in the new stream
    audio.change(agreed(OPUS, events=Codec(101, "telephone-event", 48000)))
    assert [key[1:] for key in keys_in(audio, 60)] == [("2", 4800), ("3", 4800)]
    assert not audio.pressing


def test_keys_that_nobody_takes_any_more_hold_nothing_up() -> None:
    audio = stream()
    audio.press("123")
    audio.change(agreed(events=None))
    assert not audio.pressing
    audio.change(agreed())
    assert keys_in(audio, 60) == []  # nobody expects them now


def test_reports() -> None:
    audio = stream(codec=OPUS)
    audio.received(pack_rtp(96, 1, 1, 7, b"\xf8\xff\xfe"), A, 0.0)
    for n in range(10):
        audio.tick(n / 50)
    reports = [out for n in range(100) if (out := audio.report(n / 50)) is not None]
    assert reports
    data, target = reports[0]
    assert is_rtcp(data)
    assert target == ("192.0.2.1", 4001)
    block = ReportBlock(audio.sender.ssrc, fraction_lost=0.2)
    audio.received_rtcp(pack_rtcp([ReceiverReport(7, (block,))]), ("192.0.2.1", 4777), 1.0)
    assert audio._encoder.fec  # type: ignore[attr-defined]
    goodbye = audio.goodbye(2.0)
    assert goodbye is not None
    assert goodbye[1] == ("192.0.2.1", 4777)
    assert len(parse_rtcp(goodbye[0])) == 3
    audio.received_rtcp(b"\x81\xc9junk", A, 1.0)
    audio.received_rtcp(pack_rtcp([ReceiverReport(7, ())]), ("192.0.2.9", 1), 5.0)
    assert audio.last_packet == 1.0
    mux = stream(rtcp_mux=True)
    mux.received(pack_rtp(0, 1, 1, 7, bytes(160)), B, 0.0)
    mux.received(pack_rtcp([ReceiverReport(7, ())]), B, 0.1)
    goodbye = mux.goodbye(1.0)
    assert goodbye is not None
    assert goodbye[1] == B
    silent = stream(remote=None, remote_rtcp=None)
    assert (silent.goodbye(0.0), silent.report(0.0), silent.tick(0.0)) == (None, None, None)
    behind_nat = stream()
    behind_nat.received(pack_rtp(0, 1, 1, 7, bytes(160)), B, 0.0)
    goodbye = behind_nat.goodbye(1.0)
    assert goodbye is not None
    assert goodbye[1] == ("192.0.2.2", 4001)


# -- ports ----------------------------------------------------------------------------------------


def test_ports_come_in_pairs() -> None:
    rtp, rtcp, port = bind_pair("127.0.0.1", None, Random(1))
    with rtp, rtcp:
        assert port % 2 == 0
        assert (rtp.getsockname()[1], rtcp.getsockname()[1]) == (port, port + 1)
        with pytest.raises(NoPortError):
            bind_pair("127.0.0.1", (port, port + 1), Random(1))
        with pytest.raises(NoPortError):
            bind_pair("127.0.0.1", (port + 1, port + 2), Random(1))
    again = bind_pair("127.0.0.1", (port - 1, port + 2), Random(1))
    with again[0], again[1]:
        assert again[2] == port


def test_a_pair_whose_second_port_is_taken() -> None:
    rtp, rtcp, port = bind_pair("127.0.0.1", None, Random(2))
    rtp.close()
    with rtcp, pytest.raises(NoPortError):
        bind_pair("127.0.0.1", (port, port + 1), Random(2))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", port))  # nothing was left open
