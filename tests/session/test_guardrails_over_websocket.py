"""Guardrails on the real WebSocket transport, against the embedded server: real sockets, real audio, real time."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from voxwire import (
    GuardrailResult,
    GuardrailSettings,
    MessageItem,
    OpenAIRealtimeWebSocket,
    RealtimeAgent,
    RealtimeSession,
)
from voxwire.audio import PacedSink
from voxwire.protocol.items import OutputAudio, item_text
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import SpeechHints, SynthesisRequest, Transcript
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.server.speech.synth_tone import ToneSynthesizer

AGENT = RealtimeAgent("Ava", instructions="Be kind.")
OPENING = "It is a fine day outside and the birds sing"
SCRIPT = f"""
turns:
  - say: {OPENING} but Dom is a secret that nobody may know about.
otherwise: {{say: I am sorry.}}
"""


class Heard:
    """The transcription of everything is what the test says next."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def start(self, _hints: SpeechHints, _on_partial: Callable[[str], None], /) -> Heard:
        return self

    def feed(self, _pcm: bytes, /) -> None:
        return

    async def finish(self) -> Transcript:
        return Transcript(self.texts.pop(0), 0.5)

    def cancel(self) -> None:
        return

    async def close(self) -> None:
        return


class Call:
    """A session, and somebody at its loudspeaker."""

    def __init__(self, server: EmbeddedServer, options: dict[str, Any]) -> None:
        self.heard = bytearray()
        self.speaker = PacedSink(self.heard.extend)
        transport = OpenAIRealtimeWebSocket(
            url=server.url, api_key=server.api_key, audio_output=self.speaker, proxy=None
        )
        self.session = RealtimeSession(AGENT, transport=transport, **options)
        self.events: list[Any] = []
        self.noted = asyncio.Event()
        for name in ("agent_end", "guardrail_tripped", "audio_stopped", "user_transcript", "audio", "error"):
            self.session.on(name, self.note)

    def note(self, event: Any) -> None:
        self.events.append(event)
        self.noted.set()

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.noted.clear()
                await self.noted.wait()

    def audio_ms(self, response_id: str) -> float:
        return sum(len(event.data) for event in self.of("audio") if event.response_id == response_id) / 48

    def items(self, role: str) -> list[MessageItem]:
        return [item for item in self.session.history if isinstance(item, MessageItem) and item.role == role]

    async def speak(self) -> None:
        """Half a second of a tone, then a second of silence, at ten times real time."""
        tone = b"".join(
            struct.pack("<h", int(12_000 * math.sin(2 * math.pi * 300 * n / 24_000))) for n in range(12_000)
        )
        sound = tone + bytes(48_000)
        for at in range(0, len(sound), 960):
            await self.session.send_audio(sound[at : at + 960])
            await asyncio.sleep(0.002)


@asynccontextmanager
async def on_air(script: str, *, transcripts: tuple[str, ...] = (), **options: Any) -> AsyncIterator[Call]:
    async with EmbeddedServer(
        responder=ScriptResponder(text=script),
        vad="energy",
        transcriber=Heard(*transcripts),
        synthesizer=ToneSynthesizer(),
    ) as server:
        call = Call(server, options)
        async with call.session:
            yield call
        await call.speaker.close()


async def ms_before(word: str, text: str) -> float:
    """When the voice begins to say this word."""
    async for speech in ToneSynthesizer().speak(SynthesisRequest(text)):
        for spoken in speech.words:
            if text[spoken.start : spoken.end].startswith(word):
                return spoken.start_ms
    raise AssertionError(word)


async def no_dom(text: str, context: object) -> GuardrailResult:
    return GuardrailResult("Dom" in text, {"at": text.find("Dom")})


async def test_nothing_forbidden_is_heard_with_hold_back() -> None:
    settings = GuardrailSettings(hold_back_ms=5000)
    async with on_air(SCRIPT, output_guardrails=[no_dom], output_guardrail_settings=settings) as call:
        await call.session.send_message("Tell me everything.")
        await call.until(lambda: call.of("guardrail_tripped"))
        (trip,) = call.of("guardrail_tripped")
        await call.until(lambda: call.of("agent_end")[-1:] and call.of("agent_end")[-1].text == "I am sorry.")
        await call.until(
            lambda: call.of("audio_stopped")[-1:] and not call.of("audio_stopped")[-1].interrupted
        )
        secret = await ms_before("Dom", f"{OPENING} but Dom is a secret that nobody may know about.")
        # A few ms of resampling apart, nothing from the forbidden word on came out of the gate.
        assert call.audio_ms(trip.response_id) <= secret + 20
        apology = call.of("agent_end")[-1].response_id
        assert call.audio_ms(apology) > 500
        assert len(call.heard) / 48 <= secret + 20 + call.audio_ms(apology)
        first = call.items("assistant")[0]
        assert first.status == "incomplete"
        (part,) = first.content
        assert isinstance(part, OutputAudio)
        assert "Dom" not in (part.transcript or "")
        assert call.of("error") == []


async def test_a_clean_reply_is_heard_whole_with_hold_back() -> None:
    script = "turns: [{say: It is a fine day outside.}]"
    settings = GuardrailSettings(hold_back_ms=5000)
    async with on_air(script, output_guardrails=[no_dom], output_guardrail_settings=settings) as call:
        await call.session.send_message("How is it?")
        await call.until(lambda: call.of("audio_stopped"))
        (end,) = call.of("agent_end")
        whole = await ms_before("outside", "It is a fine day outside.")
        assert call.audio_ms(end.response_id) > whole
        assert len(call.heard) / 48 == pytest.approx(call.audio_ms(end.response_id), abs=1)
        assert call.of("guardrail_tripped") == call.of("error") == []


async def test_a_slow_guardrail_delays_no_more_than_it_may() -> None:
    async def slow(text: str, context: object) -> bool:
        await asyncio.sleep(20)
        return False

    script = "turns: [{say: It is a fine day.}]"
    settings = GuardrailSettings(hold_back_ms=150)
    async with on_air(script, output_guardrails=[slow], output_guardrail_settings=settings) as call:
        await call.session.send_message("How is it?")
        await call.until(lambda: call.of("audio_stopped"))
        assert len(call.heard) / 48 > 500
        (problem,) = call.of("error")
        assert "played unchecked" in str(problem.error)


async def test_a_reply_is_interrupted_without_hold_back_and_the_model_tries_again() -> None:
    settings = GuardrailSettings(debounce_text_length=20)
    async with on_air(SCRIPT, output_guardrails=[no_dom], output_guardrail_settings=settings) as call:
        await call.session.send_message("Tell me everything.")
        await call.until(lambda: [event for event in call.of("agent_end") if event.text == "I am sorry."])
        (trip,) = call.of("guardrail_tripped")
        assert trip.item_id == call.items("assistant")[0].item_id
        assert call.of("audio_stopped")[0].interrupted
        assert len(call.heard) / 48 < 9000, "not the whole reply"
        assert "Failed Guardrail Reason: no_dom." in item_text(call.items("user")[-1])


async def test_a_written_reply_is_cancelled() -> None:
    config = {"output_modalities": ["text"]}
    script = """
    turns:
      - do: [{say: I know Dom }, {delay: 20}, {say: well.}]
    otherwise: {say: I am sorry.}
    """
    settings = GuardrailSettings(debounce_text_length=5)
    async with on_air(
        script, output_guardrails=[no_dom], output_guardrail_settings=settings, config=config
    ) as call:
        await call.session.send_message("Tell me everything.")
        await call.until(lambda: len(call.of("agent_end")) == 2)
        assert [event.status for event in call.of("agent_end")] == ["cancelled", "completed"]
        assert call.of("agent_end")[1].text == "I am sorry."
        assert call.of("error") == []


async def test_the_user_is_checked_before_the_model_answers() -> None:
    detection = {"type": "server_vad", "create_response": False, "silence_duration_ms": 300}
    config = {"audio": {"input": {"turn_detection": detection}}}
    script = """
    turns:
      - when: weather
        say: It is fine.
      - when: stopped by a guardrail
        say: Let us talk of something else.
    """
    async with on_air(
        script, transcripts=("How is the weather?", "Where is Dom?"), input_guardrails=[no_dom], config=config
    ) as call:
        await call.speak()
        await call.until(lambda: len(call.of("agent_end")) == 1)
        assert call.of("agent_end")[0].text == "It is fine."
        await call.speak()
        await call.until(lambda: len(call.of("agent_end")) == 2)
        (trip,) = call.of("guardrail_tripped")
        assert (trip.kind, trip.text) == ("input", "Where is Dom?")
        assert call.of("agent_end")[1].text == "Let us talk of something else."
        assert [event.text for event in call.of("user_transcript")] == [
            "How is the weather?",
            "Where is Dom?",
        ]
        assert call.of("error") == []
