"""The values of SIP headers: addresses, URIs, Via, CSeq, parameters (RFC 3261 sections 19, 20 and 25)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = [
    "NameAddr",
    "SipError",
    "SipUri",
    "Via",
    "format_params",
    "parse_cseq",
    "parse_name_addr",
    "parse_params",
    "parse_uri",
    "parse_via",
    "quoted",
    "split_host_port",
    "split_outside_quotes",
]

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_HOST = re.compile(r"[A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:.]+\]")
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9]+)\s+(.*)", re.DOTALL | re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SPECIAL = re.compile(r"[\s\"\\;,<>]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


class SipError(ValueError):
    """A message, or part of one, that cannot be read; `status` is what a request with it is answered with."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split at a separator that is neither in quotes nor in angle brackets; pieces are stripped."""
    if '"' not in text and "<" not in text:
        return [piece.strip() for piece in text.split(separator)]
    pieces: list[str] = []
    start = 0
    quoted = bracketed = escaped = False
    for at, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character in "<>":
            bracketed = character == "<"
        elif character == separator and not bracketed:
            pieces.append(text[start:at].strip())
            start = at + 1
    pieces.append(text[start:].strip())
    return pieces


def parse_params(pieces: Iterable[str]) -> dict[str, str | None]:
    """`name=value` pieces; names in lower case, the first of two counts, quotes are taken off."""
    params: dict[str, str | None] = {}
    for piece in pieces:
        if not piece:
            continue
        name, equals, value = piece.partition("=")
        found = _QUOTED.fullmatch(value.strip())
        text = re.sub(r"\\(.)", r"\1", found[1]) if found else value.strip()
        params.setdefault(name.strip().lower(), text if equals else None)
    return params


def format_params(params: Mapping[str, str | None]) -> str:
    """`;name=value` for each, in quotes where it would not be one value otherwise."""
    return "".join(
        f";{name}" if value is None else f";{name}={_value(value)}" for name, value in params.items()
    )


def _value(text: str) -> str:
    return quoted(text) if _SPECIAL.search(text) else text


def quoted(text: str) -> str:
    """A quoted string (section 25.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port` or `[v6]:port`; the host comes without brackets.

    Raises:
        SipError: it is neither.
    """
    found = _HOST.match(text)
    if not found:
        raise SipError(f"{text[:60]!r} is no host")
    host, rest = found[0].strip("[]"), text[found.end() :].strip()
    if not rest:
        return host, None
    digits = rest[1:].strip()
    if rest[0] != ":" or not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536):
        raise SipError(f"{text[:60]!r} has no port that can be used")
    return host, int(digits)


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:` or `sips:` URI (RFC 3261 section 19.1); any other URI has only `scheme` and `text`.

    Attributes:
        text: the whole of it, as it was.
        user: before the `@`, without a password, still escaped.
        host: without brackets.
        params: of the URI itself, such as `transport` and `lr`.
    """

    text: str
    scheme: str = "sip"
    user: str = ""
    host: str = ""
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])

    def __str__(self) -> str:
        return self.text


def parse_uri(text: str) -> SipUri:
    """Read a URI.

    Raises:
        SipError: it cannot be one.
    """
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme) or _UNSAFE.search(text) or " " in text or ">" in text:
        raise SipError(f"{text[:60]!r} is no URI")
    scheme = scheme.lower()
    if scheme not in ("sip", "sips"):
        return SipUri(text, scheme)
    user, _, where = rest.partition("?")[0].rpartition("@")
    address, *params = where.split(";")
    host, port = split_host_port(address)
    return SipUri(text, scheme, user.partition(":")[0], host.lower(), port, parse_params(params))


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A value of From, To, Contact, Route or Refer-To: an address with parameters."""

    uri: SipUri
    display: str = ""
    params: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])

    @property
    def tag(self) -> str | None:
        """The `tag` parameter."""
        return self.params.get("tag") or None

    def with_tag(self, tag: str) -> NameAddr:
        """The same with another tag."""
        return NameAddr(self.uri, self.display, {**self.params, "tag": tag})

    def __str__(self) -> str:
        name = f"{quoted(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"


def parse_name_addr(text: str) -> NameAddr:
    """Read one address.

    Raises:
        SipError: there is none.
    """
    text, display = text.strip(), ""
    found = _QUOTED.match(text)
    if found:
        display = re.sub(r"\\(.)", r"\1", found[1])
        text = text[found.end() :].lstrip()
    before, bracket, rest = text.partition("<")
    if not bracket:
        if found:
            raise SipError("an address with a name needs brackets")
        # Without brackets, parameters belong to the header (RFC 3261 section 20.10).
        uri, *params = text.split(";")
        return NameAddr(parse_uri(uri), "", parse_params(piece.strip() for piece in params))
    uri, end, after = rest.partition(">")
    if not end:
        raise SipError("an address without its closing bracket")
    pieces = split_outside_quotes(after, ";")
    return NameAddr(parse_uri(uri), display or before.strip(), parse_params(pieces))


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (RFC 3261 section 20.42).

    Attributes:
        protocol: `UDP` or `TCP`.
        host, port: where the sender says that it is; `received` and `rport` say where it was seen.
    """

    protocol: str
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])

    @property
    def branch(self) -> str:
        """Names the transaction."""
        return self.params.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """Host and port as one text, for comparing."""
        return f"{self.host.lower()}:{self.port or 5060}"

    def seen_from(self, host: str, port: int) -> Via:
        """With `received` and `rport` filled in (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
        params = dict(self.params)
        if "rport" in params:
            params["rport"] = str(port)
            params["received"] = host
        elif host != self.host:
            params["received"] = host
        return Via(self.protocol, self.host, self.port, params)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"SIP/2.0/{self.protocol} {host}{port}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """Read one Via value.

    Raises:
        SipError: it is none.
    """
    found = _VIA.fullmatch(text.strip())
    if not found:
        raise SipError(f"Via {text[:60]!r} is not SIP/2.0")
    sent_by, *params = split_outside_quotes(found[2], ";")
    host, port = split_host_port(re.sub(r"\s*:\s*", ":", sent_by) if "[" not in sent_by else sent_by)
    return Via(found[1].upper(), host, port, parse_params(params))


def parse_cseq(text: str) -> tuple[int, str]:
    """Number and method of a CSeq header.

    Raises:
        SipError: it has not both, or the number is 2**31 or more (section 8.1.1.5).
    """
    number, _, method = " ".join(text.split()).partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) <= 10) or not _TOKEN.fullmatch(method):
        raise SipError(f"CSeq {text[:60]!r} is not a number and a method")
    if int(number) >= 1 << 31:
        raise SipError(f"CSeq number {number} is too large")
    return int(number), method
