"""PortAudio, by way of `sounddevice`: the one module that touches it, and the one thread.

PortAudio is not made for several threads (on Windows, its objects belong to the one that made them), and
opening or closing a device may take its time, or for ever when a driver is stuck. So every call is
made by one worker thread, with a limit to how long it is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeVar

from ..errors import DeviceError, MissingExtraError
from .devices import AudioDevice

__all__ = ["Rescanned", "Worker", "library", "query", "rescan", "streams", "worker"]

T = TypeVar("T")

CALL_TIMEOUT: Final = 10.0
"""Seconds until a call of PortAudio is given up."""


class Rescanned(Protocol):
    """An open stream, as `rescan` sees it."""

    def drop(self) -> None:
        """PortAudio is about to be restarted: close the stream, and open it again afterwards."""


class Worker:
    """The thread that calls PortAudio. A daemon: a stuck driver does not keep the program from ending."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self.stuck = False
        threading.Thread(target=self._run, name="voxwire-portaudio", daemon=True).start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Call it in the thread, after what was submitted before."""
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future

    def wait(self, function: Callable[[], T]) -> T:
        """Call it in the thread and wait, blocking.

        Raises:
            DeviceError: no answer in time.
            Any exception of the function.
        """
        future = self.submit(function)
        try:
            return future.result(CALL_TIMEOUT)
        except TimeoutError:
            raise self._given_up(future) from None

    async def call(
        self, function: Callable[[], T], *, undo: Callable[[T], object] | None = None, sure: bool = False
    ) -> T:
        """Call it in the thread and wait.

        Args:
            function: what to call; not at all if its turn comes when nobody waits for it any more.
            undo: called with the result, in the thread, if nobody waits for it any more.
            sure: call it in any case: it releases something.

        Raises:
            DeviceError: no answer in time.
            Any exception of the function.
        """
        future = self.submit(function)
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await asyncio.shield(asyncio.wrap_future(future))
        except (TimeoutError, asyncio.CancelledError) as error:
            if not sure and not future.cancel() and undo is not None:
                future.add_done_callback(lambda done: done.exception() or undo(done.result()))
            if isinstance(error, TimeoutError):
                raise self._given_up(future) from None
            raise

    def _given_up(self, future: Future[Any]) -> DeviceError:
        self.stuck = self.stuck or future.running()
        return DeviceError(
            f"PortAudio has not answered for {CALL_TIMEOUT:g} s. A driver may be stuck: unplug the device and "
            "plug it in again, or restart the program."
        )

    def _run(self) -> None:
        while True:
            function, future = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                future.set_exception(error)
            del function, future


_worker: list[Worker] = []
_starting = threading.Lock()
streams: weakref.WeakSet[Rescanned] = weakref.WeakSet()
"""The open streams of this process; touched in the worker thread only."""


def worker() -> Worker:
    """The worker of this process; a new one if the last is stuck."""
    with _starting:
        if not _worker or _worker[0].stuck:
            _worker[:] = [Worker()]
        return _worker[0]


def library() -> Any:
    """The `sounddevice` module; its first import starts PortAudio. In the worker thread.

    Raises:
        MissingExtraError: it is not installed.
        DeviceError: it does not find PortAudio.
    """
    try:
        import sounddevice  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("Microphone and Speaker", "audio", "sounddevice") from error
    except OSError as error:
        raise DeviceError(
            f"the PortAudio library cannot be loaded ({error}). On Debian and Ubuntu: apt install libportaudio2; "
            "on Fedora: dnf install portaudio; on macOS: brew install portaudio."
        ) from error
    found: Any = sounddevice
    return found


def query() -> list[AudioDevice]:
    """What PortAudio found when it was started. In the worker thread."""
    sd = library()
    try:
        apis: Any = sd.query_hostapis()
        found: Any = sd.query_devices()
        default_in, default_out = sd.default.device
    except sd.PortAudioError as error:
        raise DeviceError(f"PortAudio cannot list the devices: {error}") from error
    return [
        AudioDevice(
            index=index,
            name=entry["name"],
            host_api=apis[entry["hostapi"]]["name"],
            inputs=entry["max_input_channels"],
            outputs=entry["max_output_channels"],
            rate=round(entry["default_samplerate"]),
            default_input=index == default_in,
            default_output=index == default_out,
        )
        for index, entry in enumerate(found)
    ]


def rescan() -> list[AudioDevice]:
    """Restart PortAudio, which looks for devices only when it starts. In the worker thread.

    Raises:
        DeviceError: it does not start again; the next call tries once more.
    """
    sd = library()
    for stream in list(streams):
        stream.drop()
    # Not public, and the way that sounddevice's author gives (python-sounddevice issue 3).
    with contextlib.suppress(sd.PortAudioError):  # it did not start the last time
        sd._terminate()  # noqa: SLF001
    try:
        sd._initialize()  # noqa: SLF001
    except sd.PortAudioError as error:
        raise DeviceError(f"PortAudio does not start again: {error}") from error
    return query()
