"""SIP messages: parsing and building (RFC 3261 sections 7 and 25). Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .values import NameAddr, SipError, Via, parse_cseq, parse_name_addr, parse_via, split_outside_quotes

__all__ = [
    "MAX_HEADERS",
    "REASONS",
    "Headers",
    "Message",
    "Request",
    "Response",
    "answer_to",
    "canonical",
    "check_field",
    "parse_message",
]

MAX_HEADERS: Final = 256
"""Header fields of one message."""
MAX_VIAS: Final = 70
"""Hops of one message (RFC 3261 section 8.1.1.6 begins Max-Forwards at 70)."""

_COMPACT: Final = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires",
}  # fmt: skip
_SPECIAL: Final = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "www-authenticate": "WWW-Authenticate",
    "min-se": "Min-SE",
}
_LISTS: Final = frozenset(
    {"Via", "Route", "Record-Route", "Contact", "Allow", "Supported", "Require", "Unsupported", "Accept"}
)
"""Headers whose values may stand in one line with commas between them (section 7.3.1)."""
_FIELD: Final = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*:(.*)", re.DOTALL)
_METHOD: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,32}")
_NAME: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_FOLD: Final = re.compile(r"\r?\n[ \t]+")
_END: Final = re.compile(rb"\r?\n\r?\n")

REASONS: Final = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 183: "Session Progress", 200: "OK", 202: "Accepted",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    407: "Proxy Authentication Required", 408: "Request Timeout", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    422: "Session Interval Too Small", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    489: "Bad Event", 491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented",
    503: "Service Unavailable", 505: "Version Not Supported", 513: "Message Too Large", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip
"""Words for statuses (RFC 3261 section 21 and the registry)."""


def canonical(name: str) -> str:
    """A header's name as it is written in full: `v` and `VIA` are `Via`."""
    lower = name.lower()
    found = _COMPACT.get(lower) or _SPECIAL.get(lower)
    return found or "-".join(part.capitalize() for part in lower.split("-"))


def check_field(name: str, value: str) -> None:
    """Refuse a header field that would not arrive as one.

    Raises:
        SipError: the name is none, or the value holds a line break or a NUL.
    """
    if not _NAME.fullmatch(name):
        raise SipError(f"{name!r} is no name of a header")
    if any(character in value for character in "\r\n\x00"):
        raise SipError(f"the value of the header {name} holds a line break or a NUL; take it out")


class Headers:
    """Header fields in order; names in any case or compact."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(canonical(name), value) for name, value in fields]

    def get(self, name: str) -> str | None:
        """The first value as it stands."""
        wanted = canonical(name)
        return next((value for key, value in self._fields if key == wanted), None)

    def get_all(self, name: str) -> list[str]:
        """All values; those of headers that are lists are taken apart."""
        wanted = canonical(name)
        values = [value for key, value in self._fields if key == wanted]
        if wanted not in _LISTS:
            return values
        return [piece for value in values for piece in split_outside_quotes(value, ",") if piece]

    def tokens(self, name: str) -> set[str]:
        """The words of a list, in lower case."""
        return {value.lower() for value in self.get_all(name)}

    def add(self, name: str, value: object) -> None:
        """Append a field."""
        self._fields.append((canonical(name), str(value)))

    def put(self, name: str, value: object) -> None:
        """Replace all fields of this name by one, in the place of the first."""
        wanted = canonical(name)
        at = next((n for n, (key, _) in enumerate(self._fields) if key == wanted), len(self._fields))
        kept = [pair for n, pair in enumerate(self._fields) if pair[0] != wanted or n < at]
        kept.insert(at, (wanted, str(value)))
        self._fields = kept

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(slots=True)
class _Base:
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.headers.get("Call-ID") or ""

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method of CSeq."""
        return parse_cseq(self.headers.get("CSeq") or "")

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return parse_via(next(iter(self.headers.get_all("Via")), ""))

    @property
    def from_(self) -> NameAddr:
        """The From address."""
        return parse_name_addr(self.headers.get("From") or "")

    @property
    def to(self) -> NameAddr:
        """The To address."""
        return parse_name_addr(self.headers.get("To") or "")

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact, if there is one."""
        value = next(iter(self.headers.get_all("Contact")), None)
        return parse_name_addr(value) if value not in (None, "*") else None

    @property
    def content_type(self) -> str:
        """Type of the body, without parameters, in lower case."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    def _with_head(self, first: str) -> bytes:
        lines = [first, *(f"{name}: {value}" for name, value in self.headers if name != "Content-Length")]
        head = "\r\n".join((*lines, f"Content-Length: {len(self.body)}", "", ""))
        return head.encode("utf-8", "surrogateescape") + self.body


@dataclass(slots=True, kw_only=True)
class Request(_Base):
    """A request (RFC 3261 section 7.1)."""

    method: str
    uri: str

    def to_bytes(self) -> bytes:
        """As it goes out; Content-Length is that of the body."""
        return self._with_head(f"{self.method} {self.uri} SIP/2.0")


@dataclass(slots=True, kw_only=True)
class Response(_Base):
    """A response (RFC 3261 section 7.2)."""

    status: int
    reason: str = ""

    def to_bytes(self) -> bytes:
        """As it goes out."""
        return self._with_head(f"SIP/2.0 {self.status} {self.reason or REASONS.get(self.status, 'Unknown')}")


Message: TypeAlias = Request | Response


class BadRequestError(SipError):
    """A request that is malformed but can be answered."""

    def __init__(self, error: SipError, request: Request) -> None:
        super().__init__(str(error), error.status)
        self.request = request


def parse_message(data: bytes) -> Message:
    """Read one message.

    Raises:
        BadRequestError: a malformed request that has what an answer needs.
        SipError: anything else that is no message.
    """
    found = _END.search(data)
    if not found:
        raise SipError("a message without the empty line behind its headers")
    lines = _FOLD.sub(" ", data[: found.start()].decode("utf-8", "surrogateescape")).split("\n")
    first = lines[0].rstrip("\r")
    headers = _headers(lines[1:])
    body = data[found.end() :]
    message = _first_line(first, headers)
    try:
        message.body = _body(headers, body)
        _check(message)
    except SipError as error:
        if isinstance(message, Request) and _answerable(message):
            raise BadRequestError(error, message) from None
        raise
    return message


def _first_line(line: str, headers: Headers) -> Message:
    parts = line.split(" ", 2)
    if len(parts) == 3 and parts[0].upper() == "SIP/2.0":
        if not (parts[1].isascii() and parts[1].isdigit() and 100 <= int(parts[1][:4]) <= 699):
            raise SipError(f"{parts[1][:20]!r} is no status")
        return Response(status=int(parts[1]), reason=parts[2], headers=headers)
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]) or not parts[1]:
        raise SipError(f"{line[:60]!r} is neither a request nor a response")
    request = Request(method=parts[0], uri=parts[1], headers=headers)
    if parts[2].strip().upper() != "SIP/2.0":
        error = SipError(f"version {parts[2][:20]!r}", 505)
        raise BadRequestError(error, request) if _answerable(request) else error
    return request


def _headers(lines: list[str]) -> Headers:
    if len(lines) > MAX_HEADERS:
        raise SipError(f"{len(lines)} headers; {MAX_HEADERS} is the limit")
    fields: list[tuple[str, str]] = []
    for line in lines:
        found = _FIELD.fullmatch(line.rstrip("\r"))
        # A line that is no field is skipped: what is needed is checked for below.
        if found and "\r" not in found[2] and "\x00" not in found[2]:
            fields.append((found[1], found[2].strip()))
    return Headers(fields)


def _body(headers: Headers, rest: bytes) -> bytes:
    given = headers.get("Content-Length")
    if given is None:
        return rest
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise SipError(f"Content-Length {given[:20]!r} is no length")
    if int(given) > len(rest):
        raise SipError(f"a body of {len(rest)} bytes where Content-Length says {given}")
    return rest[: int(given)]  # what is beyond it in a datagram is no part of it (section 18.3)


def _check(message: Message) -> None:
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        if not message.headers.get(name):
            raise SipError(f"{name} is missing")
    vias = message.headers.get_all("Via")
    if len(vias) > MAX_VIAS:
        raise SipError(f"{len(vias)} hops", 482)
    for value in vias[:1]:
        parse_via(value)
    if (
        message.from_.tag is None
        and isinstance(message, Request)
        and message.via.branch.startswith("z9hG4bK")
    ):
        raise SipError("From has no tag")
    _ = message.to  # raises if it is none
    if isinstance(message, Request):
        _ = message.contact  # that of a response is looked at where it is needed
    _, method = message.cseq
    if isinstance(message, Request) and method != message.method:
        raise SipError(f"CSeq names {method!r} in a request {message.method!r}")


def _answerable(request: Request) -> bool:
    """Whether there is enough in it for an answer to find its way back."""
    try:
        known = request.via, request.cseq
    except SipError:
        return False
    names = ("From", "To", "Call-ID")
    return bool(known) and all(request.headers.get(name) for name in names)


def answer_to(request: Request, status: int, *, to_tag: str = "", reason: str = "") -> Response:
    """The response to a request (section 8.2.6): Via, From, To, Call-ID and CSeq are the request's.

    Args:
        to_tag: added to To where it has none.
    """
    headers = Headers()
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        values = request.headers.get_all("Via") if name == "Via" else [request.headers.get(name) or ""]
        for value in values:
            headers.add(name, value)
    to = headers.get("To") or ""
    if to_tag and status > 100:
        try:
            address = parse_name_addr(to)
        except SipError:
            address = None  # a malformed one goes back as it came
        if address is not None and address.tag is None:
            headers.put("To", f"{to};tag={to_tag}")
    if status < 200 or status in (200, 202):
        for value in request.headers.get_all("Record-Route"):
            headers.add("Record-Route", value)
    return Response(status=status, reason=reason, headers=headers)
