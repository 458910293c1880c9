"""Transcription sessions, against the embedded server."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire import OpenAIRealtimeWebSocket, ProviderError, ServerVad, UserError
from voxwire.audio import SequenceSource
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import Transcript as Understood
from voxwire.session.transcription import Transcript, TranscriptionSession, _transcribing


def tone(ms: float) -> bytes:
    return array("h", [round(12000 * math.sin(n * 0.1)) for n in range(round(ms * 24))]).tobytes()


class Listening:
    """One utterance: its words are the length of its audio."""

    def __init__(self, on_partial: Callable[[str], None], fail: bool) -> None:
        self._on_partial, self._fail = on_partial, fail
        self._bytes = 0

    def feed(self, pcm: bytes, /) -> None:
        self._bytes += len(pcm)

    async def finish(self) -> Understood:
        if self._fail:
            raise RuntimeError("no ears")
        self._on_partial("about")
        return Understood(f"about {round(self._bytes / 32 / 100)}00 ms", self._bytes / 32_000)

    def cancel(self) -> None:
        pass


class Clock:
    """A transcriber that tells how long somebody spoke."""

    def __init__(self, fail: bool = False) -> None:
        self.hints: list[Any] = []
        self.fail = fail

    def start(self, hints: Any, on_partial: Callable[[str], None], /) -> Listening:
        self.hints.append(hints)
        return Listening(on_partial, self.fail)

    async def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server(clock: Clock) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(transcriber=clock, synthesizer="tone", vad="energy", api_keys=["k"]) as running:
        yield running


def at(server: EmbeddedServer, **options: Any) -> TranscriptionSession:
    return TranscriptionSession(url=server.url, api_key="k", **options)


async def collect(session: TranscriptionSession) -> list[Transcript]:
    return [transcript async for transcript in session]


async def test_utterances_that_the_application_ends(server: EmbeddedServer, clock: Clock) -> None:
    session = at(server, transcription={"model": "whisper-1", "language": "en"}, turn_detection=None)
    async with session:
        reading = asyncio.ensure_future(collect(session))
        await session.send_audio(tone(300))
        await session.commit()
        await session.send_audio(tone(500))
        await session.finish()
        found = await reading
    assert [transcript.text for transcript in found] == ["about 300 ms", "about 500 ms"]
    assert all(transcript.final for transcript in found)
    assert found[0].begin_ms is None
    assert clock.hints[0].language == "en"
    assert session.transport.status == "disconnected"


async def test_utterances_that_end_by_themselves(server: EmbeddedServer) -> None:
    source = SequenceSource()
    vad = ServerVad(silence_duration_ms=300)
    session = at(server, turn_detection=vad, audio_input=source, partial=True)
    async with session:
        source.say(bytes(9600) + tone(600) + bytes(48 * 700))
        found = []
        async with asyncio.timeout(20):
            async for transcript in session:
                found.append(transcript)
                if transcript.final:
                    break
        await session.finish()  # nothing is left, which is no error
    await source.close()
    partial, final = found[-2:]
    assert not partial.final
    assert final.text.startswith(partial.text.split()[0])
    assert final.begin_ms is not None
    assert final.end_ms is not None
    assert 500 < final.end_ms - final.begin_ms < 1600


async def test_an_utterance_that_is_not_understood(server: EmbeddedServer, clock: Clock) -> None:
    clock.fail = True
    async with at(server, turn_detection=None) as session:
        reading = asyncio.ensure_future(collect(session))
        await session.send_audio(tone(200))
        await session.finish()
    (transcript,) = await reading
    assert transcript.text == ""
    assert transcript.error is not None
    assert transcript.error.code == "transcription_failed"


async def test_it_can_be_connected_again(server: EmbeddedServer) -> None:
    transport = OpenAIRealtimeWebSocket(url=server.url)
    session = TranscriptionSession(transport=transport, api_key="wrong", turn_detection=None)
    with pytest.raises(UserError, match="not connected"):
        aiter(session)
    with pytest.raises(Exception, match=r"(?i)key"):
        await session.connect()
    session._api_key = "k"
    for _ in range(2):
        await session.connect()
        reading = asyncio.ensure_future(collect(session))
        await session.send_audio(tone(200))
        await session.finish()
        assert [transcript.text for transcript in await reading] == ["about 200 ms"]


async def test_words_that_never_come(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Any) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(Listening, "finish", never)
    async with at(server, turn_detection=None) as session:
        await session.send_audio(tone(200))
        with pytest.raises(ProviderError, match="1 utterances") as caught:
            await session.finish(timeout=0.2)
        assert caught.value.code == "transcription_timeout"
        assert session.transport.status == "disconnected"


async def test_a_connection_that_ends_ends_the_wait(server: EmbeddedServer) -> None:
    async with at(server, turn_detection=None) as session:
        reading = asyncio.ensure_future(collect(session))
        finishing = asyncio.ensure_future(session._until(lambda: False))
        await asyncio.sleep(0)
        await server.stop()
        await asyncio.wait_for(finishing, 10)
        assert await asyncio.wait_for(reading, 10) == []


def test_the_source_is_the_transports() -> None:
    with pytest.raises(UserError, match="audio_input"):
        TranscriptionSession(transport=OpenAIRealtimeWebSocket(), audio_input=SequenceSource())


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("wss://x/v1/realtime", "wss://x/v1/realtime?intent=transcription"),
        ("ws://x/v1/realtime?model=m&a=1&intent=y", "ws://x/v1/realtime?a=1&intent=transcription"),
    ],
)
def test_addresses(url: str, wanted: str) -> None:
    assert _transcribing(url) == wanted
