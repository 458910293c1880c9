"""A microphone as an audio source."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from ..errors import ConfigError
from ..protocol.formats import AudioFormat
from .callbacks import call_logged
from .devices import AudioDevice, AudioDropped, DeviceEvent
from .devices_keeper import DeviceKeeper
from .devices_stream import Latency, StreamSettings
from .echo_duplex import DuplexProcessor
from .gain import apply_gain, checked_gain
from .levels import SILENCE_DBFS, rms_dbfs
from .pacing import frame_sizes
from .resample import Converter, Resampler
from .samples import from_pcm, mix_down, to_pcm

__all__ = ["Microphone"]


class Microphone:
    """A microphone, by way of PortAudio (extra `audio`).

    It is open while a transport iterates `frames`, and survives being unplugged: silence comes at the
    same pace until it, or the default microphone, can be opened (`DeviceChanged` says so), and the
    session goes on. A sound server such as PulseAudio or PipeWire may move a
    stream to another device by itself; nobody is told of that.

    Args:
        device: a name, a part of one, or an index (see `list_devices`); None for the default.
        gain: a factor, 1 leaves the audio as it is; what gets too loud is clipped.
        channel: the one to listen to, from 0; None averages all of them.
        channels: how many to open; None takes as few as the device and `channel` allow.
        rate: to open the device with, Hz; None takes its usual one. Frames come in the transport's anyway.
        block_ms: audio per frame, ms.
        latency: what to ask the device for: "low", "high", or ms.
        echo_canceller: shared with the `Speaker`; see `make_echo_canceller`.
        noise_suppression: take steady noise out where there is no echo canceller, which can do that as well
            (extra `aec`).
        muted: begin muted.
        max_buffer_ms: recorded audio that may wait for the transport, ms. Beyond it the oldest is dropped:
            `dropped_ms` counts, and an `AudioDropped` is reported.
        on_level: called with the level (dBFS) of each frame.
        on_event: called with each `DeviceChanged` and `AudioDropped`.

    `on_level` and `on_event` are called on the event loop; an error in them is logged, and the call goes on.

    Raises:
        ConfigError: a number cannot be used, or two arguments do not go together.
        MissingExtraError: `noise_suppression` without the extra `aec`.
        DeviceError, MissingExtraError: from the first frame, if the device cannot be opened.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        gain: float = 1.0,
        channel: int | None = None,
        channels: int | None = None,
        rate: int | None = None,
        block_ms: float = 20,
        latency: Latency = "low",
        echo_canceller: DuplexProcessor | None = None,
        noise_suppression: bool = False,
        muted: bool = False,
        max_buffer_ms: float = 1000,
        on_level: Callable[[float], object] | None = None,
        on_event: Callable[[DeviceEvent], object] | None = None,
    ) -> None:
        if channel is not None and channel < 0:
            raise ConfigError(f"channel is {channel!r}; channels count from 0")
        if channels is None and channel is not None:
            channels = channel + 1
        if channel is not None and channels is not None and channel >= channels:
            raise ConfigError(
                f"channel {channel} is not among the {channels} to be opened; they count from 0"
            )
        if not max_buffer_ms >= block_ms:
            raise ConfigError(f"max_buffer_ms is {max_buffer_ms!r}; it must hold a block of {block_ms} ms")
        if noise_suppression and echo_canceller is not None:
            raise ConfigError(
                "noise_suppression is the echo canceller's to do: make_echo_canceller(noise_suppression=True)"
            )
        self.device = device
        self.channel = channel
        self.muted = muted
        self.max_buffer_ms = max_buffer_ms
        self.dropped_ms = 0.0
        self._losing = False
        self._settings = StreamSettings(rate, channels, block_ms, latency)
        self._gain = checked_gain(gain)
        self._level = SILENCE_DBFS
        self._duplex = _noise_suppressor() if noise_suppression else echo_canceller
        self._on_level = on_level
        self._on_event = on_event
        self._recordings: set[_Recording] = set()

    @property
    def gain(self) -> float:
        """A factor; may be changed at any time.

        Raises:
            ConfigError: when set to a negative number, or one that is not finite.
        """
        return self._gain

    @gain.setter
    def gain(self, gain: float) -> None:
        self._gain = checked_gain(gain)

    @property
    def level(self) -> float:
        """Root mean square of the last frame, dBFS: what would be sent, also while it is muted."""
        return self._level

    @property
    def active_device(self) -> AudioDevice | None:
        """The device at work; None while there is none."""
        return next((recording.keeper.device for recording in self._recordings), None)

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        """What is recorded from now on, in `format`, `block_ms` a piece.

        Raises:
            MissingExtraError, DeviceError: the device cannot be opened.
        """
        recording = _Recording(self._settings, self.max_buffer_ms, self._duplex, self.device, self._report)
        self._recordings.add(recording)
        chain = _Chain(format.rate, self.channel, self._duplex)
        encoder = Converter(AudioFormat("audio/pcm", format.rate), format)
        pcm_format = encoder.source
        sizes = frame_sizes(pcm_format, self._settings.block_ms)
        size, held = next(sizes), bytearray()
        try:
            await recording.keeper.open()
            while (block := await recording.next()) is not None:
                self._note_lost(recording.take_dropped())
                held += chain.feed(block)
                while len(held) >= size:
                    yield encoder.feed(self._finished(bytes(held[:size])))
                    del held[:size]
                    size = next(sizes)
        finally:
            self._recordings.discard(recording)
            self._level = SILENCE_DBFS
            await recording.keeper.close()
            if self._duplex is not None:
                self._duplex.reset()

    async def close(self) -> None:
        """End the frames and release the device; idempotent. `frames` may be called again."""
        for recording in self._recordings:
            recording.end()

    def _finished(self, pcm: bytes) -> bytes:
        pcm = apply_gain(pcm, self._gain)
        self._level = rms_dbfs(pcm)
        if self._on_level is not None:
            call_logged(self._on_level, self._level)
        return bytes(len(pcm)) if self.muted else pcm

    def _note_lost(self, ms: float) -> None:
        """So much was dropped before the block that comes now."""
        began, self._losing = ms > 0 and not self._losing, ms > 0
        self.dropped_ms += ms
        if began:
            self._report(AudioDropped("input", self.dropped_ms))

    def _report(self, event: DeviceEvent) -> None:
        if self._on_event is not None:
            call_logged(self._on_event, event)


class _Block(NamedTuple):
    pcm: bytes
    rate: int
    channels: int
    at: float


class _Recording:
    """What was recorded on one connection: from the device's thread to the event loop, one hop a block."""

    def __init__(
        self,
        settings: StreamSettings,
        max_ms: float,
        duplex: DuplexProcessor | None,
        device: str | int | None,
        report: Callable[[DeviceEvent], object],
    ) -> None:
        self.keeper = DeviceKeeper(device, "input", settings, self, report)
        self._dropped_ms = 0.0
        self._duplex = duplex
        self._block_ms = settings.block_ms
        self._most = max(1, round(max_ms / settings.block_ms))
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()
        self._blocks: deque[_Block] = deque()
        self._hopping = False
        self._there = asyncio.Event()
        self._rate, self._channels = 48_000, 1
        self._ended = False

    # -- StreamUser

    def configure(self, rate: int, channels: int, latency_ms: float, /) -> None:
        self._rate, self._channels = rate, channels
        if self._duplex is not None:
            self._duplex.set_latency("input", latency_ms)

    def recorded(self, pcm: bytes, at: float, /) -> None:
        with self._lock:
            if len(self._blocks) >= self._most:
                self._blocks.popleft()
                self._dropped_ms += self._block_ms
            self._blocks.append(_Block(pcm, self._rate, self._channels, at))
            hop, self._hopping = not self._hopping, True
        if hop:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._arrived)

    def play(self, size: int, _now: float, _heard_at: float, /) -> bytes:
        return bytes(size)

    def absent(self, ms: float, now: float, /) -> None:
        self.recorded(bytes(round(self._rate * ms / 1000) * 2 * self._channels), now)

    # -- the consumer

    async def next(self) -> _Block | None:
        """The oldest block; None when it was ended."""
        while not self._ended:
            with self._lock:
                if self._blocks:
                    return self._blocks.popleft()
                self._there.clear()
            await self._there.wait()
        return None

    def take_dropped(self) -> float:
        """What was dropped since this was asked last, ms."""
        with self._lock:
            dropped, self._dropped_ms = self._dropped_ms, 0.0
        return dropped

    def end(self) -> None:
        self._ended = True
        self._there.set()

    def _arrived(self) -> None:
        with self._lock:
            self._hopping = False
        self._there.set()


class _Chain:
    """Blocks of a device as one mono stream of another rate, without echo."""

    def __init__(self, rate: int, channel: int | None, duplex: DuplexProcessor | None) -> None:
        self._channel = channel
        self._duplex = duplex
        self._resampler = Resampler(rate, rate)

    def feed(self, block: _Block) -> bytes:
        pcm, rate = _mono(block.pcm, block.channels, self._channel), block.rate
        if self._duplex is not None:
            pcm, rate = self._duplex.capture(pcm, rate=rate, at=block.at), self._duplex.rate
        rest = b""
        if rate != self._resampler.rate_in:  # another device took over
            rest = self._resampler.feed(b"", last=True)
            self._resampler = Resampler(rate, self._resampler.rate_out)
        return rest + self._resampler.feed(pcm)


def _mono(pcm: bytes, channels: int, channel: int | None) -> bytes:
    if channels == 1:
        return pcm
    samples = from_pcm(pcm)
    if channel is None:
        return to_pcm(mix_down(samples, channels))
    return to_pcm(samples[min(channel, channels - 1) :: channels])


def _noise_suppressor() -> DuplexProcessor:
    from .echo import LivekitEchoCanceller

    return DuplexProcessor(LivekitEchoCanceller(echo=False, noise_suppression=True))
