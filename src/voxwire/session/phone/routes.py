"""Which call is for whom: pure functions of what an INVITE says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from ...calls.events import IncomingCall
from ...calls.sip_headers import SipAddress, plain_number
from ...errors import UserError

__all__ = ["AddressPattern", "CallHandler", "HeaderPattern", "Route", "make_route"]

Text: TypeAlias = "str | re.Pattern[str]"
AddressPattern: TypeAlias = "Text | Iterable[Text] | None"
"""A number, a user or an address; a compiled pattern that fits one of them whole; or several of these."""
HeaderPattern: TypeAlias = "str | tuple[str, Text] | Mapping[str, Text] | None"
"""The name of a header that has to be there; name and value; or several of them, which all have to fit."""
CallHandler: TypeAlias = Callable[[IncomingCall], Any]
"""A function or coroutine function that gives an agent, a `RejectCall`, an `IgnoreCall`, or None if it saw to the call."""

_ANY: Final = re.compile(".*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Route:
    """One rule."""

    handler: CallHandler
    to: tuple[Text, ...] = ()
    from_: tuple[Text, ...] = ()
    headers: tuple[tuple[str, Text], ...] = ()
    when: Callable[[IncomingCall], object] | None = None

    def matches(self, call: IncomingCall) -> bool:
        """Whether this call is meant."""
        return (
            _address_fits(self.to, call.to)
            and _address_fits(self.from_, call.from_)
            and all(_header_fits(name, wanted, call) for name, wanted in self.headers)
            and (self.when is None or bool(self.when(call)))
        )


def make_route(
    handler: CallHandler,
    to: AddressPattern,
    from_: AddressPattern,
    header: HeaderPattern,
    when: Callable[[IncomingCall], object] | None,
) -> Route:
    """A route of what a user wrote.

    Raises:
        UserError: if it can mean nothing.
    """
    return Route(handler, _several(to, "to"), _several(from_, "from_"), _headers(header), when)


def _several(value: AddressPattern, what: str) -> tuple[Text, ...]:
    if value is None:
        return ()
    patterns = (value,) if isinstance(value, (str, re.Pattern)) else tuple(value)
    for pattern in cast("tuple[object, ...]", patterns):
        if not isinstance(pattern, (str, re.Pattern)) or pattern == "":
            raise UserError(f"{what} must be a number, an address or a compiled pattern, got {pattern!r}")
    if not patterns:
        raise UserError(f"{what} is an empty list, which no call can fit; leave it out to take every call")
    return patterns


def _headers(value: HeaderPattern) -> tuple[tuple[str, Text], ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return ((value, _ANY),)
    if isinstance(value, Mapping):
        return tuple(value.items())
    pair = cast("tuple[Any, ...]", value)
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise UserError(f"header must be a name, (name, value) or a dict of them, got {value!r}")
    return (value,)


def _address_fits(patterns: tuple[Text, ...], address: SipAddress) -> bool:
    return not patterns or any(_fits(pattern, address) for pattern in patterns)


def _fits(pattern: Text, address: SipAddress) -> bool:
    forms = (address.number, address.user, address.uri)
    if isinstance(pattern, re.Pattern):
        return any(pattern.fullmatch(form) for form in forms if form)
    wanted = pattern.casefold()
    return wanted in {form.casefold() for form in forms} or plain_number(pattern) == address.number


def _header_fits(name: str, wanted: Text, call: IncomingCall) -> bool:
    values = call.sip_headers.get_all(name)
    if isinstance(wanted, re.Pattern):
        return any(wanted.fullmatch(value) for value in values)
    return wanted in values
