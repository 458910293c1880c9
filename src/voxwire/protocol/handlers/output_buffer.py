"""What the service says of the audio it plays itself; for engines with a media plane (WebRTC, SIP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import commands
from ..actions import Action, CancelTimer, Send, SetTimer
from ..interruption import stop_playback
from ..media_frames import TIMER, begin_to_hear
from ..media_plane import TAIL
from .fields import Handler, WireEvent, content_index, mapping, string

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["HANDLERS"]


def started(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`output_audio_buffer.started`: this response is heard from now on."""
    plane = engine.plane
    if plane is None:
        return
    response_id = string(event, "response_id") or engine.responses.active_id or ""
    for part in engine.playback.open_parts():
        if part.response_id != response_id:
            engine.playback.part_done(part.item_id, part.content_index)
    out.append(CancelTimer(TIMER))
    if engine.playback.is_discarded(response_id):
        plane.unwanted(response_id, now)
        if response_id in plane.uncleared:
            plane.uncleared.discard(response_id)
            out.append(Send(commands.clear_output(engine.ids)))
        return
    plane.started(response_id, now)
    out += begin_to_hear(engine, plane, 0.0, now)


def stopped(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`output_audio_buffer.stopped`: all of it was sent; the last of it is still on its way."""
    plane = engine.plane
    if plane is not None and plane.stopped(string(event, "response_id"), now):
        out.append(SetTimer(TIMER, now + TAIL))


def cleared(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`output_audio_buffer.cleared`: playing was cut off, at our request or because the user speaks."""
    plane = engine.plane
    response_id = string(event, "response_id")
    if plane is None or not plane.concerns(response_id):
        return
    stop_playback(engine, out, now, None, cancelled=False)
    plane.cleared(response_id, now)


def content_part_added(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.content_part.added`: which item the audio of a response will belong to."""
    if engine.plane is not None and string(mapping(event, "part"), "type") in ("audio", "output_audio"):
        engine.plane.note_part(string(event, "response_id"), string(event, "item_id"), content_index(event))


HANDLERS: Final[dict[str, Handler]] = {
    "output_audio_buffer.started": started,
    "output_audio_buffer.stopped": stopped,
    "output_audio_buffer.cleared": cleared,
    "response.content_part.added": content_part_added,
}
