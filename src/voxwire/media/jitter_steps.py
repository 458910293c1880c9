"""What a jitter buffer is told about a packet, and what it says is to be played."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .rtp import RtpPacket

__all__ = ["Comfort", "Conceal", "Content", "Decode", "Recover", "Squeeze", "Step"]


class Content(NamedTuple):
    """What is in a packet.

    Attributes:
        duration: of its audio, in units of the RTP clock; 0 if it is of no use.
        fec: whether it has a copy of the audio just before it.
        silence: whether the sender falls silent with it, so that nothing may follow for a while.
    """

    duration: int
    fec: bool = False
    silence: bool = False


class Decode(NamedTuple):
    """Decode this packet."""

    packet: RtpPacket


class Recover(NamedTuple):
    """Restore the audio before `packet`, `duration` clock units, from the copy in it."""

    packet: RtpPacket
    duration: int


class Conceal(NamedTuple):
    """Make up `duration` clock units of audio in place of what is lost or late."""

    duration: int


class Comfort(NamedTuple):
    """`duration` clock units of background noise or silence: the sender says nothing, or nothing has come for long."""

    duration: int


class Squeeze(NamedTuple):
    """Take up to `duration` clock units out of what has been decoded and not been played."""

    duration: int


Step: TypeAlias = Decode | Recover | Conceal | Comfort | Squeeze
