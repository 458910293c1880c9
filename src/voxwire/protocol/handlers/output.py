"""The agent's words and sound as they arrive. `audio_delta` is the hot path of the library."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from .. import holding, wire
from ..actions import Action, CancelTimer, Emit, Play
from ..formats import AudioFormat
from ..history import MAX_PARTS
from ..interruption import check_playback
from ..transport_events import AudioDone, AudioEvent, AudioStarted, ErrorEvent, TextDelta, TranscriptDelta
from .fields import Handler, WireEvent, content_index, history_added, history_updated, string

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["HANDLERS"]


def audio_delta(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_audio.delta`: 50 times a second and session, so no detours."""
    if engine.plane is not None:
        return  # it is heard on the media plane
    response_id = event.get("response_id")
    item_id = event.get("item_id")
    if not isinstance(response_id, str):
        response_id = engine.responses.active_id or ""
    if not isinstance(item_id, str):
        return
    playback = engine.playback
    if response_id in playback.discarded:
        engine.note_dropped(event.get("delta"))
        return
    try:
        data = engine.codec.b64decode(event.get("delta", ""))
    except (ValueError, TypeError) as error:
        out.append(Emit(ErrorEvent(wire.not_base64(error), event)))
        return
    if not data:
        return
    index = event.get("content_index", 0)
    if type(index) is not int or not 0 <= index < MAX_PARTS:
        index = 0
    engine.has_spoken = True
    if engine.gate is not None:
        audio = AudioEvent(data, item_id, response_id, index, engine.output_format)
        out += holding.hold(engine, engine.gate, audio, now)
        return
    if playback.received(response_id, item_id, index, len(data) / engine.output_bytes_per_ms, now):
        out.append(CancelTimer("playback"))
        out.append(Emit(AudioStarted(item_id, response_id)))
    out.append(_play(data, item_id, response_id, index, engine.output_format))


def _play(data: bytes, item_id: str, response_id: str, index: int, audio_format: AudioFormat) -> Play:
    """`Play(AudioEvent(...))` in half the time: `__init__` of a frozen class looks each slot up by its name."""
    audio, play = _new(AudioEvent), _new(Play)
    _set_data(audio, data)
    _set_item_id(audio, item_id)
    _set_response_id(audio, response_id)
    _set_content_index(audio, index)
    _set_format(audio, audio_format)
    _set_audio(play, audio)
    return play


_new = object.__new__
_set_data, _set_item_id, _set_response_id, _set_content_index, _set_format = (
    vars(AudioEvent)[field.name].__set__ for field in fields(AudioEvent)
)
(_set_audio,) = (vars(Play)[field.name].__set__ for field in fields(Play))


def audio_done(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_audio.done`: all received; the listener is still listening."""
    item_id, index = string(event, "item_id"), content_index(event)
    engine.has_spoken = True
    done = AudioDone(item_id, string(event, "response_id"), index)
    if engine.gate is not None:
        out += holding.hold(engine, engine.gate, done, now)
        return
    if engine.plane is not None:
        out.append(Emit(done))  # that it was played, the service says later
        return
    engine.playback.part_done(item_id, index)
    out.append(Emit(done))
    out += check_playback(engine, now)


def transcript_delta(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_audio_transcript.delta`."""
    item_id, delta, index = string(event, "item_id"), string(event, "delta"), content_index(event)
    response_id = string(event, "response_id")
    if not item_id or not delta:
        return
    engine.has_spoken = True  # to the service it has, however much of it is on the way
    if engine.gate is not None:
        engine.gate.text(item_id, len(delta))
    if engine.plane is not None:
        engine.plane.note_part(response_id, item_id, index)
    out.append(Emit(TranscriptDelta(delta, item_id, response_id, index)))
    _merge_words(engine, event, out, delta, audio=True)


def text_delta(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_text.delta`."""
    item_id, delta, index = string(event, "item_id"), string(event, "delta"), content_index(event)
    response_id = string(event, "response_id")
    if not item_id or not delta:
        return
    if engine.gate is not None:
        engine.gate.text(item_id, len(delta))
    out.append(Emit(TextDelta(delta, item_id, response_id, index)))
    _merge_words(engine, event, out, delta, audio=False)


def _merge_words(
    engine: RealtimeEngine, event: WireEvent, out: list[Action], words: str, *, audio: bool
) -> None:
    if string(event, "response_id") not in engine.responses.out_of_band:
        item_id, index = string(event, "item_id"), content_index(event)
        if engine.history.add_words(item_id, index, words, role="assistant", audio=audio):
            history_added(engine, item_id, out)
        out.append(history_updated(engine))


def transcript_done(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_audio_transcript.done`: the final wording."""
    _settle_words(engine, event, out, string(event, "transcript"), audio=True)


def text_done(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`response.output_text.done`: the final wording."""
    _settle_words(engine, event, out, string(event, "text"), audio=False)


def _settle_words(
    engine: RealtimeEngine, event: WireEvent, out: list[Action], words: str, *, audio: bool
) -> None:
    item_id = string(event, "item_id")
    if item_id and words and string(event, "response_id") not in engine.responses.out_of_band:
        index = content_index(event)
        if engine.history.set_words(item_id, index, words, role="assistant", audio=audio):
            history_added(engine, item_id, out)
        out.append(history_updated(engine))


HANDLERS: Final[dict[str, Handler]] = {
    "response.output_audio.delta": audio_delta,
    "response.output_audio.done": audio_done,
    "response.output_audio_transcript.delta": transcript_delta,
    "response.output_audio_transcript.done": transcript_done,
    "response.output_text.delta": text_delta,
    "response.output_text.done": text_done,
    # Names before GA, still sent by compatible servers.
    "response.audio.delta": audio_delta,
    "response.audio.done": audio_done,
    "response.audio_transcript.delta": transcript_delta,
    "response.audio_transcript.done": transcript_done,
    "response.text.delta": text_delta,
    "response.text.done": text_done,
}
