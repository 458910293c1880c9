"""Who calls whom: the headers of a SIP INVITE, and the addresses in them. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

__all__ = ["SipAddress", "SipHeaders", "parse_address", "plain_number"]

_NAME_ADDR: Final = re.compile(r'^\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^<>]*)>')
_ESCAPED: Final = re.compile(r"\\(.)")
_SEPARATORS: Final = re.compile(r"[-.()\s]")
# The compact forms of RFC 3261 section 7.3.3, and of RFC 3515 for Refer-To.
_COMPACT: Final = {
    "c": "content-type", "e": "content-encoding", "f": "from", "i": "call-id", "k": "supported",
    "l": "content-length", "m": "contact", "r": "refer-to", "s": "subject", "t": "to", "v": "via",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SipAddress:
    """An address of a From or To header (RFC 3261 sections 20.20 and 20.39).

    The caller says what stands here; it proves nothing about who calls.

    Attributes:
        uri: `sip:`, `sips:` or `tel:` with all its parameters; empty if there was none.
        user: what stands before the `@`, or the number of a `tel:` address.
        host: what stands after it; empty for `tel:`.
        display_name: the name beside the address, possibly empty.
    """

    uri: str
    user: str = ""
    host: str = ""
    display_name: str = ""

    @property
    def number(self) -> str:
        """The user part as a telephone number: without separators (RFC 3966 section 5.1.1) and parameters."""
        return plain_number(self.user)

    def __str__(self) -> str:
        return self.uri


def parse_address(value: str) -> SipAddress:
    """Read `"Ann" <sip:ann@example.com>;tag=1` or `sip:ann@example.com;tag=1`; never raises."""
    found = _NAME_ADDR.match(value)
    if found:
        quoted, token, uri = found.groups()
        name = _ESCAPED.sub(r"\1", quoted) if quoted is not None else token.strip()
    else:
        # Without brackets, what follows the first ";" belongs to the header (RFC 3261 section 20.10).
        name, uri = "", value.split(";", 1)[0].strip()
    uri = uri.strip()
    scheme, colon, rest = uri.partition(":")
    if not colon:
        return SipAddress(uri, user=uri, display_name=name)
    rest = rest.split("?", 1)[0]
    if scheme.lower() == "tel":
        return SipAddress(uri, user=rest.split(";", 1)[0], display_name=name)
    user, at, host = rest.rpartition("@")
    if not at:
        user, host = "", rest
    user = unquote(user.split(":", 1)[0].split(";", 1)[0])  # no password, no telephone-subscriber parameters
    return SipAddress(uri, user=user, host=_host(host), display_name=name)


def _host(text: str) -> str:
    text = text.split(";", 1)[0]
    if text.startswith("["):  # an IPv6 reference
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].lower()


def plain_number(text: str) -> str:
    """A number as it is compared: `+1 (555) 123-0000` is `+15551230000`."""
    return _SEPARATORS.sub("", text)


class SipHeaders:
    """Headers of an INVITE: names in any case or compact, several values under one name, in order.

    Not trusted: the caller's side wrote them. `headers["X-Team"]` is the first value, and raises KeyError where
    there is none; `get_all` gives them all; iteration gives `(name, value)` pairs as they came.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of this name."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> tuple[str, ...]:
        """All values of this name, in order; empty if there is none."""
        wanted = _canonical(name)
        return tuple(value for key, value in self._pairs if _canonical(key) == wanted)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SipHeaders) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        # Names only: the values tell who calls.
        return f"SipHeaders({', '.join(name for name, _ in self._pairs)})"


def _canonical(name: str) -> str:
    lower = name.strip().lower()
    return _COMPACT.get(lower, lower)
