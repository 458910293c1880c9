"""Speech to text by pocketsphinx in a worker process: offline, English, best with likely phrases.

Where the session says what its users are likely to say (transcription prompt, keywords, tools),
those sentences are recognised almost without error; anything else is dictation as good as a
small recogniser can.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from ...errors import ConfigError, MissingExtraError, ProviderError
from .base import SpeechHints, Transcript, Transcription
from .frames import HEADER, pack_frame, unpack_header
from .processes import child_environment, kill_and_reap, last_words, pipes

__all__ = ["PocketsphinxTranscriber"]

logger = logging.getLogger("voxwire.server")

_MAX_BUFFERED = 16 << 20
_CLOSE_TIMEOUT = 2.0
_FRAME_BYTES = 1 << 20


class PocketsphinxTranscriber:
    """Recognises on one worker process, started with the first utterance (0.6 s) and again if it dies.

    A worker that dies fails the utterances it was working on; the next one gets a new worker. Audio
    that the worker has not taken yet is bounded (16 MiB): beyond it the utterance fails.

    Args:
        slots: utterances that are decoded at once, 150 MB and 0.4 of a core each; further ones wait.

    Raises:
        MissingExtraError: `pocketsphinx` is not installed.
        ConfigError: `slots` is less than 1.
    """

    def __init__(self, *, slots: int = 2) -> None:
        if slots < 1:
            raise ConfigError(f"slots must be at least 1, not {slots!r}.")
        if importlib.util.find_spec("pocketsphinx") is None:
            raise MissingExtraError("Offline transcription", "server", "pocketsphinx")
        self._slots = slots
        self._worker: _Worker | None = None
        self._closed = False
        self._ended: set[asyncio.Task[None]] = set()

    def start(self, hints: SpeechHints, on_partial: Callable[[str], None], /) -> Transcription:
        """See `Transcriber.start`.

        Raises:
            ProviderError: the transcriber is closed.
        """
        if self._closed:
            raise ProviderError("The transcriber is closed.")
        worker = self._worker
        if worker is None or worker.ending:
            worker = self._worker = _Worker(self._slots)
            self._ended.add(worker.task)
            worker.task.add_done_callback(self._ended.discard)
        return worker.begin(hints, on_partial)

    async def close(self) -> None:
        """End the worker and wait for it; utterances under way fail. Idempotent."""
        self._closed = True
        if self._worker is not None:
            self._worker.end()
        if self._ended:
            await asyncio.wait(self._ended)


class _Utterance:
    """One utterance on a worker."""

    def __init__(self, worker: _Worker, number: int, on_partial: Callable[[str], None]) -> None:
        self._worker = worker
        self._number = number
        self.on_partial = on_partial
        self.result: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()

    def feed(self, pcm: bytes, /) -> None:
        for at in range(0, len(pcm), _FRAME_BYTES):
            self._worker.send(b"A", self._number, pcm[at : at + _FRAME_BYTES])

    async def finish(self) -> Transcript:
        self._worker.send(b"F", self._number)
        try:
            return await asyncio.shield(self.result)
        except asyncio.CancelledError:
            self.cancel()
            raise

    def cancel(self) -> None:
        if self._worker.forget(self._number):
            self._worker.send(b"C", self._number)
        self.result.cancel()

    def fail(self, message: str) -> None:
        if not self.result.done():
            self.result.set_exception(ProviderError(message, retryable=True))
            # `finish` may never be called; that is no reason for a warning.
            self.result.exception()


class _Worker:
    """The process, the task that reads from it, and the utterances it works on."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._stdin: asyncio.StreamWriter | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._utterances: dict[int, _Utterance] = {}
        self._count = 0
        self._stop = asyncio.Event()
        self.ending = False
        self.task = asyncio.create_task(self._run(), name="voxwire-pocketsphinx")

    def begin(self, hints: SpeechHints, on_partial: Callable[[str], None]) -> _Utterance:
        self._count += 1
        utterance = self._utterances[self._count] = _Utterance(self, self._count, on_partial)
        order = {"phrases": hints.phrases, "narrowband": hints.narrowband}
        self.send(b"S", self._count, json.dumps(order).encode())
        return utterance

    def send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        frame = pack_frame(kind, number, payload)
        if kind == b"A" and self._buffered() + len(frame) > _MAX_BUFFERED:
            utterance = self._utterances.get(number)
            if utterance is not None:
                utterance.fail(f"The recogniser is more than {_MAX_BUFFERED >> 20} MiB of audio behind.")
                self.forget(number)
                self.send(b"C", number)
        elif self._stdin is not None:
            if not self._stdin.is_closing():
                self._stdin.write(frame)
        elif not self.task.done():
            self._early.append(frame)
            self._early_bytes += len(frame)

    def forget(self, number: int) -> bool:
        return self._utterances.pop(number, None) is not None

    def end(self) -> None:
        self._stop.set()

    def _buffered(self) -> int:
        return self._early_bytes if self._stdin is None else self._stdin.transport.get_write_buffer_size()

    async def _run(self) -> None:
        reason = "The recogniser was closed."
        with tempfile.TemporaryFile() as stderr:
            try:
                process = await self._start(stderr)
            except OSError as error:
                reason = f"The recogniser could not be started: {error}"
            else:
                reason = await self._serve(process, stderr) or reason
        self.ending = True
        self._early.clear()
        for utterance in list(self._utterances.values()):
            utterance.fail(reason)
        self._utterances.clear()

    async def _start(self, stderr: IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "voxwire.server.speech.pocketsphinx_worker",
            str(self._slots),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=child_environment(),
            start_new_session=True,
        )

    async def _serve(self, process: asyncio.subprocess.Process, stderr: IO[bytes]) -> str | None:
        """Work until the process dies (why?) or is to end (None)."""
        self._stdin, stdout = pipes(process)
        self._stdin.writelines(self._early)
        self._early.clear()
        reading = asyncio.create_task(self._read(stdout))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.ending = True
            self._stdin.close()
            # The end of its input ends the worker; a stuck one is killed below.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), _CLOSE_TIMEOUT)
        finally:
            reading.cancel()
            stopping.cancel()
            await kill_and_reap(process)
            await asyncio.gather(reading, stopping, return_exceptions=True)
        if self._stop.is_set():
            return None
        return f"The recogniser ended with status {process.returncode}: {last_words(stderr)}"

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                length, kind, number = unpack_header(await stdout.readexactly(HEADER.size))
                self._deliver(kind, number, await stdout.readexactly(length))

    def _deliver(self, kind: bytes, number: int, payload: bytes) -> None:
        utterance = self._utterances.get(number)
        if utterance is None or utterance.result.done():
            return
        if kind == b"P":
            try:
                utterance.on_partial(payload.decode())
            except Exception:  # of one session; the others are on this worker as well
                logger.exception("the partial text of an utterance could not be taken")
            return
        self.forget(number)
        if kind == b"T":
            result = json.loads(payload)
            utterance.result.set_result(Transcript(result["text"], result["seconds"]))
        else:
            utterance.fail(payload.decode("utf-8", "replace"))
