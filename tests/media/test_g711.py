from __future__ import annotations

import bisect
import importlib
import itertools
import struct
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.media import g711

ALL_CODES = bytes(range(256))
LAWS = {
    "ulaw": (g711.decode_ulaw, g711.encode_ulaw),
    "alaw": (g711.decode_alaw, g711.encode_alaw),
}


def decisions(law: str) -> list[int]:
    """The decision values of G.711 tables 1 and 2, in units of the law (13 or 14 bits)."""
    if law == "alaw":
        steps = [2] * 32 + [step for step in (4, 8, 16, 32, 64, 128) for _ in range(16)]
    else:
        steps = [1] + [2] * 15 + [step for step in (4, 8, 16, 32, 64, 128, 256) for _ in range(16)]
    return list(itertools.accumulate(steps, initial=0))


def levels(law: str) -> list[int]:
    """The quantised values of the same tables, as 16 bit samples: the middle of each interval."""
    unit = 8 if law == "alaw" else 4
    values = [unit * (low + high) // 2 for low, high in itertools.pairwise(decisions(law))]
    if law == "ulaw":
        values[0] = 0
    return values


def samples(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def test_the_tables_are_those_of_the_recommendation():
    assert decisions("ulaw")[-1] == 8159
    assert levels("ulaw")[-1] == 4 * 8031
    assert decisions("alaw")[-1] == 4096
    assert levels("alaw")[-1] == 8 * 4032


def test_ulaw_levels():
    assert samples(g711.decode_ulaw(bytes(range(255, 127, -1)))) == levels("ulaw")
    assert samples(g711.decode_ulaw(bytes(range(127, -1, -1)))) == [-level for level in levels("ulaw")]


def test_alaw_levels():
    positive = bytes(code ^ 0x55 for code in range(128, 256))
    negative = bytes(code ^ 0x55 for code in range(128))
    assert samples(g711.decode_alaw(positive)) == levels("alaw")
    assert samples(g711.decode_alaw(negative)) == [-level for level in levels("alaw")]


def test_known_values():
    assert g711.encode_ulaw(struct.pack("<4h", 0, -1, 32767, -32768)) == b"\xff\x7f\x80\x00"
    assert g711.encode_alaw(struct.pack("<4h", 0, -1, 32767, -32768)) == b"\xd5\x55\xaa\x2a"
    assert g711.decode_ulaw(b"\xff\x7f\x80\x00") == struct.pack("<4h", 0, 0, 32124, -32124)
    assert g711.decode_alaw(b"\xd5\x55\xaa\x2a") == struct.pack("<4h", 8, -8, 32256, -32256)


@pytest.mark.parametrize("law", LAWS)
def test_every_sample_goes_to_the_level_of_its_interval(law):
    decode, encode = LAWS[law]
    unit = 8 if law == "alaw" else 4
    bounds = [unit * value for value in decisions(law)]
    table = levels(law)
    everything = list(range(-32768, 32768))
    decoded = samples(decode(encode(struct.pack("<65536h", *everything))))
    for value, level in zip(everything, decoded, strict=True):
        # G.191 takes the one's complement as the magnitude of a negative value.
        magnitude = ~value if value < 0 else value
        interval = min(bisect.bisect_right(bounds, magnitude) - 1, len(table) - 1)
        assert level == (-table[interval] if value < 0 else table[interval]), value


@pytest.mark.parametrize("law", LAWS)
def test_codes_survive_a_round_trip(law):
    decode, encode = LAWS[law]
    # Mu-law has two codes for zero; both decode to 0, which is encoded as the positive one.
    expected = ALL_CODES.replace(b"\x7f", b"\xff") if law == "ulaw" else ALL_CODES
    assert encode(decode(ALL_CODES)) == expected


@given(st.binary(max_size=400))
@pytest.mark.parametrize("law", LAWS)
def test_error_is_within_half_a_step(law, pcm):
    decode, encode = LAWS[law]
    before = samples(pcm[: len(pcm) & ~1])
    after = samples(decode(encode(pcm)))
    assert len(after) == len(before)
    for x, y in zip(before, after, strict=True):
        # The step doubles with each segment: at most 1/16 of the value, plus the smallest step,
        # plus what lies beyond the outermost level.
        assert abs(x - y) <= abs(x) / 32 + 16 + max(0, abs(x) - 32124)
        assert x * y >= 0 or abs(x) < 16


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop left the standard library in 3.13")
def test_agrees_with_audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = importlib.import_module("audioop")
    everything = struct.pack("<65536h", *range(-32768, 32768))
    if sys.byteorder == "big":
        pytest.skip("audioop works in native order")
    assert g711.decode_ulaw(ALL_CODES) == audioop.ulaw2lin(ALL_CODES, 2)
    assert g711.decode_alaw(ALL_CODES) == audioop.alaw2lin(ALL_CODES, 2)
    assert g711.encode_alaw(everything) == audioop.lin2alaw(everything, 2)
    assert g711.encode_ulaw(everything[0x10000:]) == audioop.lin2ulaw(everything[0x10000:], 2)


def test_odd_byte_and_other_buffers():
    assert g711.encode_ulaw(b"\x00\x00\x01") == b"\xff"
    assert g711.encode_alaw(bytearray(b"\x00\x00")) == b"\xd5"
    assert g711.decode_ulaw(memoryview(b"\xff")) == b"\x00\x00"
    assert g711.decode_alaw(b"") == b""
