"""What the rule-based responder says: small talk, stories, results of tools in sentences."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Sequence
from typing import Any

from .shapes import as_list, as_mapping

__all__ = [
    "STORIES",
    "describe_image",
    "human_name",
    "persona",
    "say_result",
    "small_talk",
    "story_to_tell",
]

_PERSONA = (
    re.compile(
        r"\b(?:your name is|you are called|you're called)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)", re.IGNORECASE
    ),
    re.compile(r"\b[Yy]ou(?: are|'re)\s+(?:the\s+|an?\s+)?([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)"),
)

_SMALL_TALK: tuple[tuple[str, str], ...] = (
    (
        r"(?:good ?bye|bye|see you|farewell|good night|that is all|that's all)",
        "Goodbye! It was nice talking to you.",
    ),
    (
        r"(?:stop|be quiet|quiet|enough|shut up|never ?mind|cancel)",
        "All right, I will stop. What else can I do for you?",
    ),
    (
        r"how are (?:you|things)|how do you do|how is it going",
        "I am very well, thank you. How can I help you?",
    ),
    (r"what can you do|how can you help|what do you do|help me$|^help$", "{abilities}"),
    (r"who are you|what is your name|what's your name|your name", "I am {name}. {abilities}"),
    (
        r"are you (?:a |an )?(?:robot|human|real|machine|ai|computer)",
        "I am a simple program that answers by rules.",
    ),
    (r"(?:can|do) you hear me|are you (?:still )?there|testing|^test", "Yes, I can hear you well."),
    (r"thanks|thank you|cheers", "You are welcome! Is there anything else?"),
    (
        r"(?:hello|hi|hey|good (?:morning|afternoon|evening)|greetings)\b",
        "Hello! I am {name}. How can I help you?",
    ),
    (r"^(?:yes|yeah|yep|sure|okay|ok|fine|good|great|perfect|nice)\b", "Good. What shall we do next?"),
    (r"^(?:no|nope|nothing|not really)\b", "All right. I am here if you need me."),
    (r"\b(?:joke|funny)\b", "Why did the microphone blush? Because it heard everything."),
)
_COMPILED = [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), reply) for pattern, reply in _SMALL_TALK]
_FILLERS = re.compile(
    r"\b(?:please|well|so|um|uh|oh|and|but|now|you|very|much|for|it|that|the|today|there|then|again|i|"
    r"mean|would|like|to|know|just|could|can|tell|me|everybody|everyone|friend|a|lot|help)\b|[^\w\s]",
    re.IGNORECASE,
)

STORIES: tuple[str, ...] = (
    (
        "Once upon a time there was a lighthouse keeper who lived alone on a small island. "
        "Every evening she climbed two hundred steps and lit the great lamp. "
        "One night a storm came up, and the lamp went out, and nothing would make it burn again. "
        "Far away on the water she saw the lights of a ship that was sailing straight for the rocks. "
        "So she ran down to the shed and brought up the old brass horn that her grandfather had left there. "
        "She blew one long note, and then another, and the wind carried them out over the waves. "
        "On the ship an old sailor lifted his head, because he knew that sound from the days when he was a boy. "
        "He turned the wheel as hard as he could, and the ship slipped past the rocks in the dark. "
        "In the morning the sea was calm, and the whole crew came to the island with bread and oranges. "
        "They mended the lamp together, and they stayed for a week. "
        "And ever since that night, when the lamp is lit, the ships that pass by answer with one long note."
    ),
    (
        "Long ago, in a village between two mountains, there was a clock that nobody could repair. "
        "It had stopped at seven minutes past four, and the people had grown used to it. "
        "The baker baked at seven past four, and the school began at seven past four, and nobody was ever late. "
        "Then a girl called Mara came over the mountain with a bag full of tiny tools. "
        "She climbed into the tower and found a bird's nest between the wheels, with three blue eggs in it. "
        "She could have moved the nest in a minute, but she put her tools away and sat down to wait. "
        "She waited for three weeks, and the people came up one by one to ask what she was doing. "
        "When the young birds had flown, she turned one small screw, and the great clock began to tick. "
        "The people cheered, and then they were a little sad, because now they had to hurry like everybody else. "
        "But once a year, in spring, Mara comes back and stops the clock, and for three weeks nobody is late."
    ),
)
_STORY = re.compile(r"\b(?:story|stories|tale|fairy ?tale)\b", re.IGNORECASE)
_CONTINUE = re.compile(
    r"\b(?:continue|go on|carry on|keep going|what happened (?:next|then))\b", re.IGNORECASE
)


def persona(instructions: str) -> str | None:
    """The name that the instructions give: `You are Ava` or `Your name is Ava`."""
    for pattern in _PERSONA:
        found = pattern.search(instructions)
        if found and found[1][0].isupper():
            return found[1]
    return None


def human_name(tool: str) -> str:
    """A tool's name in words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", tool.removeprefix("transfer_to_").replace("_", " "))
    return " ".join(spaced.split())


def small_talk(text: str, name: str, abilities: str, *, only: bool) -> str | None:
    """The reply to small talk; None if `text` is none.

    Args:
        only: whether everything in `text` has to be small talk, or some of it.
    """
    reply: str | None = None
    rest = re.sub(rf"\b{re.escape(name)}\b", " ", text, flags=re.IGNORECASE)
    for pattern, answer in _COMPILED:
        if pattern.search(rest):
            reply = reply or answer
            rest = pattern.sub(" ", rest)
    if reply is None or (only and _FILLERS.sub(" ", rest).split()):
        return None
    return reply.format(name=name, abilities=abilities)


def story_to_tell(text: str, told: Sequence[str]) -> str | None:
    """The story that is asked for, or the rest of one that was interrupted; None if none is wanted.

    Args:
        text: what the user said.
        told: what the assistant said before, as far as it was heard.
    """
    begun = [(story, heard) for heard in told for story in STORIES if heard and heard[:40] in story]
    if begun and _CONTINUE.search(text):
        story, heard = begun[-1]
        sentences = re.split(r"(?<=\.) ", story)
        # A sentence that was cut off is told again from its beginning.
        done = sum(1 for i in range(len(sentences)) if " ".join(sentences[: i + 1]) in heard)
        rest = " ".join(sentences[done:])
        return f"Where was I? {rest}" if rest else "That was the end of the story."
    if not _STORY.search(text):
        return None
    return STORIES[len(begun) % len(STORIES)]


def say_result(tool: str, output: str) -> str:
    """A tool's output as sentences: text as it is, JSON read out."""
    try:
        value: Any = json.loads(output)
    except ValueError:
        value = output
    if isinstance(value, str):
        return _sentence(value) if " " in value.strip() else _short(tool, value)
    if value is None or value is True or value in ({}, []):
        return "Done."
    if entries := as_mapping(value):
        if entries.get("error"):
            return f"Sorry, that did not work: {_sentence(_plain(entries['error']))}"
        return _sentence(
            _listing([f"the {human_name(str(key))} is {_plain(part)}" for key, part in entries.items()])
        )
    return _sentence(f"The result is {_plain(value)}")


def describe_image(url: str) -> str:
    """What can be said of a picture without looking at it: kind and size."""
    if not url.startswith("data:image/"):
        return "I see a picture."
    header, _, data = url.partition(",")
    kind = header.removeprefix("data:image/").partition(";")[0].upper()
    article = "an" if kind[:1] in "AEIOSX" and kind != "" else "a"
    if kind == "PNG":
        try:
            start = base64.b64decode(data[:64], validate=True)
            width, height = struct.unpack(">II", start[16:24])
        except (binascii.Error, struct.error):
            pass
        else:
            return f"I see a PNG picture, {width} by {height} pixels."
    return f"I see {article} {kind} picture."


def _short(tool: str, value: str) -> str:
    value = value.strip().rstrip(".")
    if not value:
        return "Done."
    if value.lower() in {"ok", "done", "success", "true"}:
        return "Done."
    return f"The result is {value}." if tool == "" else f"The result of {human_name(tool)} is {value}."


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _plain(value: Any) -> str:
    if entries := as_mapping(value):
        return _listing([f"{human_name(str(key))} {_plain(part)}" for key, part in entries.items()])
    if as_list(value):
        return _listing([_plain(part) for part in as_list(value)])
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)


def _listing(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
