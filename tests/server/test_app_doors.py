"""Who gets in: keys, client secrets, limits, and everything else about HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
import websockets

from voxwire.errors import ConfigError, UserError
from voxwire.server import EmbeddedServer, Limits, ServerOptions, create_app, service_of
from voxwire.server.auth import ClientSecrets, Keys, Refusal, find_key

KEYS = ["sk-one", "sk-two"]


async def refused(url: str, **options: Any) -> websockets.Response:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with websockets.connect(url, **options):
            pass
    return caught.value.response


def body(response: websockets.Response) -> dict[str, Any]:
    import json

    error: dict[str, Any] = json.loads(response.body or b"")["error"]
    return error


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"Authorization": "Bearer sk-one"}},
        {"additional_headers": {"authorization": "bearer sk-two"}},
        {"additional_headers": {"api-key": "sk-two"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.sk-one"]},
    ],
    ids=str,
)
async def test_right_keys(kit: dict[str, Any], options: dict[str, Any]) -> None:
    async with EmbeddedServer(api_keys=KEYS, **kit) as server:
        async with websockets.connect(f"{server.url}?model=m", **options) as socket:
            assert "session.created" in str(await socket.recv())
            assert socket.subprotocol == ("realtime" if "subprotocols" in options else None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"additional_headers": {"Authorization": "Bearer sk-on"}},
        {"additional_headers": {"Authorization": "Basic sk-one"}},
        {"additional_headers": {"api-key": "sk-three"}},
        {"additional_headers": {"Authorization": "Bearer ek_made_up"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.nope"]},
    ],
    ids=str,
)
async def test_wrong_keys_see_401_before_the_handshake(
    kit: dict[str, Any], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer(api_keys=KEYS, **kit) as server:
        response = await refused(f"{server.url}?model=m", **options)
        assert response.status_code == 401
        error = body(response)
        assert (error["type"], error["code"], error["param"]) == (
            "invalid_request_error",
            "invalid_api_key",
            None,
        )
        assert "sk-" not in error["message"]
        assert server.service.sessions == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_open_server_takes_any_key(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server, websockets.connect(f"{server.url}?model=m") as socket:
        assert "session.created" in str(await socket.recv())


@pytest.mark.parametrize(
    ("origin", "options", "status"),
    [
        ("https://evil.example", {}, 403),
        ("null", {}, 403),
        ("https://localhost.evil.example", {}, 403),
        ("http://localhost:3000", {}, 101),
        ("http://127.0.0.1:8000", {}, 101),
        ("https://good.example", {"cors_origins": ["https://good.example"]}, 101),
        ("https://evil.example", {"cors_origins": ["https://good.example"]}, 403),
        ("http://localhost:3000", {"cors_origins": ["https://good.example"]}, 403),
        ("https://any.example", {"cors_origins": ["*"]}, 101),
        ("https://any.example", {"api_keys": KEYS}, 101),  # its key says that it may
    ],
)
async def test_pages_of_strangers(
    kit: dict[str, Any], origin: str, options: dict[str, Any], status: int
) -> None:
    """A browser sends a page's WebSocket and its forms anywhere (RFC 6455 section 10.2)."""
    headers = {"Origin": origin, "Authorization": f"Bearer {KEYS[0]}"}
    async with EmbeddedServer(**kit, **options) as server:
        url = f"{server.url}?model=m"
        async with httpx.AsyncClient() as http:
            posted = await http.post(
                f"{server.http_url}/realtime/client_secrets", headers=headers, content="{}"
            )
        assert posted.status_code == (200 if status == 101 else status)
        if status == 101:
            async with websockets.connect(url, additional_headers=headers) as socket:
                assert "session.created" in str(await socket.recv())
            return
        response = await refused(url, additional_headers=headers)
        assert (response.status_code, body(response)["code"]) == (status, "origin_not_allowed")
        assert (await refused(f"{url}&call_id=rtc_1", additional_headers=headers)).status_code == status
        assert server.service.sessions == 0


async def test_a_page_of_the_server_s_own_host_and_one_with_a_client_secret(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server:
        own = {"Origin": f"http://box.example:{server.port}", "Host": f"box.example:{server.port}"}
        async with httpx.AsyncClient() as http:
            made = await http.post(f"{server.http_url}/realtime/client_secrets", headers=own, content="{}")
        assert made.status_code == 200
        secret = made.json()["value"]
        for options in (
            {
                "origin": "https://page.example",
                "subprotocols": ["realtime", f"openai-insecure-api-key.{secret}"],
            },
            {"origin": f"http://127.0.0.1:{server.port}"},
        ):
            async with websockets.connect(f"{server.url}?model=m", **options) as socket:  # type: ignore[arg-type]
                assert "session.created" in str(await socket.recv())


async def test_a_client_that_leaves_in_the_middle_of_its_request(
    kit: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """That is no failure of the server's."""
    async with EmbeddedServer(**kit) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        async with httpx.AsyncClient() as http:
            for _ in range(20):
                assert (await http.get(server.http_url.removesuffix("/v1") + "/health")).status_code == 200
    assert "a request failed" not in caplog.text


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "missing_model"), ("intent=sing", "invalid_value")],
)
async def test_bad_queries(kit: dict[str, Any], query: str, code: str) -> None:
    async with EmbeddedServer(**kit) as server:
        response = await refused(f"{server.url}?{query}")
        assert response.status_code == 400
        assert body(response)["code"] == code


async def test_azure_paths(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(api_keys=KEYS, **kit) as server:
        base = server.url.removesuffix("/v1/realtime")
        for path in ("/openai/v1/realtime?model=m", "/openai/realtime?api-version=x&deployment=m"):
            async with websockets.connect(base + path, additional_headers={"api-key": "sk-one"}) as socket:
                assert '"model":"m"' in str(await socket.recv())


async def test_client_secret_opens_a_session_of_its_template(lab: Any, kit: dict[str, Any]) -> None:
    template = {
        "type": "realtime",
        "model": "special",
        "instructions": "Sing.",
        "audio": {"output": {"voice": "cedar"}},
    }
    async with EmbeddedServer(api_keys=KEYS, **kit) as server, httpx.AsyncClient() as http:
        answer = await http.post(
            f"{server.http_url}/realtime/client_secrets",
            headers={"Authorization": "Bearer sk-one"},
            json={"session": template, "expires_after": {"anchor": "created_at", "seconds": 60}},
        )
        assert answer.status_code == 200
        secret = answer.json()
        assert secret["value"].startswith("ek_")
        assert secret["expires_at"] == pytest.approx(time.time() + 60, abs=5)
        assert secret["session"]["instructions"] == "Sing."
        assert secret["session"]["id"].startswith("sess_")
        headers = {"Authorization": f"Bearer {secret['value']}"}
        for query in ("model=other", ""):
            async with lab.connect(server, query, additional_headers=headers) as client:
                session = (await client.next())["session"]
                assert session["model"] == "special"
                assert session["instructions"] == "Sing."
                assert session["audio"]["output"]["voice"] == "cedar"
        again = await http.post(f"{server.http_url}/realtime/client_secrets", headers=headers)
        assert again.status_code == 401


async def test_client_secret_for_transcription(lab: Any, kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server, httpx.AsyncClient() as http:
        answer = await http.post(
            f"{server.http_url}/realtime/client_secrets", json={"session": {"type": "transcription"}}
        )
        headers = {"Authorization": f"Bearer {answer.json()['value']}"}
        async with lab.connect(server, "", additional_headers=headers) as client:
            assert (await client.next())["session"]["type"] == "transcription"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_type"),
        (b'{"session": {"type": "realtime", "foo": 1}}', 400, "unknown_parameter"),
        (b'{"expires_after": {"seconds": 1}}', 400, "integer_below_min_value"),
        (b" " * 3000, 413, "request_too_large"),
    ],
    ids=str,
)
async def test_bad_client_secret_requests(
    kit: dict[str, Any], content: bytes, status: int, code: str
) -> None:
    async with (
        EmbeddedServer(limits=Limits(message_bytes=2000), **kit) as server,
        httpx.AsyncClient() as http,
    ):
        answer = await http.post(f"{server.http_url}/realtime/client_secrets", content=content)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code


async def test_sessions_limit(lab: Any, kit: dict[str, Any]) -> None:
    async with EmbeddedServer(limits=Limits(sessions=1), **kit) as server, httpx.AsyncClient() as http:
        async with lab.connect(server) as client:
            await client.next()
            response = await refused(f"{server.url}?model=m")
            assert response.status_code == 429
            assert body(response)["code"] == "too_many_sessions"
            health = await http.get(server.http_url.removesuffix("/v1") + "/health")
            assert health.json() == {"status": "ok", "sessions": 1}
        async with asyncio.timeout(10):
            while server.service.sessions:
                await asyncio.sleep(0.01)
        async with lab.connect(server) as client:
            await client.next()


async def test_places_count_from_the_handshake(kit: dict[str, Any]) -> None:
    service = service_of(create_app(limits=Limits(sessions=2), **kit))
    service.admit()
    service.admit()
    with pytest.raises(Refusal, match="most that this server takes"):
        service.admit()
    waiting = asyncio.create_task(service.drain(10))
    service.leave()
    service.admit()
    service.leave()
    assert not waiting.done()
    service.leave()
    await waiting
    service.admit()
    await service.drain(0.01)
    assert service.sessions == 1


async def test_mounted_into_another_application(lab: Any, kit: dict[str, Any]) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from voxwire.server.serve import _make_server

    inner = create_app(**kit)
    outer = Starlette(routes=[Mount("/voice", inner)])
    running = EmbeddedServer(**kit)
    listener = running._bind()
    server = _make_server(outer, running.options)
    task = asyncio.create_task(server.serve([listener]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        url = f"ws://127.0.0.1:{running.port}/voice/v1/realtime?model=m"
        async with websockets.connect(url) as socket:
            assert "session.created" in str(await socket.recv())
            assert service_of(inner).sessions == 1
    finally:
        await service_of(inner).close()
        server.should_exit = True
        await task


async def test_lifespan_closes_what_the_server_made() -> None:
    app = create_app(responder="rules", transcriber="none", synthesizer="tone", vad="energy")
    service = service_of(app)
    async with app.router.lifespan_context(app):
        service.prepare()
    with pytest.raises(Refusal, match="shutting down"):
        service.admit()


async def test_without_denial_responses_the_handshake_is_closed() -> None:
    from voxwire.server.app import _deny

    sent: list[Any] = []

    class Socket:
        def __init__(self) -> None:
            self.scope: dict[str, Any] = {}

        async def close(self, code: int, reason: str) -> None:
            sent.append((code, reason))

    await _deny(Socket(), Refusal(401, "no", code="invalid_api_key"))  # type: ignore[arg-type]
    assert sent == [(1008, "no")]


async def test_names_of_components(lab: Any) -> None:
    options = ServerOptions(responder="rules", transcriber="none", synthesizer="tone", vad="energy")
    async with EmbeddedServer(options=options) as server, lab.connect(server) as client:
        await client.say("hello")
        done = (await client.until("response.done"))["response"]
        assert done["status"] == "completed"
        assert client.of("response.output_audio.delta")


async def test_unknown_component_fails_at_once() -> None:
    server = EmbeddedServer(responder="nobody")
    with pytest.raises(ConfigError, match="nobody"):
        await server.__aenter__()
    with pytest.raises(UserError, match="does not run"):
        _ = server.url


async def test_port_in_use(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server:
        with pytest.raises(UserError, match="cannot listen"):
            await EmbeddedServer(port=server.port, **kit).__aenter__()
        with pytest.raises(UserError, match="runs already"):
            await server.__aenter__()
    with pytest.raises(UserError):
        _ = server.service
    await server.stop()


@pytest.mark.parametrize(
    "settings",
    [{"pace": 0}, {"pace": float("inf")}, {"api_keys": [""]}, {"voice": ""}],
    ids=str,
)
def test_bad_options(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ServerOptions(**settings)


def test_options_do_not_show_keys() -> None:
    options = ServerOptions(api_keys="sk-secret")
    assert options.api_keys == ("sk-secret",)
    assert "sk-secret" not in repr(options)
    with pytest.raises(ConfigError, match="both"):
        EmbeddedServer(options=options, voice="x")


@pytest.mark.parametrize(
    "settings",
    [
        {"items": 0},
        {"items": 1.5},
        {"items": True},
        {"session_seconds": -1},
        {"session_seconds": float("nan")},
        {"idle_seconds": "1"},
    ],
    ids=str,
)
def test_bad_limits(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Limits(**settings)


def test_secrets_expire_and_are_bounded() -> None:
    issued = ClientSecrets(Limits(client_secrets=2))
    keys = Keys(["sk-x"], issued)
    first = issued.issue({"n": 1}, 10, 0)
    issued.issue({"n": 2}, 20, 0)
    assert keys.check(first, 9.9) == {"n": 1}
    with pytest.raises(Refusal, match="most that this server keeps") as caught:
        issued.issue({}, 30, 5)
    assert caught.value.status == 429
    with pytest.raises(Refusal):
        keys.check(first, 10)
    third = issued.issue({"n": 3}, 30, 15)
    issued.issue({"n": 4}, 40, 25)  # room again: the second one has expired
    assert keys.check(third, 26) == {"n": 3}


@pytest.mark.parametrize(
    ("headers", "subprotocols", "key"),
    [
        ({}, [], None),
        ({"authorization": "Bearer  a "}, [], "a"),
        ({"authorization": "Bearer "}, [], None),
        ({"authorization": "Token a", "api-key": "b"}, [], "b"),
        ({}, ["realtime", "openai-insecure-api-key.c"], "c"),
    ],
)
def test_find_key(headers: dict[str, str], subprotocols: list[str], key: str | None) -> None:
    assert find_key(headers, subprotocols) == key


def test_import_loads_the_standard_library_only() -> None:
    import subprocess
    import sys

    code = (
        "import sys, voxwire.server as s; s.__dir__(); from voxwire.server import Limits, ServerOptions;"
        "print([m for m in ('starlette','uvicorn','numpy','soxr','websockets','httpx') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_unknown_name() -> None:
    import voxwire.server

    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = voxwire.server.nothing_like_it
