"""Stopping a reply: silence first, then the cut, then the news; and noticing its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import commands
from .actions import Action, CancelTimer, Emit, Send, SetTimer, StopPlayback
from .audio_gate import flush
from .history import HistoryView
from .playback import Cut, Interruption
from .transport_events import AudioInterrupted, AudioStopped, HistoryUpdated

if TYPE_CHECKING:
    from .engine import RealtimeEngine

__all__ = ["cancel", "check_playback", "interrupt", "interrupt_response", "stop_playback"]

MIN_WAIT = 0.02
"""Seconds between two looks at a sink that has almost finished."""


def interrupt(engine: RealtimeEngine, now: float) -> list[Action]:
    """The user wants the current reply to stop, in whatever state it is."""
    out: list[Action] = []
    active = engine.responses.active_id
    response_id = engine.responses.interrupt()
    if response_id is not None:
        out.append(cancel(engine, response_id))
    if engine.plane is not None:
        out.append(Send(commands.clear_output(engine.ids)))
    unfinished = stop_playback(engine, out, now, active, cancelled=response_id is not None)
    # Those outside the conversation are not the current response, but are heard all the same.
    out += [cancel(engine, other) for other in unfinished if other in engine.responses.out_of_band]
    return out


def interrupt_response(
    engine: RealtimeEngine, response_id: str, now: float, *, generation: bool, playback: bool
) -> list[Action]:
    """Stop this response, and no other: what is still to be generated of it, what is still to be heard, or both.

    While audio of another response waits in the sink as well, what is there of this one goes on: a sink
    can only be emptied. Whatever of it comes later is dropped all the same.
    """
    out: list[Action] = []
    active = response_id == engine.responses.active_id
    if generation and (active or response_id in engine.responses.out_of_band):
        engine.responses.cancelled(response_id)
        out.append(cancel(engine, response_id))
    if not playback:
        return out
    waiting = engine.playback.waiting(now)
    if waiting and waiting <= {response_id}:
        if engine.plane is not None:
            out.append(Send(commands.clear_output(engine.ids)))
        stop_playback(engine, out, now, response_id if active else None, cancelled=False)
    elif active and engine.plane is not None:
        engine.plane.uncleared.add(response_id)
    if active or response_id in waiting:
        engine.playback.discard(response_id)
    return out


def cancel(engine: RealtimeEngine, response_id: str) -> Send:
    """Cancel a response; that it may have ended meanwhile is no error."""
    event = commands.cancel_response(response_id, engine.ids)
    engine.cancels.add(event["event_id"])
    return Send(event)


def stop_playback(
    engine: RealtimeEngine, out: list[Action], now: float, active: str | None, *, cancelled: bool
) -> tuple[str, ...]:
    """Silence the sink, tell the service what was heard, then tell the listeners.

    Args:
        active: the response being generated; its audio is not played any more.
        cancelled: whether there is something to tell of even if nothing is heard.

    Returns:
        The responses that were being heard and had more to say.
    """
    playback = engine.playback
    if playback.finish(now):
        out += [CancelTimer("playback"), Emit(AudioStopped())]
    was_playing = playback.playing
    held = engine.gate is not None and flush(engine.gate, playback, now)
    result = playback.interrupt(now, (active,) if active else ())
    if engine.plane is not None:
        engine.plane.interrupted(now)
    if held:
        out.append(CancelTimer("hold_back"))
    if not was_playing and not cancelled and not held:
        return ()
    if was_playing:
        # Silence first: it is what the user is waiting for.
        out.insert(0, StopPlayback(result.heard_ms))
        out.append(CancelTimer("playback"))
    cuts = _cut(engine, result, out)
    out.append(Emit(AudioInterrupted(tuple(cut.truncation for cut in cuts))))
    if was_playing:
        out.append(Emit(AudioStopped(interrupted=True)))
    if cuts:
        out.append(Emit(HistoryUpdated(HistoryView(engine.history))))
    return result.unfinished


def _cut(engine: RealtimeEngine, result: Interruption, out: list[Action]) -> list[Cut]:
    """Take the words that were not heard out of the history, and tell the service if it cannot know."""
    # The conversation knows nothing of what was said outside of it.
    cuts = [cut for cut in result.cuts if cut.response_id not in engine.responses.out_of_band]
    if engine.plane is not None:
        cuts = [cut for cut in cuts if cut.truncation.item_id and cut.received_ms > 0]
    for cut in cuts:
        where = cut.truncation
        if engine.plane is None:  # else the service has played it, and truncates by itself
            out.append(Send(commands.truncate(where, engine.ids)))
        length_ms = _length_ms(engine, cut)
        engine.history.truncate(where.item_id, where.content_index, where.audio_end_ms, length_ms)
    return cuts


def _length_ms(engine: RealtimeEngine, cut: Cut) -> float:
    """How long the part was going to be, as far as its words are known."""
    where = cut.truncation
    if engine.plane is None:
        return cut.received_ms  # words and audio are sent together, ahead of what is heard
    item = engine.history.get(where.item_id)
    return engine.plane.length_ms(item, where.content_index, cut.response_id, cut.received_ms)


def check_playback(engine: RealtimeEngine, now: float) -> list[Action]:
    """Look whether the listener has heard everything; if not, look again later."""
    if engine.playback.finish(now):
        return [CancelTimer("playback"), Emit(AudioStopped())]
    if engine.playback.playing and engine.playback.all_received():
        wait = max(engine.playback.remaining_ms(now) / 1000, MIN_WAIT)
        return [SetTimer("playback", now + wait)]
    return []
