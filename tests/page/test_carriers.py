"""The page's transports and carriers in Chromium, against the embedded server; what runs there is in scenes/scenes.py."""

from __future__ import annotations

import asyncio
import json
import socket
import wave
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
import pytest_asyncio

RECORDED = json.loads((files("voxwire.cli") / "demo_audio" / "dialogue.json").read_text())
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.needs_program("chromium"),
    pytest.mark.needs_module("playwright", "aiortc", "pocketsphinx", "espeakng_loader", "hatchling"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(page_tools: Any) -> AsyncIterator[Any]:
    async with page_tools.serve() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(site: str, page_tools: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    quiet = tmp_path_factory.mktemp("microphone") / "quiet.wav"
    with wave.open(str(quiet), "wb") as out:
        out.setparams((1, 2, 24_000, 0, "NONE", ""))
        out.writeframes(bytes(48_000))
    async with page_tools.stage(site, quiet) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def key(server: Any, page_tools: Any) -> str:
    return str(await page_tools.ephemeral_key(server))


@pytest.fixture(scope="module")
def nowhere() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


# -- WebRTC -----------------------------------------------------------------------------------------


async def test_a_session_talks_over_the_browsers_own_webrtc(stage: Any, server: Any, key: str) -> None:
    played = await stage.play("conversation", url=server.http_url, key=key)
    assert played["kind"] == "OpenAIRealtimeWebRTC"
    assert played["call_id"].startswith("rtc_")
    assert played["muted"] == [False, True]  # muted before it connected, and unmuted then
    assert (played["tool"], played["shown"]) == ("Tokyo", "Tokyo")
    assert "sunny in Tokyo" in played["said"]
    assert played["loud_ms"] > 500
    assert played["heard_ms"] >= played["loud_ms"] * 0.8
    assert "error" not in played["names"]
    assert played["during"] == {
        "microphones": ["live"],
        "connections": ["connected"],
        "contexts": ["running"],
    }
    assert played["after"] == {"microphones": ["ended"], "connections": ["closed"], "contexts": ["closed"]}
    assert min(played["packets"]) > 20
    assert 0 <= played["rtt_ms"] < 1000
    assert played["status"] == "disconnected"


async def test_the_callers_stream_and_element_stay_the_callers(stage: Any, server: Any, key: str) -> None:
    played = await stage.play(
        "own_stream",
        url=server.http_url,
        key=key,
        recording="/recordings/1-weather.wav",
        prompt=RECORDED["prompt"],
    )
    assert "weather in tokyo" in played["heard"][0].lower()
    assert "Tokyo" in played["said"][0]
    assert played["playing"] == {"paused": False, "stream": True}
    assert played["left"] is False
    assert played["enabled"] is False  # muted, and left so by the end
    assert played["track"] == "live"
    assert played["opened"] == []


async def test_what_is_told_is_what_is_played_resampled(stage: Any) -> None:
    played = await stage.play("tones", low=1000, high=15_000)
    assert played["rate"] in (44_100, 48_000)
    assert played["sizes"] == [960]
    assert played["low"]["hertz"] == pytest.approx(1000, abs=5)
    assert played["low"]["dbfs"] == pytest.approx(-3.0, abs=0.5)
    assert played["high"]["dbfs"] < -60  # it would alias to 9 kHz


async def test_a_call_that_cannot_be_made_says_why_and_leaves_nothing_open(
    stage: Any, server: Any, key: str, nowhere: str
) -> None:
    played = await stage.play("refusals", url=server.http_url, key=key, nowhere=f"http://{nowhere}/v1")
    found = played["found"]
    kinds = {name: error["type"] for name, error in found.items()}
    assert kinds == {
        "standard": "UserError",
        "in a header": "UserError",
        "unknown": "AuthenticationError",
        "nowhere": "ConnectError",
        "no such place": "ProviderError",
        "timeout": "ConnectTimeout",
        "ports": "ConfigError",
        "ice": "ConfigError",
        "bad answer": "SdpError",
        "source": "UserError",
        "sink": "UserError",
        "backend": "ConfigError",
        "proxy": "ConfigError",
        "empty stream": "UserError",
    }
    assert "use_insecure_api_key=True" in found["standard"]["words"]
    assert found["unknown"]["status"] == 401
    assert "Incorrect API key" in found["unknown"]["words"]
    assert "CORS" in found["nowhere"]["words"]
    assert set(played["after"]["microphones"]) == {"ended"}
    assert set(played["after"]["connections"]) == {"closed"}


async def test_a_standard_key_is_taken_where_that_is_asked_for(stage: Any, server: Any) -> None:
    told = await stage.play("standard_key", url=server.http_url, key="sk-page")
    assert told.startswith("rtc_")
    assert told.endswith("Be brief.")


@pytest.mark.parametrize("function", ["another", "later", "same", "null"])
async def test_another_connection_may_be_used(stage: Any, server: Any, key: str, function: str) -> None:
    played = await stage.play("another_connection", url=server.http_url, key=key, function=function)
    replaced = function in ("another", "later")
    assert played["senders"] == 1
    assert played["second is used"] is replaced
    assert played["first"] == ("closed" if replaced else "connected")
    assert played["first message"] == "session.created"
    assert played["after"] == "closed"
    assert played["again"]["type"] == "UserError"
    assert played["ends"] == [1000]


async def test_what_is_no_connection_is_refused(stage: Any, server: Any, key: str) -> None:
    played = await stage.play("another_connection", url=server.http_url, key=key, function="wrong")
    assert played["type"] == "UserError"


async def test_the_rules_of_a_media_carrier_hold(stage: Any, server: Any, key: str) -> None:
    played = await stage.play("carrier_rules", url=server.http_url, key=key)
    assert played["before"] == [None, True, 0.0]
    assert played["send early"]["type"] == "ConnectionLost"
    assert played["recvonly"] == ["recvonly"]
    assert played["too long"]["type"] == "UserError"
    assert "300000" in played["too long"]["words"]
    assert [played[name]["type"] for name in ("send_media", "adopt", "answer")] == ["UserError"] * 3
    assert played["queue"] == [0.0, 0.0, 0.0]
    assert played["paused"] == 0
    assert played["ends"] == [[1000, True]]
    assert played["states"] == ["connected"]
    assert played["send while it closes"]["type"] == "ConnectionLost"
    assert played["send late"]["type"] == "ConnectionLost"


async def test_a_missing_microphone_is_an_error_and_a_late_one_is_given_back(
    stage: Any, server: Any, key: str
) -> None:
    played = await stage.play("no_microphone", url=server.http_url, key=key)
    assert played["missing"]["type"] == "DeviceError"
    assert "OverconstrainedError" in played["missing"]["words"]
    assert "media_stream=" in played["missing"]["words"]
    assert played["gone"]["type"] == "ConnectError"
    assert set(played["after"]["connections"]) <= {"closed"}


@pytest.mark.parametrize("kind", ["webrtc", "websocket"])
async def test_the_end_by_the_server_is_told(stage: Any, page_tools: Any, kind: str) -> None:
    async with page_tools.serve() as server:
        url = server.http_url if kind == "webrtc" else server.url
        key = await page_tools.ephemeral_key(server)
        scene = asyncio.create_task(stage.play("waits_for_the_end", url=url, key=key, kind=kind))
        await stage.page.wait_for_function("window.connected === true")
        await server.stop()
        played = await scene
    assert played["code"] == (1000 if kind == "webrtc" else 1001)


async def test_a_page_that_nobody_touched_is_silent_until_somebody_does(
    site: str, server: Any, key: str, page_tools: Any
) -> None:
    async with page_tools.untouched(site, "blocked_sound", url=server.http_url, key=key) as (page, logged):
        lines: list[str] = []
        async with asyncio.timeout(60):
            while (line := await logged.get()) != "waiting":
                lines.append(line)
            await page.mouse.click(30, 30)
            while not (line := await logged.get()).startswith("done "):
                lines.append(line)
    played = json.loads(line.removeprefix("done "))
    assert played["before"] == {"pcm": 0, "contexts": ["suspended"]}
    assert played["after"] > 300
    assert any("before its user has clicked" in line for line in lines)


# -- WebSocket --------------------------------------------------------------------------------------


async def test_a_session_over_the_browsers_websocket(stage: Any, server: Any, key: str) -> None:
    played = await stage.play("websocket_turn", url=server.url, key=key)
    assert played["tool"] == "London"
    assert "London" in played["said"][0]
    assert "error" not in played["names"]
    assert played["status"] == "disconnected"


async def test_a_websocket_that_does_not_open(stage: Any, server: Any, key: str, nowhere: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        played = await stage.play(
            "websocket_refusals",
            url=server.url,
            key=key,
            nowhere=f"ws://{nowhere}/v1/realtime",
            silent=f"ws://127.0.0.1:{silent.getsockname()[1]}/v1/realtime",
        )
    assert {name: error["type"] for name, error in played.items()} == {
        "standard": "UserError",
        "unknown": "ConnectError",
        "nowhere": "ConnectError",
        "silent": "ConnectTimeout",
        "header": "ConfigError",
        "bad key": "ConnectError",
        "closed": "ConnectError",
    }
    assert "refused the key" in played["unknown"]["words"]
    assert "X-Team" in played["header"]["words"]


async def test_the_rules_of_a_carrier_hold_on_a_websocket(stage: Any, server: Any, key: str) -> None:
    played = await stage.play("websocket_rules", url=server.url, key=key)
    assert played["send"]["type"] == played["drain"]["type"] == "ConnectionLost"
    assert played["types"] == ["session.created", "error"]
    assert played["ends"] == [[1000, True]]
    assert played["too long"][0] == 1009
