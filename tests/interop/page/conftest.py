"""Pages in Chromium: a site that serves them, and a browser whose microphone plays a recording."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from voxwire.protocol.formats import PCM16

HERE = Path(__file__).resolve().parent
SECONDS = 60

FLAGS = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
CALLS = "/v1/realtime/calls"


@dataclass
class Site:
    """A web server for pages: another origin than the embedded server's, on a port of its own.

    Attributes:
        url: where the pages are.
        answer: takes the SDP offers posted to `/v1/realtime/calls`, and gives the SDP answer.
    """

    url: str
    answer: Callable[[str], Awaitable[str]] | None = None

    async def _call(self, request: Any) -> Any:
        from starlette.responses import Response

        assert self.answer is not None, "nobody answers calls here"
        sdp = await self.answer((await request.body()).decode())
        return Response(sdp, 201, {"Location": f"{CALLS}/rtc_page"}, "application/sdp")


@pytest.fixture
async def site(interop_node: Path) -> AsyncIterator[Site]:
    """The pages of this folder, the clients from npm (`/node_modules`) and the demo's recordings (`/recordings`)."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    listener = socket.create_server(("127.0.0.1", 0))
    made = Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
    recordings = HERE.parent.parent.parent / "src" / "voxwire" / "cli" / "demo_audio"
    scenario = interop_node / "agents_scenario.mjs"
    app = Starlette(
        routes=[
            Route(CALLS, made._call, methods=["POST"]),
            Route("/agents_scenario.mjs", lambda _request: _javascript(scenario)),
            Mount("/node_modules", StaticFiles(directory=interop_node / "node_modules")),
            Mount("/recordings", StaticFiles(directory=recordings)),
            Mount("/", StaticFiles(directory=HERE)),
        ]
    )

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # signals belong to pytest

    server = Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve([listener]))
    yield made
    server.should_exit = True
    await task


def _javascript(path: Path) -> Any:
    from starlette.responses import FileResponse

    return FileResponse(path, media_type="text/javascript")


Browse: TypeAlias = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """`async with browse(URL, microphone=WAV) as page`: a page in a Chromium of its own, without any error in it."""
    from playwright.async_api import async_playwright

    @contextlib.asynccontextmanager
    async def open_page(url: str, microphone: Path | None = None) -> AsyncIterator[Any]:
        flags = [*FLAGS]
        if microphone is not None:
            flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            try:
                page = await browser.new_page()
                errors: list[str] = []
                page.on("pageerror", lambda error: errors.append(str(error)))
                await page.goto(url)
                await page.wait_for_function("window.ready === true")
                yield page
                assert errors == []
            finally:
                await browser.close()

    return open_page


@pytest.fixture
def microphone(recorded: Callable[..., bytes], tmp_path: Path) -> Callable[..., Path]:
    """`microphone("1-weather.wav", after_ms=4000)`: a file for the fake microphone, silent before and after."""

    def write(name: str, after_ms: int) -> Path:
        path = tmp_path / "microphone.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, 24_000, 0, "NONE", ""))
            out.writeframes(bytes(PCM16.size_of(after_ms)) + recorded(name))
        return path

    return write


@dataclass
class PageClient:
    """`@openai/agents` in a page."""

    server: Any
    site: Site
    browse: Browse
    report: Any
    prompt: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def key(self) -> str:
        """An ephemeral key, as a page's own back-end would get it."""
        session = {
            "type": "realtime",
            "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe", "prompt": self.prompt}}},
        }
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self.server.api_key}"}) as http:
            answer = await http.post(
                f"{self.server.http_url}/realtime/client_secrets", json={"session": session}
            )
        return str(answer.raise_for_status().json()["value"])

    async def play(self, *steps: dict[str, Any], microphone: Path | None = None, **scenario: Any) -> Any:
        """Play a scenario; without a file the page speaks itself, by the step `audio`."""
        given = {
            "url": f"{self.server.http_url}/realtime/calls",
            "api_key": scenario.pop("api_key", None) or await self.key(),
            "model": "gpt-realtime",
            "modalities": ["audio"],
            "format": PCM16.to_wire(),
            "transcription": {"model": "gpt-4o-mini-transcribe", "prompt": self.prompt},
            "microphone": "page" if microphone is None else "device",
            "steps": list(steps),
            **scenario,
        }
        async with self.browse(f"{self.site.url}/agents.html", microphone) as page:
            await page.expose_function("print", self._note)
            try:
                async with asyncio.timeout(SECONDS):
                    await page.evaluate("scenario => window.play(scenario)", given)
            except TimeoutError:
                waiting = await page.evaluate("window.client?.waiting")
                raise AssertionError(f"the page still waits at {waiting}; {self.lines[-5:]}") from None
        return self.report(self.lines)

    def _note(self, line: dict[str, Any]) -> None:
        self.lines.append(line)


@pytest.fixture
def page_client(
    server: Any, site: Site, browse: Browse, new_report: Any, dialogue: dict[str, Any]
) -> PageClient:
    """`@openai/agents` in a page, against the embedded server."""
    return PageClient(server, site, browse, new_report, dialogue["prompt"])
