"""Other people's clients, unmodified, against the embedded server on a real socket.

A client is a program of its own (`agents_client.mjs`, `agents_client.py`): it gets a scenario, plays it and prints
what happened, one JSON object per line. Both know the same agents: Ava, a receptionist with the tools
`get_weather(city)` and `book_table(day, people)`, who hands over to Leo, a storyteller.

A scenario is a JSON object: `url`, `api_key`, `model`, `modalities`, `format`, `transcription`, `turn_detection` (left
out: the client's default), `seconds` (the most it may take), `frame_bytes` (20 ms of audio) and `steps`:

======================================  =====================================================================
`{"text": "..."}`                       send a message
`{"audio": "FILE"}`                     send raw audio, 20 ms at a time, in real time
`{"until": NAME, "times": N}`           wait for the Nth wire event, `audio`, `interrupted`, `error`, `disconnected`
`{"pause_ms": N}`                       let that much time pass: the user is listening
`{"wire": {...}}`                       send a wire event
`{"interrupt": true}`, `{"mute": BOOL}`  call these methods of the session (JavaScript)
======================================  =====================================================================

The lines: `connected(call_id)`, `refused(message)`, `wire(event)`, `tool_start(agent, tool, arguments)`,
`tool_end(agent, tool, output)`, `handoff(from, to)`, `interrupted(agent)`, `error(message)`, `disconnected`,
`timeout(waiting)`, and last `end(agent, history, audio_bytes, tokens)`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from voxwire.audio import convert, read_wav
from voxwire.protocol.formats import PCM16, AudioFormat
from voxwire.server import EmbeddedServer

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDINGS = ROOT / "src" / "voxwire" / "cli" / "demo_audio"
DIALOGUE = json.loads((RECORDINGS / "dialogue.json").read_text())
API_KEY = "sk-interop"
SECONDS = 60


@pytest.fixture(scope="session")
def interop_python() -> Path:
    """The interpreter that has other people's Python clients.

    `VOXWIRE_INTEROP_PYTHON` names it; otherwise it is the one that `make test` sets up.
    """
    given = os.environ.get("VOXWIRE_INTEROP_PYTHON")
    python = Path(given) if given else ROOT / ".venv-interop" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{python} is not there; `make test` makes .venv-interop")
    return python


# -- the server --------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """The server as `voxwire serve` starts it, with a key, and with what works offline and alike on every run."""
    async with EmbeddedServer(
        api_keys=[API_KEY],
        vad="silero",
        transcriber="pocketsphinx",
        responder="rules",
        synthesizer="espeak",
    ) as running:
        yield running


# -- recordings --------------------------------------------------------------------------------


def _recorded(name: str, format: AudioFormat = PCM16, silence_ms: int = 1500) -> bytes:
    wav = read_wav(RECORDINGS / name)
    silence = bytes(wav.format.size_of(silence_ms))
    return convert(wav.pcm + silence, wav.format, format)


@pytest.fixture
def recorded() -> Callable[..., bytes]:
    """`recorded(NAME, FORMAT)`: a recording of the demo, and the silence of a microphone that stays open after it."""
    return _recorded


@pytest.fixture
def dialogue() -> dict[str, Any]:
    """The texts of the recordings."""
    return dict(DIALOGUE)


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """`recording("1-weather.wav")` is a file of raw audio in a session's format."""

    def write(name: str, format: AudioFormat = PCM16, silence_ms: int = 1500) -> Path:
        path = tmp_path / f"{name}.raw"
        path.write_bytes(_recorded(name, format, silence_ms))
        return path

    return write


# -- clients -----------------------------------------------------------------------------------


@dataclass
class Report:
    """What a client printed."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Lines of a kind, without their kind."""
        return [
            {key: value for key, value in line.items() if key != "kind"}
            for line in self.lines
            if line["kind"] == kind
        ]

    def wire(self, type: str) -> list[dict[str, Any]]:
        """Server events of a type."""
        return [line["event"] for line in self.of("wire") if line["event"]["type"] == type]

    def types(self) -> list[str]:
        """Types of all server events, in order; repeated deltas once."""
        names: list[str] = []
        for line in self.of("wire"):
            name = line["event"]["type"]
            if not names or names[-1] != name or not name.endswith(".delta"):
                names.append(name)
        return names

    @property
    def end(self) -> dict[str, Any]:
        return self.of("end")[0]

    def texts(self, role: str) -> list[str]:
        """What this role said, as the client's history has it."""
        return [item["text"] for item in self.end["history"] if item.get("role") == role]


@pytest.fixture
def new_report() -> Callable[..., Report]:
    """`new_report(LINES)`."""
    return Report


async def _run_program(
    *command: str | Path, env: dict[str, str] | None = None, seconds: float = SECONDS
) -> Report:
    """Run a client to its end and read its lines; it has to succeed and to write nothing to stderr."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Nothing of these tests leaves the machine.
        env={**os.environ, "OPENAI_AGENTS_DISABLE_TRACING": "1", **(env or {})},
    )
    try:
        async with asyncio.timeout(seconds + 15):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = Report([json.loads(line) for line in out.splitlines()])
    tail = "\n".join(json.dumps(line)[:300] for line in report.lines[-15:])
    assert process.returncode == 0, f"exit status {process.returncode}\n{tail}\n{err.decode()}"
    assert err.decode() == ""
    return report


@pytest.fixture
def run_program() -> Callable[..., Awaitable[Report]]:
    """`await run_program(COMMAND, ...)`: what the program printed."""
    return _run_program


@dataclass
class AgentsClient:
    """One of the two agent SDKs."""

    command: tuple[str | Path, ...]
    server: EmbeddedServer
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    async def play(self, *steps: dict[str, Any], format: AudioFormat = PCM16, **scenario: Any) -> Report:
        """Play a scenario against the server."""
        given = {
            "url": f"{self.server.url}?model=gpt-realtime",
            "api_key": API_KEY,
            "model": "gpt-realtime",
            "modalities": ["audio"],
            "format": format.to_wire(),
            "transcription": {"model": "gpt-4o-mini-transcribe", "prompt": DIALOGUE["prompt"]},
            "seconds": SECONDS,
            "frame_bytes": format.size_of(20),
            "steps": list(steps),
            **scenario,
        }
        path = self.folder / "scenario.json"
        path.write_text(json.dumps(given, default=str))
        return await _run_program(*self.command, path, env=self.env, seconds=given["seconds"])


# Node takes the builds for other runtimes as well. There the key goes into a sub-protocol, and the
# WebSocket is the browsers' one (Node 20 wants to be asked for it), which cannot send headers.
_BUILDS = {
    "agents-js": (),
    "agents-js-browser": ("--conditions=browser", "--experimental-websocket", "--no-warnings"),
    "agents-js-workerd": ("--conditions=workerd", "--experimental-websocket", "--no-warnings"),
}


@pytest.fixture(params=["agents-js", "agents-python", "agents-python-on-voxwire"])
def client(request: pytest.FixtureRequest, server: EmbeddedServer, tmp_path: Path) -> AgentsClient:
    """`@openai/agents`, `openai-agents`, and the latter on our transport, one after the other."""
    command: tuple[str | Path, ...]
    env: dict[str, str] = {}
    if request.param in _BUILDS:
        command = (
            "node",
            *_BUILDS[request.param],
            request.getfixturevalue("interop_node") / "agents_client.mjs",
        )
    else:
        program = "agents_on_voxwire.py" if request.param.endswith("voxwire") else "agents_client.py"
        command = (request.getfixturevalue("interop_python"), Path(__file__).parent / program)
        env = {"PYTHONPATH": str(ROOT / "src")} if request.param.endswith("voxwire") else {}
    return AgentsClient(command, server, tmp_path, env)
