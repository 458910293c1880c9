"""What is said on a phone line, in turns and words: the embedded server's ears, for both sides of a call."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..protocol.formats import PCM16, AudioFormat
from ..server.engine.buffer import InputBuffer
from ..server.engine.turns import Started, Stopped, TurnDetector
from ..server.hearing import Ear, Recognition
from ..server.speech.base import Transcriber, VoiceActivityDetector

__all__ = ["Hearing", "Side", "Transcript", "Turn", "hints"]

_log = logging.getLogger("voxwire.cli")

Side: TypeAlias = Literal["us", "them"]

VAD: Final[Mapping[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 600,
}
"""As the server hears its callers, but with a little more patience: between the sentences of a reply there are pauses."""
_KEPT_MS: Final = 1000
"""Audio that is kept while nobody speaks: a turn begins before it is noticed."""
_TIMEOUT: Final = 20.0
"""Seconds that a transcriber may take after the end of a turn."""
_MOST_PENDING: Final = 32


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said.

    Attributes:
        begin_ms, end_ms: when, since the beginning of the call.
        text: what was understood; empty if nothing was.
    """

    side: Side
    begin_ms: float
    end_ms: float
    text: str


def hints(phrases: Sequence[str], *, narrowband: bool) -> dict[str, Any]:
    """What a transcriber is told, as the session of a call would tell it.

    Args:
        phrases: what may be said.
        narrowband: whether the audio comes from a line of 8 kHz.
    """
    line = {"type": "audio/pcmu"} if narrowband else {"type": "audio/pcm", "rate": 24_000}
    words = {"prompt": "\n".join(phrases)} if phrases else {}
    return {"audio": {"input": {"format": line, "transcription": words}}}


class Transcript:
    """Turns of both sides on their way to text, told in the order in which they ended.

    A turn that cannot be recognised is told without a text. Of more than 32 that wait, the newest are.

    Args:
        tell: gets each turn.
    """

    def __init__(self, transcriber: Transcriber, tell: Callable[[Turn], None]) -> None:
        self._transcriber = transcriber
        self._tell = tell
        self._told: asyncio.Future[None] | None = None  # the last turn's
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, format: AudioFormat, session: Mapping[str, Any], on_partial: Callable[[str], None]
    ) -> Recognition:
        """Begin to recognise audio in `format`; `finish` is to follow."""
        return Recognition(self._transcriber, format, session, on_partial)

    def finish(
        self, recognition: Recognition | None, side: Side, begin_ms: float, end_ms: float, text: str = ""
    ) -> None:
        """All of a turn was said. `text` is what is told where there is no recognition."""
        if recognition is not None and len(self._tasks) >= _MOST_PENDING:
            recognition.cancel()
            recognition = None
        before, self._told = self._told, asyncio.get_running_loop().create_future()
        work = self._finish(recognition, Turn(side, begin_ms, end_ms, text), before, self._told)
        task = asyncio.create_task(work, name="voxwire-call-turn")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self,
        recognition: Recognition | None,
        turn: Turn,
        before: asyncio.Future[None] | None,
        told: asyncio.Future[None],
    ) -> None:
        text = turn.text
        try:
            if recognition is not None:
                text = (await recognition.finish(_TIMEOUT)).text.strip()
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            _log.warning("what was said could not be recognised: %s", str(error) or type(error).__name__)
        finally:
            if before is not None:
                await asyncio.wait([before])
            self._tell(Turn(turn.side, turn.begin_ms, turn.end_ms, text))
            told.set_result(None)

    async def drain(self) -> None:
        """Return when everything has been told; cancelled, it stops waiting for words."""
        if self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError:
                for task in self._tasks:
                    task.cancel()
                raise


class Hearing:
    """Finds the turns of one side in its audio, 24 kHz PCM16, which comes in real time.

    Args:
        now: ms since the beginning of the call.

    Attributes:
        session: the hints for what is said from now on; see `hints`.
        partial: what has been understood of the turn that goes on.
        ended_ms: when the last turn was over; minus infinity before the first.
    """

    def __init__(
        self,
        side: Side,
        detector: VoiceActivityDetector,
        transcript: Transcript,
        now: Callable[[], float],
    ) -> None:
        self.session: Mapping[str, Any] = {}
        self.partial = ""
        self.ended_ms = -math.inf
        self._side: Side = side
        self._ear = Ear(detector)
        self._turns = TurnDetector(VAD)
        self._buffer = InputBuffer(PCM16, _KEPT_MS)
        self._transcript = transcript
        self._now = now
        self._recognition: Recognition | None = None
        self._begin_ms = 0.0

    @property
    def speaking(self) -> bool:
        """Whether a turn goes on."""
        return self._turns.speaking

    def feed(self, pcm: bytes) -> None:
        """The next audio."""
        self._buffer.append(pcm, roll=True)
        if self._recognition is not None:
            self._recognition.feed(pcm)
        for probabilities in self._ear.slices(pcm, PCM16):
            for probability in probabilities:
                match self._turns.feed(probability, self._ear.frame_ms):
                    case Started(start_ms):
                        self._begin(start_ms)
                    case Stopped(end_ms):
                        self._end(end_ms - VAD["silence_duration_ms"])
                    case _:
                        pass

    def finish(self) -> None:
        """No more audio comes: a turn that goes on ends here."""
        if self.speaking:
            self._turns.end_turn()
            self._end(self._turns.position_ms)

    def _time_of(self, position_ms: float) -> float:
        """When a position in the audio was. What came last came now; before it there may have been gaps."""
        return max(self._now() - max(self._turns.position_ms - position_ms, 0.0), 0.0)

    def _begin(self, start_ms: float) -> None:
        self.partial = ""
        self._begin_ms = self._time_of(start_ms + self._turns.padding_ms)
        self._recognition = self._transcript.begin(PCM16, self.session, self._understood)
        self._recognition.feed(self._buffer.slice(start_ms, self._buffer.end_ms))

    def _understood(self, text: str) -> None:
        self.partial = text

    def _end(self, end_ms: float) -> None:
        recognition, self._recognition = self._recognition, None
        self.ended_ms = self._time_of(end_ms)
        self._transcript.finish(recognition, self._side, self._begin_ms, self.ended_ms)
