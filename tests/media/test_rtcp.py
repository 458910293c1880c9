from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.media.rtcp import (
    Goodbye,
    OtherRtcp,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    is_rtcp,
    pack_rtcp,
    parse_rtcp,
)
from voxwire.media.rtp import RtpError, pack_rtp

BLOCK = ReportBlock(0x11223344, 64 / 256, -2, 0x00010005, 77, 0xAABBCCDD, 65536)


def test_a_sender_report_byte_by_byte():
    data = bytes.fromhex(
        "81c8000c 00000001 e95ab1c2 80000000 00000320 00000064 00004e20"
        "11223344 40fffffe 00010005 0000004d aabbccdd 00010000"
    )
    report = SenderReport(1, 0xE95AB1C280000000, 800, 100, 20000, (BLOCK,))
    assert parse_rtcp(data) == [report]
    assert pack_rtcp([report]) == data


def test_a_description_byte_by_byte():
    # Two chunks; the first ends on a word by its own terminator, the second needs three more.
    data = bytes.fromhex("82ca0005 00000001 0101 61 00 00000002 01 03 626364 00 0000")
    assert len(data) == 24
    packet = SourceDescription({1: "a", 2: "bcd"})
    assert parse_rtcp(data) == [packet]
    assert pack_rtcp([packet]) == data


def test_other_items_of_a_description_are_left_out():
    # NAME (2) "x", then CNAME (1) "yz"
    data = bytes.fromhex("81ca0003 00000001 020178 0102797a 00")
    assert parse_rtcp(data) == [SourceDescription({1: "yz"})]


def test_a_goodbye_with_and_without_a_reason():
    assert pack_rtcp([Goodbye((1,))]) == bytes.fromhex("81cb0001 00000001")
    data = bytes.fromhex("81cb0003 00000001 03 627965 00000000")
    assert parse_rtcp(data) == [Goodbye((1,), "bye")]
    assert parse_rtcp(pack_rtcp([Goodbye((1, 2), "so long")])) == [Goodbye((1, 2), "so long")]


def test_feedback_of_other_kinds_is_kept():
    nack = bytes.fromhex("81cd0003 00000001 00000002 00050000")
    assert parse_rtcp(nack) == [OtherRtcp(205, 1, nack[4:])]
    assert pack_rtcp(parse_rtcp(nack)) == nack


def test_padding_is_taken_off():
    assert parse_rtcp(bytes.fromhex("a1cb0002 00000001 00000004")) == [Goodbye((1,))]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("81c8", "2 bytes left over"),
        ("41cb0001 00000001", "version 1"),
        ("81cb0002 00000001", "12 bytes at byte 0 of 8"),
        ("a1cb0001 00000009", "9 bytes of padding"),
        ("a0cb0000", "0 bytes of padding"),
        ("81c80001 00000001", "1 parts do not fit"),
        ("82c90007 00000001" + "00" * 24, "2 parts do not fit"),
        ("82cb0001 00000001", "2 parts do not fit"),
        ("81ca0002 00000001 01096100", "description of 9 bytes"),
        ("81ca0001 00000001", "do not fit"),
    ],
)
def test_malformed_packets(data: str, message: str):
    with pytest.raises(RtpError, match=message):
        parse_rtcp(bytes.fromhex(data))


def test_numbers_and_texts_that_do_not_fit():
    with pytest.raises(RtpError, match="does not fit"):
        pack_rtcp([ReceiverReport(-1)])
    with pytest.raises(RtpError, match="255 is the limit"):
        pack_rtcp([SourceDescription({1: "x" * 256})])
    with pytest.raises(RtpError, match="32 parts"):
        pack_rtcp([ReceiverReport(1, (BLOCK,) * 32)])
    with pytest.raises(RtpError, match="whole words"):
        pack_rtcp([OtherRtcp(206, 1, b"abc")])


def test_counters_of_a_sender_report_wrap():
    report = SenderReport(1, 0, 0, 2**32 + 5, 2**32 + 7)
    assert parse_rtcp(pack_rtcp([report])) == [SenderReport(1, 0, 0, 5, 7)]


def test_rtcp_is_told_from_rtp():
    assert is_rtcp(pack_rtcp([ReceiverReport(1)]))
    for marker in (False, True):
        for payload_type in (0, 8, 13, 101, 111):
            assert not is_rtcp(pack_rtp(payload_type, 1, 2, 3, b"", marker=marker))
    assert not is_rtcp(b"\x80")


uint32 = st.integers(0, 2**32 - 1)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
blocks = st.lists(
    st.builds(
        ReportBlock,
        ssrc=uint32,
        fraction_lost=st.integers(0, 255).map(lambda share: share / 256),
        lost=st.integers(-(2**23), 2**23 - 1),
        highest=uint32,
        jitter=uint32,
        last_sr=uint32,
        delay_since_sr=uint32,
    ),
    max_size=31,
).map(tuple)
packets = st.one_of(
    st.builds(ReceiverReport, ssrc=uint32, blocks=blocks),
    st.builds(
        SenderReport,
        ssrc=uint32,
        ntp=st.integers(0, 2**64 - 1),
        timestamp=uint32,
        packets=uint32,
        octets=uint32,
        blocks=blocks,
    ),
    st.builds(SourceDescription, st.dictionaries(uint32, names, max_size=5)),
    st.builds(Goodbye, st.lists(uint32, max_size=31).map(tuple), names),
)


@given(st.lists(packets, max_size=4))
def test_what_is_packed_is_parsed(compound: list[object]):
    assert parse_rtcp(pack_rtcp(compound)) == compound  # type: ignore[arg-type]


@given(st.binary(max_size=120), st.integers(200, 204))
def test_any_bytes_give_packets_or_an_rtp_error(data: bytes, kind: int):
    if len(data) >= 4:  # else hardly any example gets past the header
        data = bytes((0x80 | data[0] & 0x3F, kind)) + (len(data) // 4 - 1).to_bytes(2, "big") + data[4:]
    try:
        parse_rtcp(data)
    except RtpError:
        return
