"""The parts of a peer that need no peer: liveness, capacity, queue, filter, reports, addresses."""

from __future__ import annotations

import itertools
import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConfigError, ConnectError, MissingExtraError
from voxwire.media.opus import OpusDecoder, OpusEncoder
from voxwire.media.rtcp import Goodbye, ReceiverReport, ReportBlock, SenderReport, pack_rtcp, parse_rtcp
from voxwire.media.rtcp_stats import ntp_middle, ntp_time
from voxwire.media.rtp import RtpPacket, parse_rtp
from voxwire.media.sending import MediaSender
from voxwire.rtc import RtcOptions
from voxwire.rtc.audio_path import AudioPath
from voxwire.rtc.capacity import Capacity, CapacityError
from voxwire.rtc.gathering import port_order, public_host
from voxwire.rtc.halving import Halver
from voxwire.rtc.liveness import CONSENT_LIFETIME, Liveness
from voxwire.rtc.pcm_queue import PcmQueue
from voxwire.rtc.reports import EARLY, INTERVAL, Reports
from voxwire.rtc.sdp import LocalAudio, OpusFormat, RemoteSdp

# Liveness


def test_a_silent_peer_is_disconnected_until_it_is_heard_again():
    live = Liveness(5.0, now=100.0)
    assert not live.judge(heard=100.0, now=105.0)
    assert live.judge(heard=100.0, now=105.1)
    assert live.reach == "disconnected"
    assert not live.judge(heard=100.0, now=106.0)
    assert live.judge(heard=106.0, now=106.1)
    assert live.reach == "connected"


def test_a_peer_without_consent_is_gone_whatever_it_sends():
    live = Liveness(5.0, now=0.0)
    live.consented(10.0)
    assert not live.judge(heard=40.0, now=10.0 + CONSENT_LIFETIME)
    assert live.judge(heard=40.0, now=10.1 + CONSENT_LIFETIME)
    assert live.reach == "expired"
    live.consented(50.0)
    assert not live.judge(heard=50.0, now=50.0)


# Capacity


def test_places_are_counted_and_given_back_once():
    capacity = Capacity(limit=2)
    leave, other = capacity.take(0), capacity.take(0)
    with pytest.raises(CapacityError, match="has 2 WebRTC peers, and takes no more than 2") as caught:
        capacity.take(0)
    assert isinstance(caught.value, ConnectError)
    assert caught.value.retryable
    leave()
    leave()
    assert capacity.count == 1
    capacity.take(0)
    other()
    assert capacity.count == 1


def test_a_late_process_takes_no_further_peer():
    capacity = Capacity(max_lag_ms=60)
    capacity.take(500)  # the first is not the one who is too many
    with pytest.raises(CapacityError, match="61 ms late with the audio of its 1 WebRTC peers"):
        capacity.take(61)
    capacity.take(60)


# Queue


def test_frames_come_out_of_any_pieces():
    queue = PcmQueue(None)
    assert queue.tick() == bytes(960)
    queue.write(b"\1" * 500)
    queue.write(b"\2" * 601)  # an odd byte too many
    assert queue.queued_ms == pytest.approx(1100 / 48)
    assert queue.tick() == b"\1" * 500 + b"\2" * 460
    assert queue.tick() == bytes(960)  # a part waits for more
    assert queue.tick() == b"\2" * 140 + bytes(820)
    assert queue.sent_ms == pytest.approx(1100 / 48)
    queue.write(b"\3" * 100)
    queue.tick()
    queue.clear()
    assert (queue.queued_ms, queue.tick()) == (0, bytes(960))


@given(st.lists(st.integers(0, 3000), max_size=30), st.integers(20, 200))
def test_the_queue_keeps_the_newest_and_never_more_than_its_limit(sizes, limit):
    queue = PcmQueue(float(limit))
    for number, size in enumerate(sizes):
        queue.write(bytes([number + 1]) * size)
        assert queue.queued_ms <= limit
    written = sum(size & ~1 for size in sizes)
    assert queue.queued_ms == pytest.approx(min(limit, written / 48), abs=0.05)


# 48 kHz to 24 kHz


def wave(hertz, rate, ms, channels=1):
    return array(
        "h",
        (
            int(10000 * math.sin(2 * math.pi * hertz * n / rate))
            for n in range(rate * ms // 1000)
            for _ in range(channels)
        ),
    ).tobytes()


def rms(pcm):
    samples = array("h", pcm)
    return math.sqrt(sum(s * s for s in samples) / len(samples))


@pytest.mark.parametrize("channels", [1, 2])
def test_halving_keeps_speech_and_drops_what_would_fold_back(channels):
    def run(hertz):
        halver = Halver()
        pcm = wave(hertz, 48_000, 200, channels)
        block = 960 * channels
        out = b"".join(
            halver.convert(pcm[n : n + block], 48_000, channels) for n in range(0, len(pcm), block)
        )
        assert len(out) == 200 * 48
        return rms(out[960:])

    assert run(1000) == pytest.approx(7071, rel=0.02)
    assert run(8000) == pytest.approx(7071, rel=0.05)
    assert run(16_000) < 30


def test_halving_passes_what_is_right_already_and_refuses_the_rest(monkeypatch):
    halver = Halver()
    assert halver.convert(b"\1\2", 24_000, 1) == b"\1\2"
    with pytest.raises(ConfigError, match="44100 Hz"):
        halver.convert(b"\1\2", 44_100, 1)
    loud = array("h", [32767] * 480).tobytes()
    assert max(array("h", halver.convert(loud, 48_000, 1))) <= 32767
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(MissingExtraError, match="numpy"):
        Halver()


# Ports and addresses


def test_ports_are_tried_once_each_from_anywhere():
    assert list(port_order(None, 7)) == [0]
    assert list(port_order((40, 43), 6)) == [42, 43, 40, 41]
    assert list(port_order((40, 40), 12345)) == [40]


@pytest.mark.parametrize(
    ("host", "public", "shown"),
    [
        ("10.0.0.5", None, "10.0.0.5"),
        ("10.0.0.5", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9", "127.0.0.1"),
        ("fd00::2", "203.0.113.9", "fd00::2"),
        ("fd00::2", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_public_addresses(host, public, shown):
    assert public_host(host, public) == shown


# Reports


def make_reports(**more):
    return Reports(
        **({"ssrc": 7, "cname": "me", "clock_rate": 48_000, "random": random.Random(1), "wall": 1e9} | more)
    )


def sender():
    return MediaSender(OpusEncoder(24_000), ssrc=7, payload_type=96, sequence=1, timestamp=2)


def packet(sequence, ssrc=9):
    return RtpPacket(96, sequence, sequence * 960, ssrc, b"x")


def test_a_loss_is_reported_soon():
    reports = make_reports()
    assert not reports.due(0.0)
    reports.received(packet(1), 0.01)
    reports.received(packet(3), 0.05)
    assert reports.due(0.06), "nothing was reported before"
    reports.build(0.06, None)
    assert not reports.due(0.1), "this loss is told"
    reports.received(packet(5), 0.1)
    assert not reports.due(0.06 + EARLY * INTERVAL - 0.01)
    assert reports.due(0.06 + EARLY * INTERVAL + 0.01)


def test_what_was_counted_stays_counted_where_the_stream_begins_again():
    reports = make_reports()
    for sequence, ssrc in ((1, 9), (4, 9), (30_000, 9), (30_001, 9), (30_003, 9), (5, 10), (6, 10)):
        reports.received(packet(sequence, ssrc), 0.1)
    # The first packet of a restart is not believed, nor counted; 2, 3 and 30 002 are missing.
    assert (reports.received_packets, reports.lost_packets) == (6, 3)


def test_copies_are_sent_until_a_report_says_that_they_are_not_needed():
    path, plain = make_path(), make_path(opus=OpusFormat(111))
    assert path._encoder.fec
    assert not plain._encoder.fec, "the peer did not ask for them"
    peer = make_reports(ssrc=9)
    peer.received(packet(1, ssrc=7), 0.0)
    peer.received(packet(2, ssrc=7), 0.02)
    path.received_rtcp(peer.build(1.0, None), 1.0)
    assert not path._encoder.fec
    path.close()
    plain.close()


def test_reports_are_due_about_once_in_a_second():
    reports = make_reports()
    times = []
    now = 0.0
    while now < 100:
        if reports.due(now):
            reports.build(now, None)
            times.append(now)
        now += 0.02
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert min(gaps) >= INTERVAL * 0.49
    assert max(gaps) <= INTERVAL * 1.51 + 0.02
    assert 80 < len(times) < 125


def test_a_sender_reports_what_it_sent_and_others_what_they_got():
    reports, out = make_reports(), sender()
    report, names = parse_rtcp(reports.build(1.0, out))
    assert report == ReceiverReport(7)
    assert names.cnames == {7: "me"}
    out.tick(1.0)
    report, _ = parse_rtcp(reports.build(2.0, out))
    assert isinstance(report, SenderReport)
    assert (report.packets, report.octets) == (1, out.octets)
    assert report.ntp == ntp_time(1e9 + 2.0)
    *_, goodbye = parse_rtcp(reports.goodbye(3.0, out))
    assert goodbye == Goodbye((7,))


def test_losses_are_counted_also_over_a_new_stream():
    reports = make_reports()
    for sequence in (1, 2, 4, 5):
        reports.received(packet(sequence), sequence * 0.02)
    report, _ = parse_rtcp(reports.build(1.0, None))
    assert (report.blocks[0].ssrc, report.blocks[0].lost) == (9, 1)
    assert (reports.received_packets, reports.lost_packets) == (4, 1)
    for sequence in (500, 502):
        reports.received(packet(sequence, ssrc=10), 2.0)
    assert (reports.received_packets, reports.lost_packets) == (6, 2)


def test_a_loss_is_remembered_for_a_while_and_the_round_trip_measured():
    reports = make_reports()
    block = ReportBlock(7, 0.25, last_sr=ntp_middle(ntp_time(1e9 + 4.9)), delay_since_sr=65536 * 50 // 1000)
    assert reports.take(pack_rtcp([ReceiverReport(9, (block,))]), 5.0) == 0.25
    assert reports.rtt_ms == pytest.approx(50, abs=0.1)
    clean = pack_rtcp([SenderReport(9, 0, 0, 1, 1, (ReportBlock(7),))])
    assert reports.take(clean, 6.0) == pytest.approx(0.2)
    assert reports.remote_loss == 0
    assert reports.rtt_ms == pytest.approx(50, abs=0.1)
    for _ in range(20):
        last = reports.take(clean, 7.0)
    assert last < 0.005


def test_reports_about_others_and_garbage_are_left_alone():
    reports = make_reports()
    assert reports.take(pack_rtcp([ReceiverReport(9, (ReportBlock(8, 0.5),))]), 1.0) is None
    assert reports.take(b"\x80\xc9", 1.0) is None
    assert reports.remote_loss is None


# The audio path


def make_path(local="sendrecv", remote="sendrecv", opus=None, seed=1, **options):
    opus = opus or OpusFormat(111, fec=True)
    return AudioPath(
        LocalAudio(OpusFormat(96), local, 7, "me"),
        RemoteSdp("", opus, remote, True, 0, ()),
        RtcOptions(**options),
        random=random.Random(seed),
        wall=0.0,
    )


def test_audio_goes_through_and_is_measured():
    left, right = make_path(), make_path(opus=OpusFormat(96))
    left.sender.write(wave(440, 24_000, 1000))
    heard = b""
    assert right.pull(0.0) is None
    for tick in range(50):
        data = left.tick(tick * 0.02)
        assert parse_rtp(data).payload_type == 111
        right.received(data.replace(data[1:2], bytes([96 | data[1] & 0x80]), 1), tick * 0.02 + 0.001)
        heard += right.pull(tick * 0.02 + 0.002) or b""
    assert rms(heard[-9600:]) > 3000
    assert left.stats().input_level == pytest.approx(20 * math.log10(7071 / 32768), abs=0.5)
    assert right.stats().output_level > -20
    assert (left.stats().packets_sent, right.stats().packets_received) == (50, 50)
    left.close()
    right.close()
    left.close()
    assert left.tick(2.0) is left.pull(2.0) is None
    left.received(data, 2.0)
    left.received_rtcp(b"", 2.0)


def test_it_saves_while_the_loop_is_near_its_limit(monkeypatch):
    path = make_path()
    set_to = []
    monkeypatch.setattr(path._encoder, "set_complexity", set_to.append)
    for load, lag in (
        (0.5, 1),
        (0.75, 1),
        (0.9, 30),
        (0.5, 1),
        (0.4, 8),
        (0.4, 1),
        (0.2, 0),
        (0.2, 15),
        (0.3, 0),
    ):
        path.adapt(load, lag)
    assert set_to == [1, 5, 1, 5]
    path.close()
    path.adapt(1.0, 50)
    assert len(set_to) == 4


def test_live_audio_goes_out_early_where_any_goes_out():
    path, mute = make_path(), make_path(remote="sendonly")
    for one in (path, mute):
        one.tick(0.0)
        one.sender.write(wave(440, 24_000, 20))
    assert parse_rtp(path.early(0.01)).payload_type == 111
    assert mute.early(0.01) is None
    path.close()
    path.sender.write(wave(440, 24_000, 20))
    assert path.early(0.01) is None
    mute.close()


@pytest.mark.parametrize(
    ("local", "remote", "sends", "receives"),
    [
        ("sendrecv", "recvonly", True, False),
        ("sendrecv", "sendonly", False, True),
        ("sendonly", "sendrecv", True, False),
        ("recvonly", "sendrecv", False, True),
        ("inactive", "inactive", False, False),
        ("sendonly", "recvonly", True, False),
    ],
)
def test_nothing_goes_in_a_direction_that_was_not_agreed(local, remote, sends, receives):
    path = make_path(local, remote)
    path.sender.write(bytes(960))
    assert (path.tick(0.0) is not None) is sends
    assert path.sender.sent_ms == 20
    source = make_path(opus=OpusFormat(96))
    for tick in range(5):
        path.received(source.tick(tick * 0.02), tick * 0.02)
    assert (path.pull(0.1) is not None) is receives
    assert path.stats().packets_sent == int(sends)


def test_the_peers_wishes_are_followed():
    quiet = make_path(opus=OpusFormat(96, dtx=True))
    assert sum(quiet.tick(n * 0.02) is not None for n in range(200)) < 30
    small = make_path(opus=OpusFormat(96, max_bitrate=8000))
    large = make_path(opus=OpusFormat(96))
    noise = random.Random(5).randbytes(48_000)
    for path in (small, large):
        path.sender.write(noise)
        for n in range(50):
            path.tick(n * 0.02)
    assert small.sender.octets < large.sender.octets / 2
    assert OpusDecoder(24_000).samples(small.sender._encoder.encode(bytes(960))) == 480


def test_there_is_a_report_when_one_is_due():
    path = make_path()
    assert path.report(0.0) is None
    assert parse_rtcp(path.report(2.0))[0] == ReceiverReport(7)
    assert parse_rtcp(path.goodbye(3.0))[-1] == Goodbye((7,))
    path.close()
