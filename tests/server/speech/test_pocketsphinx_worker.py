"""The worker's own behaviour, in this process; `test_transcribers` runs it as the process that it is."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from voxwire.server.speech import pocketsphinx_engine, pocketsphinx_worker
from voxwire.server.speech.frames import pack_frame, read_frame
from voxwire.server.speech.pocketsphinx_engine import DecoderSet, Utterance
from voxwire.server.speech.pocketsphinx_worker import _Worker
from voxwire.server.speech.processes import child_environment

pytest.importorskip("pocketsphinx")


class Harness:
    def __init__(self, slots: int) -> None:
        self.output = io.BytesIO()
        self.worker = _Worker(self.output, slots)
        self._read = 0

    def start(self, number: int, *phrases: str) -> None:
        self.worker.handle(b"S", number, json.dumps({"phrases": phrases}).encode())

    def frames(self) -> Iterator[tuple[bytes, int, bytes]]:
        self.output.seek(self._read)
        while (frame := read_frame(self.output)) is not None:
            yield frame
        self._read = self.output.tell()


@pytest.fixture(scope="module")
def decoders() -> DecoderSet:
    return DecoderSet()


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, decoders: DecoderSet) -> Harness:
    monkeypatch.setattr(pocketsphinx_worker, "DecoderSet", lambda: decoders)
    return Harness(1)


def test_second_utterance_waits_for_the_slot(harness: Harness, demo_pcm: Callable[[str], bytes]) -> None:
    harness.start(1, "Tell me a long story.")
    harness.start(2, "Tell me a long story.", "What is the weather in Tokyo?")
    harness.start(3)
    harness.worker.handle(b"A", 1, demo_pcm("4-story.wav"))
    harness.worker.handle(b"A", 2, demo_pcm("1-weather.wav"))
    harness.worker.handle(b"F", 2, b"")
    assert {number for _, number, _ in harness.frames()} == {1}
    harness.worker.handle(b"F", 1, b"")
    finals = {
        number: json.loads(payload)["text"] for kind, number, payload in harness.frames() if kind == b"T"
    }
    assert finals == {1: "Tell me a long story.", 2: "What is the weather in Tokyo?"}
    harness.worker.handle(b"C", 3, b"")
    harness.worker.handle(b"A", 3, bytes(640))
    assert not list(harness.frames())


def test_too_much_waiting_audio_is_an_error(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocketsphinx_worker, "_MAX_WAITING_BYTES", 1000)
    harness.start(1)
    harness.start(2)
    harness.worker.handle(b"A", 2, bytes(2000))
    assert [(kind, number) for kind, number, _ in harness.frames()] == [(b"E", 2)]
    harness.worker.handle(b"C", 1, b"")


def test_a_broken_order_is_an_error(harness: Harness) -> None:
    harness.worker.handle(b"S", 1, b"{}")
    ((kind, number, payload),) = harness.frames()
    assert (kind, number) == (b"E", 1)
    assert b"phrases" in payload
    harness.start(2)
    harness.worker.handle(b"F", 2, b"")
    assert [kind for kind, _, _ in harness.frames()] == [b"T"]


def test_old_grammars_are_forgotten(
    decoders: DecoderSet, monkeypatch: pytest.MonkeyPatch, demo_pcm: Callable[[str], bytes]
) -> None:
    monkeypatch.setattr(pocketsphinx_engine, "_KEPT_GRAMMARS", 2)
    for name in ("one", "two", "three", "日本", "four", "five"):
        decoders.select((name,))
    assert len(decoders._grammars) <= 32
    utterance = Utterance(decoders, ("voxwire story", "Tell me a long story."))
    utterance.feed(demo_pcm("4-story.wav"))
    assert utterance.finish() == "Tell me a long story."


def test_an_unlikely_phrase_is_not_believed(decoders: DecoderSet, demo_pcm: Callable[[str], bytes]) -> None:
    utterance = Utterance(decoders, ("get weather", "book a table"))
    partial = utterance.feed(demo_pcm("3-handoff.wav"))
    assert partial is not None
    text = utterance.finish()
    assert text.startswith("Please let me talk")


def test_process_ends_with_its_input() -> None:
    argv = [sys.executable, "-m", "voxwire.server.speech.pocketsphinx_worker", "1"]
    order = pack_frame(b"S", 1, b'{"phrases": []}') + pack_frame(b"F", 1) + b"half"
    done = subprocess.run(
        argv, input=order, capture_output=True, env=child_environment(), timeout=60, check=False
    )
    assert done.returncode == 0
    stream = io.BytesIO(done.stdout)
    assert read_frame(stream) == (b"R", 0, b"")
    assert read_frame(stream) == (b"T", 1, b'{"text": "", "seconds": 0.0}')
    assert done.stderr == b""
