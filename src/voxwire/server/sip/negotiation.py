"""Offer and answer (RFC 3264) for one audio stream. Sans-I/O.

Codecs are matched by name and clock, never by number: a dynamic payload type means only what its rtpmap says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from .sdp import Codec, Direction, MediaLine, SdpError, SessionDescription, build_sdp, parse_sdp, reverse

__all__ = ["CODECS", "AgreedMedia", "LocalMedia", "Negotiation", "NoCommonCodecError", "codecs_named"]

CODECS: Final = ("opus", "PCMU", "PCMA")
"""Names of what can be spoken, the best one first."""
EVENTS: Final = "telephone-event"
COMFORT: Final = "CN"
PTIME: Final = 20
_PROFILES: Final = ("RTP/AVP", "RTP/AVPF")
_OURS: Final = {
    "opus": Codec(96, "opus", 48000, 2, "useinbandfec=1"),
    "pcmu": Codec(0, "PCMU", 8000),
    "pcma": Codec(8, "PCMA", 8000),
}


class NoCommonCodecError(SdpError):
    """Nothing in the offer can be used: 488 Not Acceptable Here."""


def codecs_named(names: Sequence[str]) -> tuple[Codec, ...]:
    """The codecs of these names, as we offer them.

    Raises:
        KeyError: there is none of that name.
    """
    return tuple(_OURS[name.lower()] for name in names)


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Where our audio is.

    Attributes:
        host, port: of RTP; RTCP is one port further.
        session_id: for the description's origin.
    """

    host: str
    port: int
    session_id: int = 1


@dataclass(frozen=True, slots=True)
class AgreedMedia:
    """What two sides have agreed on.

    Attributes:
        codec: with the number that the peer expects and we accept.
        events: the telephone-event format, or None (RFC 4733).
        comfort: comfort noise may come (RFC 3389).
        remote: where the peer says its audio is to be sent; None if it wants none there.
        remote_rtcp: the same for RTCP.
        direction: ours.
        ptime: ms that the peer likes in a packet: a wish (RFC 8866 section 6.4), which we note and do not follow.
            We send 20 ms, the default, which every receiver should take (RFC 3551 section 4.2).
    """

    codec: Codec
    events: Codec | None
    comfort: bool
    remote: tuple[str, int] | None
    remote_rtcp: tuple[str, int] | None
    direction: Direction
    ptime: int | None = None
    rtcp_mux: bool = False

    @property
    def held(self) -> bool:
        """Whether the peer does not want to hear us: the call is on hold."""
        return self.direction in ("recvonly", "inactive")


class Negotiation:
    """The descriptions of one call, in both roles; a failed one leaves things as they were.

    Args:
        codecs: what we speak, the best first.
    """

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self._local: LocalMedia | None = None
        self._version = 0
        self._last = b""
        self._offered: MediaLine | None = None
        self._lines: tuple[MediaLine, ...] = ()  # of the last description that was agreed on ...
        self._at = 0  # ... and which of them is the audio
        self.wish: Direction = "sendrecv"
        """Our own direction: "sendonly" while we hold the call."""
        self.agreed: AgreedMedia | None = None

    def place(self, local: LocalMedia) -> None:
        """Say where our audio is; before `offer` and `answer`."""
        self._local = local

    def check(self, body: bytes) -> AgreedMedia:
        """What an answer to an offer would agree on.

        Raises:
            SdpError: it cannot be read; `NoCommonCodecError` if nothing in it can be used.
        """
        return self._choose(parse_sdp(body))[1]

    def answer(self, body: bytes) -> bytes:
        """Our answer to an offer.

        Raises:
            SdpError: as `check`.
        """
        offer = parse_sdp(body)
        at, agreed = self._choose(offer)
        accepted = offer.media[at]
        line = MediaLine(
            "audio",
            self._placed.port,
            accepted.protocol,
            tuple(str(codec.payload_type) for codec in _formats(agreed, accepted)),
            codecs=_formats(agreed, accepted),
            direction=agreed.direction,
            ptime=PTIME,
            rtcp_mux=agreed.rtcp_mux,
        )
        media = [line if n == at else _refused(other) for n, other in enumerate(offer.media)]
        self.agreed = agreed
        self._lines, self._at = offer.media, at
        return self._built(media)

    def offer(self) -> bytes:
        """An offer of ours; `take_answer` follows."""
        agreed = self.agreed
        codecs = [*self._codecs]
        if agreed is not None:  # what a number meant once it means for ever (RFC 3264 section 8.3.2)
            codecs = [agreed.codec, *(codec for codec in codecs if codec.key != agreed.codec.key)]
        taken = {codec.payload_type for codec in codecs}
        clocks = dict.fromkeys(codec.rate for codec in codecs)
        for clock in clocks:
            old = agreed.events if agreed is not None else None
            if old is not None and old.rate == clock:
                number = old.payload_type
            else:
                number = next(n for n in range(101, 128) if n not in taken)
            taken.add(number)
            codecs.append(Codec(number, EVENTS, clock, 1, "0-15"))
        formats = tuple(str(codec.payload_type) for codec in codecs)
        self._offered = MediaLine(
            "audio",
            self._placed.port,
            self._lines[self._at].protocol if self._lines else "RTP/AVP",
            formats,
            codecs=tuple(codecs),
            direction=self.wish,
            ptime=PTIME,
        )
        # A line that was there once stays, in its place (RFC 3264 section 8).
        lines = [self._offered if n == self._at else _refused(old) for n, old in enumerate(self._lines)]
        return self._built(lines or [self._offered])

    def take_answer(self, body: bytes) -> None:
        """The peer's answer to our offer.

        Raises:
            SdpError: it cannot be read, or is no answer to it.
        """
        offered, self._offered = self._offered, None
        if offered is None:
            raise SdpError("an answer without an offer")
        answer = parse_sdp(body)
        line = next((media for media in answer.media if media.kind == "audio" and media.port), None)
        if line is None:
            raise NoCommonCodecError("the answer has no audio")
        # The peer may use numbers of its own for what it wants to get; matching is by name here too.
        self.agreed = self._agree(line, [codec.key for codec in offered.codecs])

    @property
    def _placed(self) -> LocalMedia:
        if self._local is None:
            raise RuntimeError("place() comes before offer() and answer()")
        return self._local

    def _built(self, media: list[MediaLine]) -> bytes:
        local = self._placed
        same = build_sdp(media, host=local.host, session_id=local.session_id, version=self._version)
        if same != self._last:
            self._version += 1
            same = build_sdp(media, host=local.host, session_id=local.session_id, version=self._version)
            self._last = same
        return same

    def _choose(self, offer: SessionDescription) -> tuple[int, AgreedMedia]:
        ours = [codec.key for codec in self._codecs]
        audio = [(n, line) for n, line in enumerate(offer.media) if line.kind == "audio" and line.port]
        if not audio:
            raise NoCommonCodecError("the offer has no audio")
        for at, line in audio:
            if line.protocol in _PROFILES and any(codec.key in ours for codec in line.codecs):
                return at, self._agree(line, ours)
        named = (
            ", ".join(dict.fromkeys(codec.name for _, line in audio for codec in line.codecs)) or "none known"
        )
        protocols = ", ".join(dict.fromkeys(line.protocol for _, line in audio))
        raise NoCommonCodecError(
            f"no audio that can be used: {protocols} with {named}; needed is RTP/AVP with one of "
            f"{', '.join(codec.name for codec in self._codecs)}"
        )

    def _agree(self, line: MediaLine, ours: Sequence[tuple[str, int]]) -> AgreedMedia:
        # The peer's order counts (RFC 3264 section 6.1), except that a change of codec in mid-call is avoided.
        usable = [codec for codec in line.codecs if codec.key in ours and codec.name.lower() != EVENTS]
        if not usable:
            raise NoCommonCodecError("the answer names no codec that was offered")
        codec = usable[0]
        if self.agreed is not None:
            codec = next((other for other in usable if other.key == self.agreed.codec.key), codec)
        if not line.host:
            raise SdpError("no address for the audio (c=)")
        # An address of zeros is how RFC 2543 put a call on hold (RFC 3264 section 8.4).
        blackhole = ipaddress.ip_address(line.host).is_unspecified
        theirs: Direction = line.direction
        if blackhole and theirs in ("sendrecv", "sendonly"):
            theirs = "sendonly"
        direction = _combined(reverse(theirs), self.wish)
        events = [other for other in line.codecs if other.name.lower() == EVENTS]
        matching = next(
            (other for other in events if other.rate == codec.rate), events[0] if events else None
        )
        rtcp_port = line.port if line.rtcp_mux else line.rtcp_port or line.port + 1
        usable_rtcp = not blackhole and rtcp_port < 65536
        return AgreedMedia(
            codec,
            matching,
            codec.rate == 8000 and any(other.name == COMFORT for other in line.codecs),
            None if blackhole else (line.host, line.port),
            (line.host, rtcp_port) if usable_rtcp else None,
            direction,
            line.ptime,
            line.rtcp_mux,
        )


def _combined(allowed: Direction, wish: Direction) -> Direction:
    """What the peer allows and we wish."""
    sends = allowed in ("sendrecv", "sendonly") and wish in ("sendrecv", "sendonly")
    receives = allowed in ("sendrecv", "recvonly") and wish in ("sendrecv", "recvonly")
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _formats(agreed: AgreedMedia, offered: MediaLine) -> tuple[Codec, ...]:
    codec = agreed.codec
    if codec.name.lower() == "opus":
        codec = replace(codec, fmtp="useinbandfec=1")
    comfort = [other for other in offered.codecs if other.name == COMFORT and other.rate == codec.rate]
    events = [replace(agreed.events, fmtp="0-15")] if agreed.events is not None else []
    return (codec, *(comfort if agreed.comfort else ()), *events)


def _refused(line: MediaLine) -> MediaLine:
    """Every line of an offer has one in the answer; port 0 refuses it (RFC 3264 section 6)."""
    return MediaLine(line.kind, 0, line.protocol, line.formats)
