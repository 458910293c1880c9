"""The listening half of the engine: input buffer, turns, commits and transcriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...protocol.formats import PCM16, AudioFormat, parse_format
from ..limits import Limits
from .actions import (
    CancelTranscription,
    FeedTranscription,
    FinishTranscription,
    Hear,
    ResetHearing,
    StartTranscription,
)
from .buffer import InputBuffer
from .config import turn_detection
from .conversation import Conversation
from .errors import ClientError
from .items import ItemAudio, ServerItem, public
from .outbox import Outbox
from .turns import Started, Stopped, TurnDetector
from .usage import transcription_usage

__all__ = ["InputSide", "TurnListener"]

STREAMING_MODEL = "gpt-realtime-whisper"
"""The service's transcription model that tells words while it is still listening."""

TRIM_MARGIN_MS = 200.0
"""Audio kept before the padding while nobody speaks, for a detector that is slow to notice."""


@dataclass(frozen=True, slots=True)
class TurnListener:
    """What the other half of the engine does about turns; each is called with the time."""

    started: Callable[[float], None]
    stopped: Callable[[float], None]
    understood: Callable[[str, float], None]


@dataclass(slots=True)
class _Turn:
    """An utterance that is going on."""

    item_id: str
    start_ms: float
    fed_ms: float


@dataclass(slots=True)
class _Hearing:
    """One item that is being recognised.

    Attributes:
        model: the transcription model, if the client asked for events.
        partial: the whole text so far; it may still change.
        sent: what deltas have told; they must add up to the final text.
    """

    content_index: int = 0
    reported: bool = False
    committed: bool = False
    model: str | None = None
    partial: str = ""
    sent: str = ""


class InputSide:
    """Everything that happens to audio until it is an item with a text.

    Args:
        media: audio comes from a media plane, at 24 kHz whatever the session's format is.
    """

    def __init__(
        self,
        out: Outbox,
        conversation: Conversation,
        limits: Limits,
        session: Mapping[str, Any],
        listener: TurnListener,
        *,
        media: bool = False,
    ) -> None:
        self._out = out
        self._conversation = conversation
        self._listener = listener
        self._session = session
        self._media = media
        self.buffer = InputBuffer(self._wanted(session), limits.buffered_audio_ms)
        self._detector: TurnDetector | None = None
        self._turn: _Turn | None = None
        self._hearings: dict[str, _Hearing] = {}
        self.configure(session)

    @property
    def speaking(self) -> bool:
        """Whether the user is in a turn."""
        return self._turn is not None

    @property
    def turn_id(self) -> str | None:
        """The id that the item of this turn will have; None if nobody speaks."""
        return None if self._turn is None else self._turn.item_id

    def awaits(self, item_id: str) -> bool:
        """Whether the text of this item is still to come."""
        hearing = self._hearings.get(item_id)
        return hearing is not None and hearing.committed

    # -- configuration --------------------------------------------------------------------

    def _wanted(self, session: Mapping[str, Any]) -> AudioFormat:
        return PCM16 if self._media else parse_format(session["audio"]["input"]["format"])

    def configure(self, session: Mapping[str, Any]) -> None:
        """The session changed."""
        self._session = session
        wanted = self._wanted(session)
        settings = turn_detection(session)
        if wanted != self.buffer.format or (settings is None) != (self._detector is None):
            self._abandon_turn()
            self.buffer.change_format(wanted)
            self._detector = None if settings is None else TurnDetector(settings, self.buffer.end_ms)
            self._out.do(ResetHearing())
        elif settings is not None and self._detector is not None:
            self._detector.configure(settings)

    # -- the buffer -----------------------------------------------------------------------

    def append(self, pcm: bytes) -> None:
        """`input_audio_buffer.append`."""
        given = self._session["audio"]["input"]["format"]
        if self._media and parse_format(given) != PCM16:
            raise ClientError(
                f"The audio of a call is audio/pcm at 24000 Hz, and the session's input format is {given}. "
                "Set it to audio/pcm with rate 24000 to append audio besides what is spoken.",
                param="audio",
            )
        self._take(pcm, roll=False)

    def hear(self, pcm: bytes) -> None:
        """Audio from the media plane. A full buffer forgets its oldest: a call cannot be refused a frame."""
        self._take(pcm, roll=True)

    def _take(self, pcm: bytes, *, roll: bool) -> None:
        self.buffer.append(pcm, roll=roll)
        if self._detector is not None and pcm:
            self._out.do(Hear(pcm, self.buffer.format))

    def clear(self) -> None:
        """`input_audio_buffer.clear`."""
        self._abandon_turn()
        self.buffer.clear()
        if self._detector is not None:
            self._detector = TurnDetector(turn_detection(self._session) or {}, self.buffer.end_ms)
            self._out.do(ResetHearing())
        self._out.send("input_audio_buffer.cleared")

    def commit(self) -> None:
        """`input_audio_buffer.commit`."""
        self.buffer.check_commit()
        self._conversation.check_room()
        turn, self._turn = self._turn, None
        if self._detector is not None:
            self._detector.end_turn()
        start = self.buffer.start_ms if turn is None else turn.start_ms
        if turn is None:
            turn = _Turn(self._out.new_id("item_"), start, start)
            self._start_hearing(turn.item_id)
        self._commit(turn, self.buffer.end_ms)

    def commit_silence(self, duration_ms: float) -> None:
        """The user said nothing for so long: `input_audio_buffer.timeout_triggered` and an item of it."""
        end = self.buffer.end_ms
        start = max(end - duration_ms, 0.0)
        turn = _Turn(self._out.new_id("item_"), max(start, self.buffer.start_ms), end)
        self._out.send(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=int(start),
            audio_end_ms=int(end),
            item_id=turn.item_id,
        )
        self._start_hearing(turn.item_id)
        turn.fed_ms = turn.start_ms
        self._commit(turn, end)

    # -- turns ----------------------------------------------------------------------------

    def voice(self, probabilities: Sequence[float], frame_ms: float, now: float) -> None:
        """What the detector made of `Hear`."""
        for probability in probabilities:
            if self._detector is None:
                return
            partial = self._hearings[self._turn.item_id].partial if self._turn else ""
            event = self._detector.feed(probability, frame_ms, partial)
            if isinstance(event, Started):
                self._begin_turn(event, now)
            elif isinstance(event, Stopped):
                self._end_turn(event, now)
        if self._detector is None:
            return
        if self._turn is not None:
            self._feed(self._turn, self._detector.position_ms)
        else:
            self.buffer.drop_before(self._detector.position_ms - self._detector.padding_ms - TRIM_MARGIN_MS)

    def _begin_turn(self, event: Started, now: float) -> None:
        start = max(event.start_ms, self.buffer.start_ms)
        turn = self._turn = _Turn(self._out.new_id("item_"), start, start)
        self._out.send("input_audio_buffer.speech_started", audio_start_ms=int(start), item_id=turn.item_id)
        self._listener.started(now)
        self._start_hearing(turn.item_id)

    def _end_turn(self, event: Stopped, now: float) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        end = min(event.end_ms, self.buffer.end_ms)
        self._out.send("input_audio_buffer.speech_stopped", audio_end_ms=int(end), item_id=turn.item_id)
        try:
            self._conversation.check_room()
        except ClientError as exc:
            self._drop_hearing(turn.item_id)
            self.buffer.drop_before(end)
            self._out.error(exc)
            return
        self._commit(turn, end)
        self._listener.stopped(now)

    def _abandon_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._drop_hearing(turn.item_id)

    def _commit(self, turn: _Turn, end_ms: float) -> None:
        self._feed(turn, end_ms)
        pcm = self.buffer.slice(turn.start_ms, end_ms)
        self.buffer.drop_before(end_ms)
        item = ServerItem(
            {
                "id": turn.item_id,
                "object": "realtime.item",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_audio", "transcript": None}],
            }
        )
        item.audio[0] = ItemAudio(self.buffer.format)
        item.audio[0].add(pcm)
        previous = self._conversation.insert(item)
        self._out.send("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id)
        for event in ("conversation.item.added", "conversation.item.done"):
            self._out.send(event, previous_item_id=previous, item=public(item.wire))
        hearing = self._hearings[item.id]
        wanted: dict[str, Any] | None = self._session["audio"]["input"]["transcription"]
        hearing.committed, hearing.reported = True, wanted is not None
        hearing.model = None if wanted is None else wanted.get("model")
        self._out.do(FinishTranscription(item.id))

    # -- transcription --------------------------------------------------------------------

    def recognise(self, item: ServerItem) -> None:
        """Understand the audio of an item that the client created; nothing is reported of it."""
        for index, sound in item.audio.items():
            if item.content[index].get("transcript") is None and item.id not in self._hearings:
                self._start_hearing(item.id, index, sound.format)
                self._hearings[item.id].committed = True
                self._out.do(FeedTranscription(item.id, bytes(sound.data)))
                self._out.do(FinishTranscription(item.id))

    def forget(self, item_id: str) -> None:
        """The item was deleted."""
        self._drop_hearing(item_id)

    def _start_hearing(self, item_id: str, index: int = 0, format: AudioFormat | None = None) -> None:
        self._hearings[item_id] = _Hearing(index)
        self._out.do(StartTranscription(item_id, format or self.buffer.format, self._session))

    def _drop_hearing(self, item_id: str) -> None:
        if self._hearings.pop(item_id, None) is not None:
            self._out.do(CancelTranscription(item_id))

    def _feed(self, turn: _Turn, end_ms: float) -> None:
        pcm = self.buffer.slice(turn.fed_ms, end_ms)
        if pcm:
            turn.fed_ms += self.buffer.format.duration_ms(len(pcm))
            self._out.do(FeedTranscription(turn.item_id, pcm))

    def partial(self, item_id: str, text: str, now: float) -> None:
        """The whole text so far.

        It may be taken back, deltas cannot: only the streaming model's are sent before the end,
        and of them the words that two texts in a row agree on.
        """
        hearing = self._hearings.get(item_id)
        if hearing is None:
            return
        agreed = _common_words(hearing.partial, text)
        hearing.partial = text
        streams = hearing.reported and hearing.model == STREAMING_MODEL
        if streams and agreed.startswith(hearing.sent):
            self._delta(item_id, hearing, agreed[len(hearing.sent) :])
        if self._detector is not None and self._turn is not None and self._turn.item_id == item_id:
            event = self._detector.understood(text)
            if event is not None:
                self._end_turn(event, now)

    def transcribed(self, item_id: str, text: str, seconds: float, now: float) -> None:
        """The text of an item."""
        item = self._conversation.get(item_id)
        if item is None or not self.awaits(item_id):
            return
        hearing = self._hearings.pop(item_id)
        item.understood = text
        if hearing.reported:
            item.content[hearing.content_index]["transcript"] = text
            if text.startswith(hearing.sent):
                self._delta(item_id, hearing, text[len(hearing.sent) :])
            self._out.send(
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=hearing.content_index,
                transcript=text,
                usage=transcription_usage(hearing.model, text, seconds),
            )
        self._listener.understood(item_id, now)

    def transcription_failed(self, item_id: str, message: str, now: float) -> None:
        """The item could not be recognised; responses are made without its text."""
        if not self.awaits(item_id):
            return
        hearing = self._hearings.pop(item_id)
        if hearing.reported:
            self._out.send(
                "conversation.item.input_audio_transcription.failed",
                item_id=item_id,
                content_index=hearing.content_index,
                error={
                    "type": "server_error",
                    "code": "transcription_failed",
                    "message": f"Input transcription failed for item '{item_id}': {message}",
                    "param": None,
                },
            )
        self._listener.understood(item_id, now)

    def _delta(self, item_id: str, hearing: _Hearing, delta: str) -> None:
        if delta:
            hearing.sent += delta
            self._out.send(
                "conversation.item.input_audio_transcription.delta",
                item_id=item_id,
                content_index=hearing.content_index,
                delta=delta,
            )


def _common_words(one: str, other: str) -> str:
    """The whole words that both texts begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    length = next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
    if length < max(len(one), len(other)) and not other[length : length + 1].isspace():
        length = other.rfind(" ", 0, length) + 1
    return other[:length]
