"""What commands that go on for a while share: being stopped, being drawn, what keys set off, what they write."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voxwire.cli.dialogue import FOLDER
from voxwire.cli.keys import Keyboard
from voxwire.cli.paths import check_file, make_folder
from voxwire.cli.running import MOST_ACTIONS, Actions, refreshed, run_until_stopped, take_back_cancellation
from voxwire.errors import ConfigError

CLIP = str(next(FOLDER.glob("*.wav")))


class Lamp:
    """A view that counts how often it is drawn."""

    def __init__(self, fails: bool = False) -> None:
        self.drawn = 0
        self._fails = fails

    def refresh(self) -> None:
        self.drawn += 1
        if self._fails:
            raise OSError("the terminal is gone")


# -- being stopped --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped(number: signal.Signals) -> None:
    ended = []

    async def command() -> int:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("in order")
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_until_stopped(command())
    assert ended == ["in order"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_ends_in_its_own_way(number: signal.Signals) -> None:
    async def command() -> str:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            take_back_cancellation()
        async with asyncio.timeout(5):  # which would be cut short otherwise
            await asyncio.sleep(0)
        return "my way"

    assert run_until_stopped(command()) == "my way"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_before_it_serves(number: signal.Signals) -> None:
    """Its own handler of Ctrl-C is there by then, and nobody has taken the cancellation back."""
    program = (
        "import asyncio, os, voxwire.cli.serve as serve\n"
        "class Slow:\n"
        "    def __init__(self, **_): pass\n"
        "    async def __aenter__(self):\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        await asyncio.Event().wait()\n"
        "    async def __aexit__(self, *_): pass\n"
        "serve.EmbeddedServer = Slow\n"
        "raise SystemExit(serve.run(serve.ServeOptions(port=0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


# -- being drawn ----------------------------------------------------------------------------------


async def test_a_view_is_drawn_again_and_again() -> None:
    lamp = Lamp()
    async with asyncio.timeout(5):
        async with refreshed(lamp):  # type: ignore[arg-type]
            while lamp.drawn < 3:
                await asyncio.sleep(0.01)
    drawn = lamp.drawn
    await asyncio.sleep(0)
    assert lamp.drawn == drawn
    assert len(asyncio.all_tasks()) == 1


async def test_a_view_that_cannot_be_drawn_ends_nothing() -> None:
    lamp = Lamp(fails=True)
    async with refreshed(lamp):  # type: ignore[arg-type]
        while not lamp.drawn:
            await asyncio.sleep(0)


# -- what keys set off ----------------------------------------------------------------------------


async def test_actions() -> None:
    failures: list[str] = []
    actions, going, stopped = Actions(failures.append), asyncio.Event(), []

    async def fail() -> None:
        raise ZeroDivisionError("no")

    async def wait() -> None:
        going.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(1)

    actions.start(fail())
    for _ in range(MOST_ACTIONS):  # one more than there is room for
        actions.start(wait())
    await going.wait()
    assert failures == ["ZeroDivisionError: no"]
    await actions.stop()
    assert len(stopped) == MOST_ACTIONS - 1
    await actions.stop()


def test_a_keyboard_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)  # as with <&-
    pressed: list[str] = []
    with Keyboard(pressed.append) as keyboard:
        assert not keyboard.interactive
        keyboard.poll()
    assert pressed == []


# -- what they write ------------------------------------------------------------------------------


def test_files_that_can_be_written(tmp_path: Path) -> None:
    check_file("--record", tmp_path / "new.wav")
    make_folder("--out", tmp_path / "a" / "b", "one", "two")
    make_folder("--out", tmp_path / "a" / "b", "one")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_files_that_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "no" / "such.wav", tmp_path / "file" / "below.wav"):
        with pytest.raises(ConfigError, match=f"--record {path} cannot be written"):
            check_file("--record", path)
    with pytest.raises(ConfigError, match=r"--out .*below cannot be made: Not a directory"):
        make_folder("--out", tmp_path / "file" / "below")
    with pytest.raises(ConfigError, match=r"--out .*folder cannot be written"):
        make_folder("--out", tmp_path, "folder")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("demo", "--text", "Hi", "--out"), "--out"),
        (("talk", "--audio-in", CLIP, "--audio-out", "o.wav", "--record"), "--record"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_a_line(
    run_voxwire: Callable[..., tuple[int, str, str]], tmp_path: Path, command: tuple[Any, ...], option: str
) -> None:
    (tmp_path / "recording.wav").mkdir()
    status, _, errors = run_voxwire(*command, str(tmp_path))
    assert (status, errors) == (2, f"voxwire: {option} {tmp_path / 'recording.wav'} cannot be written\n")
