from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.media.rtp import RtpError, RtpPacket, Unwrapper, pack_rtp, parse_rtp

PACKET = RtpPacket(111, 0xABCD, 0x12345678, 0xCAFEBABE, b"payload", marker=True)
BYTES = bytes.fromhex("80efabcd12345678cafebabe") + b"payload"


def packed(packet: RtpPacket) -> bytes:
    return pack_rtp(
        packet.payload_type,
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
        marker=packet.marker,
        csrcs=packet.csrcs,
        extension=packet.extension,
    )


def test_a_packet_byte_by_byte():
    assert parse_rtp(BYTES) == PACKET
    assert packed(PACKET) == BYTES


def test_padding_is_taken_off():
    data = bytes([0xA0]) + BYTES[1:] + b"\0\0\3"
    assert parse_rtp(data) == PACKET


def test_sources_and_extension():
    extension = bytes.fromhex("bede0001 10ff0000")
    data = bytes([0x92]) + BYTES[1:12] + bytes.fromhex("00000001 00000002") + extension + b"payload"
    packet = parse_rtp(data)
    assert packet.csrcs == (1, 2)
    assert packet.extension == extension
    assert packet.payload == b"payload"
    assert packed(packet) == data


def test_an_empty_payload_is_one():
    assert parse_rtp(BYTES[:12]).payload == b""
    assert parse_rtp(bytes([0xA0]) + BYTES[1:12] + b"\1").payload == b""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at least 12 bytes, not 0"),
        (BYTES[:11], "at least 12 bytes, not 11"),
        (bytes([0x40]) + BYTES[1:], "version 1"),
        (bytes([0x83]) + BYTES[1:], "3 CSRCs do not fit into 19"),
        (bytes([0x90]) + BYTES[1:15], "extension announced at byte 12 of 15"),
        (bytes([0x90]) + BYTES[1:12] + b"\xbe\xde\0\2\0\0\0\0", "extension of 2 words"),
        (bytes([0xA0]) + BYTES[1:] + b"\0", "0 bytes of padding"),
        (bytes([0xA0]) + BYTES[1:] + b"\x0a", "10 bytes of padding in a packet with 8"),
        (bytes([0xA0]) + BYTES[1:12], "bytes of padding"),
    ],
)
def test_malformed_packets(data: bytes, message: str):
    with pytest.raises(RtpError, match=message):
        parse_rtp(data)


@pytest.mark.parametrize(
    "change",
    [
        {"payload_type": 128},
        {"payload_type": -1},
        {"sequence": 65536},
        {"timestamp": -1},
        {"ssrc": 2**32},
        {"csrcs": tuple(range(16))},
        {"csrcs": (2**32,)},
    ],
)
def test_numbers_that_do_not_fit(change: dict[str, object]):
    values: dict[str, object] = {
        "payload_type": 0,
        "sequence": 0,
        "timestamp": 0,
        "ssrc": 0,
        "payload": b"",
        **change,
    }
    with pytest.raises(RtpError, match="fit"):
        pack_rtp(**values)  # type: ignore[arg-type]


uint32 = st.integers(0, 2**32 - 1)


@given(
    st.builds(
        RtpPacket,
        payload_type=st.integers(0, 127),
        sequence=st.integers(0, 65535),
        timestamp=uint32,
        ssrc=uint32,
        payload=st.binary(max_size=40),
        marker=st.booleans(),
        csrcs=st.lists(uint32, max_size=15).map(tuple),
        extension=st.one_of(
            st.just(b""), st.integers(0, 3).map(lambda words: bytes([1, 2, 0, words]) + bytes(4 * words))
        ),
    )
)
def test_what_is_packed_is_parsed(packet: RtpPacket):
    assert parse_rtp(packed(packet)) == packet


@given(st.binary(max_size=60))
def test_any_bytes_give_a_packet_or_an_rtp_error(data: bytes):
    try:
        packet = parse_rtp(data)
    except RtpError:
        return
    assert data[12:].find(packet.payload) >= 0


@given(st.lists(st.integers(-0x7FFF, 0x7FFF), max_size=50), st.integers(0, 65535))
def test_unwrapping_follows_every_step(steps: list[int], start: int):
    unwrap = Unwrapper(16)
    value = start
    assert unwrap(start) == start
    for step in steps:
        value += step
        assert unwrap(value & 0xFFFF) == value


def test_a_timestamp_wraps():
    unwrap = Unwrapper(32)
    assert [unwrap(value) for value in (2**32 - 960, 0, 960, 2**32 - 960)] == [
        2**32 - 960,
        2**32,
        2**32 + 960,
        2**32 - 960,
    ]
