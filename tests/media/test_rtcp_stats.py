from __future__ import annotations

import random

import pytest

from voxwire.media.rtcp import ReportBlock, SenderReport
from voxwire.media.rtcp_stats import ReceptionStats, ntp_middle, ntp_time, round_trip_ms
from voxwire.media.rtp import RtpPacket


def packet(index: int, ssrc: int = 1) -> RtpPacket:
    return RtpPacket(0, 65_530 + index & 0xFFFF, 160 * index & 0xFFFF_FFFF, ssrc, b"")


def received(stats: ReceptionStats, *indices: int) -> None:
    for index in indices:
        stats.received(packet(index), index * 0.02)


def test_time_of_the_network_time_protocol():
    assert ntp_time(0) == 2_208_988_800 << 32
    assert ntp_time(0.5) & 0xFFFF_FFFF == 0x8000_0000
    assert ntp_middle(0x0123_4567_89AB_CDEF) == 0x4567_89AB


def test_the_example_of_the_rfc():
    """RFC 3550 figure 2: sent at b44d:b705:2000:0000, answered 5.25 s later, arrived at b710:8000 -> 6.125 s."""
    block = ReportBlock(1, last_sr=0xB705_2000, delay_since_sr=0x0005_4000)
    arrived = 0xB44D_B710_8000_0000 / 2**32 - 2_208_988_800
    assert round_trip_ms(block, arrived) == pytest.approx(6125, abs=0.1)


def test_without_a_report_of_ours_there_is_no_round_trip():
    assert round_trip_ms(ReportBlock(1), 0) is None


def test_a_round_trip_is_never_negative():
    sent = ntp_middle(ntp_time(1000.0))
    assert round_trip_ms(ReportBlock(1, last_sr=sent, delay_since_sr=2), 1000.0) == 0


def test_loss_is_counted_over_a_wrap():
    stats = ReceptionStats(8000)
    received(stats, *range(3), *range(4, 9), *range(10, 20))
    assert (stats.packets, stats.lost) == (18, 2)
    block = stats.report(1.0)
    assert block is not None
    assert block.highest == 0x1_0000 + 13
    assert block.fraction_lost == pytest.approx(2 / 20, abs=1 / 256)
    assert (block.lost, block.last_sr, block.delay_since_sr) == (2, 0, 0)


def test_each_report_has_the_loss_since_the_one_before():
    stats = ReceptionStats(8000)
    received(stats, *range(0, 20, 2))
    stats.report(1.0)
    received(stats, *range(20, 40))
    block = stats.report(2.0)
    assert block is not None
    assert block.fraction_lost == pytest.approx(1 / 21, abs=1 / 256), "one more of the odd ones"
    assert block.lost == 10


def test_duplicates_make_the_loss_negative():
    stats = ReceptionStats(8000)
    received(stats, 0, 1, 1, 1, 2)
    block = stats.report(1.0)
    assert block is not None
    assert (block.lost, block.fraction_lost) == (-2, 0)


def test_packets_out_of_order_are_not_lost():
    stats = ReceptionStats(8000)
    received(stats, 0, 2, 1, 5, 3, 4)
    assert stats.lost == 0


def test_before_the_first_packet_there_is_nothing_to_report():
    stats = ReceptionStats(8000)
    assert stats.report(1.0) is None
    assert (stats.lost, stats.packets) == (0, 0)


def test_jitter_is_zero_where_packets_come_as_they_were_sent_and_grows_with_noise():
    stats = ReceptionStats(8000)
    received(stats, *range(100))
    assert stats.jitter_ms == pytest.approx(0, abs=0.01)
    rng = random.Random(1)
    noisy = ReceptionStats(8000)
    for index in range(2000):
        noisy.received(packet(index), index * 0.02 + 0.03 * rng.random())
    # The mean difference of two uniform numbers is a third of their range.
    assert noisy.jitter_ms == pytest.approx(10, abs=4)


def test_jitter_where_the_timestamp_wraps():
    stats = ReceptionStats(8000)
    for index in range(50):
        stats.received(RtpPacket(0, index, 2**32 - 1600 + 160 * index & 0xFFFF_FFFF, 1, b""), index * 0.02)
    assert stats.jitter_ms == pytest.approx(0, abs=0.01)


def test_a_stray_sequence_number_is_not_counted_and_a_second_one_begins_anew():
    stats = ReceptionStats(8000)
    received(stats, *range(10))
    received(stats, 30_000)
    assert stats.packets == 10
    received(stats, 10, 11)
    assert (stats.packets, stats.lost) == (12, 0)
    received(stats, 30_000, 30_001)
    assert (stats.packets, stats.lost) == (1, 0)


def test_another_source_begins_anew():
    stats = ReceptionStats(8000)
    received(stats, *range(10))
    stats.received(packet(500, ssrc=2), 1.0)
    assert (stats.ssrc, stats.packets, stats.lost) == (2, 1, 0)


def test_sender_reports_are_named_in_ours():
    stats = ReceptionStats(8000)
    received(stats, 0)
    stats.sender_report(SenderReport(2, 1 << 40, 0, 0, 0), 1.0)
    stats.sender_report(SenderReport(1, 0xB44D_B705_2000_0000, 0, 0, 0), 1.0)
    block = stats.report(1.5)
    assert block is not None
    assert (block.last_sr, block.delay_since_sr) == (0xB705_2000, 32768)
