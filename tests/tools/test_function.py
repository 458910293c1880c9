"""`@tool`, and running what it makes."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import functools
import sys
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from voxwire import (
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    ToolTimeoutError,
    UserError,
    tool,
)
from voxwire.testing import ScriptedRealtimeTransport
from voxwire.tools import InvalidArgumentsError, as_tool, output_text, run_tool

if TYPE_CHECKING:
    from decimal import Decimal


@pytest.fixture
def context() -> RunContext[Any]:
    agent = RealtimeAgent("Helper")
    return RealtimeSession(agent, transport=ScriptedRealtimeTransport(), context={"user": 1}).context


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name.
    """
    return f"It is sunny in {city}."


async def test_a_tool_is_made_of_a_function(context: RunContext[Any]) -> None:
    assert get_weather.name == "get_weather"
    assert get_weather.to_wire() == {
        "type": "function",
        "name": "get_weather",
        "description": "Return the weather for a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city's name."}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }
    assert await get_weather("Oslo") == "It is sunny in Oslo."
    result = await run_tool(get_weather, context, '{"city": "Oslo"}')
    assert (result.output, result.error, result.start_response) == ("It is sunny in Oslo.", None, True)


async def test_settings(context: RunContext[Any]) -> None:
    @tool(name="other-name", description="Other words.", strict=False, timeout=2)
    def act(one: int = 1) -> int:
        """Not this."""
        return one

    assert (act.name, act.description, act.timeout) == ("other-name", "Other words.", 2)
    assert (await run_tool(act, context, '{"more": 1}')).output == "1"


async def test_a_schema_of_ones_own(context: RunContext[Any]) -> None:
    schema = {"type": "object", "properties": {"raw": {"type": "string"}}}

    @tool(parameters=schema)
    def act(context: RunContext[Any], raw: Any) -> str:
        return f"{raw} {context.context['user']}"

    assert act.to_wire()["parameters"] == schema
    assert (await run_tool(act, context, '{"raw": 5}')).output == "5 1"
    missing = await run_tool(act, context, "{}")
    assert isinstance(missing.error, TypeError)


async def test_the_context_is_passed_where_it_is_asked_for(context: RunContext[Any]) -> None:
    @tool
    def first(ctx: RunContext, /, one: int) -> str:  # type: ignore[type-arg]
        return f"{ctx.context} {one}"

    @tool
    async def last(one: int, *, where: RunContext[dict[str, int]]) -> str:
        return f"{where.agent.name} {one}"

    assert list(first.parameters["properties"]) == ["one"]
    assert (await run_tool(first, context, '{"one": 1}')).output == "{'user': 1} 1"
    assert (await run_tool(last, context, '{"one": 1}')).output == "Helper 1"


async def test_positional_only_parameters(context: RunContext[Any]) -> None:
    @tool
    def act(one: int, two: int = 2, /) -> int:
        return one + two

    assert (await run_tool(act, context, '{"one": 1}')).output == "3"


async def test_plain_functions_run_in_a_thread(
    context: RunContext[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    def where() -> str:
        return threading.current_thread().name

    main = threading.current_thread().name
    assert (await run_tool(where, context, "")).output != main
    monkeypatch.setattr(sys, "platform", "emscripten")  # which has no threads
    assert (await run_tool(where, context, "")).output == main


async def test_other_callables(context: RunContext[Any]) -> None:
    async def slow(one: int, two: int) -> int:
        return one + two

    class Adder:
        """Add one."""

        async def __call__(self, two: int) -> int:
            return two + 1

    partial = tool(name="partial")(functools.partial(slow, 1))
    assert (await run_tool(partial, context, '{"two": 2}')).output == "3"
    adder = tool(Adder())
    assert adder.name == "Adder"
    assert (await run_tool(adder, context, '{"two": 2}')).output == "3"
    later = tool(name="later")(lambda: slow(1, 1))  # a plain function that gives a coroutine
    assert (await run_tool(later, context, "")).output == "2"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "no spaces"}, "a tool's name must be .* got 'no spaces'"),
        ({"name": "x" * 65}, "1 to 64"),
        ({"timeout": 0}, "timeout of tool 'act' must be more than 0 s or None, got 0"),
        ({"parameters": {"type": "string"}}, "must be a JSON schema with type 'object', got type 'string'"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], words: str) -> None:
    def act() -> None: ...

    with pytest.raises(UserError, match=words):
        tool(**settings)(act)


def test_functions_that_cannot_be_tools() -> None:
    def many(*names: str) -> None: ...
    def more(**names: str) -> None: ...
    def twice(one: RunContext[Any], two: RunContext[Any]) -> None: ...
    def unknown(amount: Decimal) -> None: ...

    for function, words in [
        (many, r"takes \*names"),
        (more, r"takes \*\*names"),
        (twice, "takes two RunContext parameters"),
        (unknown, "import them outside `if TYPE_CHECKING:`"),
        (5, "@tool decorates a function, got 5"),
        (get_weather, "'get_weather' is a tool already"),
    ]:
        with pytest.raises(UserError, match=words):
            tool(function)  # type: ignore[call-overload]


def test_as_tool() -> None:
    assert as_tool(get_weather) is get_weather
    with pytest.raises(UserError, match="is not a tool; decorate the function with @tool"):
        as_tool(print)
    with pytest.raises(UserError, match=r"'x' is not a tool$"):
        as_tool("x")


async def test_a_tool_by_hand(context: RunContext[Any]) -> None:
    async def invoke(context: RunContext[Any], arguments: str) -> str:
        return arguments.upper()

    made: FunctionTool[..., Any] = FunctionTool(name="up", parameters={"type": "object"}, invoke=invoke)
    assert (await run_tool(made, context, '{"a": 1}')).output == '{"A": 1}'
    with pytest.raises(UserError, match="was not made of a function"):
        made()


async def test_exceptions_become_answers(context: RunContext[Any]) -> None:
    @tool
    def act() -> None:
        raise ValueError("no such table")

    result = await run_tool(act, context, "")
    words = "An error occurred while running the tool. Please try again. Error: no such table"
    assert result.output == words
    assert isinstance(result.error, ValueError)
    assert result.error.__notes__ == ["in tool 'act', call '?'"]


async def test_broken_arguments_become_answers(context: RunContext[Any]) -> None:
    result = await run_tool(get_weather, context, '{"city"')
    assert result.output.startswith(
        "An error occurred while parsing tool arguments. Please try again with valid JSON. Error: "
    )
    assert isinstance(result.error, InvalidArgumentsError)


async def test_stop_iteration_in_a_thread_does_not_hang(context: RunContext[Any]) -> None:
    @tool
    def act() -> Any:
        return next(iter(()))

    result = await asyncio.wait_for(run_tool(act, context, ""), 5)
    assert isinstance(result.error, RuntimeError)


async def test_timeouts(context: RunContext[Any]) -> None:
    stopped = asyncio.Event()

    @tool(timeout=0.02)
    async def act() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    @tool
    async def own() -> None:
        raise TimeoutError("the database's own")

    result = await run_tool(act, context, "", timeout=60)
    assert stopped.is_set()
    assert result.output == "Tool 'act' timed out after 0.02 s."
    assert isinstance(result.error, ToolTimeoutError)
    result = await run_tool(own, context, "", timeout=60)
    assert result.output.endswith("the database's own")
    assert not isinstance(result.error, ToolTimeoutError)

    @tool
    async def slow() -> None:
        await asyncio.Event().wait()

    result = await run_tool(slow, context, "", timeout=0.02)
    assert result.output == "Tool 'slow' timed out after 0.02 s."


async def test_cancellation_from_within_is_a_failure_from_without_it_is_not(context: RunContext[Any]) -> None:
    running = asyncio.Event()

    @tool
    async def within() -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    @tool
    async def without() -> None:
        running.set()
        await asyncio.Event().wait()

    result = await run_tool(within, context, "")
    assert isinstance(result.error, RuntimeError)
    task = asyncio.ensure_future(run_tool(without, context, ""))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_error_messages(context: RunContext[Any]) -> None:
    def words(context: RunContext[Any], error: Exception) -> str:
        return f"{context.agent.name}: {type(error).__name__}"

    async def later(context: RunContext[Any], error: Exception) -> str:
        return words(context, error)

    def broken(context: RunContext[Any], error: Exception) -> str:
        raise KeyError("secret")

    def wrong(context: RunContext[Any], error: Exception) -> Any:
        return 5

    def act() -> None:
        raise ValueError("secret")

    for message, output in [
        (words, "Helper: ValueError"),
        (later, "Helper: ValueError"),
        (broken, "The tool failed."),
        (wrong, "The tool failed."),
        (None, "The tool failed."),
    ]:
        result = await run_tool(tool(error_message=message)(act), context, "")
        assert result.output == output
        assert isinstance(result.error, ValueError)


class Colour(enum.Enum):
    RED = "red"


class Shade(str, enum.Enum):  # noqa: UP042
    DARK = "dark"


class Order(BaseModel):
    dish: str
    when: dt.date


@dataclasses.dataclass
class Guest:
    name: str
    order: Order


SOUP = Order(dish="soup", when=dt.date(2026, 1, 2))


class Text:
    def __str__(self) -> str:
        return "its own words"


def rings() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("", ""),
        ("as it is", "as it is"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ({"ä": [1, None]}, '{"ä": [1, null]}'),
        ((1, 2), "[1, 2]"),
        ({"b", "a"}, '["a", "b"]'),
        (Colour.RED, '"red"'),
        (Shade.DARK, '"dark"'),
        (SOUP, '{"dish": "soup", "when": "2026-01-02"}'),
        (Guest("Ann", SOUP), '{"name": "Ann", "order": {"dish": "soup", "when": "2026-01-02"}}'),
        ([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)], '["2026-01-02T00:00:00+00:00"]'),
        (MappingProxyType({"a": 1}), '{"a": 1}'),
        ({"data": b"\x00\x01"}, '{"data": "AAE="}'),
        ([Text()], '["its own words"]'),
        (Text(), "its own words"),
        (b"", "[0 bytes of binary data]"),
        (b"\x01\xff", "[2 bytes of binary data: 01 ff]"),
        (bytes(17), "[17 bytes of binary data: " + " ".join(["00"] * 16) + " ...]"),
        (memoryview(b"\x01"), "[1 bytes of binary data: 01]"),
        (rings(), "[[...]]"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (Order, str(Order)),
        (Guest, str(Guest)),
    ],
)
def test_output_text(result: Any, text: str) -> None:
    assert output_text(result) == text


async def test_a_result_whose_text_raises(context: RunContext[Any]) -> None:
    class Bad:
        def __str__(self) -> str:
            raise ValueError("no text")

    @tool
    def act() -> Any:
        return Bad()

    assert (await run_tool(act, context, "")).output.endswith("Error: no text")


def test_a_context_does_not_show_what_it_holds(context: RunContext[Any]) -> None:
    assert repr(context) == "RunContext(agent='Helper')"
