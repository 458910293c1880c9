"""Our own session and transport against our own server, on a real socket: the scenarios that others have to pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire import OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool
from voxwire.audio import PacedSink
from voxwire.carriers.picows import PicowsCarrier
from voxwire.carriers.websocket import WebSocketCarrier
from voxwire.errors import AuthenticationError, ConnectionLost, ProviderError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.protocol.items import FunctionCallItem, MessageItem, OutputAudio, item_text
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import SynthesisRequest
from voxwire.server.speech.phrases import STORIES
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.server.speech.synth_espeak import EspeakSynthesizer
from voxwire.server.speech.synth_tone import ToneSynthesizer
from voxwire.server.speech.transcriber_none import NoTranscriber

STORY = STORIES[0]
FIRST_SENTENCE = STORY[: STORY.index(".") + 1]


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name.
    """
    return f"It is sunny in {city}."


@tool
def book_table(day: str, people: int) -> str:
    """Book a table at the restaurant.

    Args:
        day: The day of the week.
        people: For how many people.
    """
    return f"A table for {people} is booked for {day}."


LEO = RealtimeAgent("Leo", instructions="You are Leo, a storyteller.", handoff_description="A storyteller.")
AVA = RealtimeAgent(
    "Ava", instructions="You are Ava, a receptionist.", tools=[get_weather, book_table], handoffs=[LEO]
)


class Caller:
    """A session with somebody who listens to it at a loudspeaker and notes what happens."""

    def __init__(self, server: EmbeddedServer, agent: RealtimeAgent, prompt: str, **options: Any) -> None:
        self.heard = bytearray()
        self.speaker = PacedSink(self.heard.extend)
        self.transport = OpenAIRealtimeWebSocket(
            url=server.url,
            api_key=options.pop("api_key", server.api_key),
            audio_output=self.speaker,
            connect=options.pop("connect", None),
        )
        self.format: AudioFormat = options.pop("format", PCM16)
        wire_format = self.format.to_wire()
        sound = {"format": wire_format, "transcription": {"model": "whisper-1", "prompt": prompt}}
        config = {"audio": {"input": sound, "output": {"format": wire_format}}}
        self.session = RealtimeSession(agent, transport=self.transport, config=config, **options)
        self.events: list[Any] = []
        self.noted = asyncio.Event()
        for name in (
            "agent_end",
            "agent_handoff",
            "agent_tool_end",
            "audio",
            "audio_interrupted",
            "audio_stopped",
            "error",
            "history_updated",
            "user_speech_started",
        ):
            self.session.on(name, self.note)

    def note(self, event: Any) -> None:
        self.events.append(event)
        self.noted.set()

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    async def until(self, condition: Callable[[], object], timeout: float = 30) -> None:
        """Wait for something that an event brings about."""
        async with asyncio.timeout(timeout):
            while not condition():
                self.noted.clear()
                await self.noted.wait()

    async def replies(self, count: int) -> None:
        await self.until(lambda: len(self.of("agent_end")) >= count)

    async def say(self, audio: bytes) -> None:
        """Speak into the microphone, in real time."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        size = self.format.size_of(20)
        for frame, at in enumerate(range(0, len(audio), size)):
            await asyncio.sleep(max(0.0, start + frame * 0.02 - loop.time()))
            await self.session.send_audio(audio[at : at + size])

    def texts(self, role: str) -> list[str]:
        return [
            item_text(item)
            for item in self.session.history
            if isinstance(item, MessageItem) and item.role == role
        ]

    def calls(self) -> list[FunctionCallItem]:
        return [item for item in self.session.history if isinstance(item, FunctionCallItem)]


@pytest.fixture
async def call(server: Any, dialogue: dict[str, Any]) -> AsyncIterator[Callable[..., Any]]:
    """`caller = await call(AGENT, ...)` connects a session; it is closed at the end."""
    callers: list[Caller] = []

    async def connect(agent: RealtimeAgent = AVA, *, to: Any = server, **options: Any) -> Caller:
        caller = Caller(to, agent, dialogue["prompt"], **options)
        callers.append(caller)
        await caller.session.connect()
        return caller

    yield connect
    for caller in callers:
        await caller.session.close()
        await caller.speaker.close()


@pytest.mark.parametrize("carrier", [WebSocketCarrier, PicowsCarrier], ids=["websockets", "picows"])
async def test_text_turn(call: Any, carrier: Any) -> None:
    caller = await call(connect=carrier)
    await caller.session.send_message("Hello!")
    await caller.replies(1)
    assert caller.texts("user") == ["Hello!"]
    assert caller.texts("assistant") == ["Hello! I am Ava. How can I help you?"]
    [end] = caller.of("agent_end")
    assert (end.agent.name, end.status) == ("Ava", "completed")
    sent = b"".join(event.data for event in caller.of("audio"))
    await caller.until(lambda: caller.of("audio_stopped"))
    assert bytes(caller.heard) == sent, "all of it was heard, in order"
    assert caller.session.usage.total_tokens > 0
    assert caller.of("error") == []


@pytest.mark.parametrize(
    ("format", "file", "question", "answer"),
    [
        (PCM16, "1-weather.wav", "What is the weather in Tokyo?", "It is sunny in Tokyo."),
        (
            PCMU,
            "2-table.wav",
            "Please book a table for two on Friday.",
            "A table for 2 is booked for Friday.",
        ),
    ],
    ids=["pcm16", "g711"],
)
async def test_audio_turn(
    call: Any, recorded: Any, format: AudioFormat, file: str, question: str, answer: str
) -> None:
    caller = await call(format=format)
    await caller.say(recorded(file, format))
    await caller.replies(2)
    await caller.until(lambda: caller.texts("user") == [question])
    assert [event.result for event in caller.of("agent_tool_end")] == [answer]
    assert caller.texts("assistant") == [answer]
    assert caller.of("error") == []


async def test_tool_call(call: Any) -> None:
    caller = await call()
    await caller.session.send_message("Please book a table for two on Friday.")
    await caller.replies(2)
    [item] = caller.calls()
    assert (item.name, item.arguments) == ("book_table", '{"day": "Friday", "people": 2}')
    assert (item.output, item.status) == ("A table for 2 is booked for Friday.", "completed")
    assert caller.texts("assistant") == ["A table for 2 is booked for Friday."]


async def test_parallel_tool_calls(call: Any) -> None:
    """Three calls in one response, of which one is not JSON and one has no tool: all answered, one response."""
    script = """
        turns:
          - do:
            - tool_call: {name: get_weather, arguments: {city: Oslo}}
            - tool_call: {name: get_weather, arguments: "{not json"}
            - tool_call: {name: no_such_tool, arguments: {}}
          - say: There you are.
    """
    async with EmbeddedServer(
        responder=ScriptResponder(text=script),
        vad="energy",
        transcriber=NoTranscriber(),
        synthesizer=ToneSynthesizer(),
    ) as scripted:
        caller = await call(to=scripted)
        await caller.session.send_message("Go.")
        await caller.replies(2)
        good, broken, unknown = caller.calls()
        assert good.output == "It is sunny in Oslo."
        assert broken.output
        assert broken.output != good.output
        assert "no_such_tool" in unknown.output
        assert caller.texts("assistant") == ["There you are."]
        await caller.session.send_message("Goodbye.")
        # One response came of three outputs: the next one is the third, for which the script has no turn.
        await caller.replies(3)
        assert [event.status for event in caller.of("agent_end")] == ["completed", "completed", "failed"]
        await caller.session.close()


async def test_handoff(call: Any) -> None:
    caller = await call()
    await caller.session.send_message("Please let me talk to the storyteller.")
    await caller.replies(2)
    [handoff] = caller.of("agent_handoff")
    assert (handoff.from_agent, handoff.to_agent) == (AVA, LEO)
    assert caller.session.current_agent is LEO
    assert caller.texts("assistant")[-1].startswith("Hello, this is Leo.")
    await caller.session.send_message("Who are you?")
    await caller.replies(3)
    assert caller.of("agent_end")[-1].agent is LEO
    assert caller.texts("assistant")[-1].startswith("I am Leo.")


async def words_until(ms: float) -> str:
    """What the synthesiser has said of the story by then."""
    synthesizer = EspeakSynthesizer()
    end = 0
    async for piece in synthesizer.speak(SynthesisRequest(FIRST_SENTENCE, "marin")):
        end = max([end, *(word.end for word in piece.words if word.end_ms <= ms)])
    await synthesizer.close()
    return FIRST_SENTENCE[:end]


async def at_server(caller: Caller, item_id: str) -> dict[str, Any]:
    """An item as the server has it."""
    answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def look(event: dict[str, Any]) -> None:
        if event["type"] == "conversation.item.retrieved" and not answer.done():
            answer.set_result(event["item"])

    caller.transport.on("*", look)
    await caller.transport.send_event({"type": "conversation.item.retrieve", "item_id": item_id})
    async with asyncio.timeout(5):
        return await answer


async def test_barge_in_cuts_at_the_heard_word(call: Any, recorded: Any) -> None:
    caller = await call(LEO)
    await caller.session.send_message("Tell me a long story.")
    await caller.replies(1)
    await caller.until(lambda: len(caller.of("audio")) > 50)
    async with asyncio.timeout(10):
        while caller.speaker.heard_ms() < 1500:
            await asyncio.sleep(0.02)
    await caller.say(recorded("5-stop.wav"))
    await caller.replies(2)
    await caller.until(lambda: caller.texts("user")[-1] == "Stop, please. Thank you.")

    [interrupted] = caller.of("audio_interrupted")
    [cut] = interrupted.truncations
    assert 1500 <= cut.audio_end_ms <= 4000
    [told, reply] = [item for item in caller.session.history if getattr(item, "role", "") == "assistant"]
    [part] = told.content
    assert isinstance(part, OutputAudio)
    assert part.heard_ms == cut.audio_end_ms
    # The resampler between synthesiser and wire may move the end of a word by some milliseconds.
    possible = {await words_until(cut.audio_end_ms + shift) for shift in (-25, 0, 25)}
    assert part.transcript in possible
    assert part.full_transcript == STORY
    assert item_text(reply).startswith("All right, I will stop.")

    # What the server goes on from is the same.
    kept = await at_server(caller, told.item_id)
    assert kept["content"][0]["transcript"] == part.transcript
    assert caller.of("error") == []


async def test_truncation_is_where_the_loudspeaker_was(call: Any) -> None:
    caller = await call(LEO)
    await caller.session.send_message("Tell me a long story.")
    async with asyncio.timeout(20):
        while caller.speaker.heard_ms() < 700:
            await asyncio.sleep(0.01)
    await caller.session.interrupt()
    await caller.until(lambda: caller.of("audio_interrupted"))
    silent = bytes(caller.heard)
    [cut] = caller.of("audio_interrupted")[0].truncations
    assert abs(PCM16.duration_ms(len(silent)) - cut.audio_end_ms) <= 20
    # The reply stops for good: nothing of it is heard later, although more had been received.
    await caller.session.send_message("Thank you!")
    await caller.until(
        lambda: any(event.text.startswith("You are welcome") for event in caller.of("agent_end"))
    )
    await caller.until(lambda: any(not event.interrupted for event in caller.of("audio_stopped")))
    last = caller.of("audio")[-1].response_id
    said = b"".join(event.data for event in caller.of("audio") if event.response_id == last)
    assert bytes(caller.heard) == silent + said


async def test_refused_key(call: Any, server: Any) -> None:
    with pytest.raises(AuthenticationError) as refused:
        await call(api_key="sk-wrong")
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert server.service.sessions == 0


async def test_server_goes_away_mid_turn(call: Any, server: Any) -> None:
    caller = await call(LEO)
    await caller.session.send_message("Tell me a long story.")
    await caller.until(lambda: caller.of("audio"))
    await server.stop()
    how = await asyncio.wait_for(caller.session.wait_closed(), 10)
    assert how.code == 1001
    assert caller.session.status == "disconnected"
    assert caller.texts("user") == ["Tell me a long story."]
    with pytest.raises(Exception, match="connect"):
        await caller.session.send_message("Are you there?")


async def test_connection_breaks_mid_turn(call: Any) -> None:
    """No goodbye: the reader is told, and the same session can be connected again."""
    script = """
        turns:
          - do: [{say: One moment.}, {disconnect: {code: null}}]
          - say: Here I am.
    """
    async with EmbeddedServer(
        responder=ScriptResponder(text=script),
        vad="energy",
        transcriber=NoTranscriber(),
        synthesizer=ToneSynthesizer(),
    ) as scripted:
        caller = await call(to=scripted)
        await caller.session.send_message("Go.")
        how = await asyncio.wait_for(caller.session.wait_closed(), 10)
        assert isinstance(how.error, ConnectionLost)
        await caller.session.connect()
        assert caller.session.status == "connected"
        assert caller.texts("user") == [], "a new conversation"
        await caller.session.close()


async def test_malformed_input_ends_nothing(call: Any) -> None:
    caller = await call()
    for wrong in (
        {"type": "no.such.event", "event_id": "one"},
        {"type": "input_audio_buffer.append", "audio": "***", "event_id": "two"},
        {"type": "conversation.item.create", "item": {"type": "message"}, "event_id": "three"},
        {"type": "session.update", "session": {"type": "realtime", "audio": 7}, "event_id": "four"},
    ):
        await caller.transport.send_event(wrong)
    await caller.until(lambda: len(caller.of("error")) == 4)
    errors = [event.error for event in caller.of("error")]
    assert all(isinstance(error, ProviderError) for error in errors)
    assert [error.event_id for error in errors] == ["one", "two", "three", "four"]
    await caller.session.send_message("Hello!")
    await caller.replies(1)
    assert caller.texts("assistant") == ["Hello! I am Ava. How can I help you?"]
