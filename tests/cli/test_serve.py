from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxwire import RealtimeAgent, RealtimeSession
from voxwire.cli.serve import (
    ServeOptions,
    make_options,
    parse_component,
    parse_limits,
    run,
    serve_until_stopped,
)
from voxwire.errors import ConfigError, UserError
from voxwire.server.speech.responder_rules import RuleResponder
from voxwire.server.speech.responder_script import ScriptResponder

SCRIPT = "turns:\n  - say: As the script says.\n"


class Server:
    """`voxwire serve` as a process; what it prints up to and with the line that holds `Try it`."""

    def __init__(self, *arguments: str) -> None:
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environ.pop("VOXWIRE_API_KEYS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "voxwire", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        assert self.process.stdout is not None
        self.greeting = ""
        for line in self.process.stdout:
            self.greeting += line
            if "Try it" in line:
                break

    def address(self, name: str) -> str:
        found = re.search(rf"{name} +(\S+)", self.greeting)
        assert found is not None, self.greeting
        return found[1]

    def stop(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture
def server(script: Path) -> Iterator[Server]:
    server = Server(
        "--api-key", "sk-one", "--api-key", "sk-two", "--script", str(script), "--synthesizer", "tone"
    )
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


async def test_it_prints_its_addresses_and_answers(server: Server) -> None:
    with urllib.request.urlopen(server.address("HTTP").removesuffix("/v1") + "/health") as response:
        assert json.load(response)["status"] == "ok"
    url = server.address("WebSocket").partition("?")[0]
    async with RealtimeSession(
        RealtimeAgent("A"),
        transport="websocket",
        url=url,
        api_key="sk-two",
        config={"output_modalities": ["text"]},
    ) as session:
        ends = session.events("agent_end")
        await session.send_message("hello")
        assert (await anext(ends)).text == "As the script says."
    status, out, errors = server.stop(signal.SIGINT)
    assert (status, out.strip(), errors) == (0, "Stopping.", "")


def test_its_keys_are_not_printed(server: Server) -> None:
    assert "one of the 2 keys given" in server.greeting
    assert "sk-" not in server.greeting
    assert "responder script" in server.greeting
    status, _, _ = server.stop(signal.SIGTERM)
    assert status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--responder", "nobody"],
            "--responder 'nobody' is unknown; choose auto, openai, rules, script, or module",
        ),
        (["--transcriber", "x"], "choose auto, faster-whisper, none, openai, pocketsphinx"),
        (["--synthesizer", "tone,loud"], "--synthesizer 'tone,loud': 'loud' is not option=value"),
        (["--synthesizer", "tone,volume=3"], "cannot be made with the options {'volume': 3}"),
        (["--vad", "no.such.module:Thing"], "cannot be loaded"),
        (["--limit", "sesions=3"], "--limit 'sesions=3': choose one of buffered_audio_ms"),
        (["--limit", "sessions"], "must be sessions=NUMBER"),
        (["--limit", "sessions=-1"], "limit sessions must be positive"),
        (["--max-sessions", "0"], "limit sessions must be positive"),
        (["--pace", "0"], "pace must be a positive number"),
        (["--log-level", "loud"], "choose one of debug, info, warning, error"),
        (["--script", "nowhere.yaml"], "'nowhere.yaml' cannot be read"),
        (["--script", "a.yaml", "--responder", "rules"], "give either --script or --responder"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:"),
    ],
)
def test_bad_options_are_named(arguments: list[str], message: str, run_voxwire) -> None:
    status, out, errors = run_voxwire("serve", "--port", "0", *arguments)
    assert (status, out) == (2, "")
    assert message in errors
    assert errors.startswith("voxwire: ")
    assert "Traceback" not in errors


def test_options_become_the_servers() -> None:
    options = make_options(
        ServeOptions(
            api_keys=["sk-a"],
            components={
                "responder": "rules",
                "transcriber": "none",
                "synthesizer": "auto",
                "vad": "energy,frame_ms=20",
            }
            | {"vad": None},
            voice="cedar",
            pace=1.0,
            max_sessions=3,
            limits=["session-seconds=60", "idle_seconds=1.5"],
        )
    )
    assert (options.responder, options.transcriber, options.synthesizer, options.vad) == (
        "rules",
        "none",
        "auto",
        None,
    )
    assert (options.limits.sessions, options.limits.session_seconds, options.limits.idle_seconds) == (
        3,
        60,
        1.5,
    )
    assert (options.voice, options.pace, list(options.api_keys)) == ("cedar", 1.0, ["sk-a"])
    assert "sk-a" not in repr(ServeOptions(api_keys=["sk-a"]))


def test_a_script_becomes_a_responder(script: Path) -> None:
    assert isinstance(make_options(ServeOptions(script=script)).responder, ScriptResponder)


def test_components_with_options() -> None:
    assert parse_component("responder", "openai,model=llama3.2,base_url=http://127.0.0.1:1/v1,timeout=3") == (
        "openai",
        {"model": "llama3.2", "base_url": "http://127.0.0.1:1/v1", "timeout": 3},
    )
    assert parse_component("vad", "silero") == ("silero", {})
    assert parse_component("responder", "mine:make,on=true,words=null,rate=0.5")[1] == {
        "on": True,
        "words": None,
        "rate": 0.5,
    }
    module = RuleResponder.__module__
    options = make_options(ServeOptions(components={"responder": f"{module}:RuleResponder"}))
    assert options.responder == f"{module}:RuleResponder"


@pytest.mark.parametrize("pair", ["sessions=true", "sessions=many", "sessions=null", "=3", ""])
def test_limits_are_numbers(pair: str) -> None:
    with pytest.raises(ConfigError):
        parse_limits([pair])


def test_an_open_server_that_others_reach_is_warned_of() -> None:
    server = Server("--host", "0.0.0.0", "--synthesizer", "tone", "--transcriber", "none")
    status, _, _ = server.stop(signal.SIGINT)
    assert status == 0
    assert "0.0.0.0 can be reached by others, and no --api-key is set" in server.greeting
    assert "none needed" in server.greeting


def test_what_it_made_is_closed_when_it_cannot_start(monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    closed: list[bool] = []

    async def close(self: ScriptResponder) -> None:
        closed.append(True)

    monkeypatch.setattr(ScriptResponder, "close", close)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{port}"):
            run(
                ServeOptions(
                    port=port, script=script, components={"transcriber": "none", "synthesizer": "tone"}
                )
            )
    assert closed == [True]


async def test_it_serves_in_this_process_until_it_is_told_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    options = ServeOptions(
        host="127.0.0.1", port=0, api_keys=["sk-a"], components={"transcriber": "none", "synthesizer": "tone"}
    )
    task = asyncio.create_task(serve_until_stopped(options))
    printed = ""
    async with asyncio.timeout(20):
        while "Try it" not in printed:
            await asyncio.sleep(0.01)
            printed += capsys.readouterr().out
    assert "Key        the one given" in printed
    assert "transcriber none" in printed
    os.kill(os.getpid(), signal.SIGINT)
    await task
    assert capsys.readouterr().out == "Stopping.\n"


def test_mcp_servers() -> None:
    url = "https://example.com/mcp"
    assert make_options(ServeOptions(mcp_servers=[url])).mcp_servers == (url,)
    with pytest.raises(ConfigError, match=r"mcp_servers holds 'example\.com'"):
        make_options(ServeOptions(mcp_servers=["example.com"]))
