"""Scenes with real devices: PortAudio on a PulseAudio of their own. Run by test_devices_on_pulse.py.

PortAudio reads the environment when it starts, so each scene is a process:

    python pulse_scenes.py hear
"""
# ruff: noqa: T201, PERF401

from __future__ import annotations

import asyncio
import contextlib
import ctypes.util
import itertools
import json
import math
import os
import sys
import threading
import time
from array import array
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import voxwire
from voxwire.audio import (
    AudioDropped,
    DeviceChanged,
    Microphone,
    PushToTalk,
    Speaker,
    convert,
    list_devices,
    make_echo_canceller,
    read_wav,
    rms_dbfs,
)
from voxwire.errors import DeviceError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.testing import check_sink, check_source
from voxwire.testing.pulse import PrivatePulse

VOICES = Path(voxwire.__file__).parent / "cli" / "demo_audio"
TURNS = json.loads((VOICES / "dialogue.json").read_text())["turns"]
TEXTS = {VOICES / turn["file"]: turn["text"] for turn in TURNS}
WEATHER, TABLE, _, STORY, *_ = TEXTS
LINE = AudioFormat("audio/pcm", 16_000)


def voice(path: Path, format: AudioFormat = PCM16) -> bytes:
    audio = read_wav(path)
    return convert(audio.pcm, audio.format, format)


def tone(ms: int, rate: int = 24_000, hz: int = 440) -> bytes:
    wave = [round(9000 * math.sin(2 * math.pi * hz * n / rate)) for n in range(rate * ms // 1000)]
    return array("h", wave).tobytes()


def recognised(pcm: bytes) -> str:
    """Which of the scenes' sentences pocketsphinx hears in 16 kHz PCM, or none of them."""
    import pocketsphinx

    from voxwire.server.speech.phrase_grammar import PhraseGrammar

    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", logfn=os.devnull)
    grammar = PhraseGrammar(tuple(TEXTS.values()), decoder.lookup_word)
    decoder.add_jsgf_string("phrases", grammar.jsgf())
    decoder.activate_search("phrases")
    decoder.start_utt()
    decoder.process_raw(spoken_part(pcm), False, True)
    decoder.end_utt()
    heard = decoder.hyp()
    return grammar.texts.get(heard.hypstr, heard.hypstr) if heard is not None else ""


def spoken_part(pcm: bytes) -> bytes:
    """Without the silence around it, and with 200 ms on both sides."""
    loud = [at for at in range(0, len(pcm) - 640, 640) if rms_dbfs(pcm[at : at + 640]) > -45]
    assert loud, "nothing was heard"
    return pcm[max(0, loud[0] - 6400) : loud[-1] + 6400]


def speech_seconds(pcm: bytes) -> float:
    """How much of 16 kHz PCM is speech to the Silero network."""
    from voxwire.server.speech.vad_silero import SileroDetector

    return sum(p > 0.5 for p in SileroDetector().probabilities(pcm)) * 0.032


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Ear:
    """Listens to a loudspeaker's monitor; knows when each sample was played, by `time.monotonic`."""

    def __init__(self, pulse: PrivatePulse, rate: int = 16_000) -> None:
        self.rate = rate
        self.heard = bytearray()
        self._began = math.inf
        self._process = pulse.recorder(rate=rate)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 65536):
            self.heard += data
            # The piece that was on its way for the shortest time says best when it all began.
            self._began = min(self._began, time.monotonic() - len(self.heard) / 2 / self.rate)

    def first_loud(self, after: float = 0.0) -> float | None:
        """When the first sound louder than -40 dBFS behind that time was played."""
        return next((at for at, level in self.levels() if at >= after and level > -40), None)

    def last_loud(self) -> float:
        """When the last was."""
        return max(at for at, level in self.levels() if level > -40)

    def levels(self) -> list[tuple[float, float]]:
        """Begin and level of each 5 ms."""
        size = self.rate // 200 * 2
        heard = bytes(self.heard)
        pieces = range(0, len(heard) - size, size)
        return [(self._began + at / 2 / self.rate, rms_dbfs(heard[at : at + size])) for at in pieces]

    def close(self) -> bytes:
        self._process.terminate()
        self._thread.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(5)
        return bytes(self.heard)


@contextlib.asynccontextmanager
async def listening(microphone: Any, format: AudioFormat = LINE) -> AsyncIterator[list[tuple[float, bytes]]]:
    """Frames of a source with the times at which they came."""
    frames: list[tuple[float, bytes]] = []

    async def read() -> None:
        async for frame in microphone.frames(format):
            frames.append((time.monotonic(), frame))

    task = asyncio.create_task(read())
    try:
        await until(lambda: frames or task.done())
        yield frames
    finally:
        await microphone.close()
        await asyncio.wait_for(task, 5)


def joined(frames: list[tuple[float, bytes]]) -> bytes:
    return b"".join(frame for _, frame in frames)


async def say(pulse: PrivatePulse, pcm: bytes, rate: int = 16_000) -> None:
    """Speak into the microphone; returns when it is out."""
    player = pulse.player(rate=rate)
    await asyncio.to_thread(player.communicate, pcm)


def pull_the_plug(pulse: PrivatePulse) -> None:
    # As long as there is one of them, PulseAudio moves every stream there.
    pulse.unload("sink_name=micfeed")
    pulse.unload("sink_name=spk")


def plug_in(pulse: PrivatePulse) -> None:
    for arguments in (
        ("module-null-sink", "norewinds=1", "sink_name=spk", "rate=48000", "channels=1"),
        ("module-null-sink", "norewinds=1", "sink_name=micfeed", "rate=48000", "channels=1"),
        ("module-remap-source", "source_name=mic", "master=micfeed.monitor"),
    ):
        pulse.control("load-module", *arguments)


# -- the scenes -------------------------------------------------------------------------------------


async def hear(pulse: PrivatePulse) -> None:
    """Both at once: what is spoken is understood, what is played is heard, and counted right."""
    devices = list_devices()
    assert {"mic", "spk", "default"} <= {device.name for device in devices}
    levels: list[float] = []
    microphone = Microphone("mic", on_level=levels.append)
    ear = Ear(pulse)
    async with Speaker("spk") as speaker, listening(microphone) as frames:
        assert microphone.active_device is not None
        assert microphone.active_device.name == "mic"
        await speaker.open(PCM16)
        await until(lambda: ear.heard)
        reports: list[tuple[float, float]] = []

        async def play() -> None:
            pcm = voice(TABLE)
            speaker.write(pcm)
            while speaker.buffered_ms() > 0:
                reports.append((time.monotonic(), speaker.heard_ms()))
                await asyncio.sleep(0.02)
            assert abs(speaker.heard_ms() - PCM16.duration_ms(len(pcm))) < 0.05

        await asyncio.gather(say(pulse, voice(WEATHER, LINE)), play())
        await asyncio.sleep(0.3)
    assert microphone.active_device is None
    heard = ear.close()
    assert {len(frame) for _, frame in frames} == {640}
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(frames)]
    assert max(gaps) < 0.2, max(gaps)
    assert recognised(joined(frames)) == TEXTS[WEATHER]
    assert recognised(heard) == TEXTS[TABLE]
    assert max(levels) > -30
    assert min(levels) < -80
    # Where the first and the last loud 5 ms lie in the recording, and when they were played. In between, a busy
    # machine may let the device run dry.
    source = voice(TABLE, LINE)
    loud = [at / 32 for at in range(0, len(source) - 160, 160) if rms_dbfs(source[at : at + 160]) > -40]
    first, last = ear.first_loud(), ear.last_loud()
    assert first is not None
    anchors = ((first, loud[0]), (last, loud[-1]))
    errors = [
        min((ms - (at - played) * 1000 - offset for played, offset in anchors), key=abs)
        for at, ms in reports
        if 200 < ms < loud[-1]
    ]
    print(f"position against truth: {min(errors):.1f} to {max(errors):.1f} ms")
    assert len(errors) > 20
    assert max(map(abs, errors)) < 60, errors


async def formats(pulse: PrivatePulse) -> None:
    """The conformance checks, other formats and rates, mute, gain, two channels."""
    await check_sink(lambda: Speaker("spk"))
    await check_sink(lambda: Speaker("spk", rate=48_000, channels=2), PCMU)
    await check_source(lambda: Microphone("mic"))
    await check_source(lambda: Microphone("mic", rate=16_000, channel=1, block_ms=30), PCMU)

    microphone = Microphone("mic", gain=0.5, channels=2, rate=48_000)
    ear = Ear(pulse)
    async with Speaker("spk", channels=2, gain=2.0, prebuffer_ms=0) as speaker:
        await speaker.open(PCMU)
        async with listening(microphone, PCMU) as frames:
            speaker.write(convert(tone(300), PCM16, PCMU))
            await say(pulse, tone(600, 16_000))
            await until(lambda: microphone.level < -60)
            assert {len(frame) for _, frame in frames} == {160}
            before = len(frames)
            microphone.muted = True
            talk = asyncio.create_task(say(pulse, tone(400, 16_000)))
            await until(lambda: microphone.level > -30)  # it is heard, and not sent
            await talk
            muted = joined(frames[before + 1 :])
        await speaker.open(PCM16)  # behind what was written in the other format
        speaker.write(tone(200))
        await speaker.drain()
        assert abs(speaker.heard_ms() - 500) < 0.1
    said = convert(joined(frames[:before]), PCMU, LINE)
    loudest = max(rms_dbfs(said[at : at + 640]) for at in range(0, len(said), 640))
    assert abs(loudest - (-14.2 - 6)) < 1, loudest  # the tone has -14.2 dBFS, and half of it is heard
    assert set(muted) == {0xFF}
    played = max(level for _, level in ear.levels())
    ear.close()
    assert abs(played - (-14.2 + 6)) < 1, played
    with contextlib.suppress(AssertionError):
        await asyncio.wait_for(Speaker().drain(), 1)


async def clear(pulse: PrivatePulse) -> None:
    """Silence comes within one block and what the device has in store; a gap does not count."""
    ear = Ear(pulse)
    events: list[object] = []
    async with Speaker("spk", max_buffer_ms=3000, on_event=events.append) as speaker:
        await speaker.open(PCM16)
        speaker.write(tone(5000))
        speaker.write(tone(100))
        speaker.write(tone(100))
        assert events == [AudioDropped("output", 100.0)]
        assert speaker.dropped_ms == 200
        await until(lambda: speaker.heard_ms() > 400)
        at = time.monotonic()
        speaker.clear(speaker.heard_ms())
        heard = speaker.heard_ms()
        assert speaker.buffered_ms() == 0
        await until(lambda: time.monotonic() > at + 0.4)
        assert speaker.heard_ms() == heard
        late = (ear.last_loud() - at) * 1000
        print(f"silent {late:.0f} ms after clear")
        assert late < 80, late
        # Audio that arrives as it is spoken, with a pause in it.
        for _ in range(2):
            for _ in range(15):
                speaker.write(tone(20))
                await asyncio.sleep(0.018)
            pause = time.monotonic()
            await speaker.drain()  # also what the resampler holds back, and soon
            assert time.monotonic() - pause < 0.4
            assert speaker.buffered_ms() == 0
        assert abs(speaker.heard_ms() - heard - 600) < 0.1
    ear.close()


async def unplug(pulse: PrivatePulse) -> None:
    """Microphone and loudspeaker of another sound card go away; the defaults take their place."""
    with PrivatePulse(name="usb") as usb, PrivatePulse(usb) as main:
        os.environ.update(main.environ)
        ear = Ear(main)
        events: list[Any] = []
        microphone = Microphone("usb-mic", on_event=events.append)
        speaker = Speaker("usb-spk", on_event=events.append)
        async with speaker, listening(microphone) as frames:
            await speaker.open(PCM16)
            speaker.write(tone(3000))
            await until(lambda: speaker.heard_ms() > 300)
            began, had = time.monotonic(), len(frames)
            assert ear.first_loud() is None
            await asyncio.to_thread(pull_the_plug, usb)
            await until(lambda: len(events) == 4)
            await until(lambda: speaker.heard_ms() > 1500)
            await say(main, tone(500, 16_000))
            await until(lambda: microphone.level < -60)
            passed, count = time.monotonic() - began, len(frames) - had
        assert ear.first_loud() is not None
        ear.close()
    for direction, name in (("input", "mic"), ("output", "spk")):
        lost, found = [event for event in events if event.direction == direction]
        assert lost.before.name == f"usb-{name}"
        assert (lost.after, found.before) == (None, None)
        assert lost.reason
        assert found.after.name == "default", found
    print(f"{count} frames in {passed * 1000:.0f} ms")
    assert abs(count * 20 - passed * 1000) < 150
    assert max(rms_dbfs(frame) for _, frame in frames[had:]) > -30


async def no_device_for_a_while(pulse: PrivatePulse) -> None:
    """Nothing is left; then it is plugged in again."""
    events: list[Any] = []
    microphone = Microphone("mic", on_event=events.append)
    async with Speaker("spk", on_event=events.append) as speaker, listening(microphone) as frames:
        await speaker.open(PCM16)
        speaker.write(tone(1200))
        await until(lambda: speaker.heard_ms() > 100)
        await asyncio.to_thread(pull_the_plug, pulse)
        began, had = time.monotonic(), len(frames)
        await until(lambda: speaker.heard_ms() == 1200)  # into the void
        assert microphone.active_device is speaker.active_device is None
        assert not any(joined(frames[-10:]))
        await asyncio.to_thread(plug_in, pulse)
        await until(lambda: len(events) == 4)
        speaker.write(tone(300))
        ear = Ear(pulse)
        await say(pulse, tone(500, 16_000))
        await until(lambda: speaker.heard_ms() == 1500)
        passed, count = time.monotonic() - began, len(frames) - had
    ear.close()
    assert [event.after is None for event in events] == [True, True, False, False]
    assert abs(count * 20 - passed * 1000) < 200, (count, passed)
    assert max(rms_dbfs(frame) for _, frame in frames[had:]) > -30


async def no_restart(pulse: PrivatePulse) -> None:
    """PortAudio itself does not start again for a while."""
    import sounddevice

    initialize, failures = sounddevice._initialize, iter(range(2))

    def fail_twice() -> None:
        if next(failures, None) is not None:
            raise sounddevice.PortAudioError("Internal PortAudio error", -9986)
        initialize()

    events: list[Any] = []
    async with listening(Microphone("mic", on_event=events.append)) as frames:
        sounddevice._initialize = fail_twice
        with pytest.raises(DeviceError, match="does not start again"):
            await asyncio.to_thread(list_devices, rescan=True)
        await until(lambda: len(events) == 2)
        had = len(frames)
        await say(pulse, tone(500, 16_000))
        await until(lambda: len(frames) > had + 10)
    assert [event.after is None for event in events] == [True, False]
    assert max(rms_dbfs(frame) for _, frame in frames[had:]) > -30


async def cancelled_close(pulse: PrivatePulse) -> None:
    """The device is released also where nobody waits for that."""
    from voxwire.audio import devices_portaudio as portaudio

    speaker, go_on = Speaker("spk"), threading.Event()
    await speaker.open(PCM16)
    busy = portaudio.worker().submit(go_on.wait)
    closing = asyncio.create_task(speaker.close())
    await asyncio.sleep(0.1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    go_on.set()
    busy.result(5)
    assert portaudio.worker().wait(lambda: len(portaudio.streams)) == 0


async def stall(pulse: PrivatePulse) -> None:
    """A device that says nothing at all is opened again; a rescan disturbs nobody for long."""
    events: list[Any] = []
    microphone = Microphone("mic", on_event=events.append)
    async with Speaker("spk", on_event=events.append) as speaker, listening(microphone) as frames:
        await speaker.open(PCM16)
        await asyncio.to_thread(list_devices, rescan=True)
        had = len(frames)
        await until(lambda: len(frames) > had + 20)
        assert events == []
        assert microphone.active_device is not None
        speaker.write(tone(200))
        await speaker.drain()
        pulse.control("suspend-sink", "spk", "1")
        await until(lambda: events)
        assert isinstance(events[0], DeviceChanged)
        assert "no sign of life" in events[0].reason
        pulse.control("suspend-sink", "spk", "0")
        await until(lambda: len(events) == 2)
        speaker.write(tone(200))
        await speaker.drain()
        assert abs(speaker.heard_ms() - 400) < 0.1


async def slow_reader(pulse: PrivatePulse) -> None:
    """Who does not take the frames loses the oldest; a key opens the microphone."""
    events: list[object] = []
    microphone = Microphone("mic", max_buffer_ms=100, on_event=events.append)
    frames = microphone.frames(LINE)
    await anext(frames)
    await asyncio.sleep(0.5)  # what is tested is that time passes
    for _ in range(8):
        await anext(frames)
    await frames.aclose()
    assert events
    assert all(isinstance(event, AudioDropped) for event in events)
    assert len(events) < 4, events
    assert microphone.dropped_ms >= 200

    events.clear()
    frames = microphone.frames(LINE)
    for _ in range(24):
        await anext(frames)
        await asyncio.sleep(0.05)  # twice as long as a frame lasts, all the time
    await frames.aclose()
    assert 1 <= len(events) <= 3, "told once per stretch of losses"

    commits: list[float] = []
    key = PushToTalk(Microphone("mic"), on_commit=lambda: commits.append(time.monotonic()))
    async with listening(key) as taken:
        player = pulse.player(rate=16_000)
        assert player.stdin is not None
        speaking = asyncio.create_task(asyncio.to_thread(player.communicate, tone(2000, 16_000)))
        await until(lambda: key.source.level > -30)
        quiet = len(taken)
        key.press()
        await until(lambda: len(taken) > quiet + 20)
        key.release()
        await until(lambda: commits)
        behind = len(taken)
        await until(lambda: len(taken) > behind + 5)
        await speaking
    assert not any(joined(taken[:quiet]))
    assert not any(joined(taken[behind + 1 :]))
    assert rms_dbfs(taken[quiet + 10][1]) > -30


async def echo(pulse: PrivatePulse) -> None:
    """On open loudspeakers the agent's own voice comes back; without a canceller it is taken for the user's."""
    pulse.echo()
    seconds: dict[bool, float] = {}
    speech = voice(TABLE) + voice(STORY)
    for cancelled in (False, True):
        canceller = make_echo_canceller(required=True) if cancelled else None
        microphone = Microphone("mic", echo_canceller=canceller)
        async with (
            Speaker("spk", echo_canceller=canceller, gain=0.3) as speaker,
            listening(microphone) as frames,
        ):
            await speaker.open(PCM16)
            speaker.write(speech)
            await speaker.drain()
            if cancelled:
                alone = len(frames)
                await say(pulse, voice(WEATHER, LINE))  # the user's turn
        seconds[cancelled] = speech_seconds(joined(frames if not cancelled else frames[:alone]))
    print(f"speech in the echo: {seconds[False]:.2f} s, cancelled {seconds[True]:.2f} s")
    assert seconds[False] > 1.5
    assert seconds[True] < 0.15, seconds
    user = speech_seconds(joined(frames[alone:]))
    assert user > 0.5, user


async def conversation(pulse: PrivatePulse) -> None:
    """Over the WebSocket transport: a question into the microphone, an answer out of the loudspeaker."""
    from voxwire import OpenAIRealtimeWebSocket
    from voxwire.server import EmbeddedServer
    from voxwire.server.speech.responder_script import ScriptResponder

    responder = ScriptResponder(text=f"turns: [{{when: weather, do: [{{say: '{TEXTS[STORY]}'}}]}}]")
    canceller = make_echo_canceller(required=True)
    ear = Ear(pulse)
    async with EmbeddedServer(responder=responder, synthesizer="flite") as server:
        transport = OpenAIRealtimeWebSocket(
            url=server.url,
            api_key=server.api_key,
            proxy=None,
            audio_input=Microphone("mic", echo_canceller=canceller),
            audio_output=(speaker := Speaker("spk", echo_canceller=canceller)),
        )
        ended: list[object] = []
        transport.on("audio_stopped", ended.append)
        audio = {
            "input": {
                "transcription": {"prompt": "\n".join(TEXTS.values())},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            }
        }
        await transport.connect(initial_session_config={"audio": audio})
        await say(pulse, voice(WEATHER, LINE) + bytes(16_000))
        await until(lambda: ended, 20)
        assert transport.unheard_ms < 1
        await transport.close()
        await speaker.close()
    history = [item for item in transport.history if item.type == "message"]
    assert [item.role for item in history] == ["user", "assistant"]
    assert history[0].text == TEXTS[WEATHER]
    assert recognised(ear.close()) == TEXTS[STORY]


async def nothing_there(pulse: PrivatePulse) -> None:
    """What is said where there is no device."""
    os.environ["ALSA_CONFIG_PATH"] = "/usr/share/alsa/alsa.conf"
    del os.environ["PULSE_SERVER"]
    assert list_devices() == []
    for microphone, way_out in ((Microphone("USB"), "audio_input=None"), (Microphone(), "send_audio")):
        with pytest.raises(DeviceError, match=way_out) as refused:
            await anext(microphone.frames(PCM16))
        assert refused.value.alternatives == ()
    with pytest.raises(DeviceError, match="audio_output=None") as refused:
        await Speaker("Headset").open(PCM16)
    assert refused.value.device == "Headset"
    from voxwire.cli.doctor import device_findings

    assert [finding.state for finding in device_findings()] == ["note", "note"]


async def no_portaudio(pulse: PrivatePulse) -> None:
    """What is said where the library is missing."""
    ctypes.util.find_library = lambda _name: None
    from voxwire.cli.doctor import device_findings

    with pytest.raises(DeviceError, match="apt install libportaudio2"):
        list_devices()
    (finding,) = device_findings()
    assert finding.state == "note"
    assert "libportaudio2" in finding.what


def main() -> None:
    scene = globals()[sys.argv[1]]
    with PrivatePulse() as pulse:
        os.environ.update(pulse.environ)
        asyncio.run(asyncio.wait_for(scene(pulse), 60))


if __name__ == "__main__":
    main()
