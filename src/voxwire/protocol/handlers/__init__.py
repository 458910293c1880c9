"""What each server event does, one plain function per wire type: `handler(engine, event, out, now)`.

A handler appends actions to `out`. Malformed fields are read as missing, never raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import input_audio, items, output, output_buffer, responses, session
from .fields import Handler

__all__ = ["HANDLERS"]

HANDLERS: Final[Mapping[str, Handler]] = {
    **session.HANDLERS,
    **input_audio.HANDLERS,
    **items.HANDLERS,
    **responses.HANDLERS,
    **output.HANDLERS,
    **output_buffer.HANDLERS,
}
