"""Where audio is sent, and from whom it is taken: symmetric RTP (RFC 4961) that holds on to one source. Sans-I/O."""

from __future__ import annotations

from typing import Final, TypeAlias

from ...media.rtp import RtpPacket

__all__ = ["Address", "Latch"]

Address: TypeAlias = tuple[str, int]
RELATCH_SECONDS: Final = 2.0
"""The source must have been quiet for so long before another one is followed."""
RELATCH_PACKETS: Final = 3
"""So many packets in sequence show that the other one means it."""


class Latch:
    """The peer's end of an audio stream.

    A phone behind NAT announces an address that does not reach it; what reaches it is the address that its packets
    come from. The first one is followed, and held on to: others who send to the port get nothing and are not heard.
    Only when the source has been quiet for 2 s, another one with three packets in sequence takes its place (the
    phone has changed its network). The announced address itself is always right.

    Args:
        announced: from the description; None if it gives none.
    """

    def __init__(self, announced: Address | None) -> None:
        self._announced = announced
        self._source: Address | None = None
        self._heard_at = 0.0
        self._candidate: tuple[Address, int, int, int] | None = (
            None  # source, SSRC, next sequence number, count
        )

    @property
    def target(self) -> Address | None:
        """Where audio is to be sent."""
        return self._source or self._announced

    @property
    def source(self) -> Address | None:
        """Whose audio is taken; None before the first packet."""
        return self._source

    def announce(self, address: Address | None) -> None:
        """A new description came: if it names another address, the latch opens."""
        if address != self._announced:
            self._announced = address
            self._source = self._candidate = None

    def accepts(self, source: Address, packet: RtpPacket, now: float) -> bool:
        """Whether a packet with a payload type that was agreed on is the peer's."""
        if self._source is None or source == self._announced:
            self._source = source
        elif source != self._source:
            if now - self._heard_at < RELATCH_SECONDS or not self._convinces(source, packet):
                return False
            self._source = source
        self._heard_at, self._candidate = now, None
        return True

    def _convinces(self, source: Address, packet: RtpPacket) -> bool:
        count = 1
        if self._candidate is not None and self._candidate[:3] == (source, packet.ssrc, packet.sequence):
            count = self._candidate[3] + 1
        self._candidate = (source, packet.ssrc, packet.sequence + 1 & 0xFFFF, count)
        return count >= RELATCH_PACKETS
