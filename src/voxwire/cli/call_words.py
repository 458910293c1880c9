"""What `voxwire call` says of the line: codecs, refusals, the call in numbers. Plain functions from facts to words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import ConnectError, ConnectTimeout
from ..server.sip.host import refusal
from ..server.sip.negotiation import AgreedMedia
from ..server.sip.phone_call import CallRefused

__all__ = ["agreed_text", "explain", "ringing_text"]

_WORDS: Final[Mapping[int, str]] = {
    400: "was not understood",
    401: "wants a password, or another one: give --user and --password",
    403: "does not let you call: is --user right?",
    404: "is not known there",
    407: "wants a password, or another one: give --user and --password",
    408: "did not answer",
    480: "does not answer now",
    486: "is busy",
    488: "has no codec in common with us: try another --codec",
    503: "takes no calls now; try again in a few seconds",
    600: "is busy",
    603: "declined the call",
    604: "does not exist",
    606: "has no codec in common with us: try another --codec",
}
"""What a refusal means to the caller (RFC 3261 section 21)."""


def agreed_text(agreed: AgreedMedia | None) -> str:
    """What is spoken on the line, and whether keys can be sent."""
    if agreed is None:
        return "without audio"
    codec = agreed.codec
    keys = "" if agreed.events is not None else "; keys are not taken"
    where = f", audio to {agreed.remote[0]}:{agreed.remote[1]}" if agreed.remote is not None else ""
    return f"{codec.name}, {codec.rate} Hz{where}{keys}"


def ringing_text(status: int) -> str:
    """A provisional answer."""
    return {180: "ringing", 181: "being forwarded", 182: "waiting in a queue"}.get(status, refusal(status))


def explain(error: ConnectError, uri: str, *, heard: bool) -> str:
    """Why there is no call, and what to do.

    Args:
        heard: whether anything at all came back.
    """
    silent = isinstance(error, ConnectTimeout) or (isinstance(error, CallRefused) and error.status == 408)
    if silent and not heard:
        return (
            f"nothing came back from {uri}: is a phone line there, and is it reached by --transport udp or tcp? "
            f"({error})"
        )
    if isinstance(error, ConnectTimeout):
        return f"{uri} did not answer: {error} (--timeout)"
    if isinstance(error, CallRefused):
        return f"{uri} {_WORDS.get(error.status, 'did not take the call')} ({refusal(error.status)})"
    return str(error)
