"""The example's relay, in CPython: the same functions that test_workerd.py runs inside workerd."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from voxwire.carriers.websocket import WebSocketCarrier
from voxwire.server import EmbeddedServer
from voxwire.testing import TwilioCaller
from voxwire.transports.telephony.sockets import phone_socket

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cloudflare"
RECORDINGS = EXAMPLE.parents[1] / "src" / "voxwire" / "cli" / "demo_audio"
KEY = "sk-edge"


def module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(
        api_keys=[KEY], vad="energy", transcriber="none", responder="rules", synthesizer="tone"
    ) as running:
        yield running


@contextlib.asynccontextmanager
async def relaying(serve_call: Any) -> AsyncIterator[str]:
    from websockets.asyncio.server import serve

    async def handle(connection: Any) -> None:
        await serve_call(phone_socket(connection))

    async with serve(handle, "127.0.0.1", 0, compression=None) as running:
        yield f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}/"


async def test_a_page(server: EmbeddedServer) -> None:
    from websockets.asyncio.client import connect

    relay = module("edge_relay", EXAMPLE / "src" / "relay.py")

    async def serve_call(socket: Any) -> None:
        await relay.relay_page(socket, api_key=KEY, url=server.url, connect=WebSocketCarrier)

    told: list[dict[str, Any]] = []
    async with relaying(serve_call) as url, connect(url, compression=None) as page, asyncio.timeout(20):
        await page.send(json.dumps({"text": "Please book a table for two on Friday."}))
        await page.send(bytes(960))
        while not any(event["type"] == "said" and event["text"] for event in told):
            if isinstance(message := await page.recv(), str):
                told.append(json.loads(message))
    assert {
        "type": "tool",
        "name": "book_table",
        "result": "Booked for 2 on Friday. The code is FRI-2.",
    } in told


async def test_a_phone(server: EmbeddedServer) -> None:
    relay = module("edge_relay", EXAMPLE / "src" / "relay.py")
    over = asyncio.Event()

    async def serve_call(socket: Any) -> None:
        await relay.relay_phone(socket, api_key=KEY, url=server.url, connect=WebSocketCarrier)
        over.set()

    async with relaying(serve_call) as url:
        async with TwilioCaller(url) as caller:
            caller.say(RECORDINGS / "6-follow-up.wav")
            await caller.until(lambda: caller.playout.heard_ms > 100)
        await asyncio.wait_for(over.wait(), 10)


def test_what_is_taken_out_of_a_vendored_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slim = module("edge_slim", EXAMPLE / "slim.py")
    for name in ("_version.py", "session/session.py", "server/app.py", "media/g711.py", "media/rtp.py"):
        path = tmp_path / "voxwire" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    slim.main(str(tmp_path))
    left = sorted(path.relative_to(tmp_path / "voxwire").as_posix() for path in tmp_path.rglob("*.py"))
    assert left == ["_version.py", "media/g711.py", "session/session.py"]
    with pytest.raises(SystemExit, match="vendor the packages first"):
        slim.main(str(tmp_path / "nowhere"))


def test_every_pattern_takes_something_out() -> None:
    slim = module("edge_slim", EXAMPLE / "slim.py")
    package = EXAMPLE.parents[1] / "src" / "voxwire"
    assert [entry for entry in slim.LEFT_OUT if not list(package.glob(entry))] == []


def test_the_workers_files_are_small() -> None:
    """Less than 300 KB compressed, of the 3 MB that a Worker may have."""
    bench = module("edge_bench_sizes", EXAMPLE.parents[1] / "tests" / "edge" / "edge_hosts.py")
    assert bench.compressed(bench.worker_files()) < 300_000


def test_the_settings_can_be_read() -> None:
    settings = json.loads((EXAMPLE / "wrangler.jsonc").read_text())
    assert (EXAMPLE / settings["main"]).exists()
    binding = settings["durable_objects"]["bindings"][0]
    assert f"class {binding['class_name']}(DurableObject)" in (EXAMPLE / settings["main"]).read_text()
    assert settings["migrations"][0]["new_sqlite_classes"] == [binding["class_name"]]
    assert "voxwire" in tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["dependencies"]
