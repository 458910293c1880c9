from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from voxwire.server.speech.arguments import fill_arguments
from voxwire.server.speech.base import (
    Incomplete,
    ResponseRequest,
    SpeechHints,
    SynthesisRequest,
    TextPart,
    ToolCallPart,
)
from voxwire.server.speech.hints import hints_from_session
from voxwire.server.speech.matching import THRESHOLD, best_match, stem, tokens
from voxwire.server.speech.phrases import STORIES, persona, say_result
from voxwire.server.speech.responder_rules import RuleResponder
from voxwire.server.speech.synth_tone import ToneSynthesizer
from voxwire.server.speech.transcriber_pocketsphinx import PocketsphinxTranscriber


def tool(
    name: str, description: str = "", required: list[str] | None = None, /, **schemas: Any
) -> dict[str, Any]:
    needed = list(schemas) if required is None else required
    parameters = {"type": "object", "properties": schemas, "required": needed}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
WEATHER = tool("get_weather", "Return the weather for a city.", city=STRING)
TABLE = tool("book_table", "Book a table at the restaurant.", day=STRING, people=INTEGER)
LEO = tool(
    "transfer_to_Leo", "Handoff to the Leo agent to handle the request. Storyteller who knows long stories."
)
MATH = tool(
    "transfer_to_Math_Tutor", "Handoff to the Math Tutor agent to handle the request. Specialist for math"
)
ALL = (WEATHER, TABLE, LEO, MATH)


def user(text: str, *images: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "input_audio", "transcript": text}]
    content += [{"type": "input_image", "image_url": url} for url in images]
    return {"type": "message", "role": "user", "content": content}


def assistant(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": text}]}


def called(name: str, output: str) -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "call_id": f"c-{name}", "name": name, "arguments": "{}"},
        {"type": "function_call_output", "call_id": f"c-{name}", "output": output},
    ]


async def parts(
    *items: dict[str, Any], tools: Any = ALL, instructions: str = "You are Ava.", **options: Any
) -> list[Any]:
    request = ResponseRequest(instructions, items, tools, **options)
    first = [part async for part in RuleResponder().respond(request)]
    assert first == [part async for part in RuleResponder().respond(request)], "not deterministic"
    return first


async def said(*items: dict[str, Any], **options: Any) -> str:
    found = await parts(*items, **options)
    assert all(isinstance(part, TextPart) for part in found), found
    return "".join(part.text for part in found)


async def call(*items: dict[str, Any], **options: Any) -> tuple[str, Any]:
    (part,) = await parts(*items, **options)
    assert isinstance(part, ToolCallPart), part
    return part.name, json.loads(part.arguments)


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("What is the weather in Tokyo?", "get_weather", {"city": "Tokyo"}),
        ("what is the weather in tokyo", "get_weather", {"city": "Tokyo"}),
        ("Is it going to rain in New York tomorrow?", "get_weather", {"city": "New York"}),
        ("I'd like to know the weather in Berlin", "get_weather", {"city": "Berlin"}),
        ("Please book a table for two on Friday.", "book_table", {"day": "Friday", "people": 2}),
        ("reserve a table for 12 people tomorrow", "book_table", {"day": "tomorrow", "people": 12}),
        ("Please let me talk to the storyteller.", "transfer_to_Leo", {}),
        ("Tell me a long story.", "transfer_to_Leo", {}),
        ("talk to the math tutor", "transfer_to_Math_Tutor", {}),
        ("I have a math question: what is two plus two?", "transfer_to_Math_Tutor", {}),
    ],
)
async def test_calls_the_tool_that_fits(text: str, name: str, arguments: dict[str, Any]) -> None:
    assert await call(user(text)) == (name, arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello", "I am Ava"),
        ("how are you today", "very well"),
        ("What can you do?", "get weather"),
        ("who are you", "I am Ava"),
        ("goodbye ava", "Goodbye"),
        ("Stop, please. Thank you.", "I will stop"),
        ("Thank you, goodbye.", "Goodbye"),
        ("thanks a lot", "welcome"),
        ("tell me a joke", "microphone"),
        ("Repeat after me: good luck", "good luck"),
        ('Say "hi there" now', "hi there"),
        ("The sky is green.", "I understood: The sky is green."),
        ("well thanks for the purple elephant", "welcome"),
        ("stopwatch in Delhi", "I understood"),
        ("", "did not catch"),
    ],
)
async def test_talks(text: str, words: str) -> None:
    assert words in await said(user(text))


async def test_greets_without_a_question() -> None:
    assert await said() == "Hello! I am Ava. How can I help you?"
    assert "your assistant" in await said(instructions="Be kind.")
    assert "anything else" in await said(user("hi"), assistant("Hello!"))
    assert await said(instructions='Say exactly: "All lines are busy"') == "All lines are busy"


async def test_speaks_results() -> None:
    question = user("What is the weather in Tokyo?")
    assert await said(question, *called("get_weather", "It is sunny in Tokyo.")) == "It is sunny in Tokyo."
    both = [*called("get_weather", '{"sky": "clear", "degrees": 20}'), *called("book_table", "ok")]
    assert await said(question, *both) == "The sky is clear and the degrees is 20. Done."
    mcp = {"type": "mcp_call", "name": "search", "output": "three results found"}
    assert await said(question, mcp) == "Three results found."
    assert "did not work: No." in await said(question, {"type": "mcp_call", "name": "s", "error": "no"})


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("42", "The result is 42."),
        ('"blue"', "The result of get color is blue."),
        ("", "Done."),
        ("null", "Done."),
        ("{}", "Done."),
        ('["a", "b", "c"]', "The result is a, b and c."),
        ('{"error": "no such user"}', "Sorry, that did not work: No such user."),
        (
            '{"user": {"first_name": "Al"}, "ok": false, "x": null}',
            "The user is first name Al, the ok is no and the x is nothing.",
        ),
        ("success", "Done."),
    ],
)
def test_results_as_sentences(output: str, sentence: str) -> None:
    assert say_result("get_color", output) == sentence


async def test_after_a_handoff_the_new_agent_answers() -> None:
    handed = called("transfer_to_Leo", '{"assistant": "Leo"}')
    back = tool(
        "transfer_to_Ava", "Handoff to the Ava agent to handle the request. Stories and weather and all."
    )
    text = await said(
        user("Tell me a long story."), *handed, tools=(back,), instructions="You are Leo, a teller."
    )
    assert text == f"Hello, this is Leo. {STORIES[0]}"
    assert (
        await said(user("let me talk to leo"), *handed, tools=(), instructions="")
        == "Hello, this is Leo. How can I help you?"
    )
    found = await parts(user("Weather in Rome, from somebody else please"), *handed, tools=(WEATHER,))
    assert found == [TextPart("Hello, this is Ava."), ToolCallPart("get_weather", '{"city": "Rome"}')]
    mixed = [*called("get_weather", "It rains."), *handed]
    assert await said(user("x"), *mixed, tools=()) == "It rains. Hello, this is Ava. How can I help you?"


async def test_tool_choice() -> None:
    question = user("What is the weather in Tokyo?")
    assert "I understood" in await said(question, tool_choice="none")
    assert await call(user("hm"), tool_choice="required", tools=(LEO,)) == ("transfer_to_Leo", {})
    assert (await call(question, tool_choice={"type": "function", "name": "book_table"}))[0] == "book_table"
    assert (await call(question, tool_choice={"type": "function", "function": {"name": "get_weather"}})) == (
        "get_weather",
        {"city": "Tokyo"},
    )
    assert "I understood" in await said(
        user("The sky is green"), tool_choice={"type": "function", "name": "nothing"}
    )


async def test_asks_for_what_is_missing_and_uses_the_answer() -> None:
    assert await said(user("weather please")) == "Please tell me the city."
    answered = (user("weather please"), assistant("Please tell me the city."), user("tokyo."))
    assert await call(*answered) == ("get_weather", {"city": "Tokyo"})
    first = (user("book a table on monday"), assistant("Please tell me the people."), user("four of us"))
    assert await call(*first) == ("book_table", {"day": "Monday", "people": 4})


async def test_story_is_long_and_goes_on_after_an_interruption() -> None:
    story = await said(user("Tell me a long story."), tools=())
    pieces = [piece async for piece in ToneSynthesizer().speak(SynthesisRequest(story))]
    assert sum(len(p.pcm) for p in pieces) / 32000 > 25
    heard = story[: story.index("One night") + 20]
    rest = await said(user("a story"), assistant(heard), user("please continue"), tools=())
    assert rest.startswith("Where was I? One night")
    assert await said(user("a story"), assistant(story), user("another story"), tools=()) == STORIES[1]
    assert "end of the story" in await said(user("a story"), assistant(story), user("go on"), tools=())


async def test_pictures() -> None:
    png = base64.b64encode(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + bytes(40)
    ).decode()
    assert "640 by 480" in await said(user("", f"data:image/png;base64,{png}"))
    assert "a JPEG picture" in await said(user("look", "data:image/jpeg;base64,AAAA"))
    assert "a PNG picture" in await said(user("look", "data:image/png;base64,!!"))
    assert "I see a picture." in await said(user("look", "https://example.com/x"))
    found = await parts(user("what is the weather in Oslo", "https://example.com/x"))
    assert isinstance(found[-1], ToolCallPart)


async def test_output_limit() -> None:
    found = await parts(user("Tell me a story"), tools=(), options={"max_output_tokens": 20})
    assert found[-1] == Incomplete("max_output_tokens")
    assert 40 < len("".join(part.text for part in found[:-1])) <= 80
    assert await said(user("hello"), options={"max_output_tokens": "inf"})


def test_matching() -> None:
    assert best_match("anything", []) is None
    weak = best_match("the sky is green", ALL)
    assert weak is not None
    assert weak.score < THRESHOLD
    assert stem("stories") == stem("story")
    assert stem("bookings") == stem("reservation") == "book"
    assert stem("stopped") == "stop"
    assert tokens("getWeatherNow for_the_city's") == ["get", "weather", "city"]
    other = best_match("can I speak to someone else, a colleague", (WEATHER, LEO))
    assert other is not None
    assert other.tool is LEO
    assert other.score >= THRESHOLD


def fill(text: str, /, **schemas: Any) -> dict[str, Any]:
    return fill_arguments(tool("do_it", "", **schemas), text).values


@pytest.mark.parametrize(
    ("text", "schemas", "values"),
    [
        ("make it dark red", {"color": {"enum": ["blue", "dark_red"]}}, {"color": "dark_red"}),
        ("make it", {"color": {"enum": ["blue"]}}, {}),
        ("with breakfast", {"breakfast": {"type": "boolean"}}, {"breakfast": True}),
        ("without breakfast please and quickly", {"breakfast": {"type": "boolean"}}, {"breakfast": False}),
        ("yes", {"confirmed": {"type": "boolean"}}, {"confirmed": True}),
        ("something long about nothing at all", {"confirmed": {"type": "boolean"}}, {}),
        (
            "two adults and three children",
            {"children": INTEGER, "adults": INTEGER},
            {"children": 3, "adults": 2},
        ),
        ("add 1.5 and 2", {"a": {"type": "number"}, "b": {"type": "number"}}, {"a": 1.5, "b": 2}),
        ("add one, two and three", {"values": {"type": "array", "items": INTEGER}}, {"values": [1, 2, 3]}),
        (
            "on monday and friday",
            {"days": {"type": "array", "items": {"enum": ["monday", "friday", "sunday"]}}},
            {"days": ["monday", "friday"]},
        ),
        ('call them "a b" and "c"', {"names": {"type": "array", "items": STRING}}, {"names": ["a b", "c"]}),
        (
            "from Rome to Paris",
            {"destination": STRING, "origin": STRING},
            {"destination": "Paris", "origin": "Rome"},
        ),
        ("write to bob.x@example.org now", {"email": STRING}, {"email": "bob.x@example.org"}),
        ("order A-1234 please", {"order_id": STRING}, {"order_id": "A-1234"}),
        ("my name is Mary Ann and I am here", {"customer_name": STRING}, {"customer_name": "Mary Ann"}),
        ("my name is peter", {"name": STRING}, {"name": "Peter"}),
        ("search for red shoes.", {"query": STRING}, {"query": "red shoes"}),
        ('title "My Day" please', {"title": STRING}, {"title": "My Day"}),
        (
            "come at 7:30 pm tomorrow",
            {"time": STRING, "date": STRING},
            {"time": "7:30 pm", "date": "tomorrow"},
        ),
        ("come next friday", {"when": STRING}, {"when": "next Friday"}),
        ("in Oslo", {"where": {"type": ["string", "null"]}}, {"where": "Oslo"}),
        ("in Oslo", {"where": {"anyOf": [{"type": "null"}, {"type": "string"}]}}, {"where": "Oslo"}),
        ("in Oslo", {"trip": {"type": "object", "properties": {"city": STRING}}}, {"trip": {"city": "Oslo"}}),
        ("purple elephants", {"thing": STRING}, {"thing": "purple elephants"}),
    ],
)
def test_arguments(text: str, schemas: dict[str, Any], values: dict[str, Any]) -> None:
    assert fill(text, **schemas) == values


def test_required_arguments_come_first() -> None:
    wanted = tool("add", "", ["b"], a=INTEGER, b=INTEGER)
    assert fill_arguments(wanted, "add 5").values == {"b": 5}
    assert fill_arguments(wanted, "add").missing == ["b"]
    assert fill_arguments({"name": "x", "parameters": None}, "hello").values == {}


def test_persona() -> None:
    assert persona("You are Ava, the receptionist.") == "Ava"
    assert persona("Your name is Max Power.") == "Max Power"
    assert persona("You are a helpful bot.") is None


async def test_the_spoken_demo_dialogue(dialogue: dict[str, Any], demo_pcm: Callable[[str], bytes]) -> None:
    """Recordings to texts to replies: what `voxwire demo` does, without a server."""
    pytest.importorskip("pocketsphinx")
    hints: SpeechHints = hints_from_session(
        {"audio": {"input": {"transcription": {"prompt": dialogue["prompt"]}}}}
    )
    transcriber = PocketsphinxTranscriber()
    tools = {"Ava": (WEATHER, TABLE, LEO), "Leo": ()}
    for turn in dialogue["turns"]:
        utterance = transcriber.start(hints, lambda _: None)
        utterance.feed(demo_pcm(turn["file"]))
        text = (await utterance.finish()).text
        expect = turn["expect"]
        options: dict[str, Any] = {
            "tools": tools[expect["agent"]],
            "instructions": f"You are {expect['agent']}.",
        }
        if "tool" in expect:
            assert await call(user(text), **options) == (expect["tool"], expect["arguments"])
        elif "handoff" in expect:
            assert await call(user(text), **options) == (f"transfer_to_{expect['handoff']}", {})
        else:
            assert "I understood" not in await said(user(text), **options)
    await transcriber.close()
