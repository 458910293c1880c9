from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import threading
import wave
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import voxwire

DEMO = Path(voxwire.__file__).parent / "cli" / "demo_audio"


def _need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        if os.environ.get("VOXWIRE_REQUIRE_ALL") == "1":
            pytest.fail(f"{program} is not installed and VOXWIRE_REQUIRE_ALL=1")
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture
def need() -> Callable[[str], str]:
    return _need


@pytest.fixture
def flite() -> Callable[..., bytes]:
    """Text to 16 kHz PCM by flite, without the silence at the ends."""

    def speak(text: str, voice: str = "slt") -> bytes:
        argv = [_need("flite"), "-voice", voice, "-t", text, "-o", "/dev/stdout"]
        with wave.open(io.BytesIO(subprocess.run(argv, check=True, capture_output=True).stdout)) as file:
            return file.readframes(file.getnframes())

    return speak


def _linear(code: int) -> int:
    """mu-law to 16 bit, ITU-T G.711."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _demo_turns() -> list[dict[str, Any]]:
    return json.loads((DEMO / "dialogue.json").read_text())["turns"]


@pytest.fixture
def dialogue() -> dict[str, Any]:
    return json.loads((DEMO / "dialogue.json").read_text())


@pytest.fixture
def demo_pcm() -> Callable[[str], bytes]:
    """A demo recording as 16 kHz PCM."""
    table = [struct.pack("<h", _linear(code)) for code in range(256)]

    def load(name: str) -> bytes:
        data = (DEMO / name).read_bytes()
        at = data.index(b"data")
        (size,) = struct.unpack_from("<I", data, at + 4)
        return b"".join(table[code] for code in data[at + 8 : at + 8 + size])

    return load


class Service:
    """A real HTTP server on the loopback that answers as `answers` says and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Any], None]] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                service.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                service.answers[self.path](self)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, path: str, status: int, body: bytes, *, pieces: int = 1) -> None:
        def send(handler: Any) -> None:
            handler.send_response(status)
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            size = max(1, -(-len(body) // pieces))
            for at in range(0, len(body), size):
                handler.wfile.write(body[at : at + size])
                handler.wfile.flush()

        self.answers[f"/v1/{path}"] = send

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()
