"""The worker process around pocketsphinx: frames with audio on stdin, frames with texts on stdout.

Run as `python -m voxwire.server.speech.pocketsphinx_worker [SLOTS]`. Frames as in `frames`, each with
the number of its utterance. In: `S` start (JSON: `phrases`, `narrowband`), `A` 16 kHz PCM, `F` finish, `C` cancel.
Out: `R` ready, `P` text so far, `T` final text (JSON: `text`, `seconds`), `E` what went wrong.

SLOTS utterances are decoded at once; further ones wait with their audio kept (at most a minute of it)
until one of them ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .frames import read_frame, write_frame
from .pocketsphinx_engine import DecoderSet, Utterance

__all__ = ["main"]

_BYTES_PER_SECOND = 32_000
_MAX_WAITING_BYTES = 60 * _BYTES_PER_SECOND
_NEXT = b"N"


@dataclass
class _Job:
    phrases: tuple[str, ...]
    narrowband: bool = False
    decoders: DecoderSet | None = None
    utterance: Utterance | None = None
    received: int = 0
    finished: bool = False
    waiting: bytearray = field(default_factory=bytearray)


class _Worker:
    def __init__(self, output: BinaryIO, slots: int) -> None:
        self._output = output
        self._free = [DecoderSet()]
        self._more = slots - 1
        self._jobs: dict[int, _Job] = {}

    def handle(self, kind: bytes, number: int, payload: bytes) -> None:
        self._guarded(kind, number, payload)
        while (following := self._next_waiting()) is not None:
            self._guarded(_NEXT, following, b"")

    def _guarded(self, kind: bytes, number: int, payload: bytes) -> None:
        """Do one thing for one utterance; what goes wrong is that utterance's failure alone."""
        job = self._jobs.get(number)
        try:
            if kind == b"S":
                order: dict[str, Any] = json.loads(payload)
                self._jobs[number] = _Job(tuple(order["phrases"]), bool(order.get("narrowband")))
            elif job is None:
                return  # audio still on its way for an utterance that failed or was cancelled
            elif kind == b"A":
                self._audio(number, job, payload)
            elif kind == b"F":
                job.finished = True
                self._finish(number, job)
            elif kind == b"C":
                self._release(number)
            elif kind == _NEXT:
                self._begin(number, job)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            self._release(number)
            self._send(b"E", number, f"{type(error).__name__}: {error}")

    def _next_waiting(self) -> int | None:
        """An utterance that can begin now, because a slot is free."""
        if not self._free and not self._more:
            return None
        return next((number for number, job in self._jobs.items() if job.decoders is None), None)

    def _begin(self, number: int, job: _Job) -> None:
        if not self._free:
            self._more -= 1
            self._free.append(DecoderSet())
        job.decoders = self._free.pop()
        job.utterance = Utterance(job.decoders, job.phrases, narrowband=job.narrowband)
        if job.waiting:
            self._decode(number, job.utterance, bytes(job.waiting))
            job.waiting.clear()
        if job.finished:
            self._finish(number, job)

    def _audio(self, number: int, job: _Job, pcm: bytes) -> None:
        job.received += len(pcm)
        if job.utterance is not None:
            self._decode(number, job.utterance, pcm)
            return
        job.waiting += pcm
        if len(job.waiting) > _MAX_WAITING_BYTES:
            self._release(number)
            self._send(
                b"E", number, "Too many people talk at once: a minute of audio waited for a free recogniser."
            )

    def _decode(self, number: int, utterance: Utterance, pcm: bytes) -> None:
        partial = utterance.feed(pcm)
        if partial:
            self._send(b"P", number, partial)

    def _finish(self, number: int, job: _Job) -> None:
        if job.utterance is None:
            return  # answered as soon as a slot is free, see `_begin`
        text = job.utterance.finish()
        self._send(b"T", number, json.dumps({"text": text, "seconds": job.received / _BYTES_PER_SECOND}))
        self._release(number)

    def _release(self, number: int) -> None:
        job = self._jobs.pop(number, None)
        if job is None or job.decoders is None:
            return
        if job.utterance is not None:
            job.utterance.abandon()
        self._free.append(job.decoders)

    def _send(self, kind: bytes, number: int, text: str) -> None:
        write_frame(self._output, kind, number, text.encode())


def main(argv: list[str] | None = None) -> int:
    """Serve frames until stdin ends; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the server, which ends us
    arguments = sys.argv[1:] if argv is None else argv
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints must not get between the frames
    worker = _Worker(output, int(arguments[0]) if arguments else 2)
    try:
        write_frame(output, b"R", 0)
        while (frame := read_frame(sys.stdin.buffer)) is not None:
            worker.handle(*frame)
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
