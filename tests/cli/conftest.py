"""A conversation made of events, and one that was really held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from voxwire import RealtimeAgent
from voxwire.cli.demo_agents import book_table, get_weather
from voxwire.protocol.formats import PCM16
from voxwire.protocol.items import MessageItem, OutputAudio
from voxwire.protocol.server_events import (
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemTruncatedEvent,
)
from voxwire.protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    FunctionCall,
    HistoryUpdated,
    ItemTruncation,
    TranscriptDelta,
    TurnDone,
    TurnStarted,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTranscriptDelta,
)
from voxwire.protocol.usage import Usage
from voxwire.recording.timeline import Timeline
from voxwire.session.events import AgentHandoff, AgentToolEnd, AgentToolStart

AVA, LEO = RealtimeAgent("Ava", tools=[get_weather, book_table]), RealtimeAgent("Leo")
STORY = "Once upon a time there was a lighthouse keeper."


class Play:
    """Feeds a timeline, and whoever else looks on."""

    def __init__(self) -> None:
        self.timeline = Timeline("Ava")
        self.watchers: list[Callable[[object, float], Any]] = []

    def take(self, event: object, at: float) -> None:
        self.timeline.take(event, at)
        for watcher in self.watchers:
            watcher(event, at)

    def ask(self, text: str, begin: float, end: float, item: str, heard_as: str | None = None) -> None:
        """The user says `text`; detected 500 ms and understood 600 ms after its end."""
        self.timeline.user_begins(text, begin)
        self.take(UserSpeechStarted(item, int(begin)), begin + 100)
        self.timeline.user_ends(end)
        self.take(UserSpeechStopped(item, int(end)), end + 500)
        self.understand(item, text if heard_as is None else heard_as, end + 600)

    def understand(self, item: str, text: str, at: float) -> None:
        self.take(UserTranscriptDelta(text[:4], item), at - 50)
        self.take(
            ConversationItemInputAudioTranscriptionCompletedEvent(
                item_id=item, content_index=0, transcript=text
            ),
            at,
        )

    def begin(self, response: str, at: float) -> None:
        self.take(TurnStarted(response), at)

    def end(self, response: str, at: float) -> None:
        self.take(TurnDone(response, "completed", None, (), Usage()), at)

    def speak(self, response: str, item: str, text: str, at: float, ms: float) -> None:
        """All of a reply arrives at once and starts to be heard."""
        self.take(TranscriptDelta(text, item, response), at)
        self.take(AudioStarted(item, response), at)
        self.take(AudioEvent(bytes(PCM16.size_of(ms)), item, response), at)
        self.end(response, at)

    def reply(self, response: str, item: str, text: str, at: float, ms: float) -> None:
        self.begin(response, at - 50)
        self.speak(response, item, text, at, ms)
        self.take(AudioStopped(), at + ms)

    def call(self, response: str, name: str, arguments: str, result: str, at: float) -> None:
        self.begin(response, at - 20)
        call = FunctionCall(f"call_{response}", name, arguments, f"item_{response}", response)
        tool = {"get_weather": get_weather, "book_table": book_table}[name]
        context: Any = None
        self.take(AgentToolStart(context, AVA, tool, call), at)
        self.end(response, at + 1)
        self.take(AgentToolEnd(context, AVA, tool, call, result), at + 5)

    def hand_over(self, response: str, at: float) -> None:
        context: Any = None
        self.begin(response, at - 20)
        self.end(response, at)
        self.take(AgentHandoff(context, AVA, LEO), at)

    def interrupt(self, item: str, cut_ms: int, heard: str, full: str, at: float) -> None:
        self.take(AudioInterrupted((ItemTruncation(item, 0, cut_ms),)), at)
        self.take(AudioStopped(interrupted=True), at)
        cut = ConversationItemTruncatedEvent(item_id=item, content_index=0, audio_end_ms=cut_ms)
        self.take(cut, at + 5)
        part = OutputAudio(transcript=heard, full_transcript=full, heard_ms=cut_ms)
        self.take(HistoryUpdated((MessageItem(item, "assistant", (part,)),)), at)


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def whole_play(play: Play) -> Play:
    """A question with a tool, a handoff, a story, an interruption."""
    play.ask("What is the weather in Tokyo?", 500, 2000, "u1")
    play.call("r1", "get_weather", '{"city": "Tokyo"}', "In Tokyo it is sunny.", 2700)
    play.reply("r2", "a1", "In Tokyo it is sunny.", 2800, 2000)
    play.ask("Let me talk to the storyteller.", 6000, 8000, "u2")
    play.hand_over("r3", 8700)
    play.reply("r4", "a2", "Hello, this is Leo.", 8900, 1500)
    play.ask("Tell me a long story.", 11_000, 12_500, "u3")
    play.begin("r5", 13_150)
    play.speak("r5", "a3", STORY, 13_200, 30_000)
    play.timeline.user_begins("Stop, please.", 17_000)
    play.take(UserSpeechStarted("u4", 17_000), 17_240)
    play.interrupt("a3", 4050, "Once upon a time", STORY, 17_250)
    play.timeline.user_ends(18_500)
    play.take(UserSpeechStopped("u4", 18_500), 19_000)
    play.understand("u4", "Stop, please.", 19_100)
    play.reply("r6", "a4", "All right.", 19_200, 1000)
    play.timeline.finish((), 21_000)
    return play


@dataclass
class Held:
    """A demo that was held: its exit status, what it printed and its folder."""

    wire: str
    status: int
    output: str
    errors: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        return found


WIRES = ("webrtc", "websocket")


@pytest.fixture(scope="session")
def all_held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Held]:
    """`voxwire demo` on every transport, once for all tests and at the same time: it takes as long as people talk."""
    folders = {wire: tmp_path_factory.mktemp(wire) / "demo-out" for wire in WIRES}
    command = [sys.executable, "-m", "voxwire", "demo", "--plain"]
    running = {
        wire: subprocess.Popen(
            [*command, "--transport", wire, "--out", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for wire, folder in folders.items()
    }
    try:
        ended = {wire: process.communicate(timeout=115) for wire, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
    return {
        wire: Held(wire, running[wire].returncode, *ended[wire], folder) for wire, folder in folders.items()
    }


@pytest.fixture(scope="session", params=WIRES)
def held(request: pytest.FixtureRequest, all_held: dict[str, Held]) -> Held:
    """One of them."""
    return all_held[request.param]


@pytest.fixture
def run_voxwire() -> Callable[..., tuple[int, str, str]]:
    """Runs the command line: exit status, what it printed, what it complained about."""

    def run(*arguments: str) -> tuple[int, str, str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("VOXWIRE_")}
        command = [sys.executable, "-m", "voxwire", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ, check=False)
        return done.returncode, done.stdout, done.stderr

    return run
