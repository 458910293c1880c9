"""Writing a WAV file as it is made."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from ..errors import ConfigError, UserError

__all__ = ["WavWriter"]

_HEADER: Final = 44
_UNKNOWN: Final = 0xFFFFFFFF
"""What stands for a length beyond the container's 4 GiB: readers then go on to the end of the file."""


class WavWriter:
    """A 16 bit PCM WAV file that is valid at every moment.

    The header is written again with each flush, which happens by itself after every `flush_ms` of
    audio: whoever dies while recording leaves a playable file. A context manager.

    Args:
        path: replaced if it exists; its folder must exist.
        rate: samples per second, Hz.
        channels: 1, or 2 (interleaved, left first).
        flush_ms: how much audio may be lost when the process dies, ms.

    Raises:
        ConfigError: if rate or channels cannot be written.
        OSError: if the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], rate: int, channels: int = 1, *, flush_ms: float = 1000
    ) -> None:
        if channels not in (1, 2):
            raise ConfigError(f"a WAV file with {channels!r} channels cannot be written; use 1 or 2")
        if not 1 <= rate <= 768_000:
            raise ConfigError(f"a WAV file with {rate!r} samples per second cannot be written")
        self.path = Path(path)
        self.rate = rate
        self.channels = channels
        self._frame = 2 * channels
        self._flush_bytes = flush_ms * rate * self._frame / 1000
        self._size = 0
        self._flushed = 0
        self._file: BinaryIO | None = self.path.open("wb")
        try:
            self.flush()
        except BaseException:
            self._let_go()
            raise

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._file is None

    @property
    def frames(self) -> int:
        """Samples per channel in the file."""
        return self._size // self._frame

    @property
    def duration_ms(self) -> float:
        """Length of the file, ms."""
        return self.frames * 1000 / self.rate

    def write(self, pcm: bytes) -> None:
        """Append whole frames of s16le.

        Raises:
            UserError: if the writer is closed, or `pcm` ends within a frame.
        """
        file = self._open_file()
        if len(pcm) % self._frame:
            raise UserError(f"{len(pcm)} bytes are no whole number of frames of {self._frame} bytes")
        file.write(pcm)
        self._size += len(pcm)
        if self._size - self._flushed >= self._flush_bytes:
            self.flush()

    def truncate(self, frames: int) -> None:
        """Cut the file after `frames` samples per channel; what is shorter stays as it is."""
        file = self._open_file()
        size = max(0, frames) * self._frame
        if size < self._size:
            file.seek(_HEADER + size)
            file.truncate()
            self._size = size
            self.flush()

    def flush(self) -> None:
        """Bring everything to disk, with a header that says how much it is."""
        file = self._open_file()
        file.flush()  # the samples first: the header must never promise what is not there
        file.seek(0)
        file.write(self._header())
        file.seek(_HEADER + self._size)
        file.flush()
        self._flushed = self._size

    def close(self) -> None:
        """Finish the file; idempotent. It is closed also where the disk refuses the rest.

        Raises:
            OSError: if it does.
        """
        if self._file is not None:
            try:
                self.flush()
            finally:
                self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # of what is still in its buffer; `flush` has told
                file.close()

    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise UserError(f"the WAV file {self.path} is closed")
        return self._file

    def _header(self) -> bytes:
        whole = self._size + _HEADER - 8
        known = whole < _UNKNOWN
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            whole if known else _UNKNOWN,
            b"WAVE",
            b"fmt ",
            16,
            1,
            self.channels,
            self.rate,
            self.rate * self._frame,
            self._frame,
            16,
            b"data",
            self._size if known else _UNKNOWN,
        )
