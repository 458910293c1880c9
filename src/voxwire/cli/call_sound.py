"""What is said and heard on the line of `voxwire call`: to the other side, into ears, loudspeaker and recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from ..audio.base import AudioSink
from ..audio.levels import SILENCE_DBFS, rms_dbfs
from ..audio.recording import StereoRecorder
from ..errors import ConfigError
from ..protocol.formats import PCM16
from ..server.speech.base import Transcriber, VoiceActivityDetector
from .call_hearing import Hearing, Transcript, hints
from .call_line import Line
from .talk_audio import MeteredSource

__all__ = ["CallSound", "Ears"]

_MOST_PLAYING_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Ears:
    """What speech is found and recognised with: a detector for each side, ours first.

    Attributes:
        phrases: what may be said.
    """

    detectors: tuple[VoiceActivityDetector, VoiceActivityDetector]
    transcriber: Transcriber
    phrases: Sequence[str] = ()


class CallSound:
    """The audio of both sides.

    Args:
        source: what we say. sink: where the other side is heard; None where nobody listens.
        live: whether the source is somebody who speaks, whose turns have to be found; a recording waits while the
            call is on hold, and somebody says which one it is.
        now: ms since the beginning of the call.
        on_change: told when there may be something to show.

    Attributes:
        them, us: the ears; None for us if we are recordings.
        level: how loud the other side is, dBFS.
        muted: whether silence is sent in place of what we say.
    """

    def __init__(
        self,
        source: MeteredSource,
        sink: AudioSink | None,
        ears: Ears,
        transcript: Transcript,
        *,
        now: Callable[[], float],
        on_change: Callable[[], None],
        live: bool,
    ) -> None:
        ours, theirs = ears.detectors
        self.source = source
        self.them = Hearing("them", theirs, transcript, now)
        self.us = Hearing("us", ours, transcript, now) if live else None
        self.level = SILENCE_DBFS
        self.muted = False
        self._sink = sink
        self._phrases = ears.phrases
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._recorder: StereoRecorder | None = None
        self._record: Path | None = None
        self._line: Line | None = None
        self._open = asyncio.Event()

    async def open(self) -> None:
        """Get the loudspeaker ready, before anybody is called.

        Raises:
            DeviceError, MissingExtraError: it cannot be used.
        """
        if self._sink is not None:
            await self._sink.open(PCM16)

    def begin(self, line: Line, record: Path | None) -> None:
        """The call was answered.

        Raises:
            ConfigError: the recording cannot be written.
        """
        self._line, self._record = line, record
        self.changed()
        if record is not None:
            try:
                self._recorder = StereoRecorder(record, PCM16.rate, start=self._loop.time())
            except OSError as error:
                raise self._cannot_record(error) from error

    def changed(self) -> None:
        """Another codec, or hold."""
        if self._line is None:
            return
        self.them.session = hints(self._phrases, narrowband=self._line.narrowband)
        if self.us is not None:
            self.us.session = hints(self._phrases, narrowband=False)
        if self._line.held:
            self._open.clear()
        else:
            self._open.set()

    def heard(self, pcm: bytes) -> None:
        """20 ms of the other side."""
        self.level = rms_dbfs(pcm)
        self.them.feed(pcm)
        if self._recorder is not None:
            self._recorder.agent_heard(pcm, PCM16, self._loop.time())
        if self._sink is not None and self._sink.buffered_ms() < _MOST_PLAYING_MS:
            self._sink.write(pcm)
        self._on_change()

    async def speak(self) -> None:
        """Say what the source gives, until it ends or this is cancelled."""
        frames = cast("AsyncGenerator[bytes, None]", self.source.frames(PCM16))
        async with aclosing(frames):
            async for frame in frames:
                if self.us is None:
                    await self._open.wait()
                self._say(bytes(len(frame)) if self.muted else frame)

    def _say(self, pcm: bytes) -> None:
        if self._line is None or self._line.held:
            return
        self._line.speak(pcm)
        if self.us is not None:
            self.us.feed(pcm)
        if self._recorder is not None:
            self._recorder.user(pcm, PCM16, self._loop.time())

    def close(self) -> None:
        """The call is over: what was being said ends, and so does the recording. Idempotent.

        Raises:
            ConfigError: the recording cannot be written.
        """
        for hearing in (self.us, self.them):
            if hearing is not None:
                hearing.finish()
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            try:
                recorder.close(self._loop.time())
            except OSError as error:
                raise self._cannot_record(error) from error

    def _cannot_record(self, error: OSError) -> ConfigError:
        return ConfigError(f"--record {self._record} cannot be written: {error.strerror or error}")
