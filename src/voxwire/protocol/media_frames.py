"""Frames of a media plane on their way through an engine, and the end of what they make up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import Action, CancelTimer, Emit, Play
from .formats import PCM16
from .interruption import check_playback
from .media_plane import MediaPlane
from .transport_events import AudioEvent, AudioStarted

if TYPE_CHECKING:
    from .engine import RealtimeEngine

__all__ = ["TIMER", "begin_to_hear", "frame", "over", "timed_out"]

TIMER = "media"


def frame(engine: RealtimeEngine, pcm: bytes, silent: bool, now: float) -> list[Action]:
    """A frame of output audio arrived (PCM16, mono, 24 kHz)."""
    plane = engine.plane
    if plane is None or engine.connection != "connected":
        return []
    ms = PCM16.duration_ms(len(pcm))
    fate = plane.frame(silent, ms, now)
    if fate == "over":
        return over(engine, now)
    response_id, item_id, index = plane.whose()
    if fate == "drop" or (fate == "play" and engine.playback.is_discarded(response_id)):
        engine.dropped_ms += ms
        return []
    if fate == "ignore":
        return []
    engine.has_spoken = True
    out = begin_to_hear(engine, plane, ms, now)
    out.append(Play(AudioEvent(pcm, item_id, response_id, index, PCM16)))
    return out


def begin_to_hear(engine: RealtimeEngine, plane: MediaPlane, ms: float, now: float) -> list[Action]:
    """So much audio of the current reply is handed to the listener; tell if it is the first after silence."""
    response_id, item_id, index = plane.whose()
    if engine.playback.received(response_id, item_id, index, ms, now):
        return [CancelTimer("playback"), Emit(AudioStarted(item_id, response_id))]
    return []


def over(engine: RealtimeEngine, now: float) -> list[Action]:
    """The service plays nothing any more: what is still to be heard is in the sink."""
    playback, plane = engine.playback, engine.plane
    for part in playback.open_parts():
        if plane is not None:
            item = engine.history.get(part.item_id)
            plane.learn_pace(item, part.content_index, part.response_id, part.received_ms)
        playback.part_done(part.item_id, part.content_index)
    return [CancelTimer(TIMER), *check_playback(engine, now)]


def timed_out(engine: RealtimeEngine, now: float) -> list[Action]:
    """The end of a reply was announced and no silence came: the media path has stopped."""
    plane = engine.plane
    return over(engine, now) if plane is not None and plane.tail_is_over(now) else []
