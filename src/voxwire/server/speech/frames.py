"""Frames on the pipe between voxwire and its helper processes.

A frame is a 9 byte header (length of the payload, one letter for its kind, the number of the
utterance it belongs to; network byte order) and the payload.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

__all__ = ["HEADER", "MAX_PAYLOAD", "pack_frame", "read_frame", "unpack_header", "write_frame"]

HEADER = struct.Struct("!IcI")
MAX_PAYLOAD = 16 << 20
"""Bytes; a longer frame means that the two ends have lost each other."""


def pack_frame(kind: bytes, number: int, payload: bytes = b"") -> bytes:
    """One frame as bytes.

    Raises:
        ValueError: the payload is longer than `MAX_PAYLOAD`.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"A frame holds at most {MAX_PAYLOAD} bytes, not {len(payload)}.")
    return HEADER.pack(len(payload), kind, number) + payload


def unpack_header(header: bytes) -> tuple[int, bytes, int]:
    """Length, kind and utterance number.

    Raises:
        ValueError: the length is beyond `MAX_PAYLOAD`.
    """
    length, kind, number = HEADER.unpack(header)
    if length > MAX_PAYLOAD:
        raise ValueError(f"A frame holds at most {MAX_PAYLOAD} bytes, this one claims {length}.")
    return length, kind, number


def read_frame(stream: BinaryIO) -> tuple[bytes, int, bytes] | None:
    """The next frame (kind, number, payload) of a blocking stream; None at its end."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length, kind, number = unpack_header(header)
    payload = stream.read(length)
    return (kind, number, payload) if len(payload) == length else None


def write_frame(stream: BinaryIO, kind: bytes, number: int, payload: bytes = b"") -> None:
    """Write a frame and flush it."""
    stream.write(pack_frame(kind, number, payload))
    stream.flush()
