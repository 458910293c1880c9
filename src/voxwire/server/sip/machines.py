"""The state machines of SIP as tables: RFC 3261 section 17 with the corrections of RFC 6026, and a call."""

from __future__ import annotations

from ...protocol.table import Table

__all__ = ["CALL", "INVITE_CLIENT", "INVITE_SERVER", "PLAIN_CLIENT", "PLAIN_SERVER", "TABLES"]

INVITE_CLIENT = Table(
    "SIP INVITE client transaction",
    "calling",
    {
        ("calling", "1xx"): "proceeding",
        ("calling", "2xx"): "accepted",
        ("calling", "300-699"): "completed",
        ("calling", "timeout"): "terminated",
        ("proceeding", "1xx"): "proceeding",
        ("proceeding", "2xx"): "accepted",
        ("proceeding", "300-699"): "completed",
        ("proceeding", "timeout"): "terminated",
        ("completed", "300-699"): "completed",
        ("completed", "timer D"): "terminated",
        ("accepted", "2xx"): "accepted",
        ("accepted", "timer M"): "terminated",
    },
)
"""An INVITE of ours (RFC 3261 figure 5, RFC 6026 section 8.4)."""

PLAIN_CLIENT = Table(
    "SIP client transaction",
    "trying",
    {
        ("trying", "1xx"): "proceeding",
        ("trying", "200-699"): "completed",
        ("trying", "timeout"): "terminated",
        ("proceeding", "1xx"): "proceeding",
        ("proceeding", "200-699"): "completed",
        ("proceeding", "timeout"): "terminated",
        ("completed", "timer K"): "terminated",
    },
)
"""Any other request of ours (RFC 3261 figure 6)."""

INVITE_SERVER = Table(
    "SIP INVITE server transaction",
    "proceeding",
    {
        ("proceeding", "1xx"): "proceeding",
        ("proceeding", "2xx"): "accepted",
        ("proceeding", "300-699"): "completed",
        ("accepted", "2xx"): "accepted",
        ("accepted", "timer L"): "terminated",
        ("completed", "ACK"): "confirmed",
        ("completed", "timer H"): "terminated",
        ("confirmed", "timer I"): "terminated",
    },
)
"""An INVITE of the peer (RFC 3261 figure 7, RFC 6026 section 7.1)."""

PLAIN_SERVER = Table(
    "SIP server transaction",
    "trying",
    {
        ("trying", "1xx"): "proceeding",
        ("trying", "200-699"): "completed",
        ("proceeding", "1xx"): "proceeding",
        ("proceeding", "200-699"): "completed",
        ("completed", "timer J"): "terminated",
    },
)
"""Any other request of the peer (RFC 3261 figure 8)."""

CALL = Table(
    "SIP call",
    "new",
    {
        # They call us.
        ("new", "invited"): "ringing",
        ("ringing", "accept"): "answered",
        ("ringing", "reject"): "ended",
        ("ringing", "cancelled"): "ended",
        ("answered", "ACK"): "established",
        # A BYE of ours has to wait for the ACK (RFC 3261 section 15).
        ("answered", "hang up"): "giving up",
        ("answered", "no ACK"): "leaving",
        ("answered", "BYE"): "ended",
        ("giving up", "ACK"): "leaving",
        ("giving up", "no ACK"): "leaving",
        ("giving up", "BYE"): "ended",
        # We call them.
        ("new", "invite"): "calling",
        ("calling", "answer"): "established",
        ("calling", "refused"): "ended",
        ("calling", "hang up"): "cancelling",
        ("cancelling", "answer"): "leaving",
        ("cancelling", "refused"): "ended",
        # The call, and its end.
        ("established", "hang up"): "leaving",
        ("established", "BYE"): "ended",
        ("established", "gone"): "ended",
        ("leaving", "BYE"): "ended",
        ("leaving", "gone"): "ended",
    },
)
"""One call, whoever began it."""

TABLES = (INVITE_CLIENT, PLAIN_CLIENT, INVITE_SERVER, PLAIN_SERVER, CALL)
