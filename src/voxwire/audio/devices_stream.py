"""One stream of PortAudio, in one direction, for as long as its device is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from ..errors import ConfigError, DeviceError
from .devices import AudioDevice, Direction
from .devices_portaudio import library

__all__ = ["Latency", "OpenStream", "StreamSettings", "StreamUser"]

Latency: TypeAlias = Literal["low", "high"] | float
"""What to ask the device for: its low or high default, or ms."""

MAX_DELAY: Final = 5.0
"""Seconds; no device is later than that, whatever its driver says."""


_OTHERWISE: Final = frozenset((-9998, -9997, -9994))
"""`PaErrorCode`: invalid channel count, sample rate, or sample format, so that others may be accepted (portaudio.h)."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How to open a device.

    Attributes:
        rate: Hz; None takes the device's usual rate.
        channels: None takes one, or what the device can do.
        block_ms: audio per call of the device's thread, ms.
        latency: see `Latency`.

    Raises:
        ConfigError: a number cannot be used.
    """

    rate: int | None
    channels: int | None
    block_ms: float
    latency: Latency

    def __post_init__(self) -> None:
        if self.rate is not None and not 8_000 <= self.rate <= 192_000:
            raise ConfigError(f"rate is {self.rate!r} Hz; it must lie between 8000 and 192000")
        if self.channels is not None and not 1 <= self.channels <= 64:
            raise ConfigError(f"channels is {self.channels!r}; it must lie between 1 and 64")
        if not 1 <= self.block_ms <= 1000:
            raise ConfigError(f"block_ms is {self.block_ms!r}; it must lie between 1 and 1000 ms")
        if isinstance(self.latency, str):
            if self.latency not in ("low", "high"):
                raise ConfigError(f"latency is {self.latency!r}; it must be 'low', 'high' or a number of ms")
        elif not 0 <= self.latency <= 5000:
            raise ConfigError(f"latency is {self.latency!r}; it must lie between 0 and 5000 ms")


class StreamUser(Protocol):
    """Whose audio it is. Audio is s16le, channels interleaved; times are of `time.monotonic`, s."""

    def configure(self, rate: int, channels: int, latency_ms: float, /) -> None:
        """A device was opened and is about to start; on the event loop."""

    def recorded(self, pcm: bytes, at: float, /) -> None:
        """A block of input; in the device's thread."""

    def play(self, size: int, now: float, heard_at: float, /) -> bytes:
        """`size` bytes of output, the first sample being heard at `heard_at`; in the device's thread."""
        ...

    def absent(self, ms: float, now: float, /) -> None:
        """This much time has passed without a device; on the event loop."""


class OpenStream:
    """A stream; all methods in the worker thread of `devices_portaudio`.

    Args:
        device: which one.
        direction: "input" or "output".
        settings: how to open it; a rate or number of channels that it refuses is replaced.
        user: whose audio.
        on_end: called in a thread of PortAudio when the stream ends, whatever the cause.

    Raises:
        DeviceError: it cannot be opened.
    """

    def __init__(
        self,
        device: AudioDevice,
        direction: Direction,
        settings: StreamSettings,
        user: StreamUser,
        on_end: Callable[[], None],
    ) -> None:
        self.device = device
        self.blocks = 0
        self.last_block = time.monotonic()
        self._direction: Direction = direction
        self._settings = settings
        self._user = user
        self._closed = False
        self._stream: Any = self._open(on_end)
        self.rate = round(self._stream.samplerate)
        self.channels = int(self._stream.channels)
        self.latency_ms = max(0.0, float(self._stream.latency) * 1000)

    def start(self) -> None:
        """Let blocks flow.

        Raises:
            DeviceError: the device refuses.
        """
        try:
            self._stream.start()
        except library().PortAudioError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Stop and release, at once; what is in the device is dropped. Idempotent, never raises."""
        if self._closed:  # PortAudio does not check what it is given
            return
        self._closed = True
        try:
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
        except Exception:  # noqa: BLE001, S110 - the device may be gone, and so may what holds it
            pass

    def _open(self, on_end: Callable[[], None]) -> Any:
        sd = library()
        make: Any = sd.RawInputStream if self._direction == "input" else sd.RawOutputStream
        latency = self._settings.latency
        refusal: Exception | None = None
        for rate, channels in self._variants():
            try:
                return make(
                    device=self.device.index,
                    samplerate=rate,
                    channels=channels,
                    dtype="int16",
                    blocksize=max(1, round(rate * self._settings.block_ms / 1000)),
                    latency=latency if isinstance(latency, str) else latency / 1000,
                    callback=self._on_input if self._direction == "input" else self._on_output,
                    finished_callback=on_end,
                )
            except (sd.PortAudioError, ValueError) as error:
                refusal = refusal or error
                if not _OTHERWISE & {*error.args}:
                    break
        raise self._refused(refusal) from refusal

    def _variants(self) -> Iterator[tuple[int, int]]:
        """Rate and channels to try, the best first."""
        most = self.device.channels(self._direction)
        first = min(self._settings.channels or 1, most)
        rates = dict.fromkeys((self._settings.rate or self.device.rate, self.device.rate, 48_000))
        for channels in dict.fromkeys((first, min(2, most), most)):
            for rate in rates:
                yield rate, channels

    def _refused(self, error: Exception | None) -> DeviceError:
        noun = "microphone" if self._direction == "input" else "loudspeaker"
        return DeviceError(
            f"the {noun} {self.device.name!r} cannot be opened: {error}. Another program may hold it, or this one "
            "may not be allowed to use it (macOS, Windows: privacy settings; Linux: the group audio).",
            device=self.device.name,
        )

    # In the device's thread, where every step may make the sound stutter: nothing but copying.

    def _on_input(self, indata: Any, _frames: int, _times: Any, _status: Any) -> None:
        now = self.last_block = time.monotonic()
        self.blocks += 1
        self._user.recorded(bytes(indata), now)

    def _on_output(self, outdata: Any, _frames: int, times: Any, _status: Any) -> None:
        now = self.last_block = time.monotonic()
        self.blocks += 1
        # As a distance, because PortAudio's clock differs from host API to host API. Some give none.
        delay = times.outputBufferDacTime - times.currentTime if times.outputBufferDacTime else 0.0
        delay = delay if 0 < delay < MAX_DELAY else self.latency_ms / 1000
        outdata[:] = self._user.play(len(outdata), now, now + delay)
