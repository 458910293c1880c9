"""What `voxwire talk` listens with and speaks with: devices of this machine, or files in their place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from ..audio.base import AudioSink, AudioSource
from ..audio.levels import SILENCE_DBFS, rms_dbfs
from ..errors import ConfigError, DeviceError, MissingExtraError
from ..protocol.formats import PCM16, AudioFormat

if TYPE_CHECKING:
    from ..audio.devices import DeviceEvent, Direction
    from ..audio.echo_duplex import DuplexProcessor
    from ..audio.live_sources import SequenceSource

__all__ = ["Ends", "HeardLevel", "MeteredSource", "Sound", "device_of", "open_sound", "ways_out"]

_FRAME_MS: Final = 20
_MOST_FRAMES: Final = 120_000 // _FRAME_MS


@dataclass(frozen=True, slots=True)
class Ends:
    """What was asked for.

    Attributes:
        input, output: devices by name or index; None for the defaults.
        audio_in, audio_out: WAV files in their place.
    """

    input: str | int | None = None
    output: str | int | None = None
    audio_in: Path | None = None
    audio_out: Path | None = None
    echo_cancellation: bool = True


@dataclass(slots=True)
class Sound:
    """Open ends for a transport.

    Attributes:
        source: the microphone, or `clip` being spoken.
        clip: what speaks the file that was asked for; None with a microphone.
        notes: what the user should know.
    """

    source: AudioSource
    sink: AudioSink
    clip: SequenceSource | None
    about: str
    notes: tuple[str, ...] = ()

    async def close(self) -> None:
        """Release both; idempotent."""
        try:
            await self.source.close()
        finally:
            await self.sink.close()


class MeteredSource:
    """A live source, and how loud its last frame was.

    Attributes:
        level: dBFS.
    """

    def __init__(self, source: AudioSource) -> None:
        self.source = source
        self.level = SILENCE_DBFS

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """The source's frames."""
        frames = cast("AsyncGenerator[bytes, None]", self.source.frames(format))
        async with aclosing(frames):
            async for frame in frames:
                if format.type == PCM16.type:
                    self.level = rms_dbfs(frame)
                yield frame

    async def close(self) -> None:
        """Close the source."""
        await self.source.close()


class HeardLevel:
    """How loud what is heard right now is, from what was received and how much of it has been heard."""

    def __init__(self) -> None:
        self._frames: deque[tuple[float, float]] = deque(maxlen=_MOST_FRAMES)
        self._received = 0.0
        self._level = SILENCE_DBFS

    def add(self, pcm: bytes, format: AudioFormat, heard_ms: float) -> None:
        """Audio arrived, when `heard_ms` had been heard."""
        self._received = max(self._received, heard_ms)
        size = format.size_of(_FRAME_MS)
        for at in range(0, len(pcm), size):
            frame = pcm[at : at + size]
            self._received += format.duration_ms(len(frame))
            self._frames.append((self._received, rms_dbfs(frame)))

    def drop(self, heard_ms: float) -> None:
        """What was not heard will not be."""
        self._frames.clear()
        self._received = heard_ms

    def at(self, heard_ms: float, *, playing: bool) -> float:
        """The level when `heard_ms` have been heard, dBFS."""
        while self._frames and self._frames[0][0] <= heard_ms:
            self._level = self._frames.popleft()[1]
        return self._level if playing else SILENCE_DBFS


def device_of(text: str | None) -> str | int | None:
    """A device as the command line names it: a number is an index."""
    return int(text) if text is not None and text.isdecimal() else text


async def open_sound(ends: Ends, on_event: Callable[[DeviceEvent], object]) -> Sound:
    """Find everything that was asked for before the call begins.

    Args:
        on_event: told when a device goes away, or comes.

    Raises:
        ConfigError: the file to be spoken cannot be read.
        DeviceError, MissingExtraError: a device is not there; see `ways_out`.
    """
    clip = _clip(ends.audio_in)
    devices = [
        await asyncio.to_thread(_find, wanted, direction)
        for file, wanted, direction in _wanted(ends)
        if file is None
    ]
    notes: list[str] = []
    canceller: DuplexProcessor | None = None
    if len(devices) == 2 and ends.echo_cancellation:
        canceller = _canceller(notes)
    source: AudioSource
    if clip is not None:
        source = clip
    else:
        from ..audio.devices_microphone import Microphone

        source = Microphone(ends.input, echo_canceller=canceller, on_event=on_event)
    sink: AudioSink
    if ends.audio_out is not None:
        sink = _file_sink(ends.audio_out)
    else:
        from ..audio.devices_speaker import Speaker

        sink = Speaker(ends.output, echo_canceller=canceller, on_event=on_event)
    names = [str(file or devices.pop(0)) for file, _, _ in _wanted(ends)]
    return Sound(source, sink, clip, f"from {names[0]} to {names[1]}", tuple(notes))


def _wanted(ends: Ends) -> tuple[tuple[Path | None, str | int | None, Direction], ...]:
    return (ends.audio_in, ends.input, "input"), (ends.audio_out, ends.output, "output")


def _find(wanted: str | int | None, direction: Direction) -> str:
    from ..audio.devices import choose, list_devices

    devices = list_devices()
    try:
        return repr(choose(devices, wanted, direction).name)
    except DeviceError as error:
        # The rest is for programs: which argument to leave out.
        words = str(error).partition(", or pass ")[0].partition(" Or pass ")[0].removesuffix(".")
        raise DeviceError(f"{words}.", device=error.device, alternatives=error.alternatives) from None


def _clip(path: Path | None) -> SequenceSource | None:
    if path is None:
        return None
    from ..audio.live_sources import SequenceSource
    from ..audio.wav import read_wav

    try:
        read_wav(path)
    except OSError as error:
        raise ConfigError(f"--audio-in {path} cannot be read: {error.strerror or error}") from error
    return SequenceSource()


def _file_sink(path: Path) -> AudioSink:
    """Plays in real time, so that a turn is a turn, and an interruption is cut where it was."""
    from ..audio.paced_sink import PacedSink
    from ..audio.sinks import TeeSink, WavSink

    return TeeSink(PacedSink(), WavSink(path))


def _canceller(notes: list[str]) -> DuplexProcessor | None:
    from ..audio.echo import make_echo_canceller

    try:
        return make_echo_canceller(required=True)
    except MissingExtraError as error:
        notes.append(f"no echo cancellation, so use headphones: {error}")
        return None


def ways_out(command: str, error: DeviceError | MissingExtraError, instead: Sequence[str]) -> str:
    """What is missing, and how to go on without it.

    Args:
        instead: command lines that need no devices, the best one first.
    """
    lines = (
        f"voxwire {command}: {error}",
        "Without a microphone and a loudspeaker:",
        *(f"  {line}" for line in instead),
        "  voxwire doctor    what this machine has, and what is missing",
    )
    return "\n".join(lines)
