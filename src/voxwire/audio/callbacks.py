"""Calling a user's function where nobody could catch what it raises."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["call_logged"]

_log = logging.getLogger("voxwire.audio")


def call_logged(function: Callable[..., object], *args: object) -> None:
    """Call it; an exception is logged with its traceback and goes no further."""
    try:
        function(*args)
    except Exception:  # noqa: BLE001 - whatever it raises, audio goes on
        _log.exception("an audio callback failed; the call goes on")
