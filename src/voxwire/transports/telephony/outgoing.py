"""Our audio on its way to a phone: cut into frames, paced, marked, and known to be heard.

No I/O and no clock in here: `next` says what to send, `wake_at` when to ask again. Positions are ms of the
audio that was written, as one stream without what `clear` dropped, which is how an `AudioSink` counts.

Audio leaves at most `lead_ms` ahead of its being heard. A provider would take more, but what was not sent
needs no clearing, and its buffer (Vonage's holds 3072 messages) cannot overflow. Every frame is followed by a mark, and
what the marks confirm is what was heard. Marks that come back because of a `clear` carry an older generation's name and
confirm nothing. A mark that is `patience_ms` overdue will not come: from then on real-time playback is assumed, until
one comes back again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from ...audio.resample import Converter, convert
from ...errors import ConfigError, UserError
from ...protocol.formats import PCMU, AudioFormat
from ...protocol.playout import PlayoutModel

__all__ = ["Clear", "Mark", "Media", "Outgoing", "OutgoingAudio", "Return"]

CHUNK_MS: Final = 100
"""Audio converted at a time, ms: what is cleared later was not converted in vain."""
TAIL_MS: Final = 20
"""With less than this left to be heard, ms, a piece shorter than a frame waits for more no longer."""
MAX_MARKS: Final = 256
"""Marks of the caller's own that may wait."""
PREFIX: Final = "voxwire"
EARLY_MS: Final = 0.01
"""Timers may fire a little early, and sums of frames are not exact, ms."""

Return: TypeAlias = Literal["heard", "stale", "played", "cleared"]
"""What a mark that came back means: a frame of ours was heard, or was cleared; so for somebody else's mark."""


@dataclass(frozen=True, slots=True)
class Media:
    """Send this frame, and behind it the mark."""

    audio: bytes
    mark: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Send this mark, which somebody asked for."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop what waits at the provider."""


Outgoing: TypeAlias = Media | Mark | Clear


@dataclass(frozen=True, slots=True)
class _Sent:
    """A frame that was not confirmed yet: its mark, where it ends (ms), when it was sent and should be over (s)."""

    mark: str
    end_ms: float
    sent_at: float
    due: float


class OutgoingAudio:
    """From audio as the model sends it to what is put on a media stream.

    Args:
        lead_ms: how far ahead of the listener audio is sent, ms.
        patience_ms: how late a mark may be, ms.
        max_ms: audio that may wait, ms; more is dropped and counted. The transport stops reading from the model at half
            of it, so this is for a peer that ignores it.

    Raises:
        ConfigError: if a length cannot be used.
    """

    def __init__(self, *, lead_ms: float = 1000, patience_ms: float = 5000, max_ms: float = 240_000) -> None:
        if not 40 <= lead_ms <= 60_000:
            raise ConfigError(f"lead_ms is {lead_ms!r}; it must be between 40 and 60000 ms")
        self.lead_ms = lead_ms
        self.patience_ms = patience_ms
        self.max_ms = max_ms
        self.dropped_ms = 0.0
        self.generation = 0
        self._source_format = PCMU
        self._line_format = PCMU
        self._frame_ms = 20.0
        self._converter: Converter | None = None
        self._model = PlayoutModel()
        self._started = False
        self._ended = False
        self._count = 0
        self._source = bytearray()  # written, in the model's format
        self._line = bytearray()  # converted, less than a frame when nothing is being cut
        self._pending: deque[_Sent] = deque()
        self._control: deque[Clear] = deque()
        self._own_marks: deque[tuple[float, str]] = deque()
        self._own_sent: dict[str, bool] = {}  # name -> whether it was cleared
        self._stopped = False
        self._written_ms = 0.0
        self._sent_ms = 0.0
        self._base_ms = 0.0  # where the converter's stream began ...
        self._base_bytes = 0  # ... and how much of it was cut off since
        self._heard_ms = 0.0
        self._returned_at: float | None = None
        self._lost = False

    # -- what the two ends are ------------------------------------------------------------------

    def open(self, format: AudioFormat) -> None:
        """From now on, audio in `format` is written; what waits in another one goes first."""
        if format == self._source_format:
            return
        while self._source:
            self._convert()
        if self._converter is not None:
            self._line += self._converter.feed(b"", last=True)
            self._converter = None
        self._source_format = format

    def start(self, format: AudioFormat, frame_ms: float, now: float) -> None:
        """The stream began. What waits goes there; what was sent to an earlier one is taken as heard."""
        if self._started:
            self._heard_ms = self._sent_ms
            self._new_generation(now)
            self._control.clear()
        if format != self._line_format:
            self._retarget(format)
        self._frame_ms = frame_ms
        self._started = True

    def stop(self) -> None:
        """The stream is over: nothing more is sent, and what waits is forgotten."""
        self._started = False
        self._stopped = True
        self._forget(self._sent_ms)
        self._own_marks.clear()
        self._control.clear()

    # -- what is asked for ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queue audio behind what is there; nothing more after `stop`."""
        if self._stopped:
            return
        ms = self._source_format.duration_ms(len(data))
        if self._written_ms - self._sent_ms + ms > self.max_ms:
            self.dropped_ms += ms
            return
        self._source += data
        self._written_ms += ms
        self._ended = False

    def end(self) -> None:
        """What was written so far is a whole: its last, incomplete frame is filled up with silence."""
        self._ended = True

    def add_mark(self, name: str) -> None:
        """Send a mark behind everything written so far.

        Raises:
            UserError: if the name is one of ours, or too many marks wait.
        """
        if name.startswith(PREFIX):
            raise UserError(f"mark {name!r} cannot be told from our own; let it begin with something else")
        if len(self._own_marks) >= MAX_MARKS:
            raise UserError(f"{MAX_MARKS} marks wait to be sent; wait for one of them to come back")
        self._own_marks.append((self._written_ms, name))

    def clear(self, now: float) -> None:
        """Fall silent. What was not heard is dropped and never counts."""
        heard = self.heard_ms(now)
        if self._started and (self._pending or self._model.remaining_ms(now) > 0):
            self._control.append(Clear())
        self._new_generation(now)
        self._forget(heard)
        self._heard_ms = self._sent_ms = heard
        # Marks of others are sent all the same: whoever waits for one is told.
        self._own_marks = deque((min(at, heard), name) for at, name in self._own_marks)
        self._own_sent = dict.fromkeys([*self._own_sent, *(name for _, name in self._own_marks)], True)

    def _new_generation(self, now: float) -> None:
        self.generation += 1
        self._pending.clear()
        self._model.clear(now)
        self._returned_at = None

    def _forget(self, position_ms: float) -> None:
        """Drop what was not sent; the stream goes on at `position_ms`."""
        self._source.clear()
        self._line.clear()
        self._written_ms = position_ms
        self._converter = None
        self._base_ms = position_ms
        self._base_bytes = 0
        self._ended = False

    def _retarget(self, format: AudioFormat) -> None:
        """The stream takes another format; at most a frame was converted already."""
        rest = bytes(self._line)
        self._line.clear()
        self._line += convert(rest, self._line_format, format)
        self._line_format = format
        self._converter = None
        self._base_ms = self._sent_ms
        self._base_bytes = 0

    # -- what to send -------------------------------------------------------------------------

    def next(self, now: float) -> Outgoing | None:
        """The next thing to send; None if there is nothing to send before `wake_at`."""
        if self._control:
            return self._control.popleft()
        if not self._started:
            return None
        self._give_up_on_marks(now)
        if self._own_marks and self._own_marks[0][0] <= self._sent_ms + EARLY_MS:
            return self._own_mark()
        left = self._model.remaining_ms(now)
        if left > 0 and left + self._frame_ms > self.lead_ms + EARLY_MS:
            return None
        frame = self._cut(tail=left <= TAIL_MS + EARLY_MS)
        if frame is None:
            return None
        self._count += 1
        name = f"{PREFIX}-{self.generation}-{self._count}"
        began = self._model.write(self._frame_ms, now)
        self._pending.append(_Sent(name, self._sent_ms, now, began + self._frame_ms / 1000))
        return Media(frame, name)

    def _own_mark(self) -> Mark:
        name = self._own_marks.popleft()[1]
        self._own_sent.setdefault(name, False)
        while len(self._own_sent) > MAX_MARKS:  # never came back
            del self._own_sent[next(iter(self._own_sent))]
        return Mark(name)

    def wake_at(self) -> float | None:
        """When `next` may have something again without any news, s; None if it depends on news."""
        # Live audio is all sent when it comes: then there is nothing to wait for.
        if not self._started or self._sent_ms >= self._written_ms - EARLY_MS:
            return None
        idle_at = self._model.idle_at()
        if idle_at is None:
            return None
        whole = self._source or len(self._line) >= self._frame_bytes
        ahead = self.lead_ms - self._frame_ms if whole or self._ended else TAIL_MS
        return idle_at - ahead / 1000

    @property
    def _frame_bytes(self) -> int:
        return self._line_format.size_of(self._frame_ms)

    def _cut(self, *, tail: bool) -> bytes | None:
        """The next frame; one that is not complete only if it is the last, or silence is near."""
        size = self._frame_bytes
        while len(self._line) < size and self._source:
            self._convert()
        if len(self._line) >= size:
            return self._take(size)
        if not (self._ended or tail) or self._base_ms >= self._written_ms:
            return None
        # What the resampler holds back belongs to this reply, too.
        if self._converter is not None:
            self._line += self._converter.feed(b"", last=True)
        frame = self._take(min(size, len(self._line)))
        if not self._line:
            self._base_ms, self._base_bytes, self._sent_ms = self._written_ms, 0, self._written_ms
        if not frame:
            self._nothing_more()
            return None
        missing = (size - len(frame)) // self._line_format.sample_bytes
        return frame + self._line_format.silence * missing

    def _nothing_more(self) -> None:
        """What was left is too short for a sample of the line: it is heard with what was before it."""
        if self._pending:
            self._pending[-1] = replace(self._pending[-1], end_ms=self._sent_ms)
        else:
            self._heard_ms = self._sent_ms

    def _convert(self) -> None:
        if self._converter is None:
            self._converter = Converter(self._source_format, self._line_format)
        size = self._source_format.size_of(CHUNK_MS)
        self._line += self._converter.feed(bytes(self._source[:size]))
        del self._source[:size]

    def _take(self, size: int) -> bytes:
        frame = bytes(self._line[:size])
        del self._line[:size]
        self._base_bytes += size
        position = self._base_ms + self._line_format.duration_ms(self._base_bytes)
        self._sent_ms = max(self._sent_ms, min(position, self._written_ms))
        return frame

    # -- what was heard -------------------------------------------------------------------------

    def returned(self, name: str, now: float) -> Return:
        """A mark came back."""
        if not name.startswith(PREFIX):
            return "cleared" if self._own_sent.pop(name, False) else "played"
        if not any(sent.mark == name for sent in self._pending):
            return "stale"
        while self._pending:
            sent = self._pending.popleft()
            self._heard_ms = max(self._heard_ms, sent.end_ms)
            if sent.mark == name:
                break
        self._returned_at = now
        self._lost = False
        return "heard"

    def heard_ms(self, now: float) -> float:
        """What was heard of everything written, ms; never less than before, never more than was sent."""
        self._give_up_on_marks(now)
        if self._returned_at is not None and self._pending:
            # The next frame was there already when the one before it ended: it is being played.
            playing = self._pending[0]
            if playing.sent_at <= self._returned_at:
                since = min((now - self._returned_at) * 1000, self._frame_ms)
                return min(playing.end_ms, self._heard_ms + max(0.0, since))
        return self._heard_ms

    def _give_up_on_marks(self, now: float) -> None:
        grace = 0.0 if self._lost else self.patience_ms / 1000
        while self._pending and now >= self._pending[0].due + grace:
            sent = self._pending.popleft()
            self._heard_ms = max(self._heard_ms, sent.end_ms)
            self._returned_at = None
            self._lost, grace = True, 0.0

    @property
    def marks_lost(self) -> bool:
        """Whether marks do not come back, so that real-time playback is assumed."""
        return self._lost

    def buffered_ms(self, now: float) -> float:
        """What was written and not heard yet, ms."""
        return max(0.0, self._written_ms - self.heard_ms(now))
