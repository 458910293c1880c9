"""Reading and writing messages: RFC 3261 section 7, and torture in the manner of RFC 4475."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.server.sip.framing import PING, Framer
from voxwire.server.sip.message import (
    BadRequestError,
    Headers,
    Request,
    Response,
    answer_to,
    canonical,
    parse_message,
)
from voxwire.server.sip.values import (
    NameAddr,
    SipError,
    parse_cseq,
    parse_name_addr,
    parse_uri,
    parse_via,
    split_host_port,
    split_outside_quotes,
)

TORTURE = (
    b"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
    b"TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
    b'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    b"MaX-fOrWaRdS: 0068\r\n"
    b"Call-ID: wsinv.ndaksdj@192.0.2.1\r\n"
    b"Content-Length   : 3\r\n"
    b"cseq: 0009\r\n  INVITE\r\n"
    b"Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n"
    b"s :\r\n"
    b"NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
    b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    b'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  q = 0.33\r\n'
    b"\r\nabcXYZ"
)


def test_a_short_tortuous_invite() -> None:
    """RFC 4475 section 3.1.1.1, as far as it is about what is read here."""
    message = parse_message(TORTURE)
    assert isinstance(message, Request)
    assert message.body == b"abc"
    assert message.to.tag == "1918181833n"
    assert (message.from_.display, message.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert message.cseq == (9, "INVITE")
    vias = [parse_via(value) for value in message.headers.get_all("Via")]
    assert [(via.protocol, via.host, via.branch) for via in vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.contact is not None
    assert message.contact.params == {"newparam": "newvalue", "q": "0.33"}
    assert message.headers.get("NEWfangledheader") == "newfangled value continued newfangled value"
    assert message.headers.get("Subject") == ""


def simple(**more: str) -> Request:
    fields = {
        "Via": "SIP/2.0/UDP h;branch=z9hG4bK1",
        "From": "<sip:a@h>;tag=1",
        "To": "<sip:b@h>",
        "Call-ID": "c",
        "CSeq": "1 OPTIONS",
    } | more
    return Request(method="OPTIONS", uri="sip:b@h", headers=Headers(fields.items()), body=b"\xff body")


def test_there_and_back() -> None:
    again = parse_message(simple(Contact="*").to_bytes())
    assert isinstance(again, Request)
    assert (again.method, again.uri, again.body) == ("OPTIONS", "sip:b@h", b"\xff body")
    assert again.contact is None
    response = answer_to(again, 200, to_tag="t")
    read = parse_message(response.to_bytes())
    assert isinstance(read, Response)
    assert (read.status, read.reason, read.to.tag, read.call_id) == (200, "OK", "t", "c")
    assert answer_to(again, 100, to_tag="t").to.tag is None
    assert Response(status=299).to_bytes().startswith(b"SIP/2.0 299 Unknown\r\n")


def test_record_route_is_given_back() -> None:
    request = simple()
    request.headers.add("Record-Route", "<sip:p1;lr>, <sip:p2;lr>")
    assert answer_to(request, 200).headers.get_all("Record-Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert answer_to(request, 404).headers.get_all("Record-Route") == []


def test_bytes_that_are_no_utf8_survive() -> None:
    request = simple().to_bytes().replace(b"<sip:a@h>", b'"\xff\xfe" <sip:a@h>')
    message = parse_message(request)
    assert b'"\xff\xfe"' in message.to_bytes()  # type: ignore[union-attr]
    assert b"\xff\xfe" in answer_to(message, 200).to_bytes()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"CSeq: 1 OPTIONS", b"CSeq: 36893488147419103232 OPTIONS", None),
        (b"CSeq: 1 OPTIONS", b"CSeq: 2147483648 OPTIONS", None),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 BYE", 400),
        (b"<sip:b@h>", b"<sip:b@h", 400),
        (b"To: <sip:b@h>", b'To: "b" sip:b@h', 400),
        (b";tag=1", b"", 400),
        (b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia", 505),
        (b"Content-Length: 6", b"Content-Length: 7", 400),
        (b"Content-Length: 6", b"Content-Length: -1", 400),
        (b"Via: SIP/2.0/UDP h", b"Via: SIP/2.0/UDP h:99999", None),
        (b"Via: SIP/2.0/UDP h", b"Via: HTTP/2.0/UDP h", None),
        (b"OPTIONS sip", b"OPT IONS sip", 505),
        (b"OPTIONS sip", b"OPT(IONS) sip", None),
        (b"Call-ID: c", b"Call-ID:", None),
    ],
)
def test_malformed(old: bytes, new: bytes, status: int | None) -> None:
    data = simple().to_bytes()
    assert old in data
    with pytest.raises(SipError) as caught:
        parse_message(data.replace(old, new, 1))
    answerable = isinstance(caught.value, BadRequestError)
    assert answerable == (status is not None)
    if status is not None:
        assert caught.value.status == status


def test_limits() -> None:
    request = simple()
    for _ in range(300):
        request.headers.add("X", "y")
    with pytest.raises(SipError, match="headers"):
        parse_message(request.to_bytes())
    hops = ", ".join(["SIP/2.0/UDP h;branch=z9hG4bK1"] * 80)
    with pytest.raises(BadRequestError) as caught:
        parse_message(simple(Via=hops).to_bytes())
    assert caught.value.status == 482


def test_headers() -> None:
    headers = Headers([("v", "1"), ("VIA", "2, 3"), ("cseq", "4"), ("www-authenticate", "a, b")])
    assert headers.get_all("Via") == ["1", "2", "3"]
    assert headers.get_all("WWW-Authenticate") == ["a, b"]
    assert canonical("call-id") == "Call-ID"
    headers.put("Via", "9")
    assert next(iter(headers)) == ("Via", "9")
    headers.put("Server", "x")
    assert list(headers)[-1] == ("Server", "x")
    assert "cSeQ" in headers
    assert len(headers) == 4


def test_values() -> None:
    assert split_outside_quotes('"a, b" <sip:x,y>, c', ",") == ['"a, b" <sip:x,y>', "c"]
    assert split_outside_quotes('"a\\"," , c', ",") == ['"a\\","', "c"]
    assert split_host_port("[2001:db8::1]:5070") == ("2001:db8::1", 5070)
    assert split_host_port("example.com") == ("example.com", None)
    uri = parse_uri("sip:alice:secret@[2001:db8::1]:5070;transport=tcp?subject=x")
    assert (uri.user, uri.host, uri.port, uri.params) == ("alice", "2001:db8::1", 5070, {"transport": "tcp"})
    assert parse_uri("tel:+1").scheme == "tel"
    address = parse_name_addr("sip:a@h;tag=1")
    assert (str(address.uri), address.tag) == ("sip:a@h", "1")
    assert str(NameAddr(parse_uri("sip:a@h"), 'Al "X"')) == '"Al \\"X\\"" <sip:a@h>'
    via = parse_via("SIP/2.0/UDP [2001:db8::1]:5061;rport;branch=z9hG4bK1")
    assert str(via.seen_from("192.0.2.1", 7)).endswith(
        "[2001:db8::1]:5061;rport=7;branch=z9hG4bK1;received=192.0.2.1"
    )
    assert parse_via("SIP/2.0/UDP h:1").seen_from("h", 9).params == {}
    for bad in ("no scheme", "sip:", "sip:a b@h", "1x:y", "sip:h:0", "sip:h:x", "sip:a@h\n"):
        with pytest.raises(SipError):
            parse_uri(bad + "\x00" if bad.endswith("\n") else bad)
    for bad in ("", "INVITE", "1", "x INVITE", "1 IN VITE"):
        with pytest.raises(SipError):
            parse_cseq(bad)


# -- streams --------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 200), max_size=20), st.integers(1, 4))
def test_frames_however_a_stream_is_cut(cuts: list[int], count: int) -> None:
    messages = [simple(Subject="x" * 10 * n).to_bytes() for n in range(count)]
    stream = (b"\r\n" * (count % 2)) + b"".join(messages)
    framer, found = Framer(10_000), []
    for cut in cuts:
        found += framer.feed(stream[:cut])
        stream = stream[cut:]
    found += framer.feed(stream)
    assert found == messages


def test_keepalive() -> None:
    framer = Framer(10_000)
    assert framer.feed(b"\r\n") == []
    assert framer.feed(b"\r\n") == [PING]
    message = simple().to_bytes()
    assert framer.feed(b"\r\n" + message + PING) == [message, PING]


def test_a_message_that_is_dripped_in() -> None:
    """What is there is not searched again with every byte, which would hold up everybody else."""
    body = b"v" * 30_000
    message = Request(
        method="OPTIONS", uri="sip:a@b", headers=Headers([("Subject", "s" * 30_000)]), body=body
    ).to_bytes()
    framer, found = Framer(65_535), []
    began = time.process_time()
    for at in range(len(message)):
        found += framer.feed(message[at : at + 1])
    assert found == [message]
    assert time.process_time() - began < 5  # a tenth of a second; with searching, half a minute
    assert framer.feed(PING + message) == [PING, message]


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 2000,
        simple().to_bytes().replace(b"Content-Length: 6", b"Content-Length: 5000"),
        simple().to_bytes().replace(b"Content-Length: 6", b"Subject: none"),
    ],
)
def test_streams_that_cannot_be_followed(data: bytes) -> None:
    with pytest.raises(SipError):
        Framer(1000).feed(data)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        st.one_of(st.none(), st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(str.strip)),
    )
)
def test_parameters_come_back_as_they_went(params: dict[str, str | None]) -> None:
    address = NameAddr(parse_uri("sip:ann@example.com"), "Ann", params)
    assert parse_name_addr(str(address)) == address


def test_a_via_is_returned_as_one() -> None:
    via = parse_via('SIP/2.0/UDP h;branch=z9hG4bKx;note="a;b, SIP/2.0/UDP evil"')
    assert parse_via(str(via)) == via
    assert split_outside_quotes(str(via), ",") == [str(via)]


def test_white_space_in_cseq() -> None:
    assert parse_cseq(" 1\t INVITE ") == (1, "INVITE")


def test_a_response_with_a_contact_that_is_none() -> None:
    """Nobody asks for that of a refusal: the call was refused all the same."""
    response = answer_to(simple(), 486)
    response.headers.add("Contact", "sip:")
    parsed = parse_message(response.to_bytes())
    assert isinstance(parsed, Response)
    assert parsed.status == 486


# -- noise ----------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_noise(data: bytes) -> None:
    for given_data in (data, TORTURE[:50] + data, TORTURE.replace(b"vivekg", data, 1)):
        with contextlib.suppress(SipError):
            parse_message(given_data)


@given(st.integers(0, len(TORTURE)), st.integers(0, 20), st.binary(max_size=20))
def test_mutations(start: int, length: int, piece: bytes) -> None:
    data = TORTURE[:start] + piece + TORTURE[start + length :]
    try:
        message = parse_message(data)
    except SipError:
        return
    parse_message(message.to_bytes())
