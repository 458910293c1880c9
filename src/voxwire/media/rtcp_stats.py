"""The arithmetic behind RTCP reports (RFC 3550 section 6.4 and appendices A.3 and A.8); no packets, no clock reads."""

from __future__ import annotations

from typing import Final

from .rtcp import ReportBlock, SenderReport
from .rtp import RtpPacket

__all__ = ["NTP_EPOCH", "ReceptionStats", "ntp_middle", "ntp_time", "round_trip_ms"]

NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970 (RFC 5905 section 6)."""
_MAX_DROPOUT: Final = 3000
_MAX_MISORDER: Final = 100


def ntp_time(unix: float) -> int:
    """Wall-clock time (s since 1970) as a 64 bit NTP timestamp (RFC 3550 section 4)."""
    return round((unix + NTP_EPOCH) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def ntp_middle(ntp: int) -> int:
    """The middle 32 bits, as reports name a sender report by: units of 1/65536 s."""
    return ntp >> 16 & 0xFFFF_FFFF


def round_trip_ms(block: ReportBlock, unix: float) -> float | None:
    """Round trip from a report on us that arrived at `unix` (s since 1970), ms; None if it answers no report of ours.

    RFC 3550 section 6.4.1: A - LSR - DLSR. A peer's clock does not enter it.
    """
    if not block.last_sr:
        return None
    units = ntp_middle(ntp_time(unix)) - block.last_sr - block.delay_since_sr & 0xFFFF_FFFF
    # What is more than half the range is a time before the report was sent: rounding on a fast path.
    return units * 1000 / 65536 if units < 0x8000_0000 else 0.0


class ReceptionStats:
    """One source's packets, counted as RFC 3550 has it.

    Another SSRC, or a sequence number far off twice in a row, begins from the start.

    Args:
        clock_rate: of the timestamps, Hz.
    """

    __slots__ = (
        "_bad",
        "_base",
        "_cycles",
        "_earlier_lost",
        "_earlier_packets",
        "_expected_before",
        "_highest",
        "_last_sr",
        "_received",
        "_received_before",
        "_sr_at",
        "_transit",
        "clock_rate",
        "jitter",
        "ssrc",
    )

    def __init__(self, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        self.ssrc: int | None = None
        self.jitter = 0.0
        """Interarrival jitter, clock units."""
        self._base = self._highest = self._cycles = 0
        self._received: int = 0
        self._earlier_packets = self._earlier_lost = 0  # of streams that have ended
        self._expected_before: int = 0
        self._received_before: int = 0
        self._bad: int | None = None
        self._transit: float | None = None
        self._last_sr: int = 0
        self._sr_at = 0.0

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter, ms."""
        return self.jitter * 1000 / self.clock_rate

    @property
    def packets(self) -> int:
        """Packets received, duplicates included."""
        return self._received

    @property
    def highest(self) -> int:
        """Highest sequence number, in its upper 16 bits how often it wrapped."""
        return self._cycles + self._highest

    @property
    def lost(self) -> int:
        """Packets expected and not received; negative with duplicates."""
        return self.highest - self._base + 1 - self._received if self._received else 0

    @property
    def total_packets(self) -> int:
        """Packets received of this stream and of those before it."""
        return self._earlier_packets + self._received

    @property
    def total_lost(self) -> int:
        """Packets lost of this stream and of those before it; duplicates do not make up for losses of another one."""
        return self._earlier_lost + max(0, self.lost)

    def received(self, packet: RtpPacket, now: float) -> None:
        """Count a packet that arrived at `now` (s of a steady clock)."""
        if packet.ssrc != self.ssrc:
            self.ssrc, self._last_sr = packet.ssrc, 0
            self._begin(packet.sequence)
        elif not self._in_sequence(packet.sequence):
            return
        self._received += 1
        self._update_jitter(packet.timestamp, now)

    def sender_report(self, report: SenderReport, now: float) -> None:
        """Remember a sender report that arrived at `now` (s of the same clock), for LSR and DLSR."""
        if report.ssrc == self.ssrc:
            self._last_sr, self._sr_at = ntp_middle(report.ntp), now

    def report(self, now: float) -> ReportBlock | None:
        """The block of the report due at `now` (s); None before the first packet. The next one counts from here."""
        if self.ssrc is None:
            return None
        expected = self.highest - self._base + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        share = (lost_now << 8) // expected_now if expected_now > 0 and lost_now > 0 else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(share, 255) / 256,
            lost=max(-0x80_0000, min(self.lost, 0x7F_FFFF)),
            highest=self.highest & 0xFFFF_FFFF,
            jitter=int(self.jitter),
            last_sr=self._last_sr,
            delay_since_sr=round((now - self._sr_at) * 65536) & 0xFFFF_FFFF if self._last_sr else 0,
        )

    def _begin(self, sequence: int) -> None:
        self._earlier_packets, self._earlier_lost = self.total_packets, self.total_lost
        self._base = self._highest = sequence
        self._cycles = self._received = self._expected_before = self._received_before = 0
        self._bad = self._transit = None

    def _in_sequence(self, sequence: int) -> bool:
        """Appendix A.1: follow the sequence number; False for one that is too far off."""
        ahead = sequence - self._highest & 0xFFFF
        if ahead < _MAX_DROPOUT:
            if sequence < self._highest:
                self._cycles += 0x1_0000
            self._highest = sequence
        elif ahead <= 0x1_0000 - _MAX_MISORDER:
            if sequence != self._bad:
                self._bad = sequence + 1 & 0xFFFF
                return False
            self._begin(sequence)
        return True

    def _update_jitter(self, timestamp: int, now: float) -> None:
        """Appendix A.8: the mean deviation of the transit time, with a gain of 1/16."""
        transit = now * self.clock_rate - timestamp
        if self._transit is not None:
            # The timestamp wraps; differences are taken modulo its range.
            change = (transit - self._transit + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
            self.jitter += (abs(change) - self.jitter) / 16
        self._transit = transit
