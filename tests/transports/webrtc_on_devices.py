"""A session with nothing set up, on a PulseAudio of its own; run by test_webrtc_on_devices.py.

PortAudio reads the environment when it starts, so this is a process.
"""
# ruff: noqa: T201

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import voxwire
from voxwire import MessageItem, OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession
from voxwire.audio import convert, read_wav
from voxwire.media.levels import rms_dbfs
from voxwire.protocol.formats import AudioFormat
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.testing.pulse import PrivatePulse

QUESTION = Path(voxwire.__file__).parent / "cli" / "demo_audio" / "1-weather.wav"
WORDS = "What is the weather in Tokyo?"
ANSWER = "It is sunny in Tokyo, and it will stay like that for the rest of the week."
LINE = AudioFormat("audio/pcm", 16_000)
CONFIG = {"audio": {"input": {"transcription": {"prompt": WORDS}}}}


async def conversation(pulse: PrivatePulse) -> None:
    pulse.echo()  # open loudspeakers
    script = f"turns: [{{when: weather, do: [{{say: '{ANSWER}'}}]}}]"
    async with EmbeddedServer(responder=ScriptResponder(text=script), synthesizer="flite") as server:
        session = RealtimeSession(
            RealtimeAgent("Ava"), url=server.http_url, api_key=server.api_key, config=CONFIG
        )
        assert type(session.transport) is OpenAIRealtimeWebRTC
        over = asyncio.Event()
        interruptions: list[Any] = []
        session.on("audio_stopped", lambda _event: over.set())
        session.on("audio_interrupted", interruptions.append)
        ear = pulse.recorder()
        assert ear.stdout is not None
        listening = asyncio.create_task(asyncio.to_thread(ear.stdout.read))
        async with session:
            audio = read_wav(QUESTION)
            player = pulse.player(rate=16_000)
            await asyncio.to_thread(
                player.communicate, convert(audio.pcm, audio.format, LINE) + bytes(32_000)
            )
            await asyncio.wait_for(over.wait(), 40)
            heard_ms = session.transport.heard_ms  # type: ignore[attr-defined]
        ear.terminate()
        room = await listening
        ear.wait()
        ear.stdout.close()
    messages = [item for item in session.history if isinstance(item, MessageItem)]
    print([item.text for item in messages], f"{heard_ms:.0f} ms heard")
    assert [item.text for item in messages] == [WORDS, ANSWER], "it did not hear itself"
    assert interruptions == []
    loud = [rms_dbfs(room[at : at + 960]) > -45 for at in range(0, len(room), 960)]
    assert sum(loud) * 20 > 0.5 * heard_ms, "the loudspeaker played it"


if __name__ == "__main__":
    with PrivatePulse() as pulse:
        os.environ.update(pulse.environ)
        asyncio.run(asyncio.wait_for(conversation(pulse), 80))
