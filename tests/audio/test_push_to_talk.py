from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from voxwire.audio import PushToTalk
from voxwire.errors import ConfigError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat

MS = 20


class Counter:
    """Frames that tell their number."""

    def __init__(self, count: int = 20) -> None:
        self.count = count
        self.ended = self.closed = False

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        try:
            for number in range(1, self.count + 1):
                yield bytes([number]) * format.size_of(MS)
        finally:
            self.ended = True

    async def close(self) -> None:
        self.closed = True


async def heard(key: PushToTalk, keys: dict[int, Any], format: AudioFormat = PCM16) -> list[int]:
    """The frames' numbers; before the n-th is asked for, `keys[n]` is done."""
    numbers: list[int] = []
    frames = key.frames(format)
    for number in range(100):
        if number in keys:
            keys[number]()
        frame = await anext(frames, None)
        if frame is None:
            break
        numbers.append(frame[0])
    return numbers


async def test_silence_but_for_what_is_said_with_the_key_down() -> None:
    key = PushToTalk(Counter(10), tail_ms=0)
    assert await heard(key, {2: key.press, 5: key.release}) == [0, 0, 3, 4, 5, 0, 0, 0, 0, 0]
    assert not key.pressed
    muffled = PushToTalk(Counter(2))
    assert await heard(muffled, {}, PCMU) == [0xFF, 0xFF]


async def test_nothing_but_what_is_said_with_the_key_down() -> None:
    key = PushToTalk(Counter(10), released="nothing", tail_ms=0)
    key.press()
    assert await heard(key, {3: key.release}) == [1, 2, 3]


async def test_the_tail_is_let_through_and_then_the_turn_ends() -> None:
    seen: list[str] = []

    async def commit() -> None:
        seen.append("commit")

    key = PushToTalk(Counter(9), tail_ms=30, on_commit=commit)
    key.press()
    frames = key.frames(PCM16)
    for number in range(1, 10):
        if number == 4:
            key.release()
            key.release()
            assert not key.pressed
        frame = await anext(frames)
        seen.append(str(frame[0]))
    assert seen == ["1", "2", "3", "4", "5", "commit", "0", "0", "0", "0"]
    await frames.aclose()  # type: ignore[attr-defined]
    await key.close()
    source: Any = key.source
    assert source.ended
    assert source.closed


async def test_a_press_in_the_tail_goes_on_with_the_turn() -> None:
    commits: list[int] = []
    key = PushToTalk(Counter(9), tail_ms=60, on_commit=lambda: commits.append(1))
    key.press()
    numbers = await heard(key, {2: key.release, 4: key.press, 6: lambda: key.release(commit=False)})
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert commits == []


async def test_an_error_in_the_callback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no")

    key = PushToTalk(Counter(4), tail_ms=0, on_commit=fail)
    key.press()
    assert await heard(key, {1: key.release}) == [1, 0, 0, 0]
    assert "on_commit failed" in caplog.text


@pytest.mark.parametrize("options", [{"tail_ms": -1}, {"released": "noise"}])
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=f"{name} is"):
        PushToTalk(Counter(), **options)
