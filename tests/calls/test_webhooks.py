"""The webhook application: under a real server with real signatures, and what it does by itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from voxwire.calls import IncomingCall, WebhookEvent, sign, webhook_app
from voxwire.calls import webhooks as module
from voxwire.errors import ConfigError, UserError

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
CALL = {
    "object": "event",
    "id": "evt_1",
    "type": "realtime.call.incoming",
    "created_at": 1750287018,
    "data": {
        "call_id": "rtc_1",
        "sip_headers": [{"name": "To", "value": "sip:+15551230000@sip.example.com"}],
    },
}


def body_of(event: Any = CALL) -> bytes:
    return json.dumps(event).encode()


def signed(body: bytes, webhook_id: str = "wh_1", *, secret: str = SECRET, age: float = 0) -> dict[str, str]:
    return sign(body, secret, webhook_id=webhook_id, now=time.time() - age)


async def post(
    client: httpx.AsyncClient, webhook_id: str = "wh_1", event: Any = CALL, **more: Any
) -> httpx.Response:
    body = body_of(event)
    return await client.post("/", content=body, headers=signed(body, webhook_id, **more))


def local(app: Any) -> httpx.AsyncClient:
    """A client that calls the application without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


# -- over a socket ---------------------------------------------------------------------------


async def test_a_call_comes_in(serving: Any, until: Any) -> None:
    seen: list[WebhookEvent] = []
    app = webhook_app(seen.append, secret=SECRET)
    async with serving(app, lifespan="on") as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await post(client)
        assert (answer.status_code, answer.json()) == (200, {"received": True})
        await until(lambda: seen)
        [call] = seen
        assert isinstance(call, IncomingCall)
        assert (call.call_id, call.to.number, call.webhook_id) == ("rtc_1", "+15551230000", "wh_1")
        # Delivered again: answered like the first time, and left alone.
        assert (await post(client)).status_code == 200
        assert (
            await post(client, "wh_2", {"type": "batch.completed", "data": {"id": "b"}})
        ).status_code == 200
        await until(lambda: len(seen) == 2)
        assert (type(seen[1]), seen[1].data) == (WebhookEvent, {"id": "b"})


async def test_a_body_over_the_limit_is_not_read_to_its_end(serving: Any) -> None:
    app = webhook_app(lambda _event: None, secret=SECRET, max_bytes=1000)
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    async with serving(app) as url, asyncio.timeout(5):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.post("/", content=b"x" * 1001)).status_code == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():  # the server hangs up on a body without end
                writer.write(chunk)
                await writer.drain()
                await reader.read(1000)
        writer.close()


async def test_mounted_in_another_application(serving: Any, until: Any) -> None:
    seen: list[WebhookEvent] = []
    app = webhook_app(seen.append, secret=SECRET)
    async with serving(Starlette(routes=[Mount("/hooks/openai", app)])) as url:
        async with httpx.AsyncClient(trust_env=False) as client:
            body = body_of()
            answer = await client.post(f"{url}/hooks/openai/", content=body, headers=signed(body))
        assert answer.status_code == 200
        await until(lambda: seen)
    await app.close()


async def test_a_websocket_is_turned_away(serving: Any) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    async with serving(webhook_app(lambda _event: None, secret=SECRET)) as url:
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url.replace("http", "ws"), proxy=None)


async def test_the_end_of_the_server_waits_for_handlers(serving: Any) -> None:
    done: list[str] = []
    begun = asyncio.Event()

    async def slow(event: WebhookEvent) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        done.append(event.id)

    app = webhook_app(slow, secret=SECRET)
    async with serving(app, lifespan="on") as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await post(client)
        await begun.wait()
    assert done == ["evt_1"]


# -- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"webhook-signature": "v1,AAAA"}, 401, "no signature fits"),
        ({"webhook-signature": "none"}, 400, "version v1"),
        ({"webhook-timestamp": "then"}, 400, "whole number"),
        ({"webhook-id": ""}, 400, "webhook-id is missing"),
    ],
)
async def test_bad_headers(change: dict[str, str], status: int, words: str, caplog: Any) -> None:
    seen: list[WebhookEvent] = []
    body = body_of()
    async with local(webhook_app(seen.append, secret=SECRET)) as client:
        answer = await client.post("/", content=body, headers={**signed(body), **change})
    assert (answer.status_code, seen) == (status, [])
    assert words in answer.json()["error"]["message"]
    assert words in caplog.text
    assert "whsec" not in answer.text + caplog.text


async def test_too_late() -> None:
    async with local(webhook_app(lambda _event: None, secret=SECRET)) as client:
        assert (await post(client, age=301)).status_code == 401
        assert (await post(client, age=-310)).status_code == 401
    async with local(webhook_app(lambda _event: None, secret=SECRET, tolerance=400)) as client:
        assert (await post(client, age=301)).status_code == 200


async def test_the_clock_can_be_another() -> None:
    async with local(webhook_app(lambda _event: None, secret=SECRET, now=lambda: 0.0)) as client:
        assert (await post(client)).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"no": "type"}', b'{"type": "realtime.call.incoming"}'])
async def test_signed_nonsense(body: bytes) -> None:
    async with local(webhook_app(lambda _event: None, secret=SECRET)) as client:
        assert (await client.post("/", content=body, headers=signed(body))).status_code == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_other_methods(method: str) -> None:
    async with local(webhook_app(lambda _event: None, secret=SECRET)) as client:
        answer = await client.request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_several_secrets_and_one_that_is_none() -> None:
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    async with local(webhook_app(lambda _event: None, secret=[other, SECRET])) as client:
        assert (await post(client)).status_code == 200
    with pytest.raises(ConfigError):
        webhook_app(lambda _event: None, secret="")
    with pytest.raises(UserError, match="at least 1"):
        webhook_app(lambda _event: None, secret=SECRET, max_running=0)


async def exchange(
    app: Any, *messages: dict[str, Any], scope: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Speak ASGI by hand; after the messages, nothing more comes."""
    sent: list[dict[str, Any]] = []
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        for message in waiting:
            return message
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope or {"type": "http", "method": "POST", "headers": []}, receive, send)
    return sent


async def test_a_body_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 0.02)
    app = webhook_app(lambda _event: None, secret=SECRET)
    start, _ = await exchange(app, {"type": "http.request", "body": b"{", "more_body": True})
    assert start["status"] == 408


async def test_a_sender_that_goes_away() -> None:
    app = webhook_app(lambda _event: None, secret=SECRET)
    first = {"type": "http.request", "body": b"{", "more_body": True}
    assert await exchange(app, first, {"type": "http.disconnect"}) == []


async def test_a_length_that_lies() -> None:
    app = webhook_app(lambda _event: None, secret=SECRET, max_bytes=10)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"5")]}
    start, _ = await exchange(app, {"type": "http.request", "body": b"x" * 11}, scope=scope)
    assert start["status"] == 413


async def test_a_scope_of_another_kind() -> None:
    with pytest.raises(UserError, match="'tcp'"):
        await exchange(webhook_app(lambda _event: None, secret=SECRET), scope={"type": "tcp"})


# -- handlers --------------------------------------------------------------------------------


async def test_the_answer_does_not_wait_for_the_handler(until: Any) -> None:
    release, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_event: WebhookEvent) -> None:
        begun.set()
        await release.wait()
        ended.set()

    app = webhook_app(handler, secret=SECRET)
    async with local(app) as client:
        assert (await post(client)).status_code == 200
        await begun.wait()
        assert app.running == 1
        release.set()
        await ended.wait()
        await until(lambda: app.running == 0)


async def test_an_answer_that_cannot_be_sent_loses_no_event(until: Any) -> None:
    seen: list[WebhookEvent] = []
    app = webhook_app(seen.append, secret=SECRET)
    body = body_of()
    headers = [(name.encode(), value.encode()) for name, value in signed(body).items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def broken(_message: Any) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await app({"type": "http", "method": "POST", "headers": headers}, receive, broken)
    await until(lambda: seen)


async def test_too_many_at_once(until: Any) -> None:
    """One more is refused for now, and counts as new when it comes again."""
    release = asyncio.Event()
    seen: list[str] = []

    async def handler(event: WebhookEvent) -> None:
        seen.append(event.webhook_id)
        await release.wait()

    app = webhook_app(handler, secret=SECRET, max_running=2)
    async with local(app) as client:
        assert [(await post(client, f"wh_{n}")).status_code for n in range(3)] == [200, 200, 503]
        refused = await post(client, "wh_2")
        assert refused.headers["retry-after"] == "1"
        assert (await post(client, "wh_0")).status_code == 200, "known: nothing to do"
        release.set()
        await until(lambda: app.running == 0)
        assert (await post(client, "wh_2")).status_code == 200
        await until(lambda: len(seen) == 3)
    assert seen == ["wh_0", "wh_1", "wh_2"]


async def test_copies_that_come_at_once(until: Any) -> None:
    seen: list[WebhookEvent] = []
    async with local(webhook_app(seen.append, secret=SECRET)) as client:
        answers = await asyncio.gather(*(post(client) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        await until(lambda: seen)
        assert len(seen) == 1


async def test_what_is_remembered_is_bounded(until: Any) -> None:
    seen: list[str] = []
    app = webhook_app(lambda event: seen.append(event.webhook_id), secret=SECRET, remembered=2)
    async with local(app) as client:
        for number in (0, 1, 2, 1, 0):
            await post(client, f"wh_{number}")
            await until(lambda: app.running == 0)
    assert seen == ["wh_0", "wh_1", "wh_2", "wh_0"]


async def test_a_handler_that_raises(caplog: Any, until: Any) -> None:
    told: list[Any] = []
    error = RuntimeError("no agent")

    def handler(_event: WebhookEvent) -> None:
        raise error

    def on_error(*what: Any) -> None:
        told.append(what)
        raise ValueError("and on_error, too")

    async with local(webhook_app(handler, secret=SECRET, on_error=on_error)) as client:
        assert (await post(client)).status_code == 200
        await until(lambda: "on_error raised ValueError" in caplog.text)
        assert (await post(client)).status_code == 200, "it was delivered; sending it again would not help"
    [(seen, event)] = told
    assert (seen, event.type) == (error, "realtime.call.incoming")
    assert "the webhook handler raised RuntimeError for realtime.call.incoming" in caplog.text


async def test_nobody_wants_to_know_of_errors(caplog: Any, until: Any) -> None:
    async def handler(_event: WebhookEvent) -> None:
        raise RuntimeError("no agent")

    async with local(webhook_app(handler, secret=SECRET)) as client:
        await post(client)
        await until(lambda: "RuntimeError" in caplog.text)


async def test_closing(caplog: Any) -> None:
    """Handlers get their time; those that do not take heed are cancelled; nothing new is begun."""
    stopped = asyncio.Event()
    begun = asyncio.Event()

    async def stubborn(_event: WebhookEvent) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.set()

    app = webhook_app(stubborn, secret=SECRET, drain_timeout=0.02)
    async with local(app) as client:
        await post(client)
        await begun.wait()
        with caplog.at_level(logging.WARNING):
            await app.close()
        assert stopped.is_set()
        assert app.running == 0
        assert "1 webhook handlers did not end in time" in caplog.text
        assert (await post(client, "wh_2")).status_code == 503
        await app.close()
