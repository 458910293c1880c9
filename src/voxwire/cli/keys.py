"""Single keys from the terminal, while something else goes on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, Self, TextIO

__all__ = ["Keyboard"]

MOST_BYTES: Final = 1024


class Keyboard:
    """Calls `on_key` with each character that is typed; what it changes at the terminal it puts back.

    In a terminal keys count at once and are not shown; Ctrl-C still interrupts. Where the input is a pipe or a
    file, its characters count as they come, and its end means nothing.

    Args:
        on_key: called on the event loop. stream: where keys come from; without any there are none.
    """

    def __init__(self, on_key: Callable[[str], None], stream: TextIO | None = None) -> None:
        self._on_key = on_key
        self._stream: TextIO | None = stream or sys.stdin  # None where it was closed from the start
        self._stack = ExitStack()

    @property
    def interactive(self) -> bool:
        """Whether somebody can press keys."""
        return self._stream is not None and self._stream.isatty()

    def __enter__(self) -> Self:
        descriptor = self._descriptor()
        if descriptor is not None and sys.platform != "win32":
            self._read_from(descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def poll(self) -> None:
        """Take what was typed where nobody tells of it (Windows); to be called now and then."""
        if sys.platform == "win32":
            import msvcrt

            while self.interactive and msvcrt.kbhit():
                self._on_key(msvcrt.getwch())

    def _descriptor(self) -> int | None:
        if self._stream is None:
            return None
        try:
            return self._stream.fileno()
        except (OSError, ValueError):
            return None  # closed, or none at all

    def _read_from(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        if self.interactive:
            self._stack.enter_context(_keys_at_once(descriptor))
        try:
            loop.add_reader(descriptor, self._readable, descriptor)
        except (NotImplementedError, OSError):  # a file, or /dev/null: epoll takes neither
            return
        self._stack.callback(loop.remove_reader, descriptor)

    def _readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, MOST_BYTES)
        except OSError:
            data = b""  # the terminal is gone
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
        for key in data.decode(errors="ignore"):
            self._on_key(key)


@contextmanager
def _keys_at_once(descriptor: int) -> Generator[None]:
    """Without waiting for the end of the line, and without showing them."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
