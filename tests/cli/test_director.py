from __future__ import annotations

import asyncio
import math

import pytest

from voxwire.cli import director as module
from voxwire.cli.dialogue import FOLDER, Expectation, Line
from voxwire.cli.director import Director, Stalled, Watch, heard_for, quiet_for
from voxwire.protocol.transport_events import AudioStopped


def test_quiet_means_answered_and_a_pause(play) -> None:
    quiet = quiet_for(play.timeline, 900)
    assert quiet(100) == 800
    assert quiet(950) == 0
    play.ask("Hello", 1000, 2000, "u1")
    assert quiet(10_000) == math.inf
    play.begin("r1", 2600)
    play.speak("r1", "a1", "Hello.", 2700, 1000)
    assert quiet(10_000) == math.inf
    play.take(AudioStopped(), 3700)
    assert quiet(4000) == 600
    assert quiet(4600) == 0


def test_heard_for_counts_from_the_first_sample(play) -> None:
    heard = heard_for(play.timeline, 4000)
    assert heard(100) == math.inf
    play.ask("Tell me a story", 0, 1000, "u1")
    assert heard(2000) == math.inf
    play.begin("r1", 1500)
    play.speak("r1", "a1", "Once ...", 1600, 20_000)
    assert heard(2600) == 3000
    assert heard(5600) == 0


def test_a_reply_shorter_than_that_will_do(play) -> None:
    play.ask("Tell me a story", 0, 1000, "u1")
    play.reply("r1", "a1", "No.", 1600, 500)
    assert heard_for(play.timeline, 4000)(2200) == 0


class Clock:
    def __init__(self) -> None:
        self._begin = asyncio.get_running_loop().time()

    def __call__(self) -> float:
        return (asyncio.get_running_loop().time() - self._begin) * 1000


async def test_a_watch_looks_again_at_events_and_in_time() -> None:
    clock = Clock()
    watch = Watch(clock)
    happened: list[float] = []

    def condition(now: float) -> float:
        return max(0.0, happened[0] + 30 - now) if happened else math.inf

    def happen() -> None:
        happened.append(clock())
        watch.nudge()

    asyncio.get_running_loop().call_later(0.02, happen)
    await watch.until(condition, "it")
    assert clock() >= happened[0] + 30


async def test_a_watch_says_what_it_waited_for() -> None:
    watch = Watch(Clock(), seconds=0.02)
    with pytest.raises(Stalled, match=r"0\.02 s in vain: no answer to 'Hello'"):
        await watch.until(lambda _: math.inf, "no answer to 'Hello'")


async def test_lines_are_said_when_their_moment_has_come(play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second over the reply to the first, the third when all is quiet."""
    monkeypatch.setattr(module, "PAUSE_MS", 20)
    monkeypatch.setattr(module, "INTERRUPT_AFTER_MS", 40)
    clock = Clock()
    watch = Watch(clock, seconds=5)
    loop = asyncio.get_running_loop()
    said: list[tuple[str, bool]] = []

    def answer(number: int, ms: float) -> None:
        play.begin(f"r{number}", clock())
        play.speak(f"r{number}", f"a{number}", "Well.", clock(), ms)
        watch.nudge()

    def stop(number: int) -> None:
        play.interrupt(f"a{number}", 40, "We", "Well.", clock())
        watch.nudge()

    def finish() -> None:
        play.take(AudioStopped(), clock())
        watch.nudge()

    async def say(line: Line) -> None:
        said.append((line.text, play.timeline.playing is not None))
        if line.text == "story":
            loop.call_later(0.01, answer, 1, 5000.0)
        else:
            stop(1)
            loop.call_later(0.01, answer, 2, 30.0)
            loop.call_later(0.05, finish)

    async def type_in(line: Line) -> None:
        said.append((line.text, play.timeline.playing is not None))
        loop.call_later(0.01, answer, 3, 30.0)
        loop.call_later(0.05, finish)

    announced: list[str] = []
    director = Director(
        play.timeline,
        watch,
        clock,
        say=say,
        type_in=type_in,
        announce=lambda line: announced.append(line.text),
    )
    file = FOLDER / "1-weather.wav"
    await director.play(
        [Line("story", file), Line("stop", file, Expectation(interrupts=True)), Line("typed words")]
    )
    assert said == [("story", False), ("stop", True), ("typed words", False)]
    assert announced == ["story", "stop", "typed words"]
    story, interruption, typed = play.timeline.turns
    assert interruption.begin_ms >= story.replies[0].heard_from_ms + 40
    assert typed.begin_ms >= interruption.replies[0].heard_until_ms + 20
    assert (typed.typed, story.typed) == (True, False)
    assert play.timeline.settled
