"""ITU-T G.711 mu-law and A-law, bit-exact with the ITU's own reference code.

Source: ITU-T Recommendation G.711 (11/88), tables 1 and 2, and the reference
implementation in ITU-T G.191 (Software Tool Library, `g711.c`), whose treatment of
negative values lying exactly between two levels is followed. Both laws map one byte to
one sample; mu-law uses the upper 14 and A-law the upper 13 bits of a 16 bit sample.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from functools import cache

__all__ = ["decode_alaw", "decode_ulaw", "encode_alaw", "encode_ulaw"]

_SWAP = sys.byteorder == "big"


def decode_ulaw(data: bytes | bytearray | memoryview) -> bytes:
    """Mu-law bytes as mono s16le, two bytes each."""
    return _decode(data, *_planes(_ulaw_level))


def decode_alaw(data: bytes | bytearray | memoryview) -> bytes:
    """A-law bytes as mono s16le, two bytes each."""
    return _decode(data, *_planes(_alaw_level))


def encode_ulaw(pcm: bytes | bytearray | memoryview) -> bytes:
    """Mono s16le as mu-law, one byte per sample; an odd last byte is ignored."""
    return _encode(pcm, _codes(_ulaw_code))


def encode_alaw(pcm: bytes | bytearray | memoryview) -> bytes:
    """Mono s16le as A-law, one byte per sample; an odd last byte is ignored."""
    return _encode(pcm, _codes(_alaw_code))


def _decode(data: bytes | bytearray | memoryview, low: bytes, high: bytes) -> bytes:
    # Two byte-wise table look-ups interleaved by slices: all of it runs in C.
    data = bytes(data)
    pcm = bytearray(2 * len(data))
    pcm[0::2] = data.translate(low)
    pcm[1::2] = data.translate(high)
    return bytes(pcm)


def _encode(pcm: bytes | bytearray | memoryview, codes: bytes) -> bytes:
    samples = array("H", bytes(memoryview(pcm)[: len(pcm) & ~1]))
    if _SWAP:
        samples.byteswap()
    return bytes(map(codes.__getitem__, samples))


@cache
def _planes(level: Callable[[int], int]) -> tuple[bytes, bytes]:
    """Low and high bytes of the sample for each of the 256 codes."""
    values = [level(code) & 0xFFFF for code in range(256)]
    return bytes(value & 0xFF for value in values), bytes(value >> 8 for value in values)


@cache
def _codes(code: Callable[[int], int]) -> bytes:
    """The code of each 16 bit sample, indexed by the sample's bits read as unsigned."""
    return bytes(code(value - 0x10000 if value >= 0x8000 else value) for value in range(0x10000))


def _ulaw_level(code: int) -> int:
    inverted = ~code & 0xFF
    exponent = inverted >> 4 & 7
    magnitude = ((((inverted & 0xF) << 3) + 0x84) << exponent) - 0x84
    return -magnitude if inverted & 0x80 else magnitude


def _ulaw_code(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min((~sample if sample < 0 else sample) // 4 + 33, 0x1FFF)
    exponent = magnitude.bit_length() - 6
    return ~(sign | exponent << 4 | magnitude >> exponent + 1 & 0xF) & 0xFF


def _alaw_level(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 0xF
    magnitude = (mantissa << 4) + 8
    if exponent:
        magnitude = magnitude + 0x100 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


def _alaw_code(sample: int) -> int:
    sign = 0 if sample < 0 else 0x80
    magnitude = (~sample if sample < 0 else sample) >> 4
    exponent = max(0, magnitude.bit_length() - 4)
    mantissa = magnitude >> max(0, exponent - 1) & 0xF
    return (sign | exponent << 4 | mantissa) ^ 0x55
