from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from voxwire.cli.keys import Keyboard


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Our end and the program's."""
    ours, its = pty.openpty()
    yield ours, its
    for descriptor in (ours, its):
        try:
            os.close(descriptor)
        except OSError:
            continue


async def pressed(keys: list[str], count: int) -> None:
    async with asyncio.timeout(5):
        while len(keys) < count:
            await asyncio.sleep(0.005)


async def unwatched(descriptor: int) -> None:
    """Until the loop does not wait for it any more: else it would turn at full speed."""
    loop: Any = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        while descriptor in loop._selector.get_map():
            await asyncio.sleep(0.005)


async def test_keys_count_at_once_and_the_terminal_is_put_back(terminal) -> None:
    ours, its = terminal
    keys: list[str] = []
    before = termios.tcgetattr(its)
    with os.fdopen(os.dup(its)) as stream:
        with Keyboard(keys.append, stream) as keyboard:
            assert keyboard.interactive
            during = termios.tcgetattr(its)
            assert not during[3] & (termios.ICANON | termios.ECHO)
            assert during[3] & termios.ISIG  # Ctrl-C is still Ctrl-C
            os.write(ours, "q ü".encode())
            await pressed(keys, 3)
            keyboard.poll()
        assert keys == ["q", " ", "ü"]
        assert termios.tcgetattr(its) == before
        os.write(ours, b"x")
        await asyncio.sleep(0)
        assert len(keys) == 3


async def test_the_terminal_is_put_back_after_an_error(terminal) -> None:
    _, its = terminal
    before = termios.tcgetattr(its)
    with os.fdopen(os.dup(its)) as stream:
        with pytest.raises(RuntimeError, match="on the way"), Keyboard(print, stream):
            raise RuntimeError("on the way")
        assert termios.tcgetattr(its) == before


async def test_the_end_of_a_pipe_means_nothing() -> None:
    reading, writing = os.pipe()
    keys: list[str] = []
    with os.fdopen(reading) as stream, Keyboard(keys.append, stream) as keyboard:
        assert not keyboard.interactive
        os.write(writing, b"mi\n")
        await pressed(keys, 3)
        os.close(writing)
        await unwatched(reading)
    assert keys == ["m", "i", "\n"]


async def test_a_terminal_that_goes_away(terminal) -> None:
    ours, its = terminal
    keys: list[str] = []
    with os.fdopen(os.dup(its)) as stream:
        keyboard = Keyboard(keys.append, stream)
        with keyboard:
            os.write(ours, b"a")
            await pressed(keys, 1)
            os.close(ours)  # the window was closed
            await unwatched(stream.fileno())
    assert keys == ["a"]


@pytest.mark.parametrize("where", ["file", "null", "nothing"])
async def test_what_cannot_be_watched_gives_no_keys(where: str, tmp_path) -> None:
    path = tmp_path / "keys"
    path.write_text("q")
    keys: list[str] = []
    opened = {"file": path.open, "null": Path(os.devnull).open, "nothing": lambda: StringIO("q")}
    with opened[where]() as stream, Keyboard(keys.append, stream):
        await asyncio.sleep(0)
    assert keys == []
