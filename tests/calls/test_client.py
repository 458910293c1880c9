"""Call control against a real server on a loopback socket."""

from __future__ import annotations

import asyncio
import json
import socket
from email import message_from_bytes
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from voxwire import SemanticVad, SessionConfig
from voxwire.calls import BUSY, Calls
from voxwire.calls import http as calls_http
from voxwire.calls.endpoints import call_id_in, endpoint_url, realtime_url, target_of
from voxwire.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    ProviderError,
    UserError,
)
from voxwire.server import EmbeddedServer

NOWHERE = "http://127.0.0.1:9/v1"


async def test_the_commands_on_the_wire(phone: Any) -> None:
    async with phone.control() as calls:
        await calls.accept("rtc_1", {"instructions": "Be brief.", "voice": "marin"})
        await calls.reject("rtc_2")
        await calls.reject("rtc_2", BUSY)
        await calls.refer("rtc_3", "+1 (415) 555-0123")
        await calls.refer("rtc_3", "sips:agent@example.com;transport=tls")
        await calls.hangup("rtc_4")
    assert phone.requests == [
        (
            "accept",
            {"type": "realtime", "instructions": "Be brief.", "audio": {"output": {"voice": "marin"}}},
        ),
        ("reject", {"status_code": 603}),
        ("reject", {"status_code": 486}),
        ("refer", {"target_uri": "tel:+14155550123"}),
        ("refer", {"target_uri": "sips:agent@example.com;transport=tls"}),
        ("hangup", b""),
    ]
    assert {headers["authorization"] for headers in phone.headers} == {"Bearer sk-calls"}


async def test_a_call_id_stays_inside_its_path(phone: Any) -> None:
    """It comes from outside; whatever it is, it names a call and not another address."""
    seen: list[bytes] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope["raw_path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with client, phone.control(client=client) as calls:
        await calls.hangup("a/../b?c#d e")
    assert seen == [b"/v1/realtime/calls/a%2F..%2Fb%3Fc%23d%20e/hangup"]


async def test_a_typed_configuration(phone: Any) -> None:
    async with phone.control() as calls:
        await calls.accept("rtc_1", SessionConfig(model="gpt-realtime", instructions="Hi"))
        with pytest.raises(ConfigError):
            await calls.accept("rtc_1", {"instructions": 7})
    assert phone.requests == [("accept", {"type": "realtime", "model": "gpt-realtime", "instructions": "Hi"})]


async def test_a_key_that_changes(phone: Any) -> None:
    keys = iter(["sk-old", "sk-calls"])

    async def key() -> str:
        return next(keys)

    async with phone.control(api_key=key) as calls:
        with pytest.raises(AuthenticationError) as caught:
            await calls.hangup("rtc_1")
        await calls.hangup("rtc_1")
    error = caught.value
    assert (error.status, error.code, error.fault, error.retryable) == (401, "invalid_api_key", "you", False)
    assert error.type == "invalid_request_error"
    assert "refused to hang up call 'rtc_1' with HTTP 401: Incorrect API key provided." in str(error)
    assert "sk-old" not in str(error)


async def test_an_empty_key(phone: Any) -> None:
    async with phone.control(api_key=lambda: "") as calls:
        with pytest.raises(UserError, match="empty key"):
            await calls.hangup("rtc_1")
    assert phone.requests == []


@pytest.mark.parametrize(
    ("answer", "code", "param", "retryable", "words"),
    [
        (
            JSONResponse({"error": {"message": "No such call.", "code": "call_not_found", "param": "id"}}, 404),
            "call_not_found", "id", False, "No such call.",
        ),
        (Response(status_code=503), None, None, True, "Service Unavailable"),
        (Response("slow down", 429), None, None, True, "Too Many Requests"),
        (JSONResponse([1], 599), None, None, False, "unknown status"),
        (RedirectResponse("http://127.0.0.1:1/elsewhere"), None, None, False, "use that base_url"),
    ],
)  # fmt: skip
async def test_refusals(
    phone: Any, answer: Response, code: str | None, param: str | None, retryable: bool, words: str
) -> None:
    phone.refuse("accept", answer)
    async with phone.control() as calls:
        with pytest.raises(ProviderError, match=words) as caught:
            await calls.accept("rtc_1", {})
    error = caught.value
    assert (error.status, error.code, error.param, error.retryable) == (
        answer.status_code,
        code,
        param,
        retryable,
    )
    assert len(phone.requests) == 1


async def test_an_answer_without_end(phone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_http, "MAX_ANSWER", 1000)
    phone.refuse("hangup", Response(b"x" * 1001))
    async with phone.control() as calls:
        with pytest.raises(ProviderError, match="longer than 1000 bytes"):
            await calls.hangup("rtc_1")


async def test_an_answer_that_cannot_be_unpacked(phone: Any) -> None:
    phone.refuse("hangup", Response(b"not gzip", 200, {"Content-Encoding": "gzip"}))
    async with phone.control() as calls:
        with pytest.raises(ConnectError, match="DecodingError"):
            await calls.hangup("rtc_1")


async def test_no_answer(phone: Any) -> None:
    phone.delay = asyncio.Event()
    async with phone.control(timeout=0.1) as calls:
        with pytest.raises(ConnectTimeout, match="may have been carried out") as caught:
            await calls.hangup("rtc_1")
    phone.delay.set()
    assert (caught.value.fault, caught.value.retryable) == ("network", True)


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with Calls("sk-x", base_url=f"http://127.0.0.1:{port}/v1", proxy=None) as calls:
        with pytest.raises(ConnectError, match=f"cannot reach 127.0.0.1:{port} to reject call 'rtc_1'"):
            await calls.reject("rtc_1")


async def test_a_peer_that_hangs_up_in_the_middle() -> None:
    async def drop(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Calls("sk-x", base_url=f"http://127.0.0.1:{port}", proxy=None) as calls:
        with pytest.raises(ConnectError, match="did not answer") as caught:
            await calls.hangup("rtc_1")
    assert not isinstance(caught.value, ConnectTimeout)


async def test_creating_a_call_with_a_session(phone: Any) -> None:
    async with phone.control() as calls:
        call = await calls.create("v=0 offer\r\n", {"model": "gpt-realtime"})
    assert (call.sdp, call.call_id) == ("v=0 answer", "rtc_new")
    assert "answer" not in repr(call)
    [(_, body)], [headers] = phone.requests, phone.headers
    form = message_from_bytes(b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}  # type: ignore[union-attr]
    assert {name: part.get_content_type() for name, part in parts.items()} == {  # type: ignore[union-attr]
        "sdp": "application/sdp",
        "session": "application/json",
    }
    assert parts["sdp"].get_payload(decode=True) == b"v=0 offer\r\n"  # type: ignore[union-attr]
    session = json.loads(parts["session"].get_payload(decode=True))  # type: ignore[union-attr, arg-type]
    assert session == {"type": "realtime", "model": "gpt-realtime"}


async def test_creating_a_call_with_the_offer_alone(phone: Any) -> None:
    async with phone.control() as calls:
        assert (await calls.create("v=0")).call_id == "rtc_new"
    assert phone.requests == [("create", b"v=0")]
    assert phone.headers[0]["content-type"] == "application/sdp"


async def test_client_secrets_on_the_wire(phone: Any) -> None:
    async with phone.control() as calls:
        secret = await calls.client_secrets.create({"instructions": "x"}, expires_after=60)
        await calls.client_secrets.create()
        with pytest.raises(UserError, match="more than 0 s"):
            await calls.client_secrets.create(expires_after=0)
    assert (secret.value, secret.expires_at, secret.session) == ("ek_1", 1_800_000_000, {"a": 1})
    assert "ek_1" not in repr(secret)
    assert phone.commands("secret") == [
        {
            "session": {"type": "realtime", "instructions": "x"},
            "expires_after": {"anchor": "created_at", "seconds": 60},
        },
        {},
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"value": 7, "expires_at": 1}', b'{"value": "ek_1"}'])
async def test_an_answer_without_a_secret(phone: Any, body: bytes) -> None:
    phone.refuse("secret", Response(body))
    async with phone.control() as calls:
        with pytest.raises(ProviderError, match=r"no JSON object|no client secret"):
            await calls.client_secrets.create()


async def test_client_secrets_of_the_embedded_server() -> None:
    options: dict[str, Any] = {"synthesizer": "tone", "transcriber": "none", "vad": "energy"}
    async with EmbeddedServer(api_keys=["sk-test"], **options) as server:
        async with Calls(server.api_key, base_url=server.http_url, proxy=None) as calls:
            secret = await calls.client_secrets.create(
                SessionConfig(instructions="You are Zoe."), expires_after=60
            )
        assert secret.value.startswith("ek_")
        assert secret.session["instructions"] == "You are Zoe."
        # The address of the WebSocket will do, and such a key makes no others.
        async with Calls(secret.value, base_url=server.url, proxy=None) as calls:
            assert calls.realtime_url == server.url
            with pytest.raises(AuthenticationError):
                await calls.client_secrets.create()


@pytest.mark.parametrize("call_id", ["", " ", ".", "..", None, 7])
async def test_call_ids_that_are_none(call_id: Any) -> None:
    async with Calls("sk-x", base_url=NOWHERE) as calls:
        with pytest.raises(UserError, match="call_id"):
            await calls.hangup(call_id)


@pytest.mark.parametrize("status_code", [200, 299, 700, "486", True, 486.0])
async def test_statuses_that_refuse_nothing(status_code: Any) -> None:
    async with Calls("sk-x", base_url=NOWHERE) as calls:
        with pytest.raises(UserError, match="300 to 699"):
            await calls.reject("rtc_1", status_code)


@pytest.mark.parametrize(
    "target", ["", "ann", "http://x", "sip:", "sip:a b", "sip:a\r\nX: y", "tel:<1>", "+", None, 7]
)
async def test_targets_that_are_none(target: Any) -> None:
    async with Calls("sk-x", base_url=NOWHERE) as calls:
        with pytest.raises(UserError, match="target must be"):
            await calls.refer("rtc_1", target)


def test_targets() -> None:
    assert target_of(" tel:+14155550123 ") == "tel:+14155550123"
    assert target_of("TEL:911;phone-context=+1") == "TEL:911;phone-context=+1"
    assert target_of("030 1234-56") == "tel:030123456"


async def test_a_client_of_the_users_stays_open(phone: Any) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        calls = phone.control(client=client)
        await calls.hangup("rtc_1")
        await calls.close()
        await calls.close()
        assert not client.is_closed
        with pytest.raises(UserError, match="closed"):
            await calls.hangup("rtc_1")


async def test_our_own_client_is_closed(phone: Any) -> None:
    calls = phone.control()
    await calls.hangup("rtc_1")
    client = calls._http._client
    await calls.close()
    assert client.is_closed


async def test_a_proxy() -> None:
    """A proxy that is named is used; it sees where the request is to go."""
    seen: list[bytes] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Calls("sk-x", base_url="http://voxwire.invalid/v1", proxy=proxy) as calls:
        await calls.hangup("rtc_1")
    assert seen == [b"POST http://voxwire.invalid/v1/realtime/calls/rtc_1/hangup HTTP/1.1\r\n"]


async def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    async def hang_up(api_key: str | None = None, **options: Any) -> httpx.Request:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await Calls(api_key, client=client, **options).hangup("rtc_1")
        return seen.pop()

    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    request = await hang_up()
    assert str(request.url) == "https://api.openai.com/v1/realtime/calls/rtc_1/hangup"
    assert request.headers["authorization"] == "Bearer sk-env"
    assert (await hang_up("sk-given")).headers["authorization"] == "Bearer sk-given"
    elsewhere = await hang_up(base_url="http://127.0.0.1:1/v1")
    assert "authorization" not in elsewhere.headers, "our key for OpenAI is for nobody else"

    azure = await hang_up("azure-key", base_url="https://me.openai.azure.com/openai/v1")
    assert str(azure.url) == "https://me.openai.azure.com/openai/v1/realtime/calls/rtc_1/hangup"
    assert azure.headers["api-key"] == "azure-key"
    assert "authorization" not in azure.headers
    token = await hang_up("eyJhbGciOi", base_url="https://me.openai.azure.com/openai?api-version=2025-04-01")
    assert str(token.url).endswith("/openai/realtime/calls/rtc_1/hangup?api-version=2025-04-01")
    assert token.headers["authorization"] == "Bearer eyJhbGciOi"

    own = await hang_up("sk-given", headers={"Authorization": "Bearer mine", "X-Trace": "1"})
    assert (own.headers["authorization"], own.headers["x-trace"]) == ("Bearer mine", "1")

    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="no API key"):
        await hang_up()


@pytest.mark.parametrize("base_url", ["", "example.com/v1", "ftp://x", "http://", "http://[::1"])
def test_addresses_that_are_none(base_url: str) -> None:
    with pytest.raises(UserError, match="base_url"):
        Calls("sk-x", base_url=base_url)


def test_addresses() -> None:
    assert endpoint_url("ws://127.0.0.1:8089/v1/realtime", "realtime") == "http://127.0.0.1:8089/v1/realtime"
    assert endpoint_url("https://x/v1/realtime/calls/", "a") == "https://x/v1/a"
    assert realtime_url("https://api.openai.com/v1") == "wss://api.openai.com/v1/realtime"


@pytest.mark.parametrize(
    ("location", "call_id"),
    [
        ("/v1/realtime/calls/rtc_a", "rtc_a"),
        ("https://x/openai/v1/realtime/calls/rtc_a/?y=1", "rtc_a"),
        ("/v1/realtime/calls", None),
        ("/v1/realtime/calls/", None),
        ("http://[", None),
        ("", None),
        (None, None),
    ],
)
def test_the_id_in_a_location(location: str | None, call_id: str | None) -> None:
    assert call_id_in(location) == call_id


def test_a_configuration_keeps_what_is_not_known() -> None:
    from voxwire.calls.client import _session

    assert _session({"type": "transcription", "new_field": 1}) == {"type": "transcription", "new_field": 1}
    vad = _session({"audio": {"input": {"turn_detection": SemanticVad(eagerness="low").to_wire()}}})
    assert vad["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "low"}
