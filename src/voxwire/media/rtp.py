"""RTP packets (RFC 3550 section 5.1), and counters that wrap."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["RtpError", "RtpPacket", "Unwrapper", "pack_rtp", "parse_rtp"]

_HEADER = struct.Struct("!BBHII")
_WORD = struct.Struct("!I")
_EXTENSION = struct.Struct("!HH")
_VERSION = 2
_MAX_CSRCS = 15


class RtpError(ValueError):
    """Bytes that are no RTP or RTCP packet; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet (RFC 3550 section 5.1).

    Attributes:
        payload_type: 0..127, as negotiated by SDP or RFC 3551 section 6.
        sequence: 16 bit, one more with every packet, wraps.
        timestamp: 32 bit, in units of the codec's RTP clock, wraps.
        ssrc: 32 bit, the stream.
        payload: the codec's bytes, without padding.
        marker: for audio, the first packet of a talk spurt (RFC 3551 section 4.1).
        csrcs: the sources that a mixer put together.
        extension: the header extension's profile word, length word and body as they came, or nothing (what is in
            it, RFC 8285, is not looked at).
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: bytes = b""


def parse_rtp(data: bytes) -> RtpPacket:
    """The packet in one datagram.

    Raises:
        RtpError: if it is too short, of another version, or its padding, extension or CSRCs do not fit.
    """
    if len(data) < _HEADER.size:
        raise RtpError(f"an RTP packet has at least {_HEADER.size} bytes, not {len(data)}")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != _VERSION:
        raise RtpError(f"RTP version {first >> 6} instead of {_VERSION}")
    if first & 0x3F == 0:  # no padding, no extension, no CSRCs: nearly every packet
        return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[_HEADER.size :], second >= 0x80)
    payload, csrcs, extension = _variable_parts(data, first)
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, payload, second >= 0x80, csrcs, extension)


def _variable_parts(data: bytes, first: int) -> tuple[bytes, tuple[int, ...], bytes]:
    start = _HEADER.size + 4 * (first & 0xF)
    if start > len(data):
        raise RtpError(f"{first & 0xF} CSRCs do not fit into {len(data)} bytes")
    csrcs = tuple(word for (word,) in _WORD.iter_unpack(data[_HEADER.size : start]))
    extension = b""
    if first & 0x10:
        extension = _extension_at(data, start)
        start += len(extension)
    end = len(data)
    if first & 0x20:
        # The last byte says how many there are, itself included.
        padding = data[-1]
        if not 0 < padding <= end - start:
            raise RtpError(f"{padding} bytes of padding in a packet with {end - start} after its header")
        end -= padding
    return data[start:end], csrcs, extension


def _extension_at(data: bytes, start: int) -> bytes:
    if start + _EXTENSION.size > len(data):
        raise RtpError(f"an extension announced at byte {start} of {len(data)}")
    words = _EXTENSION.unpack_from(data, start)[1]
    end = start + _EXTENSION.size + 4 * words
    if end > len(data):
        raise RtpError(f"an extension of {words} words at byte {start} of {len(data)}")
    return data[start:end]


def pack_rtp(
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    *,
    marker: bool = False,
    csrcs: tuple[int, ...] = (),
    extension: bytes = b"",
) -> bytes:
    """A packet's bytes, without padding.

    Args:
        payload_type, sequence, timestamp, ssrc, payload, marker, csrcs: as in `RtpPacket`.
        extension: with its profile and length words, as in `RtpPacket`.

    Raises:
        RtpError: if a number does not fit its field.
    """
    first = _VERSION << 6 | (0x10 if extension else 0) | len(csrcs)
    if len(csrcs) > _MAX_CSRCS or not 0 <= payload_type < 0x80:
        raise RtpError(f"payload type {payload_type} or {len(csrcs)} CSRCs do not fit; at most 127 and 15")
    try:
        header = _HEADER.pack(
            first, payload_type | 0x80 if marker else payload_type, sequence, timestamp, ssrc
        )
        if csrcs:
            header += b"".join(map(_WORD.pack, csrcs))
    except struct.error as error:
        raise RtpError(
            f"sequence {sequence}, timestamp {timestamp} or SSRC {ssrc} does not fit: {error}"
        ) from None
    return header + extension + payload


class Unwrapper:
    """Turns a counter that wraps into one that does not: the value nearest to the last one.

    Args:
        bits: width of the counter, 16 for sequence numbers and 32 for timestamps.
    """

    __slots__ = ("_half", "_last", "_mask")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._half = 1 << bits - 1
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        """`value` unwrapped; the first one is taken as it is. A step back of less than half the range is one."""
        if self._last is None:
            self._last = value
        else:
            self._last += (value - self._last + self._half & self._mask) - self._half
        return self._last
