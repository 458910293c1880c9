"""What the first bytes of an Opus payload say (RFC 6716 section 3), without decoding it."""

from __future__ import annotations

from typing import Final

__all__ = ["has_fec", "packet_samples"]

_MAX_MS: Final = 120
_TENTHS_MS: Final = (
    *(100, 200, 400, 600) * 3,  # SILK: narrow, medium, wide band
    *(100, 200) * 2,  # hybrid: super-wide and full band
    *(25, 50, 100, 200) * 4,  # CELT
)
"""Length of one frame by the configuration number, RFC 6716 table 2, tenths of a millisecond."""
_FIRST_CELT_ONLY: Final = 16
_HYBRID: Final = 12
_LENGTH_OF_TWO_BYTES: Final = 252


def packet_samples(payload: bytes, rate: int) -> int:
    """Length of a payload's audio, samples at `rate` (Hz); 0 if it is empty or its frame count is not allowed."""
    if not payload:
        return 0
    count = _frames(payload)
    tenths = count * _TENTHS_MS[payload[0] >> 3]
    return tenths * rate // 10_000 if tenths <= 10 * _MAX_MS else 0


def _frames(payload: bytes) -> int:
    """Number of frames (RFC 6716 sections 3.2.2 to 3.2.5)."""
    code = payload[0] & 3
    if code < 3:
        return 1 if code == 0 else 2
    return payload[1] & 0x3F if len(payload) > 1 else 0


def has_fec(payload: bytes) -> bool:
    """Whether the payload has a low bit-rate copy of the frame before it.

    The SILK part begins with one activity bit per 20 ms and then one bit that says so, for each channel
    (RFC 6716 sections 4.2.3 and 4.2.4). CELT has no such copy.
    """
    if len(payload) < 2 or (configuration := payload[0] >> 3) >= _FIRST_CELT_ONLY:
        return False
    start = _first_frame(payload)
    if start >= len(payload):
        return False
    # A SILK frame of 10 or 20 ms has one activity bit, 40 ms two, 60 ms three; hybrid frames have one.
    activity = 1 if configuration >= _HYBRID else max(1, configuration & 3)
    first = payload[start]
    mid = bool(first & 0x80 >> activity)
    stereo = payload[0] & 4
    return mid or bool(stereo and first & 0x80 >> 2 * activity + 1)


def _first_frame(payload: bytes) -> int:
    """Where the first frame's bytes begin, past the lengths in front of it."""
    code = payload[0] & 3
    if code < 2:
        return 1
    if code == 2:
        return 1 + _length_bytes(payload, 1)
    start, padded, variable = 2, payload[1] & 0x40, payload[1] & 0x80
    while padded and start < len(payload):  # 255 says that another length byte follows
        start += 1
        if payload[start - 1] != 255:
            break
    if variable:
        for _ in range((payload[1] & 0x3F) - 1):
            start += _length_bytes(payload, start)
    return start


def _length_bytes(payload: bytes, at: int) -> int:
    return 2 if at < len(payload) and payload[at] >= _LENGTH_OF_TWO_BYTES else 1
