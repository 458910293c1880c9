"""Keeps a device open: watches it, and finds another when it goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from ..errors import DeviceError
from . import devices_portaudio as portaudio
from .callbacks import call_logged
from .devices import AudioDevice, DeviceChanged, DeviceEvent, Direction, choose
from .devices_stream import OpenStream, StreamSettings, StreamUser
from .pacing import Pacer

__all__ = ["DeviceKeeper"]

CHECK: Final = 0.2
"""Seconds between two looks at whether blocks still come."""
STALLED: Final = 0.5
"""Seconds without a block after which a device is taken as gone."""
STARTING: Final = 5.0
"""Seconds that a device may take to its first block (wireless ones take two or three)."""
RETRY: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Seconds between attempts to open any device at all; the last one repeats."""


class DeviceKeeper:
    """One device at work, and its stand-in.

    When the stream ends, or no block comes for half a second, it is opened again, or else the default
    device, or else PortAudio is restarted to see what else there is, until something can be opened.
    Meanwhile a stand-in keeps the time: it records silence at once, and plays into the void once no
    device was found.

    Args:
        wanted, direction: which device, as `choose`.
        settings: how to open it.
        user: whose audio.
        on_event: told of changes, on the event loop.
    """

    def __init__(
        self,
        wanted: str | int | None,
        direction: Direction,
        settings: StreamSettings,
        user: StreamUser,
        on_event: Callable[[DeviceEvent], object] | None,
    ) -> None:
        self._wanted = wanted
        self._direction: Direction = direction
        self._settings = settings
        self._user = user
        self._on_event = on_event
        self._stream: OpenStream | None = None
        self._dropped = False
        self._ended = asyncio.Event()
        self._end: Callable[[], None] = self._ended.set
        self._task: asyncio.Task[None] | None = None
        self._stand_in: asyncio.Task[None] | None = None

    @property
    def device(self) -> AudioDevice | None:
        """The device at work; None if there is none now."""
        return self._stream.device if self._stream is not None else None

    async def open(self) -> None:
        """Open the device and watch over it.

        Raises:
            MissingExtraError, DeviceError: it cannot be opened.
        """
        await self._start(self._wanted)
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="voxwire-device")

    async def close(self) -> None:
        """Release the device; idempotent. It is released also if this is cancelled."""
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        finally:
            self._end_stand_in()
            await self._release()

    def drop(self) -> None:
        """PortAudio is about to be restarted; in the worker thread."""
        stream = self._stream
        if stream is not None:
            self._dropped = True
            stream.close()
            self._end()

    # -- opening and watching -------------------------------------------------------------------

    async def _start(self, wanted: str | int | None) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def on_end() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ended.set)

        def make() -> OpenStream:
            device = choose(portaudio.query(), wanted, self._direction)
            return OpenStream(device, self._direction, self._settings, self._user, on_end)

        call = portaudio.worker().call
        stream = await call(make, undo=OpenStream.close)
        self._end_stand_in()
        try:
            self._user.configure(stream.rate, stream.channels, stream.latency_ms)
            await call(lambda: self._begin(stream))
        except BaseException:
            portaudio.worker().submit(stream.close)
            raise
        self._stream, self._ended, self._end = stream, ended, on_end

    def _begin(self, stream: OpenStream) -> None:
        stream.start()
        portaudio.streams.add(self)

    async def _keep(self) -> None:
        while (stream := self._stream) is not None:
            reason = await self._watch(stream)
            before = stream.device
            await self._release()
            restarted, self._dropped = self._dropped, False
            if not restarted:
                self._tell(before, None, reason)
            await self._recover(before, told=not restarted)

    async def _watch(self, stream: OpenStream) -> str:
        """Return why the device is of no use any more."""
        seen = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK):
                    await self._ended.wait()
                    return "its stream ended"
            # Looked at twice: when this program itself was held up, its blocks are late but not gone.
            last = stream.last_block
            limit = STALLED if stream.blocks else STARTING
            if last == seen and time.monotonic() - last > limit:
                return f"it gave no sign of life for {limit:g} s"
            seen = last

    async def _recover(self, before: AudioDevice, *, told: bool) -> None:
        """Open something; returns when that worked."""
        rescanned = False
        if self._direction == "input":
            self._begin_stand_in()
        for pause in _pauses():
            if await self._reopen(before):
                after = self.device
                if told or (after is not None and after.name != before.name):
                    self._tell(before if not told else None, after, "it was opened instead")
                return
            if not told:
                told = True
                self._tell(before, None, "it cannot be opened again")
            self._begin_stand_in()
            with suppress(DeviceError):
                await portaudio.worker().call(partial(self._rescan, rescanned))
                rescanned = True
            await asyncio.sleep(pause)

    async def _reopen(self, before: AudioDevice) -> bool:
        """Try the same device, the one that was asked for, the default."""
        for wanted in dict.fromkeys((f"{before.name}, {before.host_api}", self._wanted, None)):
            with suppress(DeviceError):
                await self._start(wanted)
                return True
        return False

    def _rescan(self, again: bool) -> None:
        """Look for other devices. Streams that work are disturbed once only; in the worker thread."""
        if not again or not portaudio.streams - {self}:
            portaudio.rescan()

    async def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(DeviceError):
                await portaudio.worker().call(lambda: self._finish(stream), sure=True)

    def _finish(self, stream: OpenStream) -> None:
        portaudio.streams.discard(self)
        stream.close()

    # -- the stand-in ---------------------------------------------------------------------------

    def _begin_stand_in(self) -> None:
        if self._stand_in is None:
            self._stand_in = asyncio.get_running_loop().create_task(self._stand_in_for_it())

    def _end_stand_in(self) -> None:
        if self._stand_in is not None:
            self._stand_in.cancel()
            self._stand_in = None

    async def _stand_in_for_it(self) -> None:
        pacer = Pacer()
        while True:
            await pacer.wait(self._settings.block_ms)
            self._user.absent(self._settings.block_ms, time.monotonic())

    def _tell(self, before: AudioDevice | None, after: AudioDevice | None, reason: str) -> None:
        if self._on_event is not None:
            call_logged(self._on_event, DeviceChanged(self._direction, before, after, reason))


def _pauses() -> Iterator[float]:
    yield from RETRY
    while True:
        yield RETRY[-1]
