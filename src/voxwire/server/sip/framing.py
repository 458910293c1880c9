"""Messages out of a stream of bytes (RFC 3261 section 18.3): TCP has no borders between them. Sans-I/O."""

from __future__ import annotations

import re

from .values import SipError

__all__ = ["PING", "PONG", "Framer"]

PING = b"\r\n\r\n"
"""Keepalive from the peer (RFC 5626 section 3.5.1)."""
PONG = b"\r\n"
"""Our answer to it."""

_END = re.compile(rb"\r?\n\r?\n")
_BLANK = re.compile(rb"[\r\n]+")
_LENGTH = re.compile(rb"(?:^|\n)(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?(?=\n|$)", re.IGNORECASE)


class Framer:
    """One connection's input.

    Args:
        max_bytes: of one message, headers and body.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._buffer = bytearray()
        self._searched = 0  # the headers end behind this; what is dripped in is not searched over and over
        self._end: int | None = None  # of the message, once its headers are there

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now; `PING` for a keepalive.

        Raises:
            SipError: the stream cannot be followed any more; close the connection.
        """
        self._buffer += data
        messages: list[bytes] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not self._searched and self._end is None:
            if buffer.startswith(PING):
                del buffer[: len(PING)]
                return PING
            if len(buffer) < len(PING) and PING.startswith(bytes(buffer)):
                return None  # it may yet become one
            blank = _BLANK.match(buffer)
            if blank:  # line ends before a message are skipped (section 7.5)
                del buffer[: blank.end()]
        if self._end is None:
            self._end = self._read_head()
        if self._end is None or len(buffer) < self._end:
            return None
        message = bytes(buffer[: self._end])
        del buffer[: self._end]
        self._searched, self._end = 0, None
        return message

    def _read_head(self) -> int | None:
        """Where the message ends; None if its headers are not complete."""
        buffer = self._buffer
        found = _END.search(buffer, self._searched, self._max)
        if not found:
            if len(buffer) >= self._max:
                raise SipError(f"headers of more than {self._max} bytes", 513)
            self._searched = max(len(buffer) - 3, 0)
            return None
        length = _LENGTH.search(bytes(buffer[: found.start()]))
        if not length:
            raise SipError("a message on a stream needs a Content-Length")
        end = found.end() + int(length[1])
        if end > self._max:
            raise SipError(f"a message of {end} bytes; {self._max} is the limit", 513)
        return end
