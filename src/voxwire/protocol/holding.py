"""Output audio on its way through the gate, for engines that have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GuardrailTimeoutError
from . import commands, interruption
from .actions import Action, CancelTimer, Emit, Play, Send, SetTimer
from .audio_gate import AudioGate, Entry, duration_ms
from .history import HistoryView
from .transport_events import AudioDone, AudioEvent, AudioStarted, ErrorEvent, HistoryUpdated, ItemTruncation

if TYPE_CHECKING:
    from .engine import RealtimeEngine

__all__ = ["TIMER", "drop", "hold", "release", "release_all", "timed_out"]

TIMER = "hold_back"


def hold(engine: RealtimeEngine, gate: AudioGate, entry: Entry, now: float) -> list[Action]:
    """Audio arrived, or news that stays behind it: let it through, or keep it."""
    gate.put(entry, now)
    if gate.held_ms > gate.limits.max_ms:
        return timed_out(engine, now)
    return release(engine, gate, now)


def release(engine: RealtimeEngine, gate: AudioGate, now: float) -> list[Action]:
    """Play what may be played, and look again when the rest has waited too long."""
    out: list[Action] = []
    while (entry := gate.take()) is not None:
        _let_through(engine, entry, out, now)
    return out + _wait(gate)


def release_all(engine: RealtimeEngine, gate: AudioGate, now: float) -> list[Action]:
    """The gate was taken away: play all that waits."""
    out: list[Action] = [CancelTimer(TIMER)]
    while (entry := gate.take_any()) is not None:
        _let_through(engine, entry, out, now)
    return out


def _wait(gate: AudioGate) -> list[Action]:
    deadline = gate.deadline()
    return [CancelTimer(TIMER) if deadline is None else SetTimer(TIMER, deadline)]


def _let_through(engine: RealtimeEngine, entry: Entry, out: list[Action], now: float) -> None:
    match entry:
        case AudioEvent():
            started = engine.playback.received(
                entry.response_id, entry.item_id, entry.content_index, duration_ms(entry), now
            )
            if started:
                out += [CancelTimer("playback"), Emit(AudioStarted(entry.item_id, entry.response_id))]
            out.append(Play(entry))
        case AudioDone():
            engine.playback.part_done(entry.item_id, entry.content_index)
            out.append(Emit(entry))
            out += interruption.check_playback(engine, now)
        case _:
            engine.playback.response_done(entry.response_id)
            out += interruption.check_playback(engine, now)


def timed_out(engine: RealtimeEngine, now: float) -> list[Action]:
    """Audio has waited too long, or too much of it waits."""
    gate = engine.gate
    if gate is None:
        return []
    if not gate.overdue(now):
        return _wait(gate)
    limits = gate.limits
    stop = limits.on_timeout == "stop"
    error = GuardrailTimeoutError(
        f"output audio waited for its guardrails for more than {limits.timeout_ms:g} ms (or {limits.max_ms:g} ms "
        f"of it were waiting) and {'the reply was stopped' if stop else 'was played unchecked'}; "
        "raise hold_back_ms or make the guardrails faster"
    )
    out: list[Action] = [Emit(ErrorEvent(error))] if gate.lateness_is_news() else []
    if stop:
        return interruption.interrupt(engine, now) + out
    while (entry := gate.take_overdue(now)) is not None:
        _let_through(engine, entry, out, now)
    return out + _wait(gate)


def drop(engine: RealtimeEngine, gate: AudioGate, response_id: str, now: float) -> list[Action]:
    """Never play what waits of this response, nor what comes late; what is being played goes on."""
    gate.close(response_id)
    engine.playback.discard(response_id)
    cuts: dict[tuple[str, int], float] = {}
    for audio in gate.drop(response_id):
        key = (audio.item_id, audio.content_index)
        cuts[key] = cuts.get(key, 0.0) + duration_ms(audio)
    out: list[Action] = []
    for (item_id, index), unplayed_ms in cuts.items():
        played_ms = engine.playback.part_received_ms(item_id, index)
        engine.playback.part_done(item_id, index)
        if response_id not in engine.responses.out_of_band:
            where = ItemTruncation(item_id, index, int(played_ms))
            out.append(Send(commands.truncate(where, engine.ids)))
            engine.history.truncate(item_id, index, int(played_ms), played_ms + unplayed_ms)
            out.append(Emit(HistoryUpdated(HistoryView(engine.history))))
    return out + release(engine, gate, now)
