"""Session descriptions (RFC 8866), as far as a telephone call with one audio stream needs them. Sans-I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

__all__ = [
    "Codec",
    "Direction",
    "MediaLine",
    "SdpError",
    "SessionDescription",
    "build_sdp",
    "parse_sdp",
    "reverse",
]

Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("sendrecv", "sendonly", "recvonly", "inactive")
MAX_LINES: Final = 1000
MAX_MEDIA: Final = 32

STATIC: Final[Mapping[int, tuple[str, int, int]]] = {
    0: ("PCMU", 8000, 1),
    8: ("PCMA", 8000, 1),
    13: ("CN", 8000, 1),
}
"""Payload types that need no rtpmap, of those of interest here (RFC 3551 table 4): name, clock, channels."""


class SdpError(ValueError):
    """A description that cannot be read; the call is refused with 400 (or 488)."""


def reverse(direction: Direction) -> Direction:
    """The same direction as the other side sees it."""
    swapped: dict[Direction, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly"}
    return swapped.get(direction, direction)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of a media line.

    Attributes:
        payload_type: its number, which means something within one description only.
        name: as rtpmap has it, compared without case.
        rate: RTP clock, Hz.
        channels: 2 for Opus, always (RFC 7587 section 7).
        fmtp: parameters as they stand.
    """

    payload_type: int
    name: str
    rate: int
    channels: int = 1
    fmtp: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """What two sides compare: name and clock."""
        return self.name.lower(), self.rate

    def param(self, name: str) -> str | None:
        """One parameter of `fmtp`."""
        for piece in self.fmtp.split(";"):
            key, _, value = piece.partition("=")
            if key.strip().lower() == name:
                return value.strip()
        return None


@dataclass(frozen=True, slots=True)
class MediaLine:
    """One `m=` section.

    Attributes:
        host: where it is to be sent; empty if the description names none.
        codecs: formats with a known meaning, in order of preference.
        formats: all of the `m=` line, for refusing it.
        rtcp_port: None if it is that of RTP plus one.
        ptime: ms in a packet that the side likes; None if it did not say.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    host: str = ""
    codecs: tuple[Codec, ...] = ()
    direction: Direction = "sendrecv"
    rtcp_port: int | None = None
    rtcp_mux: bool = False
    ptime: int | None = None


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description."""

    media: tuple[MediaLine, ...] = ()
    origin: str = ""


@dataclass(slots=True)
class _Section:
    """Lines under one `m=` line, or before the first."""

    media: str = ""
    host: str | None = None
    direction: Direction | None = None
    attributes: list[tuple[str, str]] = field(default_factory=list["tuple[str, str]"])


def parse_sdp(body: bytes) -> SessionDescription:
    """Read a description; unknown lines are passed over.

    Raises:
        SdpError: it is none.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise SdpError("the description is not UTF-8") from None
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_LINES or text.count("\nm=") > MAX_MEDIA:
        raise SdpError(f"a description of {len(lines)} lines")
    if lines[0].strip() != "v=0":
        raise SdpError("the description does not begin with v=0")
    top = section = _Section()
    sections: list[_Section] = []
    origin = ""
    for line in lines:
        kind, value = line[:2], line[2:].strip()
        if kind == "m=":
            section = _Section(value)
            sections.append(section)
        elif kind == "o=" and not sections:
            origin = value
        elif kind == "c=":
            section.host = _host(value)
        elif kind == "a=":
            _attribute(section, value)
    return SessionDescription(tuple(_media(part, top) for part in sections), origin)


def _host(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise SdpError(f"c={value[:60]} is no address")
    host = parts[2].partition("/")[0]
    try:
        # Names are not looked up: a call must not wait for that, nor be sent where a name says.
        ipaddress.ip_address(host)
    except ValueError:
        raise SdpError(f"c={value[:60]} is no IP address") from None
    return host


def _attribute(section: _Section, value: str) -> None:
    name, _, text = value.partition(":")
    for direction in DIRECTIONS:
        if value == direction:
            section.direction = direction
            return
    section.attributes.append((name.strip().lower(), text.strip()))


def _media(section: _Section, top: _Section) -> MediaLine:
    kind, *rest = section.media.split()
    if len(rest) < 3:
        raise SdpError(f"m={section.media[:60]} has too few parts")
    port, protocol, *formats = rest
    number = _number(port.partition("/")[0], f"m={section.media[:60]}", 65535)
    attributes = dict(section.attributes[::-1])  # the first of each name
    rtcp = attributes.get("rtcp", "").partition(" ")[0]
    ptime = attributes.get("ptime", "")
    return MediaLine(
        kind,
        number,
        protocol,
        tuple(formats),
        section.host if section.host is not None else top.host or "",
        _codecs(formats, section) if kind == "audio" else (),
        section.direction or top.direction or "sendrecv",
        _number(rtcp, f"a=rtcp:{rtcp[:20]}", 65535) if rtcp else None,
        "rtcp-mux" in attributes,
        int(ptime) if ptime.isascii() and ptime.isdigit() and len(ptime) < 5 else None,
    )


def _codecs(formats: list[str], section: _Section) -> tuple[Codec, ...]:
    maps: dict[str, tuple[str, int, int]] = {}
    params: dict[str, str] = {}
    for name, value in section.attributes:
        payload_type, _, text = value.partition(" ")
        if name == "fmtp":
            params[payload_type] = text.strip()
        elif name == "rtpmap":
            encoding, *numbers = text.strip().split("/")
            if encoding and numbers and all(n.isascii() and n.isdigit() and len(n) < 8 for n in numbers):
                maps[payload_type] = (encoding, int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 1)
    codecs: list[Codec] = []
    for text in formats:
        if not (text.isascii() and text.isdigit() and int(text[:4]) < 128):
            continue
        number = int(text)
        static = STATIC.get(number)
        found = maps.get(text, static)
        if found is not None and found[1] > 0:
            codecs.append(Codec(number, *found, params.get(text, "")))
    return tuple(codecs)


def _number(text: str, where: str, limit: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= limit):
        raise SdpError(f"{where}: {text[:20]!r} is no port")
    return int(text)


def build_sdp(media: list[MediaLine], *, host: str, session_id: int, version: int) -> bytes:
    """The text of a description of ours.

    Args:
        host: our address.
        session_id: the same throughout a call.
        version: one more whenever something has changed (RFC 3264 section 8).
    """
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=voxwire {session_id} {version} IN {family} {host}",
        "s=voxwire",
        f"c=IN {family} {host}",
        "t=0 0",
    ]
    for line in media:
        lines.append(f"m={line.kind} {line.port} {line.protocol} {' '.join(line.formats)}")
        if not line.port:
            continue
        for codec in line.codecs:
            channels = f"/{codec.channels}" if codec.channels > 1 else ""
            lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.rate}{channels}")
            if codec.fmtp:
                lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
        if line.ptime:
            lines.append(f"a=ptime:{line.ptime}")
        if line.rtcp_mux:
            lines.append("a=rtcp-mux")
        lines.append(f"a={line.direction}")
    return ("\r\n".join(lines) + "\r\n").encode()
