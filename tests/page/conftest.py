"""Pyodide in Chromium: a site that serves it, our wheel and the pages, and a browser whose microphone plays a recording.

Pyodide is npm's, unchanged, from tests/edge. The wheel is built here, from this checkout. What each test proves is
said in docs/guide/pyodide.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import shutil
import subprocess
import sys
import threading
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from voxwire.audio import convert, read_wav
from voxwire.protocol.formats import PCM16
from voxwire.server import EmbeddedServer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RECORDINGS = ROOT / "src" / "voxwire" / "cli" / "demo_audio"
API_KEY = "sk-page"
FLAGS = (
    "--no-sandbox",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def pyodide() -> Path:
    """Pyodide for CPython 3.14, as npm has it."""
    folder = ROOT / "tests" / "edge" / "node_modules" / "pyodide-314"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; `make test` installs it")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (built,) = folder.glob("voxwire-*-py3-none-any.whl")
    return built


class _Files(SimpleHTTPRequestHandler):
    """Serves folders and files by the first part of the path."""

    def __init__(self, *args: Any, places: dict[str, Path], **kwargs: Any) -> None:
        self._places = places
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        first, _, rest = path.partition("?")[0].lstrip("/").partition("/")
        place = self._places.get(first, ROOT / "nowhere")
        return str(place / rest if rest else place)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site(pyodide: Path, wheel: Path) -> Iterator[str]:
    """Where the pages are: another origin than the embedded server's."""
    places = {
        "pyodide": pyodide,
        "example": ROOT / "examples" / "pyodide",
        "scenes": HERE / "scenes",
        "recordings": RECORDINGS,
        "voxwire.whl": wheel,
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, places=places))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextlib.asynccontextmanager
async def browse(url: str, microphone: Path | None = None) -> AsyncIterator[Any]:
    """A page in a Chromium of its own, with a new profile and no error in it."""
    from playwright.async_api import async_playwright

    flags = [*FLAGS]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        try:
            page = await browser.new_page(viewport={"width": 800, "height": 700})
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(url)
            yield page
            assert errors == []
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def serve() -> AsyncIterator[EmbeddedServer]:
    """The server as `voxwire serve` starts it, with a key, and with what works offline and alike on every run."""
    async with EmbeddedServer(
        api_keys=[API_KEY], vad="silero", transcriber="pocketsphinx", responder="rules", synthesizer="espeak"
    ) as server:
        yield server


async def ephemeral_key(server: EmbeddedServer) -> str:
    """A key as a page's own back-end would get it for a visitor."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {API_KEY}"}) as http:
        answer = await http.post(
            f"{server.http_url}/realtime/client_secrets", json={"session": {"type": "realtime"}}
        )
    return str(answer.raise_for_status().json()["value"])


@pytest.fixture
def spoken(tmp_path: Path) -> Callable[..., Path]:
    """`spoken("1-weather.wav", after_ms=4000)`: a recording for the fake microphone, silent before and after."""

    def write(name: str, after_ms: int) -> Path:
        wav = read_wav(RECORDINGS / name)
        path = tmp_path / "microphone.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, PCM16.rate, 0, "NONE", ""))
            out.writeframes(
                bytes(PCM16.size_of(after_ms))
                + convert(wav.pcm, wav.format, PCM16)
                + bytes(PCM16.size_of(2000))
            )
        return path

    return write


class Stage:
    """The page `scenes/`: functions of scenes.py, run in the browser's Python, one after the other."""

    def __init__(self, page: Any, site: str) -> None:
        self.page = page
        self._site = site

    async def play(self, scene: str, **arguments: Any) -> Any:
        """What `await scenes.SCENE(**arguments)` gave, by way of JSON."""
        async with asyncio.timeout(40):
            text = await self.page.evaluate(
                "([name, given]) => window.scenes.play(name, given)", [scene, json.dumps(arguments)]
            )
        return json.loads(text)


@contextlib.asynccontextmanager
async def stage(site: str, microphone: Path) -> AsyncIterator[Stage]:
    """A page with Python in it; when it ends, what of voxwire ran in it counts for the coverage of this run."""
    covered = _coverage() is not None
    address = f"{site}/scenes/index.html{'?cover=1' if covered else ''}"
    async with browse(address, microphone) as page:
        await page.wait_for_function("window.scenes !== undefined", timeout=40_000)
        await page.get_by_role("button").click()  # before that, a page may make no sound
        made = Stage(page, site)
        yield made
        if covered:
            _count(await made.play("covered"))


@contextlib.asynccontextmanager
async def untouched(site: str, scene: str, **arguments: Any) -> AsyncIterator[tuple[Any, asyncio.Queue[str]]]:
    """A page that plays a scene by itself, and what it logs; calling anything in it would count as its user's touch."""
    logged: asyncio.Queue[str] = asyncio.Queue()
    covered = _coverage() is not None
    given = urlencode({"scene": scene, "given": json.dumps(arguments)})
    async with browse("about:blank") as page:
        page.on("console", lambda message: logged.put_nowait(message.text))
        await page.goto(f"{site}/scenes/index.html{'?cover=1' if covered else ''}#{given}")
        yield page, logged
        if covered:
            while not (line := await logged.get()).startswith("covered "):
                pass
            _count(json.loads(line.removeprefix("covered ")))


def _coverage() -> Any:
    try:
        import coverage
    except ImportError:
        return None
    return coverage.Coverage.current()


def _count(arcs: dict[str, list[tuple[int, int]]]) -> None:
    """Write a data file beside those of the other processes of this run."""
    from coverage import CoverageData

    own = _coverage().get_data().base_filename()
    data = CoverageData(basename=own, suffix=True)
    data.add_arcs({str(ROOT / "src" / path): [tuple(arc) for arc in found] for path, found in arcs.items()})
    data.write()


@pytest.fixture(scope="session")
def page_tools() -> Any:
    """The functions of this file."""

    class Tools:
        browse = staticmethod(browse)
        serve = staticmethod(serve)
        stage = staticmethod(stage)
        untouched = staticmethod(untouched)
        ephemeral_key = staticmethod(ephemeral_key)

    return Tools
