"""Answers by rules: deterministic, offline, stateless. Everything comes from the request.

In this order: results of tools are spoken; after a handoff the new agent greets and answers what
was asked; small talk; a tool that fits (`matching`), its arguments filled from the utterance
(`arguments`) or asked for; a story; otherwise it says what it understood and asks again.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from .arguments import fill_arguments
from .base import Incomplete, ResponsePart, ResponseRequest, TextPart, ToolCallPart
from .conversation import Reading, read_conversation
from .matching import THRESHOLD, best_match, is_handoff
from .phrases import describe_image, human_name, persona, say_result, small_talk, story_to_tell
from .sentences import sentence_spans
from .shapes import as_mapping

__all__ = ["RuleResponder"]

_ASKED = re.compile(r"Please tell me the ([\w ]+)\.$")
_EXACTLY = re.compile(
    r"\b(?:say|repeat|reply with|respond with|answer with)(?: exactly| the words)?:?\s*[\"\u201c]([^\"\u201d]+)[\"\u201d]",
    re.IGNORECASE,
)
_REPEAT = re.compile(r"^(?:please\s+)?(?:repeat after me|say)[,:]?\s+(.+)$", re.IGNORECASE)
_CHARACTERS_PER_TOKEN = 4


class RuleResponder:
    """The default responder of the embedded server. The same request always gets the same reply."""

    async def respond(self, request: ResponseRequest, /) -> AsyncIterator[ResponsePart]:
        """See `Responder.respond`. Text comes sentence by sentence."""
        for part in _limited(_reply(request), request.options):
            yield part

    async def close(self) -> None:
        """Nothing to release."""


def _reply(request: ResponseRequest) -> Iterator[ResponsePart]:
    reading = read_conversation(request.items)
    name = persona(request.instructions) or "your assistant"
    tools = [
        tool for tool in request.tools if tool.get("type", "function") == "function" and tool.get("name")
    ]
    if reading.outputs:
        yield from _after_tools(reading, tools, request)
        return
    if exact := _EXACTLY.search(request.instructions):
        yield TextPart(exact[1])
        return
    forced = _forced(request.tool_choice, tools)
    if forced:
        yield _call(forced, reading, must=True) or ToolCallPart(str(forced[0]["name"]))
        return
    if request.tool_choice == "none":
        tools = []
    yield from _answer(reading, name, tools)


def _answer(reading: Reading, name: str, tools: list[Mapping[str, Any]]) -> Iterator[ResponsePart]:
    text = reading.user_text
    if text is None and not reading.assistant_texts:
        yield TextPart(f"Hello! I am {name}. How can I help you?")
    elif text is None or not reading.user_is_new:
        yield TextPart("Is there anything else that I can do for you?")
    elif reading.user_images:
        yield TextPart(" ".join(map(describe_image, reading.user_images)))
        if text and (part := _call(tools, reading)):
            yield part
        elif not text:
            yield TextPart(" What would you like to know about it?")
    elif not text:
        yield TextPart("Sorry, I did not catch that. Could you say it again?")
    else:
        yield _utterance(text, reading, name, tools)


def _utterance(text: str, reading: Reading, name: str, tools: list[Mapping[str, Any]]) -> ResponsePart:
    if reply := small_talk(text, name, _abilities(tools), only=True):
        return TextPart(reply)
    if part := _call(tools, reading):
        return part
    if story := story_to_tell(text, reading.assistant_texts):
        return TextPart(story)
    if repeat := _EXACTLY.search(text) or _REPEAT.search(text):
        return TextPart(repeat[1])
    if reply := small_talk(text, name, _abilities(tools), only=False):
        return TextPart(reply)
    return TextPart(
        f"I understood: {text.rstrip('.?! ')}. I am afraid I do not know how to help with that. Could you put it another way?"
    )


def _after_tools(
    reading: Reading, tools: list[Mapping[str, Any]], request: ResponseRequest
) -> Iterator[ResponsePart]:
    results = [say_result(tool, output) for tool, output in reading.outputs if _handed_to(output) is None]
    if results:
        yield TextPart(" ".join(results))
    agents = [agent for _, output in reading.outputs if (agent := _handed_to(output)) is not None]
    if not agents:
        return
    yield TextPart(f"{' ' if results else ''}Hello, this is {persona(request.instructions) or agents[-1]}.")
    text = reading.user_text or ""
    part = _pending(text, reading, tools if request.tool_choice != "none" else [])
    if isinstance(part, TextPart):
        yield TextPart(f" {part.text}")
    else:
        yield part


def _pending(text: str, reading: Reading, tools: list[Mapping[str, Any]]) -> ResponsePart:
    """The answer of the new agent to the question that the one before passed on."""
    # Handing over again at once could go in circles.
    own = [tool for tool in tools if not is_handoff(tool)]
    if text and (part := _call(own, reading)):
        return part
    if story := story_to_tell(text, reading.assistant_texts):
        return TextPart(story)
    return TextPart("How can I help you?")


def _call(tools: list[Mapping[str, Any]], reading: Reading, *, must: bool = False) -> ResponsePart | None:
    """The call of the tool that fits, or the question for an argument that it needs."""
    text = reading.user_text or ""
    answers: dict[str, str] = {}
    asked = _ASKED.search(reading.assistant_texts[-1]) if reading.assistant_texts else None
    if asked and reading.previous_user_text:
        # The question was about the utterance before; this one holds the answer.
        answers[asked[1].replace(" ", "_")] = answers[asked[1]] = text
        text = reading.previous_user_text
    match = best_match(text, tools)
    if match is None or (match.score < THRESHOLD and not must):
        return None
    filled = fill_arguments(match.tool, text, answers=answers)
    if filled.missing and not must:
        return TextPart(f"Please tell me the {human_name(filled.missing[0]).lower()}.")
    return ToolCallPart(str(match.tool["name"]), json.dumps(filled.values, ensure_ascii=False))


def _forced(choice: Any, tools: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tools of which one has to be called; empty if none has to."""
    if choice == "required":
        return tools
    if wanted := as_mapping(choice):
        name = wanted.get("name") or as_mapping(wanted.get("function")).get("name")
        label = wanted.get("server_label")
        return [
            tool
            for tool in tools
            if (name is None or tool.get("name") == name)
            and (label is None or tool.get("server_label") == label)
        ]
    return []


def _handed_to(output: str) -> str | None:
    """The agent's name, if this is the output of a handoff: `{"assistant": name}`."""
    try:
        value = as_mapping(json.loads(output))
    except ValueError:
        return None
    return str(value["assistant"]) if list(value) == ["assistant"] else None


def _abilities(tools: list[Mapping[str, Any]]) -> str:
    own = [human_name(str(tool["name"])) for tool in tools if not is_handoff(tool)]
    others = [human_name(str(tool["name"])) for tool in tools if is_handoff(tool)]
    things = [*own, "tell you a story", *(f"connect you to {other}" for other in others)]
    listed = f"{', '.join(things[:-1])} and {things[-1]}" if len(things) > 1 else things[0]
    return f"I can {listed}."


def _limited(parts: Iterator[ResponsePart], options: Mapping[str, Any]) -> Iterator[ResponsePart]:
    """Cut texts into sentences, and end at `max_output_tokens`, counted as 4 characters each."""
    limit = options.get("max_output_tokens")
    left = limit * _CHARACTERS_PER_TOKEN if isinstance(limit, int) else None
    for part in parts:
        if not isinstance(part, TextPart):
            yield part
            continue
        for start, end in _sentences(part.text):
            text = part.text[start:end]
            if left is not None and len(text) > left:
                yield TextPart(text[:left].rpartition(" ")[0] or text[:left])
                yield Incomplete("max_output_tokens")
                return
            yield TextPart(text)
            left = None if left is None else left - len(text)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Spans that cover all of `text`: each sentence with the space before it."""
    begin = 0
    for _, end in sentence_spans(text):
        yield begin, end
        begin = end
