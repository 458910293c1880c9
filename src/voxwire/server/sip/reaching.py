"""How a peer is reached whose TCP connection is closed (RFC 3261 section 18.1.1). Sans-I/O.

A dialog says where requests to the peer go: to its Contact, or to the first proxy on the way. Both are its own words,
so a connection is opened only to the host that the connection before was with. Connections are not kept or shared
as RFC 5923 has it.
"""

from __future__ import annotations

import ipaddress

from .dialog import Dialog
from .outputs import Flow
from .values import SipUri

__all__ = ["UnreachableError", "flow_anew"]


class UnreachableError(ValueError):
    """There is no way to the peer that may be taken."""


def flow_anew(dialog: Dialog, broken: Flow) -> Flow:
    """The way to the peer of a dialog, its connection being closed.

    Raises:
        UnreachableError: the dialog names another host, a host by its name, or a protocol that is not spoken here.
    """
    hop = dialog.next_hop
    if hop is None or hop.scheme != "sip":
        raise UnreachableError(f"{dialog.target} is not reached over TCP or UDP")
    protocol = (hop.params.get("transport") or broken.protocol).upper()
    if protocol not in ("TCP", "UDP"):
        raise UnreachableError(f"{hop} is not reached over TCP or UDP")
    if not _same(hop, broken.host):
        raise UnreachableError(f"{hop} does not name {broken.host}, and nothing is sent to another host")
    return Flow(protocol, broken.host, hop.port or 5060, broken.local)


def _same(hop: SipUri, host: str) -> bool:
    try:
        return ipaddress.ip_address(hop.params.get("maddr") or hop.host) == ipaddress.ip_address(host)
    except ValueError:
        return False
