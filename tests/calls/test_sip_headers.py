"""Addresses as RFC 3261 and RFC 3966 write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.calls import SipAddress, SipHeaders
from voxwire.calls.sip_headers import parse_address


@pytest.mark.parametrize(
    ("text", "user", "host", "name"),
    [
        ("sip:ann@example.com", "ann", "example.com", ""),
        ("sip:ann@example.com;tag=1928301774", "ann", "example.com", ""),
        ("<sip:ann@example.com;transport=tls>;tag=1", "ann", "example.com", ""),
        ('"A. G. Bell" <sip:agb@bell-telephone.com> ;tag=a48s', "agb", "bell-telephone.com", "A. G. Bell"),
        ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "c8oqz84zk7z", "privacy.org", "Anonymous"),
        (r'"say \"hi\" <x>" <sips:a@b.c:5061>', "a", "b.c", 'say "hi" <x>'),
        ("sip:alice:secret@Atlanta.com", "alice", "atlanta.com", ""),
        ("<sip:+1-212-555-1212;isub=1@gw.com;user=phone>", "+1-212-555-1212", "gw.com", ""),
        ("<sip:%61lice@atlanta.com?subject=x>", "alice", "atlanta.com", ""),
        ("sip:gateway.com:5060", "", "gateway.com", ""),
        ("sip:1000@[2001:db8::10]:5070", "1000", "[2001:db8::10]", ""),
        ("tel:+1-201-555-0123;ext=1", "+1-201-555-0123", "", ""),
        ("<tel:7042;phone-context=example.com>", "7042", "", ""),
        ("+14155550100", "+14155550100", "", ""),
        ("", "", "", ""),
    ],
)
def test_addresses(text: str, user: str, host: str, name: str) -> None:
    address = parse_address(text)
    assert (address.user, address.host, address.display_name) == (user, host, name)


def test_a_number_is_compared_without_separators() -> None:
    assert parse_address("<sip:+1.212-555(1212)@gw.com>").number == "+12125551212"
    assert parse_address("sip:ann@example.com").number == "ann"


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(parse_address(text), SipAddress)
    parse_address(f"<{text}>")


def test_headers_are_a_multi_map() -> None:
    headers = SipHeaders([("Via", "a"), ("X-Team", "sales"), ("v", "b"), ("Call-ID", "7")])
    assert headers.get_all("VIA") == ("a", "b")
    assert headers["i"] == "7"
    assert "x-team" in headers
    assert 7 not in headers
    assert headers.get("Subject") is None
    assert headers.get("Subject", "none") == "none"
    assert list(headers) == [("Via", "a"), ("X-Team", "sales"), ("v", "b"), ("Call-ID", "7")]
    assert len(headers) == 4
    assert headers == SipHeaders(list(headers))
    assert hash(headers) == hash(SipHeaders(list(headers)))
    assert headers != SipHeaders()
    assert repr(headers) == "SipHeaders(Via, X-Team, v, Call-ID)"
    with pytest.raises(KeyError, match="Subject"):
        headers["Subject"]
