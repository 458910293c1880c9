"""`Recorder`: a folder with everything that happened in a session."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, cast

from ..audio.peaks import Outline
from ..errors import UserError
from ..protocol.actions import Emit
from ..protocol.config import input_format
from ..protocol.observed import Step
from ..protocol.redaction import Redaction
from ..protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioSent,
    AudioStopped,
    ConnectionChange,
    ErrorEvent,
    MediaStateChange,
)
from ..session.events import SESSION_EVENTS
from ..session.session import RealtimeSession
from ..transports.shell import EngineShell
from .following import TurnFollower
from .log import EventLog
from .report import Report, render
from .sound import SoundRecorder
from .timeline import Timeline

__all__ = ["Recorder"]

logger = logging.getLogger("voxwire")

Part = Literal["audio", "log", "report"]

FILES: Final[Mapping[Part, tuple[str, str]]] = {
    "audio": ("recording.wav", "stereo: user left, agent right, as heard"),
    "log": ("events.jsonl", "every wire event"),
    "report": ("report.html", "this page"),
}
OUTLINE_POINTS: Final = 1200
LOOK_SECONDS: Final = 0.05
"""Between two looks at the player's position."""
USER_TEXT: Final = "conversation.item.input_audio_transcription.completed"


class Recorder:
    """Records a session into a folder: `recording.wav`, `events.jsonl` and `report.html`.

        async with Recorder(session, "calls/17"), session:
            await session.wait_closed()

    The WAV file is stereo, the user left, the agent right, both as they were heard: by the sink's position
    where the transport has a sink that knows it. The log can be replayed (`voxwire replay`). Files are
    written as things happen, on the event loop, so that nothing queues but the audio that was not heard yet,
    and what is on disk after a crash is complete. An error of the disk is told as an `error` event of the
    session; the file concerned is given up, and the session goes on.

    Args:
        session: start before it connects: a log that begins later cannot be replayed.
        path: the folder; it is made if it is not there, files in it are replaced.
        audio, log, report: which of the files to make; without any there is still the timeline.
        redaction: what must not be in the log; by default keys are hidden and audio is told by its size.
        rate: of the WAV file, Hz.
        max_pending_ms: the agent's audio that may wait to be heard, ms; what is beyond that is silent in the file.
        timeline: who tells when the user speaks, where somebody knows it better than the service.

    Attributes:
        folder: where the files are.
        timeline: the turns, which the report is made of.
    """

    def __init__(
        self,
        session: RealtimeSession,
        path: str | os.PathLike[str],
        *,
        audio: bool = True,
        log: bool = True,
        report: bool = True,
        redaction: Redaction | None = None,
        rate: int = 24_000,
        max_pending_ms: float = 120_000,
        timeline: Timeline | None = None,
    ) -> None:
        self.folder = Path(path)
        self._session = session
        self._wanted: dict[Part, bool] = {"audio": audio, "log": log, "report": report}
        self._redaction = redaction or Redaction()
        self._rate = rate
        self._max_pending_ms = max_pending_ms
        self.timeline = timeline or Timeline(session.current_agent.name)
        self._follower = TurnFollower(self.timeline, self._input_ms, self._silence_ms)
        self._follows = timeline is None
        self._sent_ms = 0.0
        self._media_began: float | None = None
        self._begin: float | None = None
        self._ended_ms: float | None = None
        self._sound: SoundRecorder | None = None
        self._log: EventLog | None = None
        self._undo = contextlib.ExitStack()
        self._look: asyncio.TimerHandle | None = None

    # -- beginning and end -------------------------------------------------------------------

    def start(self) -> None:
        """Make the files and begin.

        Raises:
            OSError: if a file cannot be made.
            UserError: if it was started before, or something else records this transport.
        """
        if self._begin is not None:
            raise UserError("this recorder was started already; make another one for another recording")
        if any(self._wanted.values()):
            self.folder.mkdir(parents=True, exist_ok=True)
        begin = asyncio.get_running_loop().time()
        try:
            self._open(begin)
        except BaseException:
            self._undo.close()
            if self._log is not None:
                self._log.close()
            raise
        self._begin = begin
        for name in SESSION_EVENTS:
            # Not on the session's errors: one that nobody else hears is for the log of the process.
            if name != "error":
                self._listen(self._session, name, self._take)
        for name, listener in (
            ("error", self._error),
            (USER_TEXT, self._tell),
            ("conversation.item.truncated", self._tell),
            ("sent", self._sent),
            ("audio_sent", self._audio_sent),
            ("*", self._received),
        ):
            self._listen(self._session.transport, name, listener)

    def _open(self, begin: float) -> None:
        transport = self._session.transport
        observed = transport if isinstance(transport, EngineShell) else None
        if self._wanted["audio"]:
            self._sound = SoundRecorder(
                self.folder / FILES["audio"][0],
                rate=self._rate,
                start=begin,
                position=self._position,
                max_pending_ms=self._max_pending_ms,
            )
            # Closed with what is in it, should the rest fail.
            self._undo.callback(self._close_sound)
        if self._wanted["log"]:
            about = {
                "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "transport": type(transport).__name__,
                "status": transport.status,
                "steps": observed is not None,
            }
            options = observed.engine_options if observed is not None else None
            self._log = EventLog(self.folder / FILES["log"][0], self._redaction, options=options, about=about)
            if observed is not None:
                self._undo.callback(observed.observe(self._step))

    def _listen(self, whose: Any, name: str, listener: Callable[[Any], None]) -> None:
        whose.on(name, listener)
        self._undo.callback(whose.off, name, listener)

    async def close(self) -> None:
        """Finish the files and write the report; idempotent. The session goes on."""
        if self._begin is None or self._ended_ms is not None:
            return
        at = self._ended_ms = self.now_ms()
        if self._look is not None:
            self._look.cancel()
        history = self._session.history
        self.timeline.finish(history, at)
        if self._log is not None:
            log = self._log
            self._guarded("log", lambda: log.history(history, at))
        self._undo.close()
        if self._log is not None:
            self._guarded("log", self._log.close)
        if self._wanted["report"]:
            self._guarded("report", self._write_report)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- what it is ------------------------------------------------------------------------------

    def now_ms(self) -> float:
        """Time since the recording began, ms: the time axis of all files."""
        if self._ended_ms is not None:
            return self._ended_ms
        return (self._now() - self._begin) * 1000 if self._begin is not None else 0.0

    def outlines(self, count: int = OUTLINE_POINTS) -> tuple[Outline, Outline]:
        """The waveforms of user and agent, for drawing; complete after `close`."""
        return self._sound.peaks(count) if self._sound is not None else ([], [])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # -- what happens ----------------------------------------------------------------------------

    def _take(self, event: object) -> None:
        """An event of the session."""
        match event:
            case AudioEvent():
                self._heard(event)
            case AudioInterrupted():
                self._sound_do(lambda sound, now: sound.interrupted(now))
            case AudioStopped():
                self._sound_do(lambda sound, now: sound.look(now))
            case ConnectionChange(status="disconnected"):
                self._sound_do(lambda sound, now: sound.disconnected(now))
                self._sent_ms, self._media_began = 0.0, None
            case MediaStateChange(state="connected") if self._media_began is None:
                self._media_began = self._now()
            case _:
                pass
        self._tell(event)

    def _tell(self, event: object) -> None:
        at = self.now_ms()
        if self._follows:
            self._follower.take(event, at)
        self.timeline.take(event, at)

    def _error(self, event: ErrorEvent) -> None:
        self.timeline.take(event, self.now_ms())
        if self._log is not None:
            log = self._log
            self._guarded("log", lambda: log.error(event.error, self.now_ms()))

    def _step(self, step: Step) -> None:
        log = self._log
        if log is None:
            return
        self._guarded("log", lambda: log.step(step, self.now_ms()))
        cut = any(isinstance(a, Emit) and isinstance(a.event, AudioInterrupted) for a in step.actions)
        if cut or step.name == "disconnected":
            self._guarded("log", lambda: log.history(self._session.history, self.now_ms()))

    def _received(self, event: Mapping[str, Any]) -> None:
        if self._log is not None and not isinstance(self._session.transport, EngineShell):
            log = self._log
            self._guarded("log", lambda: log.write("received", event, self.now_ms()))

    def _sent(self, event: Mapping[str, Any]) -> None:
        if event.get("type") == "input_audio_buffer.append":
            self._user_spoke(event.get("audio"))
        if self._log is not None:
            log = self._log
            self._guarded("log", lambda: log.write("sent", event, self.now_ms()))

    # -- sound -------------------------------------------------------------------------------------

    def _user_spoke(self, audio: object) -> None:
        config = cast("Mapping[str, Any]", getattr(self._session.transport, "session_config", {}))
        try:
            pcm, audio_format = base64.b64decode(str(audio), validate=True), input_format(config)
        except ValueError:
            return  # the service will say so
        self._sent_ms += audio_format.duration_ms(len(pcm))
        self._sound_do(lambda sound, now: sound.user(pcm, audio_format, now))

    def _audio_sent(self, audio: AudioSent) -> None:
        """The user's audio on a media plane."""
        self._sound_do(lambda sound, now: sound.user(audio.data, audio.format, now))

    def _input_ms(self) -> float:
        """How much of the user's audio the service has had; on a media plane it counts the silence as well."""
        return self._sent_ms if self._media_began is None else (self._now() - self._media_began) * 1000

    def _heard(self, audio: AudioEvent) -> None:
        self._sound_do(lambda sound, now: sound.agent(audio, now))
        self._look_again()

    def _look_again(self) -> None:
        if self._look is None and self._sound is not None and self._sound.waiting_ms > 0:
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        self._sound_do(lambda sound, now: sound.look(now))
        self._look_again()

    def _position(self) -> float | None:
        heard = getattr(self._session.transport, "heard_ms", None)
        return heard if isinstance(heard, (int, float)) else None

    def _silence_ms(self) -> float:
        config = cast("Mapping[str, Any]", getattr(self._session.transport, "session_config", {}))
        found: Any = config
        for key in ("audio", "input", "turn_detection", "silence_duration_ms"):
            found = cast("Mapping[str, Any]", found).get(key) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, (int, float)) else 0.0

    def _sound_do(self, action: Callable[[SoundRecorder, float], None]) -> None:
        sound = self._sound
        if sound is not None:
            self._guarded("audio", lambda: action(sound, self._now()))

    def _close_sound(self) -> None:
        self._sound_do(lambda sound, now: sound.close(now))

    # -- files -------------------------------------------------------------------------------------

    def _guarded(self, part: Part, action: Callable[[], None]) -> None:
        """A full disk ends this file, not the call."""
        if not self._wanted[part]:
            return
        try:
            action()
        except (OSError, UserError) as error:
            self._wanted[part] = False
            error.add_note(f"while recording to {self.folder / FILES[part][0]}, which is given up")
            self._session.report(error)

    def _write_report(self) -> None:
        transport = self._session.transport
        files = [FILES[part] for part in ("audio", "log") if self._wanted[part]]
        report = Report(
            timeline=self.timeline,
            checks=(),
            recording=None,
            outlines=self.outlines(),
            url=str(getattr(transport, "url", None) or type(transport).__name__),
            model=str(getattr(transport, "model", "a model of its own")),
            files=files,
        )
        (self.folder / FILES["report"][0]).write_text(render(report), encoding="utf-8")
