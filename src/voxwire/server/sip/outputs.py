"""What a user agent wants done, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .leg import Leg
    from .message import Request

__all__ = [
    "ChangeRefused",
    "Ended",
    "Established",
    "Flow",
    "Invited",
    "Keyed",
    "MediaChanged",
    "Output",
    "Progress",
    "Referred",
    "Transferred",
    "Transmit",
]


@dataclass(frozen=True, slots=True)
class Flow:
    """A way to a peer and back.

    Attributes:
        protocol: `UDP` or `TCP`.
        host, port: of the peer, as packets from it show.
        local: our own host as the peer reaches it, for Via and Contact.
        connection: which TCP connection; None for any to this address, which is opened if there is none.
    """

    protocol: str
    host: str
    port: int
    local: str
    connection: int | None = field(default=None, compare=False)

    @property
    def reliable(self) -> bool:
        """Whether nothing has to be sent twice."""
        return self.protocol == "TCP"

    def is_along(self, other: Flow) -> bool:
        """Whether what goes along this one shares its fate with what goes along the other: the same connection."""
        return self == other and self.connection == other.connection


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these bytes."""

    data: bytes
    flow: Flow


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody calls: `accept` or `reject` the leg some time, `ring` it before."""

    leg: Leg
    request: Request


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response to a call of ours: 100, 180 and so on."""

    leg: Leg
    status: int


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides have agreed; `leg.media` is what on."""

    leg: Leg


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """A re-INVITE or UPDATE: hold, its end, another address."""

    leg: Leg


@dataclass(frozen=True, slots=True)
class ChangeRefused:
    """The peer did not agree to a change of ours, such as hold: everything stays as it was.

    Attributes:
        status: what it answered.
    """

    leg: Leg
    status: int


@dataclass(frozen=True, slots=True)
class Keyed:
    """A key was pressed, told by INFO (`application/dtmf-relay`)."""

    leg: Leg
    key: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """How a transfer goes: the status that the peer got from the target (RFC 3515 section 2.4.5).

    Attributes:
        final: nothing more will be told.
    """

    leg: Leg
    status: int
    final: bool


@dataclass(frozen=True, slots=True)
class Referred:
    """The peer asks us to call somebody else (REFER); `leg.referral.report` tells it how that goes.

    Attributes:
        target: a URI of any scheme.
        headers: for the INVITE to it.
    """

    leg: Leg
    target: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over; comes once, and last.

    Attributes:
        status: a SIP status that says why, where there is one: 487 cancelled, 486 busy, 408 unreachable.
    """

    leg: Leg
    reason: str
    status: int | None = None


Output: TypeAlias = (
    Transmit
    | Invited
    | Progress
    | Established
    | MediaChanged
    | ChangeRefused
    | Keyed
    | Transferred
    | Referred
    | Ended
)
