"""The eleven client events: their parameters, and which of them must be there.

Source: Realtime API reference, client events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .config import RESPONSE
from .items import CREATE_ITEM, INPUT_ITEM
from .schema import Check, any_mapping, array, base64_audio, integer, nullable, obj, text

__all__ = ["CLIENT_EVENTS"]

_RESPONSE = obj({**RESPONSE, "input": array(INPUT_ITEM, 2000)})
_COUNT = integer(0, 2**53)


def _event(required: Sequence[str] = (), **fields: Check) -> Check:
    return obj({"type": text(), "event_id": nullable(text(512)), **fields}, required)


CLIENT_EVENTS: Final[Mapping[str, Check]] = {
    "session.update": _event(["session"], session=any_mapping),
    "input_audio_buffer.append": _event(["audio"], audio=base64_audio),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event(["item"], item=CREATE_ITEM, previous_item_id=nullable(text())),
    "conversation.item.delete": _event(["item_id"], item_id=text()),
    "conversation.item.retrieve": _event(["item_id"], item_id=text()),
    "conversation.item.truncate": _event(
        ["item_id", "content_index", "audio_end_ms"],
        item_id=text(),
        content_index=_COUNT,
        audio_end_ms=_COUNT,
    ),
    "response.create": _event(response=nullable(_RESPONSE)),
    "response.cancel": _event(response_id=nullable(text())),
    "output_audio_buffer.clear": _event(),
}
"""By `type`: a check that gives the event back, audio as bytes."""
