"""Posting an offer, against an HTTP server on the loopback interface that says what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import json
import socket

import pytest

from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.signalling import MAX_ANSWER_BYTES, post_offer
from voxwire.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    MissingExtraError,
    ProviderError,
)

KEY = "sk-very-secret"
OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"


class HttpServer:
    """Answers every request with `reply`, raw bytes; None answers nothing. Keeps the requests."""

    def __init__(self):
        self.reply = None
        self.requests = []

    async def handle(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            start, _, rest = head.partition("\r\n")
            headers = email.parser.Parser().parsestr(rest)
            body = await reader.readexactly(int(headers["Content-Length"]))
            self.requests.append((start, headers, body))
            if self.reply is None:
                await reader.read()
            else:
                writer.write(self.reply)
                await writer.drain()
        writer.transport.abort() if self.reply is None else writer.close()


def answer(status, body=b"", **headers):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


@pytest.fixture
async def server():
    http = HttpServer()
    listening = await asyncio.start_server(http.handle, "127.0.0.1", 0)
    http.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/realtime/calls"
    async with listening:
        yield http
        listening.close()


def ask(url, **more):
    return CarrierRequest(url, **({"headers": {"Authorization": f"Bearer {KEY}"}, "proxy": None} | more))


async def test_an_offer_alone_is_posted_as_it_is(server):
    server.reply = answer(201, b"v=0\r\nanswer", Location="/v1/realtime/calls/rtc_123?x=1")
    given = await post_offer()(ask(server.url), OFFER)
    assert (given.sdp, given.call_id) == ("v=0\r\nanswer", "rtc_123")
    start, headers, body = server.requests[0]
    assert start == "POST /v1/realtime/calls HTTP/1.1"
    assert headers["Content-Type"] == "application/sdp"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == OFFER.encode()


async def test_with_a_session_the_offer_is_one_of_two_parts(server):
    server.reply = answer(200, b"v=0\r\n")
    request = ask(server.url, session={"type": "realtime", "model": "m"})
    request.headers["Content-Type"] = "application/json"  # not ours to keep
    assert (await post_offer()(request, OFFER)).call_id is None
    _, headers, body = server.requests[0]
    message = email.message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    parts = {part.get_param("name", header="Content-Disposition"): part for part in message.get_payload()}
    assert {name: part.get_content_type() for name, part in parts.items()} == {
        "sdp": "application/sdp",
        "session": "application/json",
    }
    assert parts["sdp"].get_payload(decode=True).strip() == OFFER.strip().encode()
    assert json.loads(parts["session"].get_payload()) == {"type": "realtime", "model": "m"}


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, ProviderError, False),
        (401, AuthenticationError, False),
        (403, AuthenticationError, False),
        (429, ProviderError, True),
        (503, ProviderError, True),
    ],
)
async def test_refusals_carry_the_providers_words(server, status, kind, retryable):
    server.reply = answer(status, b'{"error": {"message": "Not you.", "code": "c"}}')
    with pytest.raises(kind, match="Not you") as caught:
        await post_offer()(ask(server.url), OFFER)
    error = caught.value
    assert (error.status, error.code, error.retryable) == (status, "c", retryable)
    assert KEY not in str(error)


async def test_redirects_are_not_followed(server):
    server.reply = answer(307, Location="https://elsewhere.example/x?key=1")
    with pytest.raises(ProviderError, match=r"redirected to elsewhere\.example:443") as caught:
        await post_offer()(ask(server.url), OFFER)
    assert "key=1" not in str(caught.value)
    assert len(server.requests) == 1


async def test_an_endless_answer_is_not_read_to_its_end(server):
    server.reply = answer(200, b"v" * (MAX_ANSWER_BYTES + 1))
    with pytest.raises(ConnectError, match="more than"):
        await post_offer()(ask(server.url), OFFER)


async def test_no_answer_is_a_timeout(server):
    with pytest.raises(ConnectTimeout, match=r"127\.0\.0\.1:\d+ did not answer within 0\.1 s"):
        await post_offer()(ask(server.url, open_timeout=0.1), OFFER)


async def test_a_server_that_hangs_up_is_a_connect_error(server):
    server.reply = b"SSH-2.0-hello\r\n\r\n"
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1"):
        await post_offer()(ask(server.url), OFFER)


async def test_broken_compression_is_a_connect_error(server):
    server.reply = answer(201, b"no gzip", **{"Content-Encoding": "gzip"})
    with pytest.raises(ConnectError, match="cannot connect"):
        await post_offer()(ask(server.url), OFFER)


async def test_a_closed_port_is_a_connect_error_with_the_systems_words():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectError, match=f"127.0.0.1:{port}") as caught:
            await post_offer()(ask(f"http://127.0.0.1:{port}/?key={KEY}"), OFFER)
    assert caught.value.retryable
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("url", ["ws://x/", "http://", "http://host:port/", "nonsense"])
async def test_unusable_addresses_are_the_callers_mistake(url):
    with pytest.raises(ConfigError):
        await post_offer()(ask(url), OFFER)


@pytest.mark.parametrize("proxy", ["nonsense", "gopher://p/"])
async def test_an_unusable_proxy_is_the_callers_mistake(server, proxy):
    with pytest.raises(ConfigError, match="proxy"):
        await post_offer()(ask(server.url, proxy=proxy), OFFER)


async def test_proxies_are_used(server, monkeypatch):
    server.reply = answer(200, b"v=0\r\n")
    through = server.url.rpartition("/v1")[0]
    await post_offer()(ask("http://far.example/calls", proxy=through), OFFER)
    monkeypatch.setenv("http_proxy", through)
    await post_offer()(ask("http://far.example/calls", proxy=True), OFFER)
    assert [start for start, _, _ in server.requests] == ["POST http://far.example/calls HTTP/1.1"] * 2
    with pytest.raises(ConnectError):
        await post_offer()(ask("http://far.invalid/calls", proxy=None), OFFER)


async def test_the_http_client_can_be_set_up(server):
    server.reply = answer(200, b"v=0\r\n", Location="http://[broken/")
    post = post_offer({"headers": {"X-Extra": "1"}})
    assert (await post(ask(server.url), OFFER)).call_id is None
    assert server.requests[0][1]["X-Extra"] == "1"


async def test_without_httpx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(MissingExtraError, match="httpx"):
        await post_offer()(ask("http://x/"), OFFER)
