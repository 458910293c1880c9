"""Connecting over a real loopback socket. Numbers are those of docs/differences.md."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from voxwire.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    NotConnectedError,
    ProviderError,
    UserError,
)
from voxwire.protocol.transport_events import AudioEvent, ConnectionChange
from voxwire.transports.websocket import OpenAIRealtimeWebSocket

CONFIG = {"instructions": "be brief"}


def log_changes(client: OpenAIRealtimeWebSocket) -> list[ConnectionChange]:
    changes: list[ConnectionChange] = []
    client.on("connection_change", changes.append)
    return changes


async def test_connect_waits_until_the_configuration_is_in_force(bench: Any) -> None:
    client = bench.client()
    changes = log_changes(client)
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    service = await bench.server.accept()
    assert service.headers["authorization"] == "Bearer sk-test"
    assert service.path.endswith("?model=" + client.model)
    update = await service.expect("session.update")
    assert update["session"] == {"type": "realtime", **CONFIG}
    assert (client.status, connecting.done()) == ("connecting", False)
    await service.send({"type": "session.created", "session": {}})
    await bench.until(lambda: client._engine.connection == "configuring")
    assert not connecting.done()
    await service.send({"type": "session.updated", "session": CONFIG})
    await connecting
    assert [change.status for change in changes] == ["connecting", "connected"]  # 50
    assert client.session_config == CONFIG


@pytest.mark.parametrize("greets", [True, False])
async def test_a_silent_service(bench: Any, greets: bool) -> None:
    client = bench.client(configure_timeout=0.05)
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    service = await bench.server.accept()
    if greets:
        await service.send({"type": "session.created", "session": {}})
    with pytest.raises(ConnectTimeout, match=r"session\.(created|updated) within 0.05 s"):
        await connecting
    assert client.status == "disconnected"
    await service.closed.wait()
    await bench.connect(client)  # 52: the object can be used again
    assert client.status == "connected"


async def test_a_silent_service_that_is_tolerated(bench: Any, caplog: Any) -> None:
    client = bench.client(configure_timeout=0.05, configure_required=False)
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    await bench.server.accept()
    await connecting
    assert client.status == "connected"
    assert "session.created" in caplog.text


async def test_an_upgrade_that_is_never_answered(bench: Any) -> None:
    bench.server.stall()
    client = bench.client(open_timeout=0.05)
    with pytest.raises(ConnectTimeout):
        await client.connect()
    assert client.status == "disconnected"


async def test_the_wrong_key(bench: Any) -> None:
    bench.server.refuse(401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}})
    client = bench.client()
    changes = log_changes(client)
    with pytest.raises(AuthenticationError, match="Incorrect API key"):
        await client.connect()
    assert [change.status for change in changes] == ["connecting", "disconnected"]
    assert isinstance(changes[1].error, AuthenticationError)
    await bench.connect(client)


async def test_the_configuration_is_refused(bench: Any) -> None:
    client = bench.client()
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    service = await bench.server.accept()
    update = await service.expect("session.update")
    await service.send({"type": "session.created", "session": {}})
    error = {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "no",
        "event_id": update["event_id"],
    }
    await service.send({"type": "error", "error": error})
    with pytest.raises(ProviderError, match="no") as caught:
        await connecting
    assert caught.value.code == "invalid_value"
    await service.closed.wait()
    await bench.connect(client)


async def test_nobody_listens_there(bench: Any) -> None:
    client = bench.client(url="ws://127.0.0.1:1/v1/realtime")
    with pytest.raises(ConnectError):
        await client.connect()
    await client.close()


async def test_behaviour_60_the_service_closes_before_it_is_ready(bench: Any) -> None:
    client = bench.client()
    changes = log_changes(client)
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    service = await bench.server.accept()
    await service.close(4001, "no such model")
    with pytest.raises(ConnectError, match="code 4001: no such model, before the session was ready"):
        await connecting
    assert (changes[-1].code, changes[-1].reason) == (4001, "no such model")


async def test_behaviour_51_connecting_twice(bench: Any) -> None:
    client, _ = await bench.pair()
    with pytest.raises(UserError, match="connected already"):
        await client.connect()
    other = bench.client()
    connecting = asyncio.create_task(other.connect())
    await bench.server.accept()
    with pytest.raises(UserError, match="connecting already"):
        await other.connect()
    assert len(bench.server.connections) == 2
    await other.close()
    with pytest.raises(ConnectError):
        await connecting


# -- closing and cancelling at every step


async def test_behaviour_57_close_while_the_key_is_pending(bench: Any) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def key() -> str:
        asked.set()
        await answer.wait()
        return "late"

    client = bench.client(api_key=key)
    connecting = asyncio.create_task(client.connect())
    await asked.wait()
    await client.close()
    with pytest.raises(ConnectError, match="closed before it was ready"):
        await connecting
    answer.set()
    client._api_key = "sk-test"
    await bench.connect(client)
    assert len(bench.server.connections) == 1


async def test_behaviour_58_close_while_opening(bench: Any) -> None:
    bench.server.stall()
    client = bench.client()
    connecting = asyncio.create_task(client.connect())
    await bench.until(lambda: bench.server._stalls == 0)
    await client.close()
    with pytest.raises(ConnectError):
        await connecting
    await bench.connect(client)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_the_end_while_configuring(bench: Any, how: str) -> None:
    client = bench.client()
    changes = log_changes(client)
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    service = await bench.server.accept()
    await service.expect("session.update")
    if how == "close":
        await client.close()
        with pytest.raises(ConnectError):
            await connecting
    else:
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    await service.closed.wait()
    assert [change.status for change in changes] == ["connecting", "disconnected"]
    assert client._timers == {}
    await bench.connect(client)


async def test_cancelled_at_every_step_nothing_is_left(bench: Any) -> None:
    """Cancel after any number of turns of the loop; the fixture looks for tasks that are left."""
    for turns in range(0, 60, 3):
        client = bench.client()
        connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert client.status == "disconnected"
    for service in bench.server.connections:
        await service.closed.wait()


async def test_a_timeout_around_connect(bench: Any) -> None:
    client = bench.client()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.connect(initial_session_config=CONFIG)
    assert client.status == "disconnected"


@pytest.mark.parametrize("status", ["connecting", "connected"])
async def test_behaviour_56_a_listener_closes(bench: Any, status: str) -> None:
    client = bench.client()

    async def leave(change: ConnectionChange) -> None:
        if change.status == status:
            client.off("connection_change", leave)
            await client.close()

    client.on("connection_change", leave)
    connecting = asyncio.create_task(client.connect(initial_session_config=CONFIG))
    if status == "connected":
        await (await bench.server.accept()).greet()
    with pytest.raises(ConnectError):
        await connecting
    assert client.status == "disconnected"
    await bench.connect(client)


async def test_behaviour_53_an_observer_of_the_end_connects_again(bench: Any) -> None:
    bench.server.refuse(503)
    client = bench.client()
    again: list[asyncio.Task[None]] = []
    client.once(
        "disconnected",
        lambda _: again.append(asyncio.ensure_future(client.connect(initial_session_config=CONFIG))),
    )
    with pytest.raises(ProviderError) as caught:
        await client.connect(model="other", initial_session_config=CONFIG)
    assert caught.value.retryable
    service = await bench.server.accept()
    assert "model=gpt-" in service.path  # the defaults, not those of the attempt that failed
    await service.greet()
    await again[0]
    assert client.status == "connected"


async def test_behaviour_55_a_listener_that_raises_is_logged(bench: Any, caplog: Any) -> None:
    client = bench.client()
    client.on("connected", lambda _: 1 / 0)
    await bench.connect(client)
    assert client.status == "connected"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("key", ["plain", "function", "coroutine"])
async def test_behaviour_1_keys_of_every_kind(bench: Any, key: str) -> None:
    async def coroutine() -> str:
        return "coroutine"

    keys: dict[str, Any] = {"plain": "plain", "function": lambda: "function", "coroutine": coroutine}
    client = bench.client(api_key="unused")
    connecting = asyncio.create_task(client.connect(api_key=keys[key]))
    service = await bench.server.accept()
    assert service.headers["authorization"] == f"Bearer {key}"
    await service.send({"type": "session.created", "session": {}})
    await connecting


async def test_a_key_function_that_fails(bench: Any) -> None:
    def fails() -> str:
        raise LookupError("no vault")

    client = bench.client()
    with pytest.raises(LookupError, match="no vault"):
        await client.connect(api_key=fails)
    with pytest.raises(UserError, match="empty key"):
        await client.connect(api_key=lambda: "")
    assert client.status == "disconnected"
    assert bench.server.connections == []
    await bench.connect(client)


async def test_no_key_for_the_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="no API key"):
        await OpenAIRealtimeWebSocket().connect()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    request = OpenAIRealtimeWebSocket()._request(None, url=None, call_id=None, model="m")
    assert request.headers["Authorization"] == "Bearer sk-env"


async def test_behaviour_68_attach_to_a_call(bench: Any) -> None:
    client = bench.client()
    connecting = asyncio.create_task(client.connect(call_id="rtc_1"))
    service = await bench.server.accept()
    assert service.path == "/v1/realtime?call_id=rtc_1"
    await service.send({"type": "session.created", "session": {}})
    await connecting


async def test_azure_key_and_headers(bench: Any) -> None:
    client = bench.client(headers={"api-key": "azure", "X-Trace": "1"})
    service = await bench.connect(client)
    assert service.headers["api-key"] == "azure"
    assert service.headers["x-trace"] == "1"
    assert "authorization" not in service.headers


async def test_the_environments_proxy_is_used(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer), return_exceptions=True)

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "socks_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    client = bench.client(proxy=True, url=f"ws://service.test:{bench.server.port}/v1/realtime")
    await bench.connect(client)
    assert asked == [f"CONNECT service.test:{bench.server.port} HTTP/1.1"]
    await client.close()
    proxy.close()
    await proxy.wait_closed()


# -- the end of a connection


async def test_close_code_and_reason_are_told(bench: Any) -> None:
    client, service = await bench.pair()
    changes = log_changes(client)
    await service.close(4000, "session_expired")
    await bench.until(lambda: client.status == "disconnected")
    (change,) = changes
    assert (change.status, change.code, change.reason) == ("disconnected", 4000, "session_expired")
    assert isinstance(change.error, ConnectionLost)


async def test_a_clean_end_is_no_error(bench: Any) -> None:
    client, service = await bench.pair()
    changes = log_changes(client)
    await service.close(1000, "done")
    await bench.until(lambda: client.status == "disconnected")
    assert changes == [ConnectionChange("disconnected", 1000, "done")]


async def test_behaviour_62_the_peer_vanishes(bench: Any) -> None:
    client, service = await bench.pair()
    changes = log_changes(client)
    service.drop()
    await bench.until(lambda: client.status == "disconnected")
    assert changes[0].code == 1006
    with pytest.raises(NotConnectedError):
        await client.send_message("x")


async def test_close_is_idempotent_and_told_once(bench: Any) -> None:
    client, service = await bench.pair()
    changes = log_changes(client)
    await asyncio.gather(client.close(), client.close())
    await client.close()
    assert [change.status for change in changes] == ["disconnected"]
    await service.closed.wait()
    assert service.close_code == 1000


async def test_a_reconnect_starts_afresh(bench: Any) -> None:
    client, service = await bench.pair()
    item = {"id": "a", "type": "message", "role": "user", "content": []}
    await service.send({"type": "conversation.item.added", "item": item})
    await bench.until(lambda: client.history)
    await client.close()
    assert [item.item_id for item in client.history] == ["a"]
    await bench.connect(client)
    assert list(client.history) == []


async def test_behaviour_67_before_connecting(bench: Any) -> None:
    client = bench.client()
    await client.send_audio(bytes(10))
    with pytest.raises(NotConnectedError):
        await client.send_event({"type": "response.create"})
    with pytest.raises(NotConnectedError, match="nothing to interrupt"):
        await client.interrupt()
    await client.mute(True)
    assert client.muted is True


# -- the thin client of the guide


async def test_the_thin_client(bench: Any) -> None:
    heard: list[AudioEvent] = []
    client = OpenAIRealtimeWebSocket(url=bench.server.url, proxy=None)
    connecting = asyncio.create_task(
        client.connect(
            api_key="sk-test",
            model="gpt-realtime",
            initial_session_config={"instructions": "Speak like a pirate"},
        )
    )
    service = await bench.server.accept()
    assert service.path.endswith("?model=gpt-realtime")
    await service.greet()
    await connecting
    client.on("audio", heard.append)
    await client.send_audio(b"\x01\x02", commit=True)
    append = await service.expect("input_audio_buffer.append")
    assert base64.b64decode(append["audio"]) == b"\x01\x02"
    await service.expect("input_audio_buffer.commit")
    await client.send_audio(b"", commit=True)
    await service.expect("input_audio_buffer.commit")
    await service.respond(audio=bytes(48_000), text="Arr.")
    await bench.until(lambda: sum(len(event.data) for event in heard) == 48_000)
    await client.interrupt()
    truncate = await service.expect("conversation.item.truncate")
    assert 0 <= truncate["audio_end_ms"] < 1000
    await client.close()
    await service.closed.wait()
    assert service.close_code == 1000
