from __future__ import annotations

import asyncio
import shutil
import struct
import sys
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from voxwire.errors import AuthenticationError, ConfigError, ConnectError, MissingExtraError, ProviderError
from voxwire.server.speech.base import Speech, SynthesisRequest
from voxwire.server.speech.processes import ProcessGate, read_wav
from voxwire.server.speech.synth_espeak import EspeakHelperSynthesizer, EspeakSynthesizer
from voxwire.server.speech.synth_flite import FliteSynthesizer, flite_voice
from voxwire.server.speech.synth_openai import OpenAISynthesizer
from voxwire.server.speech.synth_tone import ToneSynthesizer

TEXT = "The weather in Tokyo is sunny. - It is 23.5 degrees, [[really]]!"


@pytest.fixture(params=["espeak", "helper", "flite", "tone"])
def synthesizer(request: Any, need: Callable[[str], str]) -> Any:
    if request.param == "espeak":
        need("espeak-ng")
        return EspeakSynthesizer()
    if request.param == "helper":
        pytest.importorskip("espeakng_loader")
        return EspeakHelperSynthesizer()
    if request.param == "flite":
        need("flite")
        return FliteSynthesizer()
    return ToneSynthesizer()


async def speak(synthesizer: Any, text: str, **options: Any) -> list[Speech]:
    return [piece async for piece in synthesizer.speak(SynthesisRequest(text, **options))]


async def test_every_word_once_in_order_inside_the_audio(synthesizer: Any) -> None:
    pieces = await speak(synthesizer, TEXT, voice="marin")
    words = [word for piece in pieces for word in piece.words]
    assert [TEXT[w.start : w.end] for w in words] == TEXT.split()
    assert all(w.start_ms <= w.end_ms for w in words)
    assert all(a.end_ms <= b.start_ms + 0.01 for a, b in pairwise(words))
    total = sum(len(piece.pcm) for piece in pieces) * 500 / synthesizer.sample_rate
    assert 2500 < total < 12_000
    assert words[-1].end_ms <= total
    at = 0.0
    for piece in pieces:
        at += len(piece.pcm) * 500 / synthesizer.sample_rate
        assert all(word.end_ms <= at + 0.01 for word in piece.words)
    peak = max(abs(s) for piece in pieces for s in array("h", piece.pcm))
    assert peak > 3000
    await synthesizer.close()
    await synthesizer.close()


async def test_speed_and_voice_change_the_audio(synthesizer: Any) -> None:
    async def audio(**options: Any) -> bytes:
        return b"".join(
            piece.pcm for piece in await speak(synthesizer, "Good morning to all of you.", **options)
        )

    normal = await audio(voice="marin")
    assert len(await audio(voice="marin", speed=1.5)) < 0.85 * len(normal)
    assert await audio(voice="cedar") != normal
    assert await speak(synthesizer, "  ") == []
    await synthesizer.close()


async def test_stopping_early_leaves_no_process(synthesizer: Any) -> None:
    stream = synthesizer.speak(SynthesisRequest("One two three. " * 200))
    async for _ in stream:
        break
    await stream.aclose()
    gate = getattr(synthesizer, "_gate", None)
    assert gate is None or not gate._running
    await synthesizer.close()
    if gate is not None:
        with pytest.raises(ProviderError, match="closed"):
            await speak(synthesizer, "again")


async def test_helper_and_program_agree_about_words(need: Callable[[str], str]) -> None:
    """The estimate against espeak-ng's own word events."""
    need("espeak-ng")
    pytest.importorskip("espeakng_loader")
    text = "Once upon a time there was a lighthouse keeper who lived alone on a small island."
    ends: list[list[float]] = []
    for synthesizer in (EspeakSynthesizer(), EspeakHelperSynthesizer()):
        pieces = await speak(synthesizer, text, voice="marin")
        ends.append([word.end_ms for piece in pieces for word in piece.words])
        await synthesizer.close()
    errors = [abs(a - b) for a, b in zip(*ends, strict=True)]
    assert sum(errors) / len(errors) < 120
    assert errors[-1] < 60


async def test_tone_is_deterministic() -> None:
    assert await speak(ToneSynthesizer(), TEXT) == await speak(ToneSynthesizer(), TEXT)


async def test_gate_limits_and_reports(tmp_path: Path) -> None:
    gate = ProcessGate(1)
    order: list[str] = []

    async def hold(name: str, started: asyncio.Event, release: asyncio.Event) -> None:
        async with gate.run(["cat"], b"x"):
            order.append(name)
            started.set()
            await release.wait()

    first, second, release = asyncio.Event(), asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(hold("a", first, release)), asyncio.create_task(hold("b", second, release))]
    await first.wait()
    assert order == ["a"]
    release.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b"]
    assert await gate.output(["cat"], b"hello") == b"hello"
    with pytest.raises(ProviderError, match="status 3: why"):
        await gate.output(["sh", "-c", "echo why >&2; exit 3"], b"")
    with pytest.raises(ProviderError, match="could not be started"):
        await gate.output([str(tmp_path / "none")], b"")
    with pytest.raises(ConfigError, match="at least 1"):
        ProcessGate(0)


async def test_close_kills_what_runs() -> None:
    gate = ProcessGate(2)
    task = asyncio.create_task(gate.output(["sleep", "60"], b""))
    while not gate._running:
        await asyncio.sleep(0.001)
    await gate.close()
    with pytest.raises(ProviderError, match="status -9"):
        await asyncio.wait_for(task, 5)


def wav(channels: int = 1, extra: bytes = b"") -> bytes:
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, 8000, 16000, 2, 16)
    return b"RIFF" + b"\xff" * 4 + b"WAVE" + fmt + extra + b"data" + b"\xff\xff\xff\x7f" + b"abcde"


def test_read_wav() -> None:
    assert read_wav(wav()) == (8000, b"abcd")
    assert read_wav(wav(extra=b"LIST\x03\0\0\0abc\0")) == (8000, b"abcd")
    for data, match in ((b"hello", "no WAV"), (wav(2), "2 x 16"), (wav()[:36], "without audio")):
        with pytest.raises(ProviderError, match=match):
            read_wav(data)


def test_missing_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'no-such-espeak' was not found"):
        EspeakSynthesizer(program="no-such-espeak")
    with pytest.raises(ConfigError, match="'no-such-flite' was not found"):
        FliteSynthesizer(program="no-such-flite")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="espeakng-loader"):
        EspeakHelperSynthesizer()


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
async def test_wrong_output_of_a_program(tmp_path: Path) -> None:
    program = tmp_path / "espeak"
    program.write_text("#!/bin/sh\ncat > /dev/null\nprintf nonsense\n")
    program.chmod(0o755)
    with pytest.raises(ProviderError, match="no WAV"):
        await speak(EspeakSynthesizer(program=str(program)), "hi")
    (tmp_path / "out").write_bytes(wav())
    program.write_text(f"#!/bin/sh\ncat > /dev/null\ncat {tmp_path}/out\n")
    with pytest.raises(ProviderError, match="8000 Hz"):
        await speak(EspeakSynthesizer(program=str(program)), "hi")
    with pytest.raises(ProviderError, match="8000 Hz"):
        await speak(FliteSynthesizer(program=str(program)), "hi")


async def test_helper_reports_an_unusable_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    synthesizer = EspeakHelperSynthesizer()
    assert await speak(synthesizer, "hi", voice="espeak:nonsense"), "falls back to en-us"
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProviderError, match="status 1"):
        await speak(synthesizer, "hi")
    await synthesizer.close()


def test_flite_voices() -> None:
    assert flite_voice("rms") == "rms"
    assert flite_voice("cedar") == "rms"
    assert flite_voice(None) == "slt"
    assert flite_voice("somebody") in {"slt", "rms"}


async def test_openai_streams_and_aligns(service: Any) -> None:
    pcm = struct.pack("<h", 4000) * 24_000
    service.answer("audio/speech", 200, pcm, pieces=7)
    synthesizer = OpenAISynthesizer(base_url=service.url, model="tts", api_key="k")
    pieces = await speak(synthesizer, "Hello my dear friend. Bye now.", voice="ash", speed=1.2)
    assert b"".join(piece.pcm for piece in pieces) == pcm * 2
    words = [word for piece in pieces for word in piece.words]
    assert len(words) == 6
    assert words[3].end_ms == pytest.approx(1000.0)
    assert words[5].end_ms == pytest.approx(2000.0)
    assert b'"ash"' in service.requests[0][2]
    service.answer("audio/speech", 403, b'{"error": {"message": "no"}}')
    with pytest.raises(AuthenticationError, match="403: no"):
        await speak(synthesizer, "Hi")
    await synthesizer.close()
    with pytest.raises(ConnectError):
        await speak(OpenAISynthesizer(base_url="http://127.0.0.1:9"), "Hi")
    with pytest.raises(ConfigError, match="sample_rate"):
        OpenAISynthesizer(sample_rate=5)
