"""The user's side: speech, commits, transcripts, keys, silence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...errors import ProviderError
from ..actions import Action, Emit
from ..interruption import stop_playback
from ..items import InputAudio, MessageItem
from ..transport_events import (
    DtmfReceived,
    ErrorEvent,
    HistoryAdded,
    InputTimeout,
    ItemUpdate,
    UsageUpdate,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTranscript,
    UserTranscriptDelta,
)
from ..usage import transcription_usage_from_wire
from .fields import (
    Handler,
    WireEvent,
    content_index,
    history_added,
    history_updated,
    integer,
    mapping,
    string,
)

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["HANDLERS"]


def speech_started(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`input_audio_buffer.speech_started`: a barge-in, if the agent is talking.

    The service cancels its response itself when `interrupt_response` is on (its default);
    we silence the sink and say what was heard. When it is off, nothing is touched.
    """
    if engine.session_interrupts:
        active = engine.responses.active_id
        news = active is not None and not engine.playback.is_discarded(active)
        stop_playback(engine, out, now, active, cancelled=news)
    out.append(Emit(UserSpeechStarted(string(event, "item_id"), integer(event, "audio_start_ms"))))


def speech_stopped(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`input_audio_buffer.speech_stopped`."""
    out.append(Emit(UserSpeechStopped(string(event, "item_id"), integer(event, "audio_end_ms"))))


def committed(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`input_audio_buffer.committed`: the utterance has its place in the conversation."""
    item_id = string(event, "item_id")
    if not item_id:
        return
    previous = string(event, "previous_item_id") or None
    known = engine.history.get(item_id)
    if isinstance(known, MessageItem):
        item = replace(known, previous_item_id=previous)
    else:
        item = MessageItem(item_id, "user", (InputAudio(),), "in_progress", previous)
    if engine.history.upsert(item, placed=previous is not None):
        out.append(Emit(HistoryAdded(item)))
        out.append(history_updated(engine))


def transcription_delta(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.input_audio_transcription.delta`."""
    item_id, delta, index = string(event, "item_id"), string(event, "delta"), content_index(event)
    if not item_id or not delta:
        return
    if engine.history.add_words(item_id, index, delta, role="user", audio=True):
        history_added(engine, item_id, out)
    out.append(Emit(UserTranscriptDelta(delta, item_id, index)))
    out.append(history_updated(engine))


def transcription_completed(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.input_audio_transcription.completed`; its usage counts, too."""
    usage = transcription_usage_from_wire(event.get("usage"))
    if usage.transcription_tokens or usage.transcription_seconds:
        engine.usage = engine.usage + usage
        out.append(Emit(UsageUpdate(usage)))
    item_id = string(event, "item_id")
    if not item_id or not isinstance(event.get("transcript"), str):
        return
    words, index = string(event, "transcript"), content_index(event)
    added = engine.history.set_words(item_id, index, words, role="user", audio=True)
    engine.history.set_status(item_id, "completed")
    item = engine.history.get(item_id)
    if item is not None:
        if added:
            out.append(Emit(HistoryAdded(item)))
        out.append(Emit(ItemUpdate(item)))
    out.append(history_updated(engine))
    out.append(Emit(UserTranscript(words, item_id, index)))


def transcription_failed(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.input_audio_transcription.failed`: only the text is missing; the talk goes on."""
    body = mapping(event, "error")
    words = string(body, "message") or "no reason given"
    problem = ProviderError(
        f"the user's speech (item {string(event, 'item_id')!r}) was not transcribed: {words}",
        type=string(body, "type") or None,
        code=string(body, "code") or None,
        raw=event,
    )
    out.append(Emit(ErrorEvent(problem, event)))
    if item_id := string(event, "item_id"):
        out.append(Emit(UserTranscript(None, item_id, content_index(event))))


def timeout_triggered(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`input_audio_buffer.timeout_triggered`: nobody spoke for `idle_timeout_ms`."""
    start, end = integer(event, "audio_start_ms"), integer(event, "audio_end_ms")
    out.append(Emit(InputTimeout(string(event, "item_id"), start, end)))


def dtmf(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`input_audio_buffer.dtmf_event_received`: a key on the phone."""
    digit = string(event, "event") or string(event, "digit")
    received_at = event.get("received_at")
    if digit:
        out.append(Emit(DtmfReceived(digit, received_at if isinstance(received_at, int) else None)))


HANDLERS: Final[dict[str, Handler]] = {
    "input_audio_buffer.speech_started": speech_started,
    "input_audio_buffer.speech_stopped": speech_stopped,
    "input_audio_buffer.committed": committed,
    "input_audio_buffer.timeout_triggered": timeout_triggered,
    "input_audio_buffer.dtmf_event_received": dtmf,
    "conversation.item.input_audio_transcription.delta": transcription_delta,
    "conversation.item.input_audio_transcription.completed": transcription_completed,
    "conversation.item.input_audio_transcription.failed": transcription_failed,
}
