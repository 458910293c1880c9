"""What a recorder leaves of a session that was really held."""

from __future__ import annotations

import asyncio
import json
import math
from array import array
from pathlib import Path

import pytest

from voxwire import RealtimeAgent, RealtimeSession, UserError
from voxwire.audio import CallbackSink, peak_dbfs, read_wav
from voxwire.protocol.replay import replay
from voxwire.protocol.transport_events import AudioEvent, AudioInterrupted, AudioStopped, ItemTruncation
from voxwire.recording import Recorder, Redaction
from voxwire.recording import recorder as module
from voxwire.testing import ScriptedRealtimeTransport
from voxwire.transports.websocket import OpenAIRealtimeWebSocket


def tone(ms: float, peak: int = 8000) -> bytes:
    return array("h", [round(peak * math.sin(n * 0.1)) for n in range(round(ms * 24))]).tobytes()


async def until(condition, timeout: float = 20.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def heard_ms(path: Path, channel: int) -> tuple[float, float]:
    """When the first and the last sound is in a channel."""
    wav = read_wav(path, channel=channel)
    samples = array("h", wav.pcm)
    loud = [n for n, sample in enumerate(samples) if abs(sample) > 300]
    rate = wav.format.rate
    return (loud[0] * 1000 / rate, loud[-1] * 1000 / rate) if loud else (0.0, 0.0)


async def hold(session: RealtimeSession, recorder: Recorder) -> None:
    """Two messages; the second answer is a story, cut while it is heard. Then 300 ms of speech."""
    stopped = asyncio.Event()
    session.on("audio_stopped", lambda _: stopped.set())
    async with recorder, session:
        await session.send_message("Hello")
        await asyncio.wait_for(stopped.wait(), 20)
        started = asyncio.Event()
        session.once("audio_start", lambda _: started.set())
        await session.send_message("A story, please")
        await asyncio.wait_for(started.wait(), 20)
        begin = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() - begin > 0.7)
        await session.interrupt()
        for _ in range(15):
            await session.send_audio(tone(20))
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transcripts", [False, True])
async def test_a_conversation_is_recorded_and_replays(
    session, server, tmp_path: Path, transcripts: bool
) -> None:
    redaction = Redaction(transcripts=transcripts)
    recorder = Recorder(session, tmp_path / "call", redaction=redaction)
    assert recorder.now_ms() == 0
    await hold(session, recorder)
    folder = recorder.folder
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "recording.wav", "report.html"]

    text = (folder / "events.jsonl").read_text(encoding="utf-8")
    assert server.api_key not in text
    assert ("lighthouse" in text) != transcripts
    result = replay(text.splitlines())
    assert result.differences == []
    assert result.connections == 1
    assert result.cuts >= 1
    assert result.histories >= 2
    lines = [json.loads(line) for line in text.splitlines()]
    received = [line for line in lines if line.get("direction") == "received"]
    assert received[0]["type"] == "session.created"
    assert sum(line.get("type") == "input_audio_buffer.append" for line in lines) == 15
    times = [line["t_ms"] for line in lines[1:]]
    assert times == sorted(times)

    story = recorder.timeline.interruptions[0].reply
    wav = folder / "recording.wav"
    assert read_wav(wav, channel=0).duration_ms == pytest.approx(recorder.now_ms(), abs=60)
    begin, end = heard_ms(wav, 1)
    assert begin == pytest.approx(recorder.timeline.turns[0].replies[0].heard_from_ms, abs=130)
    cut = recorder.timeline.interruptions[0]
    assert cut.at_ms - 250 <= end <= cut.at_ms + 20  # the tone has pauses between its words
    assert 600 < cut.cut_ms < 1200 < story.audio_ms
    begin, end = heard_ms(wav, 0)
    assert end - begin == pytest.approx(300, abs=130)

    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "words were heard" in page
    assert 'href="recording.wav"' in page
    assert "Checks" not in page
    assert len(recorder.timeline.turns) >= 2
    assert [len(outline) for outline in recorder.outlines()] == [module.OUTLINE_POINTS] * 2


async def test_heard_is_what_the_sink_says(server, tmp_path: Path) -> None:
    """A player that begins 400 ms late: the recording begins with it, and is cut where it was."""
    loop = asyncio.get_running_loop()
    began: list[float] = []
    held = [0.0]

    def write(_: bytes) -> None:
        if not began:
            began.append(loop.time() + 0.4)

    def position() -> float:
        if began and not held[0]:
            return max(0.0, (loop.time() - began[0]) * 1000)
        return held[0]

    def clear(heard: float) -> None:
        held[0] = heard

    sink = CallbackSink(write, clear, heard_ms=position)
    transport = OpenAIRealtimeWebSocket(url=server.url, api_key=server.api_key, audio_output=sink)
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport)
    async with Recorder(session, tmp_path, report=False) as recorder, session:
        started = asyncio.Event()
        session.on("audio_start", lambda _: started.set())
        await session.send_message("Hello")
        await session.send_message("And a story")
        await asyncio.wait_for(started.wait(), 20)
        await until(lambda: position() > 500)
        await session.interrupt()
    begin, end = heard_ms(tmp_path / "recording.wav", 1)
    start_ms = (began[0] - (loop.time() - recorder.now_ms() / 1000)) * 1000
    assert begin >= 400
    assert begin == pytest.approx(start_ms, abs=150)
    assert end - begin <= held[0] + 30
    assert replay((tmp_path / "events.jsonl").read_text().splitlines()).same


async def test_a_full_disk_is_told_and_the_session_goes_on(session, tmp_path: Path) -> None:
    errors: list[Exception] = []
    session.on("error", lambda event: errors.append(event.error))
    recorder = Recorder(session, tmp_path)
    async with recorder, session:
        assert recorder._log is not None
        recorder._log._file.close()
        recorder._log._file = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115
        stopped = asyncio.Event()
        session.on("audio_stopped", lambda _: stopped.set())
        await session.send_message("Hello")
        await asyncio.wait_for(stopped.wait(), 20)
        assert session.status == "connected"
    disk = [error for error in errors if isinstance(error, OSError)]
    assert len(disk) == 1
    assert "events.jsonl" in disk[0].__notes__[0]
    assert peak_dbfs(read_wav(tmp_path / "recording.wav", channel=1).pcm) > -40
    assert (tmp_path / "report.html").exists()
    with pytest.raises(OSError, match="No space left"):
        recorder._log._file.close()


async def test_the_speech_of_the_user_makes_turns(session, tmp_path: Path) -> None:
    recorder = Recorder(session, tmp_path)
    async with recorder, session:
        done = asyncio.Event()
        session.on("audio_stopped", lambda _: done.set())
        loud, quiet = tone(20, 12000), bytes(960)
        for frame in [quiet] * 10 + [loud] * 40 + [quiet] * 50:
            await session.send_audio(frame)
            await asyncio.sleep(0.02)
        await asyncio.wait_for(done.wait(), 20)
    (turn,) = recorder.timeline.turns
    assert not turn.typed
    begin, end = heard_ms(tmp_path / "recording.wav", 0)
    assert turn.begin_ms == pytest.approx(begin, abs=450)  # the service counts a little silence before
    assert turn.end_ms == pytest.approx(end, abs=250)
    assert turn.detected_ms is not None
    assert turn.replies[0].heard_ms > 0


async def test_the_files_are_made_or_it_does_not_begin(session, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").mkdir()
    recorder = Recorder(session, tmp_path)
    with pytest.raises(OSError, match="events"):
        recorder.start()
    await recorder.close()
    again = Recorder(session, tmp_path / "x")
    again.start()
    with pytest.raises(UserError, match="already"):
        again.start()
    with pytest.raises(UserError, match="being recorded"):
        Recorder(session, tmp_path / "y").start()
    await again.close()
    await again.close()
    async with Recorder(session, tmp_path / "z", report=False):
        pass  # the transport is free again


async def test_a_transport_of_your_own(tmp_path: Path) -> None:
    """Without an engine of ours: heard is modelled, and the log has no steps to replay."""
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport)
    async with Recorder(session, tmp_path) as recorder, session:
        transport.emit({"type": "session.created"})
        transport.emit(AudioEvent(tone(2000), "i1", "r1"))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await until(lambda: loop.time() - begin > 0.3)
        transport.emit(AudioInterrupted((ItemTruncation("i1", 0, 300),)))
        transport.emit(AudioStopped(interrupted=True))
    begin_ms, end_ms = heard_ms(tmp_path / "recording.wav", 1)
    assert end_ms - begin_ms == pytest.approx(300, abs=60)
    text = (tmp_path / "events.jsonl").read_text()
    assert '"type": "session.created"' in text
    with pytest.raises(UserError, match="no steps"):
        replay(text.splitlines())
    assert recorder.timeline.duration_ms > 300


async def test_audio_without_room_is_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport)
    async with Recorder(session, tmp_path, log=False, max_pending_ms=100) as recorder, session:
        transport.emit(AudioEvent(tone(80), "i1", "r1"))
        transport.emit(AudioEvent(tone(80), "i1", "r1"))
        transport.emit(AudioEvent(tone(80), "i1", "r1"))
        assert recorder._sound is not None
        sound = recorder._sound
        await until(lambda: sound.waiting_ms == 0)
    begin, end = heard_ms(tmp_path / "recording.wav", 1)
    assert end - begin == pytest.approx(80, abs=5)
    assert caplog.text.count("the recording lacks some") == 1
