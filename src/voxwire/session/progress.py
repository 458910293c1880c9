"""A word while a slow tool runs, so that nobody talks into silence.

The words are asked for as a response of their own. That fits the engine's rule of one response at a time:
they are only asked for while there is none, and the tool's answer, if it comes meanwhile, is
followed by its response as soon as the words are generated. It is heard after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.recent import RecentSet
from ..protocol.transport_events import TransportEventBase
from ..tools.calling import call as call_function
from ..tools.context import RunContext
from ..tools.function import FunctionTool

__all__ = ["Floor", "ProgressSpeech", "progress_response"]

REMEMBERED: Final = 256
"""Responses whose calls have had their words."""


@dataclass(slots=True)
class Floor:
    """Who is talking, from a transport's events, and since when nobody is. Pure: the time is handed in.

    Attributes:
        quiet_since: the time since when nobody talks; None while somebody does.
    """

    quiet_since: float | None = 0.0
    _response: str | None = None
    _user: bool = False
    _heard: bool = False

    def note(self, event: TransportEventBase, now: float) -> None:
        """Something happened."""
        match event.name:
            case "turn_started":
                # The service has one at a time; if the news of an end gets lost, the next one's will do.
                self._response = _id(event)
            case "turn_done":
                if _id(event) in ("", self._response):
                    self._response = None
            case "audio_start" | "audio_stopped":
                self._heard = event.name == "audio_start"
            case "user_speech_started" | "user_speech_stopped":
                self._user = event.name == "user_speech_started"
            case _:
                return
        if self._response is not None or self._user or self._heard:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now

    def wait(self, begun: float, silence: float, now: float) -> float | None:
        """Seconds until it has been quiet for `silence` seconds since `begun`; None while somebody talks."""
        if self.quiet_since is None:
            return None
        return max(max(begun, self.quiet_since) + silence - now, 0.0)


def _id(event: TransportEventBase) -> str:
    return str(getattr(event, "response_id", ""))


def progress_response(words: str) -> dict[str, Any]:
    """The overrides of a response that says this and calls nothing."""
    return {
        "instructions": f"Say exactly this, in the language of the conversation, and nothing else: {words}",
        "tool_choice": "none",
    }


class ProgressSpeech:
    """Asks for words while a tool is slow.

    Args:
        request: asks the service for a response with these overrides.
        report: tells of an error.
    """

    def __init__(self, request: Callable[[dict[str, Any]], Any], report: Callable[[Exception], None]) -> None:
        self._request = request
        self._report = report
        self._changed = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """The connection is over: whoever waited on it need not speak."""
        self._floor = Floor()
        self._spoken = RecentSet(REMEMBERED)
        self._changed.set()

    def note(self, event: TransportEventBase) -> None:
        """The transport said something."""
        self._floor.note(event, _now())
        self._changed.set()

    def start(self, tool: FunctionTool[..., Any], context: RunContext[Any]) -> asyncio.Task[None] | None:
        """A tool begins: once it has been quiet for too long, ask for its words. To be cancelled when it is done.

        Calls of one response share one word.
        """
        if tool.progress is None:
            return None
        speaking = self._speak(tool, context, self._spoken, _now())
        return asyncio.get_running_loop().create_task(speaking)

    async def _speak(
        self, tool: FunctionTool[..., Any], context: RunContext[Any], spoken: RecentSet, begun: float
    ) -> None:
        call = context.call
        turn = (call.response_id or call.call_id) if call is not None else ""
        await self._silence(begun, tool.progress_after)
        if turn in spoken:
            return
        spoken.add(turn)
        try:
            words: object = tool.progress
            if callable(words):
                words = await call_function(words, context)
                # It may have taken its time.
                await self._silence(_now(), 0.0)
            # Each connection has a set of its own.
            if spoken is self._spoken and isinstance(words, str) and words.strip():
                await self._request(progress_response(words))
        except Exception as error:  # noqa: BLE001 - the tool goes on
            error.add_note(f"in the progress of tool {tool.name!r}")
            self._report(error)

    async def _silence(self, begun: float, seconds: float) -> None:
        while (wait := self._floor.wait(begun, seconds, _now())) != 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass


def _now() -> float:
    return asyncio.get_running_loop().time()
