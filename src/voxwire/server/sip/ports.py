"""A pair of UDP ports for the audio of a call: RTP on an even one, RTCP on the next (RFC 3550 section 11)."""

from __future__ import annotations

import contextlib
import socket
from random import Random
from typing import Final

__all__ = ["NoPortError", "bind_pair"]

_ANY: Final = (16_384, 32_767)
"""Below the range from which systems give out ports, so that nobody has them by chance."""
_TRIES: Final = 50


class NoPortError(OSError):
    """No pair of ports is free."""


def bind_pair(
    host: str, ports: tuple[int, int] | None, random: Random
) -> tuple[socket.socket, socket.socket, int]:
    """Sockets for RTP and RTCP, and the port of RTP.

    Args:
        host: local address.
        ports: first and last one that may be used; None takes any.

    Raises:
        NoPortError: none of those that were tried is free.
    """
    first, last = ports or _ANY
    first += first % 2
    pairs = (last - first + 1) // 2
    if pairs < 1:
        raise NoPortError(f"ports {ports} have no even one with another behind it")
    # A small range is tried completely, in an order that spreads the calls.
    for index in random.sample(range(pairs), min(pairs, _TRIES if ports is None else pairs)):
        port = first + 2 * index
        with contextlib.suppress(OSError):
            return (*_bind_both(host, port), port)
    raise NoPortError(f"no free pair of UDP ports between {first} and {last} on {host}")


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    rtp = _bind(host, port)
    try:
        return rtp, _bind(host, port + 1)
    except OSError:
        rtp.close()
        raise


def _bind(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
