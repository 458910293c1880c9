"""Which requests cannot be taken, before anything is remembered of them (RFC 3261 section 8.2). Sans-I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .host import SUPPORTED, offers
from .message import Request
from .negotiation import Negotiation, NoCommonCodecError
from .sdp import Codec, SdpError
from .session_timer import MIN_SECONDS
from .values import SipError, parse_uri

__all__ = ["Refused", "unfit", "unsupported"]

Refused: TypeAlias = tuple[int, list[tuple[str, str]]]
"""Status and headers of a refusal."""


def unsupported(request: Request) -> str:
    """Extensions that a request needs and we have not (section 8.2.2.3), with commas; empty if there are none."""
    return ", ".join(sorted(request.headers.tokens("Require") - {SUPPORTED}))


def unfit(invite: Request, codecs: Sequence[Codec]) -> Refused | None:
    """What an INVITE has to be refused with, or None.

    Args:
        codecs: what we speak.
    """
    try:
        if parse_uri(invite.uri).scheme not in ("sip", "sips", "tel"):
            return 416, []
    except SipError:
        return 400, []
    missing = unsupported(invite)
    if missing:
        return 420, [("Unsupported", missing)]
    given = (invite.headers.get("Session-Expires") or "").partition(";")[0].strip()
    short = given.isascii() and given.isdigit() and int(given[:9]) < MIN_SECONDS
    if short and "timer" in invite.headers.tokens("Supported"):
        return 422, [("Min-SE", str(MIN_SECONDS))]
    return _unfit_body(invite, codecs)


def _unfit_body(invite: Request, codecs: Sequence[Codec]) -> Refused | None:
    if invite.body and invite.content_type != "application/sdp":
        return 415, [("Accept", "application/sdp")]
    offer = offers(invite)
    try:
        if offer is not None:
            Negotiation(codecs).check(offer)
    except NoCommonCodecError as error:
        words = str(error).replace("\\", "").replace('"', "")
        printable = "".join(
            character for character in words if character.isascii() and character.isprintable()
        )
        return 488, [("Warning", f'305 voxwire "{printable[:200]}"')]
    except SdpError:
        return 400, []
    return None
