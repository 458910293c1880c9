"""RTCP packets (RFC 3550 section 6): sender and receiver reports, descriptions, goodbyes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from .rtp import RtpError

__all__ = [
    "Goodbye",
    "OtherRtcp",
    "ReceiverReport",
    "ReportBlock",
    "RtcpPacket",
    "SenderReport",
    "SourceDescription",
    "is_rtcp",
    "pack_rtcp",
    "parse_rtcp",
]

_HEAD = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_WORD = struct.Struct("!I")
_SR: Final = 200
_RR: Final = 201
_SDES: Final = 202
_BYE: Final = 203
_MAX_COUNT: Final = 31
_CNAME: Final = 1


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How a source is received (RFC 3550 section 6.4.1).

    Attributes:
        ssrc: the source.
        fraction_lost: share of packets lost since the last report, 0..1 in steps of 1/256.
        lost: packets lost in all, 24 bit, signed.
        highest: highest sequence number; the upper 16 bits count how often it wrapped.
        jitter: interarrival jitter, units of the RTP clock.
        last_sr: middle 32 bits of the NTP timestamp of the last sender report, 0 if there was none.
        delay_since_sr: from its arrival to this report, units of 1/65536 s.
    """

    ssrc: int
    fraction_lost: float = 0.0
    lost: int = 0
    highest: int = 0
    jitter: int = 0
    last_sr: int = 0
    delay_since_sr: int = 0


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a source has sent, and how it receives others (RFC 3550 section 6.4.1).

    Attributes:
        ssrc: the source.
        ntp: wall-clock time of the report, 64 bit NTP timestamp (see `ntp_time`).
        timestamp: the same moment on the RTP clock.
        packets, octets: sent since the beginning; octets of payload only.
        blocks: at most 31.
    """

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """How a participant that sends nothing receives others (RFC 3550 section 6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """Who the sources are (RFC 3550 section 6.5).

    Attributes:
        cnames: SSRC to canonical name; other items are left out.
    """

    cnames: dict[int, str]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that leave (RFC 3550 section 6.6)."""

    sources: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OtherRtcp:
    """A packet of another type, such as feedback (RFC 4585): `count` is the five bits beside the version."""

    packet_type: int
    count: int
    body: bytes


RtcpPacket: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Goodbye | OtherRtcp


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a port that RTP and RTCP share is RTCP (RFC 5761 section 4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


def parse_rtcp(data: bytes) -> list[RtcpPacket]:
    """All packets of a compound datagram, in order.

    Raises:
        RtpError: if a length, a count or the version does not fit.
    """
    packets: list[RtcpPacket] = []
    start = 0
    while start < len(data):
        if start + _HEAD.size > len(data):
            raise RtpError(f"{len(data) - start} bytes left over behind the last RTCP packet")
        first, packet_type, words = _HEAD.unpack_from(data, start)
        if first >> 6 != 2:
            raise RtpError(f"RTCP version {first >> 6} instead of 2 at byte {start}")
        end = start + 4 * (words + 1)
        if end > len(data):
            raise RtpError(f"an RTCP packet of {4 * (words + 1)} bytes at byte {start} of {len(data)}")
        body = data[start + _HEAD.size : end]
        if first & 0x20:
            body = _without_padding(body)
        packets.append(_parsed(packet_type, first & 0x1F, body))
        start = end
    return packets


def _without_padding(body: bytes) -> bytes:
    if not body or not 0 < body[-1] <= len(body):
        raise RtpError(f"{body[-1] if body else 0} bytes of padding in an RTCP packet with {len(body)}")
    return body[: -body[-1]]


def _parsed(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    try:
        if packet_type == _SR:
            ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
            blocks = _blocks(body, _SENDER.size, count)
            return SenderReport(ssrc, ntp, timestamp, packets, octets, blocks)
        if packet_type == _RR:
            (ssrc,) = _WORD.unpack_from(body)
            return ReceiverReport(ssrc, _blocks(body, _WORD.size, count))
        if packet_type == _SDES:
            return SourceDescription(_cnames(body, count))
        if packet_type == _BYE:
            return _goodbye(body, count)
    except (struct.error, IndexError):
        raise RtpError(
            f"{count} parts do not fit an RTCP packet {packet_type} of {len(body)} bytes"
        ) from None
    return OtherRtcp(packet_type, count, body)


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    blocks: list[ReportBlock] = []
    for index in range(count):
        ssrc, losses, *rest = _BLOCK.unpack_from(body, start + index * _BLOCK.size)
        lost = losses & 0xFF_FFFF
        signed = lost - 0x100_0000 if lost & 0x80_0000 else lost
        blocks.append(ReportBlock(ssrc, (losses >> 24) / 256, signed, *rest))
    return tuple(blocks)


def _cnames(body: bytes, count: int) -> dict[int, str]:
    names: dict[int, str] = {}
    at = 0
    for _ in range(count):
        (ssrc,) = _WORD.unpack_from(body, at)
        at += _WORD.size
        while body[at]:
            end = at + 2 + body[at + 1]
            if end > len(body):
                raise RtpError(f"a description of {body[at + 1]} bytes at byte {at} of {len(body)}")
            if body[at] == _CNAME:
                names[ssrc] = body[at + 2 : end].decode(errors="replace")
            at = end
        at += 4 - at % 4  # one zero ends the list, more fill the word up
    return names


def _goodbye(body: bytes, count: int) -> Goodbye:
    sources = tuple(_WORD.unpack_from(body, 4 * index)[0] for index in range(count))
    start = 4 * count
    reason = body[start + 1 : start + 1 + body[start]] if start < len(body) else b""
    return Goodbye(sources, reason.decode(errors="replace"))


def pack_rtcp(packets: Iterable[RtcpPacket]) -> bytes:
    """A compound packet. It has to begin with a report and to have a CNAME (RFC 3550 section 6.1); that is up to you.

    Raises:
        RtpError: if a number or a text does not fit its field.
    """
    try:
        return b"".join(map(_packed, packets))
    except struct.error as error:
        raise RtpError(f"a number does not fit its RTCP field: {error}") from None


def _packed(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport(ssrc, ntp, timestamp, packets, octets, blocks):
            # The counters are 32 bit and wrap (RFC 3550 section 6.4.1).
            head = _SENDER.pack(ssrc, ntp, timestamp, packets & 0xFFFF_FFFF, octets & 0xFFFF_FFFF)
            return _framed(_SR, len(blocks), head + _packed_blocks(blocks))
        case ReceiverReport(ssrc, blocks):
            return _framed(_RR, len(blocks), _WORD.pack(ssrc) + _packed_blocks(blocks))
        case SourceDescription(cnames):
            return _framed(_SDES, len(cnames), b"".join(map(_packed_chunk, cnames.items())))
        case Goodbye(sources, reason):
            body = b"".join(map(_WORD.pack, sources))
            return _framed(_BYE, len(sources), body + (_padded(_text(reason)) if reason else b""))
        case OtherRtcp(packet_type, count, body):
            return _framed(packet_type, count, body)


def _packed_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            min(255, round(block.fraction_lost * 256)) << 24 | block.lost & 0xFF_FFFF,
            block.highest,
            block.jitter,
            block.last_sr,
            block.delay_since_sr,
        )
        for block in blocks
    )


def _packed_chunk(chunk: tuple[int, str]) -> bytes:
    ssrc, name = chunk
    items = bytes((_CNAME,)) + _text(name)
    return _WORD.pack(ssrc) + _padded(items + b"\0")


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise RtpError(f"a text of {len(data)} bytes in RTCP; 255 is the limit")
    return bytes((len(data),)) + data


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _framed(packet_type: int, count: int, body: bytes) -> bytes:
    if count > _MAX_COUNT or len(body) % 4:
        raise RtpError(
            f"{count} parts and {len(body)} bytes in an RTCP packet; 31 and whole words are allowed"
        )
    return _HEAD.pack(0x80 | count, packet_type, len(body) // 4) + body
