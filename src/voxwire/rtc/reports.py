"""RTCP on one peer connection: what is told about our audio, and learnt about it. Sans-I/O, times in seconds."""

from __future__ import annotations

from random import Random

from ..media.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    pack_rtcp,
    parse_rtcp,
)
from ..media.rtcp_stats import ReceptionStats, ntp_time, round_trip_ms
from ..media.rtp import RtpError, RtpPacket
from ..media.sending import MediaSender

__all__ = ["INTERVAL", "Reports"]

INTERVAL = 1.0
"""Seconds between reports, half as much to half as much again at random (RFC 3550, 6.3.1; RFC 4585, 3.4 allows
more than one in 5 s): a loss has to be known soon for forward error correction to be of use."""
EARLY = 0.4
"""Of `INTERVAL`, at least between reports where packets were lost since the last one, so that it is known at once
(the early feedback of RFC 4585, 3.5.2)."""
_MEMORY = 0.8
"""Of an earlier loss, per report: losses come in bursts, and protection stays on for a while."""


class Reports:
    """Counts what arrives, makes reports when they are due, and reads those of the peer.

    Args:
        ssrc, cname: ours.
        clock_rate: of the RTP timestamps, Hz.
        wall: what to add to a time to get Unix time.

    Attributes:
        rtt_ms: of the last report that answered one of ours.
        remote_loss: share of our packets lost, of the last report.
    """

    def __init__(self, ssrc: int, cname: str, clock_rate: int, random: Random, wall: float) -> None:
        self.rtt_ms: float | None = None
        self.remote_loss: float | None = None
        self._ssrc = ssrc
        self._cname = cname
        self._random = random
        self._wall = wall
        self._stats = ReceptionStats(clock_rate)
        self._expected_loss = 0.0
        self._next: float | None = None
        self._last = float("-inf")  # when the last report was made, and what was lost by then
        self._told_lost = 0

    @property
    def received_packets(self) -> int:
        """RTP packets that came."""
        return self._stats.total_packets

    @property
    def lost_packets(self) -> int:
        """RTP packets that did not."""
        return self._stats.total_lost

    def received(self, packet: RtpPacket, now: float) -> None:
        """An RTP packet came."""
        self._stats.received(packet, now)

    def take(self, data: bytes, now: float) -> float | None:
        """Read a compound packet; the share of our packets to expect lost, if it reports on us.

        What cannot be read is left alone.
        """
        try:
            packets = parse_rtcp(data)
        except RtpError:
            return None
        told = False
        for packet in packets:
            if isinstance(packet, SenderReport):
                self._stats.sender_report(packet, now)
            if isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.blocks:
                    told |= self._about_us(block, now)
        return self._expected_loss if told else None

    def due(self, now: float) -> bool:
        """Whether a report is due."""
        if self._next is None:
            self._next = now + INTERVAL * self._random.uniform(0.5, 1.5)
        return now >= self._next or (
            now - self._last >= EARLY * INTERVAL and self.lost_packets > self._told_lost
        )

    def build(self, now: float, sender: MediaSender | None) -> bytes:
        """The report that is due; the next one is from here.

        Args:
            sender: what we send; None if we send nothing.
        """
        self._next = now + INTERVAL * self._random.uniform(0.5, 1.5)
        self._last, self._told_lost = now, self.lost_packets
        return pack_rtcp(self._report(now, sender))

    def goodbye(self, now: float, sender: MediaSender | None) -> bytes:
        """The last report: our stream ends (RFC 3550, 6.6)."""
        return pack_rtcp([*self._report(now, sender), Goodbye((self._ssrc,))])

    def _report(self, now: float, sender: MediaSender | None) -> list[RtcpPacket]:
        block = self._stats.report(now)
        blocks = () if block is None else (block,)
        report: RtcpPacket
        if sender is None or not sender.packets:
            report = ReceiverReport(self._ssrc, blocks)
        else:
            ntp = ntp_time(now + self._wall)
            report = SenderReport(self._ssrc, ntp, sender.timestamp, sender.packets, sender.octets, blocks)
        return [report, SourceDescription({self._ssrc: self._cname})]

    def _about_us(self, block: ReportBlock, now: float) -> bool:
        if block.ssrc != self._ssrc:
            return False
        self.remote_loss = block.fraction_lost
        self._expected_loss = max(block.fraction_lost, self._expected_loss * _MEMORY)
        rtt = round_trip_ms(block, now + self._wall)
        if rtt is not None:
            self.rtt_ms = rtt
        return True
