"""Programs that are run for one piece of work: a bounded number at a time, never left behind."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, cast

from ...errors import ConfigError, ProviderError

__all__ = ["ProcessGate", "child_environment", "kill_and_reap", "last_words", "pipes", "read_wav"]

_ERROR_BYTES = 500


class ProcessGate:
    """Starts programs, at most `limit` at a time; further ones wait for their turn.

    Raises:
        ConfigError: `limit` is less than 1.
    """

    def __init__(self, limit: int = 4) -> None:
        if limit < 1:
            raise ConfigError(f"max_processes must be at least 1, not {limit!r}.")
        self._slots = asyncio.Semaphore(limit)
        self._running: set[asyncio.subprocess.Process] = set()
        self._closed = False

    @asynccontextmanager
    async def run(
        self, argv: Sequence[str], stdin: bytes
    ) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.subprocess.Process, IO[bytes]], None]:
        """Run a program with `stdin` as its input: its output, the process, what it said on stderr.

        Leaving the block kills the program if it still runs and waits for its end.

        Raises:
            ProviderError: it could not be started, or `close` was called.
        """
        async with self._slots:
            # A file cannot fill up and stop the program as a pipe that nobody reads would.
            with tempfile.TemporaryFile() as stderr:
                process = await self._start(argv, stderr)
                try:
                    writer, reader = pipes(process)
                    writer.write(stdin)
                    writer.close()
                    yield reader, process, stderr
                finally:
                    self._running.discard(process)
                    await kill_and_reap(process)

    async def output(self, argv: Sequence[str], stdin: bytes) -> bytes:
        """Run a program to its end and return what it wrote to stdout.

        Raises:
            ProviderError: it could not be started or ended with a status other than 0.
        """
        async with self.run(argv, stdin) as (stdout, process, stderr):
            data = await stdout.read()
            status = await process.wait()
            if status != 0:
                raise ProviderError(f"{argv[0]} ended with status {status}: {last_words(stderr)}")
            return data

    async def close(self) -> None:
        """Kill what is running; idempotent."""
        self._closed = True
        for process in list(self._running):
            await kill_and_reap(process)

    async def _start(self, argv: Sequence[str], stderr: IO[bytes]) -> asyncio.subprocess.Process:
        if self._closed:
            raise ProviderError(f"{argv[0]} was not started: the synthesiser is closed.")
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise ProviderError(f"{argv[0]} could not be started: {error}") from error
        self._running.add(process)
        return process


def pipes(process: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    """Stdin and stdout of a process that was started with pipes for both."""
    return cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)


def last_words(stderr: IO[bytes]) -> str:
    """The end of what a program wrote to its stderr file."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _ERROR_BYTES))
    return stderr.read().decode("utf-8", "replace").strip() or "(no message)"


async def kill_and_reap(process: asyncio.subprocess.Process) -> None:
    """End a process and collect its status, whatever state it is in."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def child_environment() -> dict[str, str]:
    """The environment for a child that imports this package, also where it is not installed."""
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def read_wav(data: bytes) -> tuple[int, bytes]:
    """Sample rate and PCM of a mono 16 bit WAV that a program wrote to a pipe.

    Such a file has no true sizes in its header, so that the stdlib's reader refuses it.

    Raises:
        ProviderError: it is not such a file.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ProviderError(f"The program wrote no WAV audio; its output begins with {data[:12]!r}.")
    at, rate = 12, 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt ":
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
            if (kind, channels, bits) != (1, 1, 16):
                raise ProviderError(f"Mono 16 bit PCM expected, not format {kind}, {channels} x {bits} bit.")
        elif name == b"data" and rate:
            pcm = data[at : at + size]
            return rate, pcm[: len(pcm) // 2 * 2]
        at += size + size % 2
    raise ProviderError("The program wrote a WAV header without audio.")
