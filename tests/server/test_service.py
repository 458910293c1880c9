from __future__ import annotations

from collections.abc import Callable

from voxwire.server import ServerOptions
from voxwire.server.service import RealtimeService
from voxwire.server.speech.base import SpeechHints, Transcript
from voxwire.server.speech.vad_energy import EnergyDetector


class _Utterance:
    def __init__(self, cancelled: list[str]) -> None:
        self._cancelled = cancelled

    def feed(self, pcm: bytes, /) -> None:
        raise AssertionError("nobody speaks")

    async def finish(self) -> Transcript:
        raise AssertionError("nobody speaks")

    def cancel(self) -> None:
        self._cancelled.append("utterance")


class _Transcriber:
    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def start(self, hints: SpeechHints, on_partial: Callable[[str], None], /) -> _Utterance:
        on_partial("ignored")
        return _Utterance(self.cancelled)

    async def close(self) -> None:
        raise AssertionError("an object that was passed in is not closed")


async def test_warming_up_begins_an_utterance_and_a_detector_and_drops_them() -> None:
    made: list[EnergyDetector] = []

    def detector() -> EnergyDetector:
        made.append(EnergyDetector())
        return made[-1]

    transcriber = _Transcriber()
    service = RealtimeService(
        ServerOptions(vad=detector, transcriber=transcriber, responder="rules", synthesizer="tone")
    )
    service.warm_up()
    assert transcriber.cancelled == ["utterance"]
    assert len(made) == 1
    await service.close()
