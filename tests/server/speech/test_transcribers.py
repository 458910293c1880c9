from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voxwire.audio import convert
from voxwire.errors import AuthenticationError, ConfigError, ConnectError, MissingExtraError, ProviderError
from voxwire.protocol.formats import PCMU, AudioFormat
from voxwire.server.speech import transcriber_faster_whisper, transcriber_openai, transcriber_pocketsphinx
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.hints import hints_from_session
from voxwire.server.speech.transcriber_faster_whisper import FasterWhisperTranscriber
from voxwire.server.speech.transcriber_none import NoTranscriber
from voxwire.server.speech.transcriber_openai import OpenAITranscriber
from voxwire.server.speech.transcriber_pocketsphinx import PocketsphinxTranscriber

pytest.importorskip("pocketsphinx")


async def recognise(
    transcriber: Any, pcm: bytes, hints: SpeechHints, partials: list[str] | None = None
) -> tuple[str, float]:
    utterance = transcriber.start(hints, (partials if partials is not None else []).append)
    for at in range(0, len(pcm), 640):
        utterance.feed(pcm[at : at + 640])
    result = await utterance.finish()
    return result.text, result.seconds


async def test_demo_dialogue_with_its_phrases(
    dialogue: dict[str, Any], demo_pcm: Callable[[str], bytes]
) -> None:
    hints = hints_from_session({"audio": {"input": {"transcription": {"prompt": dialogue["prompt"]}}}})
    transcriber = PocketsphinxTranscriber()
    partials: list[str] = []
    for turn in dialogue["turns"]:
        pcm = demo_pcm(turn["file"])
        text, seconds = await recognise(transcriber, pcm, hints, partials)
        assert text == turn["text"]
        assert seconds == pytest.approx(len(pcm) / 32000)
    assert any("Tokyo" in partial for partial in partials)
    await transcriber.close()
    await transcriber.close()
    with pytest.raises(ProviderError, match="closed"):
        transcriber.start(hints, partials.append)


async def test_telephone_line(dialogue: dict[str, Any], demo_pcm: Callable[[str], bytes]) -> None:
    """What the G.711 codec leaves is understood from the first utterance on, and wideband speech after it."""
    sound = {"format": {"type": "audio/pcmu"}, "transcription": {"prompt": dialogue["prompt"]}}
    line = hints_from_session({"audio": {"input": sound}})
    wide = hints_from_session({"audio": {"input": {**sound, "format": {"type": "audio/pcm", "rate": 24000}}}})
    assert (line.narrowband, wide.narrowband) == (True, False)
    transcriber = PocketsphinxTranscriber(slots=1)
    pcm16 = AudioFormat("audio/pcm", 16_000)
    for turn in dialogue["turns"][:3]:
        pcm = bytes(9600) + demo_pcm(turn["file"]) + bytes(16_000)
        heard = convert(convert(pcm, pcm16, PCMU), PCMU, pcm16)
        assert (await recognise(transcriber, heard, line))[0] == turn["text"]
        assert (await recognise(transcriber, pcm, wide))[0] == turn["text"]
    await transcriber.close()


async def test_dictation_where_no_phrase_fits(demo_pcm: Callable[[str], bytes]) -> None:
    transcriber = PocketsphinxTranscriber()
    hints = SpeechHints(phrases=("book a table", "get weather", "日本"))
    text, _ = await recognise(transcriber, demo_pcm("4-story.wav"), hints)
    assert text == "Tell me a long story"
    text, _ = await recognise(transcriber, demo_pcm("1-weather.wav"), SpeechHints(phrases=("日本",)))
    assert text.lower().startswith("what is the weather")
    assert await recognise(transcriber, b"", SpeechHints()) == ("", 0.0)
    await transcriber.close()


async def test_utterances_at_once_share_one_slot(demo_pcm: Callable[[str], bytes]) -> None:
    transcriber = PocketsphinxTranscriber(slots=1)
    hints = SpeechHints(phrases=("Tell me a long story.", "What is the weather in Tokyo?"))
    first = transcriber.start(hints, lambda _: None)
    second = transcriber.start(hints, lambda _: None)
    third = transcriber.start(hints, lambda _: None)
    for utterance, name in ((first, "4-story.wav"), (second, "1-weather.wav")):
        utterance.feed(demo_pcm(name))
    waiting = asyncio.create_task(second.finish())
    third.cancel()
    third.cancel()
    assert (await first.finish()).text == "Tell me a long story."
    assert (await waiting).text == "What is the weather in Tokyo?"
    await transcriber.close()


async def test_cancelled_utterance_frees_its_slot(demo_pcm: Callable[[str], bytes]) -> None:
    transcriber = PocketsphinxTranscriber(slots=1)
    hints = SpeechHints(phrases=("Tell me a long story.",))
    stopped = transcriber.start(hints, lambda _: None)
    stopped.feed(demo_pcm("1-weather.wav"))
    task = asyncio.create_task(stopped.finish())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await recognise(transcriber, demo_pcm("4-story.wav"), hints))[0] == "Tell me a long story."
    await transcriber.close()


async def test_a_listener_that_fails_leaves_the_others_alone(
    demo_pcm: Callable[[str], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """All sessions share a worker: what one of them makes of a partial text is its own affair."""
    transcriber = PocketsphinxTranscriber()
    hints = SpeechHints(phrases=("Tell me a long story.",))

    def fail(_text: str) -> None:
        raise ZeroDivisionError

    failing = transcriber.start(hints, fail)
    failing.feed(demo_pcm("4-story.wav"))
    assert (await recognise(transcriber, demo_pcm("4-story.wav"), hints))[0] == "Tell me a long story."
    assert (await failing.finish()).text == "Tell me a long story."
    assert "ZeroDivisionError" in caplog.text
    await transcriber.close()


async def test_crashed_worker_fails_its_utterance_and_is_replaced(demo_pcm: Callable[[str], bytes]) -> None:
    transcriber = PocketsphinxTranscriber()
    hints = SpeechHints(phrases=("Tell me a long story.",))
    partial = asyncio.Event()
    utterance = transcriber.start(hints, lambda _: partial.set())
    utterance.feed(demo_pcm("4-story.wav"))
    await asyncio.wait_for(partial.wait(), 30)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    workers = [pid for pid in children if "pocketsphinx_worker" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(int(workers[-1]), signal.SIGKILL)
    with pytest.raises(ProviderError, match="ended with status -9") as caught:
        await utterance.finish()
    assert caught.value.retryable
    assert not Path(f"/proc/{workers[-1]}").exists(), "a zombie is left"
    assert (await recognise(transcriber, demo_pcm("4-story.wav"), hints))[0] == "Tell me a long story."
    await transcriber.close()


async def test_close_fails_what_is_under_way() -> None:
    transcriber = PocketsphinxTranscriber()
    utterance = transcriber.start(SpeechHints(), lambda _: None)
    utterance.feed(bytes(640))
    await transcriber.close()
    with pytest.raises(ProviderError, match="closed"):
        await utterance.finish()


async def test_too_much_waiting_audio_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcriber_pocketsphinx, "_MAX_BUFFERED", 10_000)
    transcriber = PocketsphinxTranscriber()
    utterance = transcriber.start(SpeechHints(), lambda _: None)
    utterance.feed(bytes(20_000))
    utterance.feed(bytes(20_000))
    with pytest.raises(ProviderError, match="behind"):
        await utterance.finish()
    await transcriber.close()


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="slots must be at least 1, not 0"):
        PocketsphinxTranscriber(slots=0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pocketsphinx"):
        PocketsphinxTranscriber()


async def test_none_hears_nothing() -> None:
    transcriber = NoTranscriber()
    assert await recognise(transcriber, bytes(32000), SpeechHints()) == ("", 1.0)
    transcriber.start(SpeechHints(), lambda _: None).cancel()
    await transcriber.close()


async def test_openai_uploads_a_wav(service: Any, demo_pcm: Callable[[str], bytes]) -> None:
    service.answer("audio/transcriptions", 200, b'{"text": " Tell me. "}')
    transcriber = OpenAITranscriber(base_url=service.url, api_key="sk-x", model="whisper-1")
    pcm = demo_pcm("4-story.wav")
    text, seconds = await recognise(transcriber, pcm, SpeechHints(language="en", phrases=("Ava",)))
    assert (text, seconds) == ("Tell me.", len(pcm) / 32000)
    _, headers, body = service.requests[0]
    assert headers["authorization"] == "Bearer sk-x"
    assert pcm in body
    for part in (b"whisper-1", b'name="language"\r\n\r\nen', b'name="prompt"\r\n\r\nAva', b"RIFF"):
        assert part in body
    await transcriber.close()
    await transcriber.close()


@pytest.mark.parametrize(
    ("status", "body", "error", "match"),
    [
        (
            401,
            b'{"error": {"message": "bad key", "code": "invalid_api_key"}}',
            AuthenticationError,
            "401: bad key",
        ),
        (429, b"slow down", ProviderError, "429: slow down"),
        (500, b'{"error": "oops"}', ProviderError, "500: oops"),
        (500, b"[1]", ProviderError, "500"),
        (200, b"no json", ProviderError, "no text"),
        (200, b"[]", ProviderError, "no text"),
    ],
)
async def test_openai_errors(
    service: Any, status: int, body: bytes, error: type[Exception], match: str
) -> None:
    service.answer("audio/transcriptions", status, body)
    transcriber = OpenAITranscriber(base_url=service.url)
    with pytest.raises(error, match=match):
        await recognise(transcriber, bytes(640), SpeechHints())
    await transcriber.close()


async def test_openai_unreachable_and_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    transcriber = OpenAITranscriber(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ConnectError, match="cannot be reached"):
        await recognise(transcriber, bytes(640), SpeechHints())
    monkeypatch.setattr(transcriber_openai, "_MAX_BYTES", 1000)
    with pytest.raises(ProviderError, match="more than"):
        await recognise(transcriber, bytes(2000), SpeechHints())
    transcriber.start(SpeechHints(), lambda _: None).cancel()
    await transcriber.close()
    with pytest.raises(ConfigError, match="base_url"):
        OpenAITranscriber(base_url="ftp://x")


def test_faster_whisper_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model=FOLDER"):
        FasterWhisperTranscriber()
    with pytest.raises(ConfigError, match=r"no model\.bin"):
        FasterWhisperTranscriber(model=str(tmp_path))
    (tmp_path / "model.bin").touch()
    if transcriber_faster_whisper.importlib.util.find_spec("faster_whisper") is None:
        with pytest.raises(MissingExtraError, match="faster-whisper"):
            FasterWhisperTranscriber(model=str(tmp_path))


WHISPER = """
class Segment:
    def __init__(self, text):
        self.text = text

class WhisperModel:
    def __init__(self, model_size_or_path, device, compute_type):
        self.path = model_size_or_path

    def transcribe(self, audio, language, initial_prompt, beam_size):
        assert str(audio.dtype) == "float32" and abs(audio).max() <= 1.0
        return iter([Segment(f" {len(audio)} samples,"), Segment(f" {language}, {initial_prompt}")]), None
"""


async def test_faster_whisper_in_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of faster-whisper's shape: the real one needs a model of some hundred megabytes."""
    (tmp_path / "faster_whisper.py").write_text(WHISPER)
    (tmp_path / "model.bin").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delitem(sys.modules, "faster_whisper", raising=False)
    transcriber = FasterWhisperTranscriber(model=str(tmp_path))
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hints = SpeechHints(language="en", phrases=("Ava", "Leo"))
    assert await recognise(transcriber, b"\x00\x80" * 640, hints) == ("640 samples, en, Ava, Leo", 0.04)
    transcriber.start(hints, lambda _: None).cancel()
    monkeypatch.setattr(transcriber_faster_whisper, "_MAX_BYTES", 1000)
    with pytest.raises(ProviderError, match="five minutes"):
        await recognise(transcriber, bytes(2000), hints)
    monkeypatch.setattr(transcriber_faster_whisper, "_MAX_WAITING", 0)
    with pytest.raises(ProviderError, match="wait for"):
        await recognise(transcriber, bytes(640), hints)
    await transcriber.close()
    sys.modules.pop("faster_whisper", None)


def test_demo_recordings_are_small_and_complete(
    dialogue: dict[str, Any], demo_pcm: Callable[[str], bytes]
) -> None:
    folder = Path(transcriber_pocketsphinx.__file__).parents[2] / "cli" / "demo_audio"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 200_000
    assert {turn["file"] for turn in dialogue["turns"]} == {file.name for file in folder.glob("*.wav")}
    assert json.dumps(dialogue["license"]) == '"CC0-1.0"'
    for turn in dialogue["turns"]:
        assert 0.8 < len(demo_pcm(turn["file"])) / 32000 < 3
