"""An assertion that `python -O` leaves in place."""

from __future__ import annotations

__all__ = ["promise"]


def promise(kept: object, otherwise: str) -> None:
    """Raise `AssertionError(otherwise)` unless `kept` is true."""
    if not kept:
        raise AssertionError(otherwise)
