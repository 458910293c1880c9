"""Where a packet belongs in its stream: numbers that do not wrap, also across restarts of the sender."""

from __future__ import annotations

from typing import Final, NamedTuple

from .rtp import RtpPacket

__all__ = ["Place", "Placer"]

_MAX_DROPOUT: Final = 3000
_MAX_MISORDER: Final = 100
"""How far a sequence number may be ahead of or behind the newest (RFC 3550 appendix A.1)."""
_MAX_EARLY_S: Final = 0.5
"""A packet that comes this much before it could, by its timestamp, comes from a clock that has been set."""


class Place(NamedTuple):
    """Attributes: `sequence` and `timestamp`, unwrapped, going on over restarts; `newest`, whether none came after it."""

    sequence: int
    timestamp: int
    newest: bool


class Placer:
    """Follows one stream, and the one that replaces it.

    A sender that restarts, is replaced (another SSRC) or sets its clock goes on in our numbers where it stopped. As
    in RFC 3550 appendix A.1, a restart is believed when a second packet follows the first one in sequence.

    Args:
        clock_rate: of the timestamps, Hz.
    """

    __slots__ = (
        "_arrival",
        "_candidate",
        "_max_early",
        "_raw_sequence",
        "_raw_timestamp",
        "_sequence",
        "_timestamp",
        "ssrc",
    )

    def __init__(self, clock_rate: int) -> None:
        self.ssrc: int | None = None
        """The stream that is followed."""
        self._max_early = _MAX_EARLY_S * clock_rate
        self._candidate: tuple[int, int] | None = None
        self._raw_sequence = self._raw_timestamp = 0
        self._sequence = self._timestamp = 0
        self._arrival = 0.0

    def place(self, packet: RtpPacket, arrival: float, duration: int, base: float | None) -> Place | None:
        """Where `packet` belongs, or None if it is not believed (yet).

        Args:
            packet: as it came.
            arrival: when, in clock units.
            duration: of its audio, clock units.
            base: least delay of late, arrival minus timestamp in our numbers, or None.
        """
        if self.ssrc is None:
            return self._moved(packet, packet.sequence, packet.timestamp, arrival)
        ahead = (packet.sequence - self._raw_sequence + 0x8000 & 0xFFFF) - 0x8000
        later = (packet.timestamp - self._raw_timestamp + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
        # Behind by as much in both numbers: from long ago, not from a sender that began anew.
        old = ahead < 0 and abs(later - ahead * duration) < self._max_early
        if packet.ssrc != self.ssrc or not (old or -_MAX_MISORDER <= ahead <= _MAX_DROPOUT):
            return self._restarted(packet, arrival, duration)
        self._candidate = None
        sequence, timestamp = self._sequence + ahead, self._timestamp + later
        if ahead <= 0:
            # Out of order or a duplicate; with a timestamp after the newest one it is from before a jump.
            return Place(sequence, timestamp, newest=False) if later <= 0 else None
        early = base is not None and arrival - timestamp < base - self._max_early
        if later < 0 or early:
            timestamp = self._expected(arrival, ahead * duration)
        return self._moved(packet, sequence, timestamp, arrival)

    def _restarted(self, packet: RtpPacket, arrival: float, duration: int) -> Place | None:
        candidate, self._candidate = self._candidate, (packet.ssrc, packet.sequence + 1 & 0xFFFF)
        if candidate != (packet.ssrc, packet.sequence):
            return None
        self._candidate = None
        return self._moved(packet, self._sequence + 1, self._expected(arrival, duration), arrival)

    def _expected(self, arrival: float, at_least: int) -> int:
        """Where a stream whose clock says nothing goes on: by the time that has passed."""
        return self._timestamp + max(at_least, round(arrival - self._arrival))

    def _moved(self, packet: RtpPacket, sequence: int, timestamp: int, arrival: float) -> Place:
        self.ssrc, self._arrival = packet.ssrc, arrival
        self._raw_sequence, self._raw_timestamp = packet.sequence, packet.timestamp
        self._sequence, self._timestamp = sequence, timestamp
        return Place(sequence, timestamp, newest=True)
