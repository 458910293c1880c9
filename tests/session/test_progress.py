"""A word while a slow tool runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire import (
    AudioStarted,
    AudioStopped,
    ConnectionLost,
    RealtimeAgent,
    RunContext,
    TextDelta,
    TurnDone,
    TurnStarted,
    Usage,
    UserError,
    UserSpeechStarted,
    UserSpeechStopped,
    tool,
)
from voxwire.session.progress import Floor, progress_response


class Slow:
    """A tool that runs until it is let go."""

    def __init__(self, name: str = "slow", **settings: Any) -> None:
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.tool = tool(**{"name": name, "progress": "One moment.", "progress_after": 0.0, **settings})(
            self.run
        )

    async def run(self) -> str:
        self.entered.set()
        await self.open.wait()
        return "done"


def words(stage: Any) -> list[Any]:
    return [call["response"] for call in stage.sent("request_response")]


async def begun(stage: Any, *tools: Slow, **options: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=[slow.tool for slow in tools]), listen=("error",), **options)
    stage.start()
    for slow in tools:
        stage.call(slow.tool.name)
        await slow.entered.wait()


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_word_is_asked_for_while_a_tool_is_slow(stage: Any) -> None:
    slow = Slow()
    await begun(stage, slow)
    stage.done()
    await stage.until(lambda: words(stage))
    assert words(stage) == [progress_response("One moment.")]
    assert words(stage)[0]["tool_choice"] == "none"
    assert "One moment." in words(stage)[0]["instructions"]
    slow.open.set()
    assert await stage.answered("c1") == {"c1": "done"}
    assert len(words(stage)) == 1


async def test_a_quick_tool_needs_none(stage: Any) -> None:
    slow = Slow(progress_after=60)
    await begun(stage, slow)
    stage.done()
    slow.open.set()
    await stage.answered("c1")
    await stage.settled()
    assert words(stage) == []


async def test_the_calls_of_a_response_share_one_word(stage: Any) -> None:
    one, two = Slow("one"), Slow("two")
    await begun(stage, one, two)
    stage.done()
    await stage.until(lambda: words(stage))
    await some_turns()
    assert len(words(stage)) == 1
    for slow in (one, two):
        slow.open.set()
    await stage.answered("c1", "c2")


async def test_not_while_anybody_talks(stage: Any) -> None:
    slow = Slow()
    await begun(stage, slow)
    stage.transport.emit(AudioStarted("i1", "r1"))
    stage.done()
    await some_turns()
    assert words(stage) == []  # the agent is heard
    stage.transport.emit(UserSpeechStarted("i", 0))
    stage.transport.emit(AudioStopped(interrupted=True))
    await some_turns()
    assert words(stage) == []  # the user speaks
    stage.start("r2")
    stage.transport.emit(UserSpeechStopped("i", 0))
    await some_turns()
    assert words(stage) == []  # the agent answers
    stage.done("r2")
    await stage.until(lambda: words(stage))
    slow.open.set()
    await stage.answered("c1")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_finds_the_words(stage: Any, is_async: bool) -> None:
    def find(context: RunContext[Any]) -> str:
        assert context.call is not None
        return f"{context.agent.name} looks at {context.call.tool_name}."

    async def find_async(context: RunContext[Any]) -> str:
        return find(context)

    slow = Slow(progress=find_async if is_async else find)
    await begun(stage, slow)
    stage.done()
    await stage.until(lambda: words(stage))
    assert words(stage) == [progress_response("A looks at slow.")]
    slow.open.set()
    await stage.answered("c1")


@pytest.mark.parametrize("nothing", [None, "", "  "])
async def test_a_function_may_prefer_silence(stage: Any, nothing: str | None) -> None:
    asked = asyncio.Event()

    def find(context: RunContext[Any]) -> str | None:
        asked.set()
        return nothing

    slow = Slow(progress=find)
    await begun(stage, slow)
    stage.done()
    await asked.wait()
    await some_turns()
    slow.open.set()
    await stage.answered("c1")
    assert words(stage) == []


async def test_no_words_are_no_reason_to_fail(stage: Any) -> None:
    slow = Slow(progress=lambda context: 1 / 0)
    other = Slow("other")
    await begun(stage, slow)
    stage.done()
    await stage.until(lambda: stage.seen)
    assert isinstance(stage.seen[0].error, ZeroDivisionError)
    slow.open.set()
    assert await stage.answered("c1") == {"c1": "done"}
    stage.seen.clear()
    stage.transport.fail_next_call("request_response", ConnectionLost("gone"))
    stage.session.current_agent.tools.append(other.tool)
    await stage.session.update_agent(stage.session.current_agent)
    stage.start("r2")
    stage.call("other", response_id="r2")
    stage.done("r2")
    await stage.until(lambda: stage.seen)
    assert isinstance(stage.seen[0].error, ConnectionLost)
    other.open.set()
    await stage.answered("c2")


async def test_a_new_connection_begins_in_silence(stage: Any) -> None:
    slow = Slow()
    await begun(stage, slow)
    stage.transport.emit(AudioStarted("i1", "r1"))
    await stage.transport.disconnect()
    await stage.session.connect()
    slow.entered.clear()
    stage.call("slow", response_id="r1")
    await slow.entered.wait()
    await stage.until(lambda: words(stage))
    slow.open.set()
    await stage.answered("c2")


async def test_a_tool_that_closes_its_session_needs_no_words(stage: Any) -> None:
    finish = asyncio.Event()

    @tool(progress="Goodbye.", progress_after=0.0)
    async def hang_up(context: RunContext[Any]) -> str:
        await context.session.close()
        await finish.wait()
        return "done"

    await stage.connect(RealtimeAgent("A", tools=[hang_up]), listen=("error",))
    stage.start()
    stage.call("hang_up")
    await stage.until(lambda: stage.session.status == "disconnected")
    await some_turns()
    finish.set()
    await stage.settled()
    assert words(stage) == []
    assert stage.seen == []


@pytest.mark.parametrize("after", [-1, float("nan")])
def test_the_wait_is_checked(after: float) -> None:
    with pytest.raises(UserError, match="progress_after of tool 'slow' must be 0 s or more"):
        Slow(progress_after=after)


# -- who has the floor


def test_the_floor() -> None:
    floor = Floor()
    assert floor.wait(begun=10.0, silence=0.8, now=10.0) == pytest.approx(0.8)
    assert floor.wait(begun=10.0, silence=0.8, now=11.0) == 0
    floor.note(TurnStarted("r1"), 11.0)
    assert floor.wait(10.0, 0.8, 20.0) is None
    floor.note(AudioStarted("i1", "r1"), 11.5)
    floor.note(_done("r1"), 12.0)
    assert floor.quiet_since is None
    floor.note(AudioStopped(), 13.0)
    assert floor.wait(10.0, 0.8, 13.0) == pytest.approx(0.8)
    floor.note(UserSpeechStarted("i", 0), 13.5)
    floor.note(UserSpeechStopped("i", 0), 15.0)
    assert floor.wait(10.0, 0.8, 15.3) == pytest.approx(0.5)
    floor.note(TextDelta("hm", "i", "r9"), 16.0)
    floor.note(_done("r9"), 17.0)
    assert floor.quiet_since == 15.0  # what changes nothing begins no new silence


def test_an_end_that_was_missed() -> None:
    floor = Floor()
    floor.note(TurnStarted("r1"), 1.0)
    floor.note(TurnStarted("r2"), 2.0)
    floor.note(_done("r1"), 3.0)
    assert floor.quiet_since is None
    floor.note(_done("r2"), 4.0)
    assert floor.quiet_since == 4.0


def _done(response_id: str) -> TurnDone:
    return TurnDone(response_id, "completed", None, (), Usage())
