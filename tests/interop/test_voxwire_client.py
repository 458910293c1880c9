"""Our own session and transports against our own server, on real sockets: the scenarios that others have to pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire import OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool
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

STORY = STORIES[0]
TONES: dict[str, Any] = {"vad": "energy", "transcriber": "none", "synthesizer": "tone"}
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


@tool(needs_approval=True)
def delete_booking(day: str) -> str:
    """Delete a booking.

    Args:
        day: The day of the week.
    """
    return f"The booking for {day} is deleted."


LEO = RealtimeAgent("Leo", instructions="You are Leo, a storyteller.", handoff_description="A storyteller.")
AVA = RealtimeAgent(
    "Ava", instructions="You are Ava, a receptionist.", tools=[get_weather, book_table], handoffs=[LEO]
)


class Caller:
    """A session with somebody who listens to it at a loudspeaker and notes what happens."""

    def __init__(
        self, server: EmbeddedServer, agent: RealtimeAgent, prompt: str, wire: str, **options: Any
    ) -> None:
        self.heard = bytearray()
        self.speaker = PacedSink(self.heard.extend)
        self.wire: list[dict[str, Any]] = []
        key = options.pop("api_key", server.api_key)
        self.transport: OpenAIRealtimeWebSocket | OpenAIRealtimeWebRTC
        if wire == "webrtc":
            self.transport = OpenAIRealtimeWebRTC(
                base_url=server.http_url, api_key=key, audio_input=None, audio_output=self.speaker
            )
        else:
            self.transport = OpenAIRealtimeWebSocket(
                url=server.url,
                api_key=key,
                audio_output=self.speaker,
                connect=options.pop("connect", None),
            )
        self.transport.on("*", self.note_wire)
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
            "tool_approval_requested",
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

    def note_wire(self, event: dict[str, Any]) -> None:
        self.wire.append(event)
        self.noted.set()

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    def wired(self, type: str) -> list[dict[str, Any]]:
        """Server events of a type."""
        return [event for event in self.wire if event["type"] == type]

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
async def call(
    server: Any, dialogue: dict[str, Any], request: pytest.FixtureRequest
) -> AsyncIterator[Callable[..., Any]]:
    """`caller = await call(AGENT, ...)` connects a session; it is closed at the end."""
    callers: list[Caller] = []
    wire = getattr(request, "param", "websocket")

    async def connect(agent: RealtimeAgent = AVA, *, to: Any = server, **options: Any) -> Caller:
        caller = Caller(to, agent, dialogue["prompt"], wire, **options)
        callers.append(caller)
        await caller.session.connect()
        return caller

    yield connect
    for caller in callers:
        await caller.session.close()
        await caller.speaker.close()


WEBRTC = pytest.param("webrtc", marks=pytest.mark.needs_module("aiortc"))
ON_BOTH = pytest.mark.parametrize("call", ["websocket", WEBRTC], indirect=True)
ON_WEBRTC = pytest.mark.parametrize("call", [WEBRTC], indirect=True)


@pytest.mark.parametrize(
    ("call", "carrier"),
    [
        pytest.param("websocket", WebSocketCarrier, id="websockets"),
        pytest.param("websocket", PicowsCarrier, id="picows"),
        pytest.param("webrtc", None, id="webrtc", marks=pytest.mark.needs_module("aiortc")),
    ],
    indirect=["call"],
)
async def test_text_turn(call: Any, carrier: Any) -> None:
    caller = await call(connect=carrier) if carrier is not None else await call()
    await caller.session.send_message("Hello!")
    await caller.replies(1)
    assert caller.texts("user") == ["Hello!"]
    assert caller.texts("assistant") == ["Hello! I am Ava. How can I help you?"]
    [end] = caller.of("agent_end")
    assert (end.agent.name, end.status) == ("Ava", "completed")
    await caller.until(lambda: caller.of("audio_stopped"))
    sent = b"".join(event.data for event in caller.of("audio"))
    assert bytes(caller.heard) == sent, "all of it was heard, in order"
    assert caller.session.usage.total_tokens > 0
    assert caller.of("error") == []


@pytest.mark.parametrize(
    ("call", "format", "file", "question", "answer"),
    [
        ("websocket", PCM16, "1-weather.wav", "What is the weather in Tokyo?", "It is sunny in Tokyo."),
        (
            "websocket",
            PCMU,
            "2-table.wav",
            "Please book a table for two on Friday.",
            "A table for 2 is booked for Friday.",
        ),
        pytest.param(
            "webrtc",
            PCM16,
            "1-weather.wav",
            "What is the weather in Tokyo?",
            "It is sunny in Tokyo.",
            marks=pytest.mark.needs_module("aiortc"),
        ),
    ],
    ids=["pcm16", "g711", "webrtc"],
    indirect=["call"],
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


@ON_BOTH
async def test_tool_call(call: Any) -> None:
    caller = await call()
    await caller.session.send_message("Please book a table for two on Friday.")
    await caller.replies(2)
    [item] = caller.calls()
    assert (item.name, item.arguments) == ("book_table", '{"day": "Friday", "people": 2}')
    assert (item.output, item.status) == ("A table for 2 is booked for Friday.", "completed")
    assert caller.texts("assistant") == ["A table for 2 is booked for Friday."]


@ON_BOTH
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
    async with EmbeddedServer(responder=ScriptResponder(text=script), **TONES) as scripted:
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


@ON_BOTH
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


@ON_BOTH
async def test_refused_key(call: Any, server: Any) -> None:
    with pytest.raises(AuthenticationError) as refused:
        await call(api_key="sk-wrong")
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert server.service.sessions == 0


@ON_BOTH
async def test_server_goes_away_mid_turn(call: Any, server: Any) -> None:
    caller = await call(LEO)
    await caller.session.send_message("Tell me a long story.")
    await caller.until(lambda: caller.of("audio"))
    await server.stop()
    how = await asyncio.wait_for(caller.session.wait_closed(), 10)
    if isinstance(caller.transport, OpenAIRealtimeWebRTC):
        assert (how.code, how.error) == (1000, None), "a peer connection has no codes, only a goodbye"
    else:
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
    async with EmbeddedServer(responder=ScriptResponder(text=script), **TONES) as scripted:
        caller = await call(to=scripted)
        await caller.session.send_message("Go.")
        how = await asyncio.wait_for(caller.session.wait_closed(), 10)
        assert isinstance(how.error, ConnectionLost)
        await caller.session.connect()
        assert caller.session.status == "connected"
        assert caller.texts("user") == [], "a new conversation"
        await caller.session.close()


@ON_BOTH
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


@ON_WEBRTC
async def test_a_call_is_cut_where_it_was_played(call: Any, recorded: Any) -> None:
    """Nobody tells the server: it hears the user, stops, and cuts at what it had sent."""
    caller = await call(LEO)
    await caller.session.send_message("Tell me a long story.")
    async with asyncio.timeout(20):
        while caller.speaker.heard_ms() < 1500:
            await asyncio.sleep(0.02)
    await caller.say(recorded("5-stop.wav"))
    await caller.replies(2)
    await caller.until(lambda: caller.texts("user")[-1] == "Stop, please. Thank you.")
    [theirs] = caller.wired("conversation.item.truncated")
    [interrupted] = caller.of("audio_interrupted")
    [mine] = interrupted.truncations
    assert mine.item_id == theirs["item_id"]
    # What is on its way, in the jitter buffer and in the loudspeaker's is the difference.
    assert mine.audio_end_ms == pytest.approx(theirs["audio_end_ms"], abs=300)
    [told, reply] = [item for item in caller.session.history if getattr(item, "role", "") == "assistant"]
    [part] = told.content
    assert part.heard_ms == theirs["audio_end_ms"]
    possible = {await words_until(theirs["audio_end_ms"] + shift) for shift in (-25, 0, 25)}
    assert part.transcript in possible
    assert item_text(reply).startswith("All right, I will stop.")
    kept = await at_server(caller, told.item_id)
    assert kept["content"][0]["transcript"] == part.transcript
    assert not caller.wired("response.output_audio.delta")
    assert caller.of("error") == []


@ON_BOTH
@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_approval(call: Any, decision: str) -> None:
    """The call waits for a human, and the model goes on with what became of it."""
    script = """
        turns:
          - do: [{tool_call: {name: delete_booking, arguments: {day: Friday}}}]
          - say: Very well.
    """
    agent = RealtimeAgent("Ava", tools=[delete_booking])
    async with EmbeddedServer(responder=ScriptResponder(text=script), **TONES) as scripted:
        caller = await call(agent, to=scripted)
        await caller.session.send_message("Delete it.")
        await caller.until(lambda: caller.of("tool_approval_requested"))
        [asked] = caller.of("tool_approval_requested")
        assert caller.calls()[0].output is None
        await getattr(caller.session, decision)(asked)
        await caller.replies(2)
        [item] = caller.calls()
        assert (item.output == "The booking for Friday is deleted.") == (decision == "approve")
        assert caller.texts("assistant") == ["Very well."]
        await caller.session.close()


@ON_BOTH
async def test_history_is_changed_at_the_server_too(call: Any) -> None:
    async with EmbeddedServer(responder="rules", **TONES) as quick:
        caller = await call(to=quick)
        await caller.session.send_message("Hello!")
        await caller.replies(1)
        [hello, answer] = caller.session.history
        await caller.session.update_history([hello])
        await caller.until(lambda: caller.wired("conversation.item.deleted"))
        assert caller.wired("conversation.item.deleted")[0]["item_id"] == answer.item_id
        assert caller.session.history == (hello,)
        assert (await at_server(caller, hello.item_id))["role"] == "user"
        await caller.session.close()


@ON_WEBRTC
async def test_mute_is_silence_for_the_server(call: Any, recorded: Any) -> None:
    caller = await call()
    await caller.session.mute(True)
    await caller.say(recorded("1-weather.wav", silence_ms=500))
    await caller.session.mute(False)
    await caller.say(recorded("6-follow-up.wav"))
    await caller.until(lambda: caller.texts("user") == ["What can you do?"])
    await caller.replies(1)
    assert len(caller.wired("input_audio_buffer.speech_started")) == 1


@ON_WEBRTC
async def test_our_goodbye_reaches_the_server(call: Any, server: Any) -> None:
    caller = await call(LEO)
    await caller.session.send_message("Tell me a long story.")
    await caller.until(lambda: caller.of("audio"))
    assert server.service.sessions == 1
    await caller.session.close()
    async with asyncio.timeout(10):
        while server.service.sessions:
            await asyncio.sleep(0.01)
    await caller.session.connect()
    assert caller.texts("user") == [], "a new call, and a new conversation"
