"""Session descriptions: what is read from the peer's, and what is changed in ours.

Plain functions on text (SDP is RFC 8866; offer and answer RFC 3264 and RFC 9429; bundling RFC 8843).
The libraries parse SDP themselves, and an untidy one makes them fail in ways that differ; so the peer's
is checked and cut down here first, with limits, and ours is completed afterwards.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from ..errors import ConnectError

__all__ = [
    "DEFAULT_MAX_MESSAGE",
    "MAX_CANDIDATES",
    "MAX_SDP_BYTES",
    "MAX_SECTIONS",
    "Direction",
    "LocalAudio",
    "OpusFormat",
    "RemoteSdp",
    "SdpError",
    "complete_local",
    "read_local",
    "read_remote",
    "reverse",
]

MAX_SDP_BYTES = 64 * 1024
"""A longer description is refused; Chromium's with audio and data channel has 2 to 6 KiB."""
MAX_SECTIONS = 16
"""Media sections (m=) in a description; more are refused."""
MAX_CANDIDATES = 64
"""Candidates per section that are looked at; each costs a connectivity check."""
DEFAULT_MAX_MESSAGE = 65_536
"""Bytes that a data channel's peer takes in one message if it does not say (RFC 8841, 6)."""

Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_CANDIDATE_LINES = ("a=candidate:", "a=end-of-candidates")
_FMTP = "minptime=10;useinbandfec=1"
# Python's splitlines(), which the libraries use, breaks lines at these as well: a way to smuggle lines in.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
_ICE_WORD = re.compile(r"[!-~]{1,256}")
_MEDIA_LINE = re.compile(r"m=([a-z]+) (\d{1,5}) ([A-Za-z/]+) (\S.*)", re.ASCII)


class SdpError(ConnectError):
    """A session description that cannot be used; the message says why."""

    fault = "peer"
    retryable = False


@dataclass(frozen=True, slots=True)
class OpusFormat:
    """How one side wants its Opus (RFC 7587, 6.1).

    Attributes:
        payload_type: in RTP, 0 to 127.
        fec: its decoder makes use of in-band FEC (`useinbandfec`).
        dtx: it prefers that nothing is sent during silence (`usedtx`).
        max_bitrate: the most it takes, bit/s (`maxaveragebitrate`); None if it does not say.
    """

    payload_type: int
    fec: bool = False
    dtx: bool = False
    max_bitrate: int | None = None


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """What our own description promises.

    Attributes:
        ssrc: of the RTP we send, None if it names none.
        cname: the name that goes with it in RTCP (RFC 3550, 6.5.1).
    """

    opus: OpusFormat
    direction: Direction
    ssrc: int | None
    cname: str


@dataclass(frozen=True, slots=True)
class RemoteSdp:
    """The peer's description, checked.

    Attributes:
        text: what a library gets: one audio section, one data channel at most, usable candidates only.
        opus: how the peer wants its audio.
        direction: of the peer's audio, as the peer says it.
        has_channel: whether it has a section for data channels.
        max_message_bytes: the longest message it takes on the data channel; 0 is no limit.
        refused: sections of an offer that are not in `text`, as (position, lines that refuse it).
    """

    text: str
    opus: OpusFormat
    direction: Direction
    has_channel: bool
    max_message_bytes: int
    refused: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(slots=True)
class _Section:
    """One m= section: its kind, and all its lines."""

    kind: str
    port: int
    lines: list[str]

    def values(self, name: str) -> list[str]:
        """The values of all `a=name:value` lines."""
        prefix = f"a={name}:"
        return [line[len(prefix) :].strip() for line in self.lines if line.startswith(prefix)]

    def value(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)

    @property
    def refused(self) -> bool:
        """Port 0 refuses a section (RFC 3264, 6), unless it only says "bundled" (RFC 8843, 6)."""
        return self.port == 0 and "a=bundle-only" not in self.lines


def read_remote(text: str, kind: Literal["offer", "answer"], *, keep_candidates: bool = False) -> RemoteSdp:
    """Check the peer's description and keep of it what is used.

    Args:
        kind: an offer's further sections are refused later (`complete_local`); an answer has none.
        keep_candidates: leave the candidates alone, for a library that handles every kind. Otherwise only
            UDP ones with an address stay: `aioice` waits a whole second for each `.local` name.

    Raises:
        SdpError: if it is malformed, beyond the limits, or has no audio in Opus.
    """
    session, sections = _parse(text, f"the {kind}")
    audio = next((s for s in sections if s.kind == "audio" and not s.refused and _opus(s)), None)
    if audio is None:
        offered = sorted({s.kind for s in sections}) or "no section"
        raise SdpError(f"the {kind} has no audio in Opus (opus/48000/2); it has {offered}")
    channel = next((s for s in sections if s.kind == "application" and not s.refused), None)
    # An answer keeps its sections, those it refuses too: their number and order is that of our offer.
    used = [s for s in sections if s is audio or s is channel]
    kept = used if kind == "offer" else sections
    for section in used:
        _check_transport(session, section, audio, kind)
        if not keep_candidates:
            section.lines = _usable_candidates(section.lines)
    dropped = {s.value("mid") for s in sections if s not in kept}
    session = [_without_mids(line, dropped) for line in session]
    if not keep_candidates:
        _share_candidates(session, used)
    return RemoteSdp(
        text=_join([session, *(s.lines for s in kept)]),
        opus=cast("OpusFormat", _opus(audio)),
        direction=_direction(session, audio),
        has_channel=channel is not None,
        max_message_bytes=_max_message(channel, kind) if channel else 0,
        refused=tuple((n, _refusal(s)) for n, s in enumerate(sections) if s not in kept),
    )


def read_local(text: str) -> LocalAudio:
    """What our own description says about its audio.

    Raises:
        SdpError: if there is no audio in Opus in it.
    """
    session, sections = _parse(text, "our description")
    for section in sections:
        opus = _opus(section) if section.kind == "audio" else None
        if opus is not None:
            break
    else:
        raise SdpError("our description has no audio in Opus")
    sources = [value.partition(" ") for value in section.values("ssrc")]
    names = [rest[len("cname:") :] for _, _, rest in sources if rest.startswith("cname:")]
    ssrc = next((int(first) for first, _, _ in sources if first.isdecimal()), None)
    return LocalAudio(opus, _direction(session, section), ssrc, next(iter(names), "voxwire"))


def complete_local(text: str, refused: tuple[tuple[int, tuple[str, ...]], ...] = ()) -> str:
    """Our description as it goes out: in-band FEC asked for, refused sections back in their places.

    An answer has as many sections as the offer, in its order (RFC 3264, 6). Without `useinbandfec=1` here
    a peer sends no FEC (RFC 7587, 6.1), and a lost packet cannot be restored.
    """
    session, sections = _parse(text, "our description")
    blocks = [_with_fec(s) if s.kind == "audio" else s.lines for s in sections]
    for position, lines in refused:  # ascending, so each finds its place
        blocks.insert(position, list(lines))
    return _join([session, *blocks])


def reverse(direction: Direction) -> Direction:
    """The same direction, seen from the other side."""
    swapped: dict[Direction, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly"}
    return swapped.get(direction, direction)


def _parse(text: str, what: str) -> tuple[list[str], list[_Section]]:
    if len(text) > MAX_SDP_BYTES:
        raise SdpError(f"{what} has {len(text)} characters; at most {MAX_SDP_BYTES} are taken")
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        raise SdpError(f"{what} has the character {bad[0]!r} in it, which SDP does not allow")
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if not lines or not lines[0].startswith("v=0"):
        raise SdpError(f"{what} is no SDP: it starts with {text[:20]!r}, not with 'v=0'")
    session: list[str] = []
    sections: list[_Section] = []
    for line in lines:
        if line.startswith("m="):
            sections.append(_section(line, what))
        elif sections:
            sections[-1].lines.append(line)
        else:
            session.append(line)
    if len(sections) > MAX_SECTIONS:
        raise SdpError(f"{what} has {len(sections)} media sections; at most {MAX_SECTIONS} are taken")
    return session, sections


def _section(line: str, what: str) -> _Section:
    match = _MEDIA_LINE.fullmatch(line.strip())
    if match is None:
        raise SdpError(f"{what} has a media line that cannot be read: {line[:80]!r}")
    return _Section(match[1], int(match[2]), [line])


def _opus(section: _Section) -> OpusFormat | None:
    """The first Opus of the section, in the order of the m= line, which is the order of preference."""
    listed = section.lines[0].split()[3:]
    parts = (value.partition(" ") for value in section.values("rtpmap"))
    formats = {payload_type: name for payload_type, _, name in parts}
    for payload_type in listed:
        if formats.get(payload_type, "").strip().lower() == "opus/48000/2" and payload_type.isdecimal():
            if not 0 <= int(payload_type) <= 127:
                continue
            settings = _fmtp(section, payload_type)
            return OpusFormat(
                int(payload_type),
                fec=settings.get("useinbandfec") == "1",
                dtx=settings.get("usedtx") == "1",
                max_bitrate=_number(settings.get("maxaveragebitrate")),
            )
    return None


def _fmtp(section: _Section, payload_type: str) -> dict[str, str]:
    for value in section.values("fmtp"):
        first, _, rest = value.partition(" ")
        if first == payload_type:
            pairs = (part.partition("=") for part in rest.split(";"))
            return {name.strip().lower(): setting.strip() for name, _, setting in pairs}
    return {}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def _direction(session: list[str], section: _Section) -> Direction:
    for line in (*section.lines, *session):  # the session's holds where the section has none
        name = line[2:].strip()
        if line.startswith("a=") and name in _DIRECTIONS:
            return cast("Direction", name)
    return "sendrecv"


def _max_message(channel: _Section, kind: str) -> int:
    said = channel.value("max-message-size")
    if said is None:
        return DEFAULT_MAX_MESSAGE
    size = _number(said)
    if size is None:
        raise SdpError(f"the {kind} has a max-message-size of {said[:20]!r}, which is no number of bytes")
    return size


def _check_transport(session: list[str], section: _Section, audio: _Section, kind: str) -> None:
    """ICE and DTLS cannot start without these (RFC 8839, 5.4; RFC 8122, 5; RFC 8842, 5).

    A bundled section may leave them to the one it is bundled with (RFC 8843, 7.1.3): they are copied, since
    the libraries want them in each.
    """
    everything = _Section(section.kind, section.port, [*section.lines, *session])
    for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup"):
        value = everything.value(name)
        if value is None and (value := audio.value(name)):
            section.lines.append(f"a={name}:{value}")
        if not value:
            raise SdpError(f"the {kind}'s {section.kind} section has no a={name}")
        if name.startswith("ice-") and _ICE_WORD.fullmatch(value) is None:
            raise SdpError(f"the {kind} has an a={name} that is no ICE string of up to 256 characters")
        if name == "fingerprint" and len(value.split()) != 2:
            raise SdpError(f"the {kind} has a fingerprint that cannot be read: {value[:40]!r}")
        if name == "setup" and value not in ("actpass", "active", "passive"):
            raise SdpError(f"the {kind} has a=setup:{value[:20]}; it has to be actpass, active or passive")
    if section.kind == "audio" and "a=rtcp-mux" not in section.lines:
        raise SdpError(f"the {kind} has RTCP on a port of its own; a=rtcp-mux is needed (RFC 8834, 4.5)")


def _usable_candidates(lines: list[str]) -> list[str]:
    kept: list[str] = []
    count = 0
    for line in lines:
        if line.startswith("a=candidate:"):
            count += 1
            if count > MAX_CANDIDATES or not _usable(line[len("a=candidate:") :].split()):
                continue
        kept.append(line)
    return kept


def _usable(words: list[str]) -> bool:
    """Whether a candidate (RFC 8839, 5.1) is UDP, of RTP's component, with an address and a port."""
    if len(words) < 8 or words[1] != "1" or words[2].lower() != "udp" or words[6] != "typ":
        return False
    try:
        ipaddress.ip_address(words[4])
    except ValueError:
        return False
    numbers = words[3].isdecimal() and words[5].isdecimal() and 0 < int(words[5]) < 65536
    extras = dict(zip(words[8::2], words[9::2], strict=False))
    return numbers and extras.get("rport", "0").isdecimal()


def _share_candidates(session: list[str], used: list[_Section]) -> None:
    """Give all sections of a bundle the candidates of the one whose transport they share (RFC 8843, 7.1).

    The others may have none, or such as are not used; and aiortc goes by the last section.
    """
    groups = (line for line in session if line.startswith("a=group:BUNDLE "))
    bundle = next(groups, "").split()[1:]
    tagged = next((s for mid in bundle for s in used if s.value("mid") == mid), None)
    if tagged is None:
        return
    shared = [line for line in tagged.lines if line.startswith(_CANDIDATE_LINES)]
    for section in used:
        if section is not tagged and section.value("mid") in bundle:
            section.lines = [line for line in section.lines if not line.startswith(_CANDIDATE_LINES)] + shared


def _without_mids(line: str, dropped: set[str | None]) -> str:
    if not line.startswith("a=group:BUNDLE"):
        return line
    return " ".join(word for word in line.split() if word not in dropped)


def _refusal(section: _Section) -> tuple[str, ...]:
    _, _, profile, formats = section.lines[0].split(" ", 3)
    lines = [f"m={section.kind} 0 {profile} {formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
    mid = section.value("mid")
    return (*lines, f"a=mid:{mid}") if mid else tuple(lines)


def _with_fec(section: _Section) -> list[str]:
    opus = _opus(section)
    if opus is None or opus.fec:
        return section.lines
    own = f"a=fmtp:{opus.payload_type} "
    lines = [line for line in section.lines if not line.startswith(own)]
    at = next(n for n, line in enumerate(lines) if line.startswith(f"a=rtpmap:{opus.payload_type} "))
    return [*lines[: at + 1], own + _FMTP, *lines[at + 1 :]]


def _join(blocks: list[list[str]]) -> str:
    return "".join(f"{line}\r\n" for block in blocks for line in block)
