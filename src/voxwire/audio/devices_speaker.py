"""A loudspeaker as an audio sink."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from ..errors import ConfigError, UserError
from ..protocol.formats import PCM16, AudioFormat
from .callbacks import call_logged
from .devices import AudioDevice, AudioDropped, DeviceEvent
from .devices_keeper import DeviceKeeper
from .devices_playback import PlayBuffer
from .devices_stream import Latency, StreamSettings
from .echo_duplex import DuplexProcessor
from .gain import apply_gain, checked_gain
from .resample import Converter
from .samples import from_pcm, to_pcm

__all__ = ["Speaker"]

_log = logging.getLogger("voxwire.audio")

BLOCK_MS: Final = 10
"""Audio per call of the device's thread, ms: how soon `clear` is silent."""
QUIET: Final = 0.06
"""Seconds without a write after which the end of a reply is no longer kept in the resampler."""
NEARLY_DRY: Final = 0.03
"""Seconds left to play at which that matters."""


class Speaker:
    """A loudspeaker, by way of PortAudio (extra `audio`).

    It knows to a few milliseconds what was heard, by the device's clock; gaps in the audio are silence and
    do not count. It stays open, playing silence, from the first `open` until `close`, which is the
    caller's to call (`async with Speaker() as speaker` does). When the device is unplugged, playing goes
    on with the default device, and into the void while there is none (see `DeviceChanged`).

    Args:
        device: a name, a part of one, or an index (see `list_devices`); None for the default.
        gain: a factor for what is written from now on; what gets too loud is clipped.
        channels: how many to open; None takes one if the device allows. All play the same.
        rate: to open the device with, Hz; None takes its usual one. Audio of any rate can be written.
        latency: what to ask the device for: "low", "high", or ms.
        echo_canceller: shared with the `Microphone`; see `make_echo_canceller`.
        prebuffer_ms: after a pause, playing begins when this much is there, or this much later: absorbs the
            jitter of audio that arrives in real time.
        max_buffer_ms: audio that may wait, ms; a transport stops reading beyond that. A write that finds more
            waiting is dropped: `dropped_ms` counts, and an `AudioDropped` is reported.
        on_event: called on the event loop with each `DeviceChanged` and `AudioDropped`; an error in it is logged.

    Raises:
        ConfigError: a number cannot be used.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        gain: float = 1.0,
        channels: int | None = None,
        rate: int | None = None,
        latency: Latency = "low",
        echo_canceller: DuplexProcessor | None = None,
        prebuffer_ms: float = 40,
        max_buffer_ms: float = 120_000,
        on_event: Callable[[DeviceEvent], object] | None = None,
    ) -> None:
        if not max_buffer_ms >= 1:
            raise ConfigError(f"max_buffer_ms is {max_buffer_ms!r}; it must be 1 ms or more")
        if not 0 <= prebuffer_ms <= 1000:
            raise ConfigError(f"prebuffer_ms is {prebuffer_ms!r}; it must lie between 0 and 1000 ms")
        self.device = device
        self.max_buffer_ms = max_buffer_ms
        self.dropped_ms = 0.0
        self._settings = StreamSettings(rate, channels, BLOCK_MS, latency)
        self._gain = checked_gain(gain)
        self._prebuffer = prebuffer_ms / 1000
        self._duplex = echo_canceller
        self._on_event = on_event
        self._full = False
        self._format = PCM16
        self._keeper: DeviceKeeper | None = None
        self._output = _Output(self._prebuffer, echo_canceller)
        self._tail: asyncio.TimerHandle | None = None
        self._written_at = 0.0

    @property
    def gain(self) -> float:
        """A factor; may be changed at any time, for what is written afterwards.

        Raises:
            ConfigError: when set to a negative number, or one that is not finite.
        """
        return self._gain

    @gain.setter
    def gain(self, gain: float) -> None:
        self._gain = checked_gain(gain)

    @property
    def active_device(self) -> AudioDevice | None:
        """The device at work; None while there is none."""
        return self._keeper.device if self._keeper is not None else None

    async def open(self, format: AudioFormat, /) -> None:
        """Open the device, or go on with audio in another format behind what waits.

        Raises:
            MissingExtraError, DeviceError: the device cannot be opened.
        """
        self._output.take(format)
        self._format = format
        if self._keeper is None:
            keeper = DeviceKeeper(self.device, "output", self._settings, self._output, self._report)
            await keeper.open()
            self._keeper = keeper

    def write(self, data: bytes, /) -> None:
        """Queue behind what waits.

        Raises:
            UserError: before `open` and after `close`.
        """
        if self._keeper is None:
            raise UserError("the Speaker is not open: await speaker.open(format) first")
        if self.buffered_ms() > self.max_buffer_ms:
            self._drop(self._format.duration_ms(len(data)))
            return
        self._full = False
        self._written_at = time.monotonic()
        self._output.write(data, self._gain, self._written_at)
        if self._tail is None:
            self._watch_tail()

    def clear(self, _heard_ms: float, /) -> None:
        """Fall silent with the next block (10 ms, and what the device itself has in store)."""
        self._output.clear(time.monotonic())
        self._forget_tail()

    def heard_ms(self) -> float:
        """Audio that has left the device, ms, without what `clear` dropped."""
        return self._output.heard(time.monotonic()) * 1000

    def buffered_ms(self) -> float:
        """Audio written and not heard yet, ms."""
        return self._output.unheard(time.monotonic()) * 1000

    async def drain(self) -> None:
        """Return when everything written so far, and meanwhile, has been heard."""
        rest = self.buffered_ms()
        while self._keeper is not None and rest > 0.1:
            await asyncio.sleep(max(rest, 5) / 1000)
            rest = self.buffered_ms()

    async def close(self) -> None:
        """Fall silent and release the device; idempotent. `open` opens it again."""
        keeper, self._keeper = self._keeper, None
        self._forget_tail()
        self._output.clear(time.monotonic())
        if keeper is not None:
            await keeper.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    def _watch_tail(self) -> None:
        """When the end of a reply is about to be played, get the last of it out of the resampler."""
        self._tail = None
        left = self._output.waiting() - NEARLY_DRY
        quiet = QUIET - (time.monotonic() - self._written_at)
        if left <= 0 and quiet <= 0:
            self._output.finish(time.monotonic())
            return
        self._tail = asyncio.get_running_loop().call_later(max(left, quiet, 0.002), self._watch_tail)

    def _forget_tail(self) -> None:
        if self._tail is not None:
            self._tail.cancel()
            self._tail = None

    def _drop(self, ms: float) -> None:
        self.dropped_ms += ms
        if not self._full:
            self._full = True
            _log.warning("the Speaker is full (%g ms waiting): audio is dropped", self.max_buffer_ms)
            self._report(AudioDropped("output", self.dropped_ms))

    def _report(self, event: DeviceEvent) -> None:
        if self._on_event is not None:
            call_logged(self._on_event, event)


class _Output:
    """Audio of the transport's format in, audio of the device's format out. Survives the device."""

    def __init__(self, prebuffer: float, duplex: DuplexProcessor | None) -> None:
        self._prebuffer = prebuffer
        self._duplex = duplex
        self._rate, self._channels = 48_000, 1
        self._buffer = PlayBuffer(self._rate, prebuffer=prebuffer)
        self._format = PCM16
        self._converter: Converter | None = None
        self._written = 0  # samples of the format, since its converter counts
        self._made = 0  # samples of the device, out of these

    # -- the writer, on the event loop

    def take(self, format: AudioFormat) -> None:
        if format != self._format:
            self.finish(time.monotonic())
            self._format = format
            self._written = self._made = 0

    def write(self, data: bytes, gain: float, now: float) -> None:
        if self._converter is None:
            self._converter = Converter(self._format, AudioFormat("audio/pcm", self._rate))
        self._written += len(data) // self._format.sample_bytes
        self._queue(apply_gain(self._converter.feed(data), gain), now)

    def finish(self, now: float) -> None:
        """Get out what the resampler holds back; it lasts as long as what was written, to the sample."""
        if self._converter is None:
            return
        pcm = self._converter.feed(b"", last=True)
        self._converter = None
        missing = self._written * self._rate // self._format.rate - self._made
        self._queue(pcm[: missing * 2].ljust(max(0, missing) * 2, b"\0"), now)

    def clear(self, now: float) -> None:
        self._converter = None
        self._written = self._made = 0
        self._buffer.clear(now)

    def heard(self, now: float) -> float:
        return self._buffer.heard(now)

    def waiting(self) -> float:
        return self._buffer.waiting()

    def unheard(self, now: float) -> float:
        held = self._written / self._format.rate - self._made / self._rate if self._converter else 0.0
        return self._buffer.unheard(now) + max(0.0, held)

    def _queue(self, pcm: bytes, now: float) -> None:
        self._made += len(pcm) // 2
        self._buffer.write(_spread(pcm, self._channels), now)

    # -- StreamUser

    def configure(self, rate: int, channels: int, latency_ms: float, /) -> None:
        if self._duplex is not None:
            self._duplex.set_latency("output", latency_ms)
        self._buffer.lost()
        if (rate, channels) == (self._rate, self._channels):
            return
        self.finish(time.monotonic())
        converter = Converter(AudioFormat("audio/pcm", self._rate), AudioFormat("audio/pcm", rate))
        old = self._channels

        def convert(pcm: bytes) -> bytes:
            return _spread(converter.feed(_first(pcm, old), last=True), channels)

        self._buffer.reformat(rate, 2 * channels, convert)
        self._rate, self._channels = rate, channels
        self._written = self._made = 0

    def recorded(self, pcm: bytes, at: float, /) -> None:
        """Nothing is recorded here."""

    def play(self, size: int, now: float, heard_at: float, /) -> bytes:
        pcm = self._buffer.read(size, now, heard_at)
        if self._duplex is not None:
            self._duplex.render(_first(pcm, self._channels), rate=self._rate, at=now)
        return pcm

    def absent(self, ms: float, now: float, /) -> None:
        self.play(round(self._rate * ms / 1000) * 2 * self._channels, now, now)


def _spread(pcm: bytes, channels: int) -> bytes:
    """Mono on all channels."""
    if channels == 1:
        return pcm
    samples = from_pcm(pcm)
    spread = array("h", bytes(len(samples) * channels * 2))
    for channel in range(channels):
        spread[channel::channels] = samples
    return to_pcm(spread)


def _first(pcm: bytes, channels: int) -> bytes:
    """The first channel of all."""
    return pcm if channels == 1 else to_pcm(from_pcm(pcm)[::channels])
