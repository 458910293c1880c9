"""The HTTP endpoints of calls: who gets in, what is refused and how. No media here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import websockets

from voxwire.errors import ConfigError, MissingExtraError
from voxwire.rtc.base import IceServer
from voxwire.server import EmbeddedServer, Limits, ServerOptions
from voxwire.server import rtc_call as rtc_call_module

KEY = {"Authorization": "Bearer sk-one"}
SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
async def server(kit: dict[str, Any]) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(api_keys=["sk-one"], limits=Limits(call_body_bytes=20_000), **kit) as server:
        yield server


@pytest.fixture
async def http(server: EmbeddedServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server.http_url}/realtime/") as client:
        yield client


def error(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["message"]
    return found


OFFERS: list[tuple[int, str, dict[str, Any]]] = [
    (401, "invalid_api_key", {"headers": SDP, "content": "v=0"}),
    (401, "invalid_api_key", {"headers": {**SDP, "Authorization": "Bearer no"}, "content": "v=0"}),
    (401, "invalid_api_key", {"headers": {**SDP, "Authorization": "Bearer ek_no"}, "content": "v=0"}),
    (415, "unsupported_content_type", {"headers": KEY, "json": {"sdp": "v=0"}}),
    (415, "unsupported_content_type", {"headers": KEY, "content": b"v=0"}),
    (413, "request_too_large", {"headers": {**KEY, **SDP}, "content": "v=0\n" + "a" * 20_000}),
    (413, "request_too_large", {"headers": KEY, "files": {"sdp": (None, "v=0\n" + "a" * 20_000)}}),
    (400, "missing_sdp", {"headers": {**KEY, **SDP}, "content": ""}),
    (400, "missing_sdp", {"headers": KEY, "files": {"session": (None, "{}")}}),
    (400, "missing_model", {"headers": {**KEY, **SDP}, "content": "v=0"}),
    (400, "invalid_offer", {"headers": {**KEY, **SDP}, "content": b"\xff\xfe"}),
    (400, "invalid_offer", {"headers": {**KEY, **SDP}, "content": "hello", "params": {"model": "m"}}),
    (400, "invalid_offer", {"headers": {**KEY, **SDP}, "content": "v=0\r\n", "params": {"model": "m"}}),
    (400, "invalid_form", {"headers": KEY, "files": {"sdp": (None, "v=0"), "pcm": (None, "x")}}),
    (400, "invalid_form", {"headers": KEY, "files": [("sdp", (None, "v=0")), ("sdp", (None, "v=1"))]}),
    (
        400,
        "invalid_form",
        {"headers": {**KEY, "Content-Type": "multipart/form-data"}, "content": "--x\r\n"},
    ),
    (
        400,
        "invalid_form",
        {"headers": {**KEY, "Content-Type": "multipart/form-data; boundary=x"}, "content": "nonsense"},
    ),
    (400, "invalid_json", {"headers": KEY, "files": {"sdp": (None, "v=0"), "session": (None, "{")}}),
]


async def test_refused_offers(server: EmbeddedServer, http: httpx.AsyncClient) -> None:
    for status, code, request in OFFERS:
        answer = await http.post("calls", **request)
        assert (answer.status_code, error(answer)["code"]) == (status, code), request
        assert (server.service.sessions, len(server.service.calls)) == (0, 0)


async def test_refused_sessions(http: httpx.AsyncClient) -> None:
    sessions: list[tuple[Any, str]] = [
        ([], "session"),
        ({"type": "realtime", "voice": "x"}, "session.voice"),
        ({"type": "realtime", "model": 5}, "session.model"),
        ({"type": "video"}, "session.type"),
    ]
    for session, param in sessions:
        form = {"sdp": (None, "v=0"), "session": (None, json.dumps(session))}
        answer = await http.post("calls", headers=KEY, files=form)
        assert (answer.status_code, error(answer)["param"]) == (400, param)


async def test_unknown_calls(http: httpx.AsyncClient) -> None:
    for action in ("hangup", "accept", "reject", "refer"):
        answer = await http.post(f"calls/rtc_x/{action}", headers=KEY, json={})
        assert (answer.status_code, error(answer)["code"]) == (404, "call_id_not_found")


async def test_control_wants_a_call_a_key_and_a_valid_body(http: httpx.AsyncClient) -> None:
    assert (await http.delete("calls/rtc_x", headers=KEY)).status_code == 404
    assert (await http.delete("calls/rtc_x")).status_code == 401
    assert (await http.post("calls/rtc_x/hangup")).status_code == 401
    made = await http.post("client_secrets", headers=KEY, json={})
    secret = {"Authorization": f"Bearer {made.json()['value']}"}
    assert (await http.post("calls/rtc_x/hangup", headers=secret)).status_code == 401
    broken = await http.post("calls/rtc_x/refer", headers=KEY, content="{")
    assert (broken.status_code, error(broken)["code"]) == (400, "invalid_json")
    long = await http.post("calls/rtc_x/accept", headers=KEY, content=b" " * 20_001)
    assert long.status_code == 413


async def test_a_sideband_of_no_call(server: EmbeddedServer) -> None:
    for headers, status, code in (
        (KEY, 404, "call_id_not_found"),
        ({}, 401, "invalid_api_key"),
    ):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with websockets.connect(f"{server.url}?call_id=rtc_none", additional_headers=headers):
                pass
        response = caught.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"")["error"]["code"] == code


async def test_without_the_extra(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_name: object) -> None:
        raise MissingExtraError("WebRTC", "webrtc", "aiortc")

    monkeypatch.setattr(rtc_call_module, "peer_factory", absent)
    async with EmbeddedServer(**kit) as server, httpx.AsyncClient(base_url=server.http_url) as http:
        answer = await http.post("realtime/calls?model=m", headers=SDP, content="v=0")
        assert (answer.status_code, error(answer)["code"]) == (501, "webrtc_not_installed")
        assert "voxwire[webrtc]" in error(answer)["message"]
        assert server.service.sessions == 0


# -- pages of other origins ---------------------------------------------------------------------


async def preflight(server: EmbeddedServer, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
    }
    async with httpx.AsyncClient() as http:
        return await http.options(f"{server.http_url}/realtime/calls", headers=headers)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (None, "http://localhost:3000", True),
        (None, "http://127.0.0.1:8000", True),
        (None, "http://[::1]:8000", True),
        (None, "https://example.com", False),
        (None, "http://localhost.example.com", False),
        (None, "http://127.0.0.1.example.com", False),
        ((), "http://localhost:3000", False),
        ("https://example.com", "https://example.com", True),
        (["https://example.com"], "https://example.com:444", False),
        (["*"], "https://anything.example", True),
    ],
)
async def test_which_pages_may(kit: dict[str, Any], origins: Any, origin: str, allowed: bool) -> None:
    async with EmbeddedServer(cors_origins=origins, **kit) as server:
        answer = await preflight(server, origin)
        assert (answer.status_code == 200) is allowed
        assert ("access-control-allow-origin" in answer.headers) is allowed
        if allowed:
            assert "x-openai-agents-sdk" in answer.headers["access-control-allow-headers"].lower()
        async with httpx.AsyncClient() as http:
            asked = await http.post(f"{server.http_url}/realtime/calls", headers={"Origin": origin})
        assert asked.status_code == (415 if allowed else 403)
        assert ("access-control-allow-origin" in asked.headers) is allowed
        assert asked.headers["access-control-expose-headers"] == "Location"


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"cors_origins": ["example.com"]}, "example.com"),
        ({"cors_origins": ["https://example.com/"]}, "slash"),
        ({"ice_servers": ["http://stun.example"]}, "stun:"),
        ({"ice_servers": ["turn:turn.example"]}, "credential"),
        ({"ice_servers": [{"url": "stun:stun.example"}]}, "urls"),
        ({"public_address": "example.com"}, "IP address"),
        ({"udp_ports": (5000, 4000)}, "udp_ports"),
        ({"udp_ports": (0, 10)}, "udp_ports"),
        ({"rtc_backend": "gstreamer"}, "aiortc, wrtc"),
    ],
)
def test_options_that_cannot_be_used(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        ServerOptions(**settings)


def test_ice_servers_in_all_spellings() -> None:
    turn = IceServer(("turn:t.example",), "me", "hush-hush")
    options = ServerOptions(
        ice_servers=[
            "stun:s.example",
            {"urls": ["turn:t.example", "turns:t.example"], "username": "me", "credential": "hush-hush"},
            turn,
        ]
    )
    assert options.ice_servers == (
        IceServer(("stun:s.example",)),
        IceServer(("turn:t.example", "turns:t.example"), "me", "hush-hush"),
        turn,
    )
    assert "hush" not in repr(options)
