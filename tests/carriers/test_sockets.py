"""What the two WebSocket carriers do with peers that refuse, stall, misbehave or vanish."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import socket
import ssl
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from voxwire.carriers import picows as picows_module
from voxwire.carriers import websocket as websocket_module
from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.picows import PicowsCarrier
from voxwire.carriers.websocket import WebSocketCarrier
from voxwire.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    MissingExtraError,
    ProviderError,
    UserError,
)
from voxwire.testing.receiver import RecordingReceiver
from voxwire.testing.server import ScriptedServer

KEY = "sk-very-secret"


@pytest.fixture(params=[WebSocketCarrier, PicowsCarrier], ids=["websocket", "picows"])
def make(request):
    return request.param


@pytest.fixture
def receiver():
    return RecordingReceiver()


def ask(url, **more):
    settings = {"headers": {"Authorization": f"Bearer {KEY}"}, "proxy": None, "close_timeout": 1.0} | more
    return CarrierRequest(url, **settings)


@contextlib.asynccontextmanager
async def raw_server(handle):
    """A TCP server for peers that no WebSocket library would play."""
    tasks = set()

    async def run(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def shake_hands(reader, writer):
    from websockets.utils import accept_key

    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(
        line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
    )
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
    )


def frame(opcode, payload, *, fin=True):
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + struct.pack("!BH", 126, len(payload)) + payload


async def test_headers_and_subprotocols_reach_the_server(make, receiver):
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url + "?model=m", subprotocols=("realtime", "other")), receiver)
        connection = await server.accept()
        assert connection.headers["authorization"] == f"Bearer {KEY}"
        assert connection.subprotocols == ("realtime", "other")
        assert connection.path == "/v1/realtime?model=m"
        assert "sec-websocket-extensions" not in connection.headers
        with pytest.raises(UserError, match="used once"):
            await carrier.open(ask(server.url), receiver)
        await carrier.close()


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, AuthenticationError, False),
        (403, AuthenticationError, False),
        (404, ProviderError, False),
        (429, ProviderError, True),
        (503, ProviderError, True),
    ],
)
async def test_refusals_carry_status_and_the_providers_words(make, receiver, status, kind, retryable):
    async with ScriptedServer() as server:
        server.refuse(status, {"error": {"message": "Not you.", "type": "t", "code": "c", "param": "p"}})
        with pytest.raises(kind) as caught:
            await make().open(ask(server.url), receiver)
    error = caught.value
    assert (error.status, error.type, error.code, error.param) == (status, "t", "c", "p")
    assert "Not you." in str(error)
    assert error.retryable is retryable
    assert KEY not in str(error)
    assert receiver.log == []


@pytest.mark.parametrize("body", ["", "not json", "[1]", '{"error": "a string"}'])
async def test_a_refusal_without_an_error_object_says_its_status(make, receiver, body):
    async with ScriptedServer() as server:
        server.refuse(502, body)
        with pytest.raises(ProviderError, match="HTTP 502: Bad Gateway"):
            await make().open(ask(server.url), receiver)


async def test_redirects_are_not_followed(make, receiver):
    async with ScriptedServer() as server, ScriptedServer() as other:
        server.refuse(307, headers={"Location": other.url})
        with pytest.raises(ProviderError, match=f"redirected to 127.0.0.1:{other.port}"):
            await make().open(ask(server.url), receiver)
        assert other.connections == []


async def test_a_closed_port_names_host_and_port(make, receiver):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectError, match=f"127.0.0.1:{port}") as caught:
            await make().open(ask(f"ws://127.0.0.1:{port}/?key={KEY}"), receiver)
    assert caught.value.retryable
    assert KEY not in str(caught.value)


async def test_an_unknown_host_is_a_connect_error(make, receiver):
    with pytest.raises(ConnectError, match=r"nobody\.invalid:443"):
        await make().open(ask("wss://nobody.invalid/"), receiver)


@pytest.mark.parametrize("url", ["http://x/", "ws://", "ws://host:port/", "nonsense"])
async def test_unusable_urls_are_the_callers_mistake(make, receiver, url):
    with pytest.raises(ConfigError):
        await make().open(ask(url), receiver)


async def test_a_peer_that_does_not_answer_times_out(make, receiver):
    async with ScriptedServer() as server:
        server.stall()
        with pytest.raises(ConnectTimeout, match=r"within 0\.1 s"):
            await make().open(ask(server.url, open_timeout=0.1), receiver)


async def test_a_peer_that_is_no_websocket_is_a_connect_error(make, receiver):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-hello\r\n\r\n")
        await writer.drain()

    async with raw_server(handle) as url:
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1"):
            await make().open(ask(url), receiver)


async def test_a_peer_that_hangs_up_in_the_handshake_is_a_connect_error(make, receiver):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")

    async with raw_server(handle) as url:
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1"):
            await make().open(ask(url), receiver)


async def test_a_certificate_nobody_signed_is_refused_for_good(make, receiver, tmp_path):
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1)).sign(
        key, hashes.SHA256()
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with serve(lambda _: None, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectError, match=f"127.0.0.1:{port}") as caught:
            await make().open(ask(f"wss://127.0.0.1:{port}/"), receiver)
    assert caught.value.retryable is False


async def test_cancelling_open_leaves_no_connection(make, receiver):
    gone = asyncio.Event()
    asked = asyncio.Event()

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()  # b"" once the client has let go
        gone.set()

    async with raw_server(handle) as url:
        before = asyncio.all_tasks()
        opening = asyncio.ensure_future(make().open(ask(url, open_timeout=None), receiver))
        await asyncio.wait_for(asked.wait(), 5)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.wait_for(gone.wait(), 5)
        left = {task for task in asyncio.all_tasks() - before if "open" in repr(task.get_coro())}
        assert not left
    assert receiver.log == []
    gc.collect()


async def test_a_message_in_the_handshakes_packet_can_be_answered(make, receiver):
    got = asyncio.get_running_loop().create_future()

    async def handle(reader, writer):
        await shake_hands(reader, writer)
        writer.write(frame(1, b"hello"))
        await writer.drain()
        got.set_result(await reader.readexactly(2 + 4 + 6))
        await reader.read()

    carrier = make()
    receiver.on_message = lambda _: carrier.send("answer")
    async with raw_server(handle) as url:
        await carrier.open(ask(url), receiver)
        await receiver.until(lambda: receiver.messages == ["hello"])
        assert (await asyncio.wait_for(got, 5))[:2] == bytes([0x81, 0x80 | 6])
        await carrier.close()
    assert not receiver.failures


async def test_a_close_in_the_handshakes_packet_comes_after_open(make, receiver):
    async def handle(reader, writer):
        await shake_hands(reader, writer)
        writer.write(frame(8, struct.pack("!H", 4000) + b"full"))
        await writer.drain()
        await reader.read()

    async with raw_server(handle) as url:
        carrier = make()
        await carrier.open(ask(url), receiver)
        how = await receiver.ended()
        assert (how.code, how.reason, how.clean) == (4000, "full", True)


async def test_fragments_are_put_together(make, receiver):
    async def handle(reader, writer):
        await shake_hands(reader, writer)
        whole = "grüße".encode()
        writer.write(frame(1, whole[:3], fin=False) + frame(9, b"ping") + frame(0, whole[3:4], fin=False))
        writer.write(frame(0, whole[4:]) + frame(2, b"\x00\xff") + frame(1, b""))
        await writer.drain()
        await reader.read()

    async with raw_server(handle) as url:
        carrier = make()
        await carrier.open(ask(url), receiver)
        await receiver.until(lambda: len(receiver.messages) == 3)
        assert receiver.messages == ["grüße", b"\x00\xff", ""]
        await carrier.close()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(frame(1, b"\xff\xfe"), 1007, id="bad-utf8"),
        pytest.param(frame(1, b"\xff", fin=False) + frame(0, b"\xfe"), 1007, id="bad-utf8-in-fragments"),
        pytest.param(frame(1, b"x" * 2000), 1009, id="too-big"),
        pytest.param(frame(1, b"x" * 600, fin=False) + frame(0, b"x" * 600), 1009, id="too-big-in-fragments"),
        pytest.param(frame(0, b"x"), 1002, id="stray-continuation"),
        pytest.param(frame(1, b"x", fin=False) + frame(1, b"x"), 1002, id="interrupted-fragments"),
        pytest.param(b"\xff\x00", 1002, id="bad-opcode"),
    ],
)
async def test_broken_messages_end_the_connection_and_say_why(make, receiver, frames, code):
    async def handle(reader, writer):
        await shake_hands(reader, writer)
        writer.write(frames)
        await writer.drain()
        await reader.read()  # never says goodbye

    async with raw_server(handle) as url:
        carrier = make()
        await carrier.open(ask(url, max_message_bytes=1000, close_timeout=0.2), receiver)
        how = await receiver.ended()
        assert how.code == code
        assert how.reason
        assert not how.clean
        assert receiver.log == ["closed"]
        with pytest.raises(ConnectionLost):
            carrier.send("x")
        await carrier.close()


async def test_a_goodbye_without_a_code_is_1005(make, receiver):
    async def handle(reader, writer):
        await shake_hands(reader, writer)
        writer.write(frame(8, b""))
        await writer.drain()
        await reader.read()

    async with raw_server(handle) as url:
        await make().open(ask(url, close_timeout=0.2), receiver)
        how = await receiver.ended()
        assert (how.code, how.clean) == (1005, True)


async def test_a_hang_up_without_goodbye_is_1006(make, receiver):
    async def handle(reader, writer):
        await shake_hands(reader, writer)

    async with raw_server(handle) as url:
        await make().open(ask(url), receiver)
        how = await receiver.ended()
        assert (how.code, how.clean) == (1006, False)


async def test_close_does_not_wait_for_a_peer_that_never_answers(make, receiver):
    async def handle(reader, writer):
        await shake_hands(reader, writer)
        await reader.read()
        await asyncio.Event().wait()

    async with raw_server(handle) as url:
        carrier = make()
        await carrier.open(ask(url, close_timeout=0.1), receiver)
        await asyncio.wait_for(carrier.close(), 5)
        assert receiver.how.code == 1006
        assert not receiver.how.clean


async def test_close_gives_up_an_opening_that_takes_too_long(receiver):
    asked = asyncio.Event()

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with raw_server(handle) as url:
        carrier = WebSocketCarrier()
        opening = asyncio.ensure_future(carrier.open(ask(url), receiver))
        await asyncio.wait_for(asked.wait(), 5)
        await asyncio.wait_for(carrier.close(), 5)
        with pytest.raises(ConnectError):
            await opening
    assert receiver.log == []


async def test_close_does_not_wait_for_a_peer_that_does_not_read(make, receiver):
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url, close_timeout=0.1), receiver)
        connection = await server.accept()
        connection.pause_reading()
        for _ in range(200):
            carrier.send("x" * 50_000)
        await asyncio.wait_for(carrier.close(), 5)
        assert receiver.log == ["closed"]


async def test_a_queue_beyond_the_limit_drops_the_connection(make, receiver, monkeypatch):
    for module in (websocket_module, picows_module):
        monkeypatch.setattr(module, "MAX_UNSENT_BYTES", 1_000_000)
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url), receiver)
        (await server.accept()).pause_reading()
        with pytest.raises(ConnectionLost, match="does not read"):  # noqa: PT012
            for _ in range(1000):
                carrier.send("x" * 50_000)
        how = await receiver.ended()
        assert (how.code, how.reason, how.clean) == (1006, "the peer does not read", False)


async def test_a_peer_that_misses_pings_is_given_up(make, receiver):
    async def handle(reader, writer):
        await shake_hands(reader, writer)
        await reader.read()
        await asyncio.Event().wait()

    async with raw_server(handle) as url:
        await make().open(ask(url, ping_interval=0.05, ping_timeout=0.05, close_timeout=0.1), receiver)
        how = await receiver.ended()
        assert not how.clean
        assert "ping" in how.reason


async def test_pings_are_not_missed_while_reading_is_paused(make, receiver):
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url, ping_interval=0.02, ping_timeout=0.02), receiver)
        connection = await server.accept()
        carrier.pause_reading()
        deadline = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
            carrier.send('{"type": "still here"}')
        carrier.resume_reading()
        await connection.send({"type": "hello"})
        await receiver.until(lambda: bool(receiver.messages))
        await carrier.close()
        assert receiver.how.code == 1000


async def test_pings_without_a_limit_are_never_missed(make, receiver):
    pings = asyncio.Event()

    async def handle(reader, writer):
        await shake_hands(reader, writer)
        for _ in range(3):  # masked, empty or not: a client's ping
            head = await reader.readexactly(2)
            assert head[0] == 0x89
            await reader.readexactly(4 + (head[1] & 0x7F))
        pings.set()
        await reader.read()

    async with raw_server(handle) as url:
        carrier = make()
        await carrier.open(ask(url, ping_interval=0.02, ping_timeout=None, close_timeout=0.1), receiver)
        if make is PicowsCarrier:
            await asyncio.wait_for(pings.wait(), 5)
        assert receiver.log == []
        await carrier.close()


async def test_a_reason_is_cut_and_a_reserved_code_replaced(make, receiver):
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url), receiver)
        connection = await server.accept()
        await carrier.close(1006, "ü" * 100)
        await asyncio.wait_for(connection.closed.wait(), 5)
        assert connection.close_code == 1000
        assert connection.close_reason == "ü" * 61


async def test_a_receiver_that_raises_does_not_end_the_connection(make, receiver, caplog):
    class Clumsy(RecordingReceiver):
        def message(self, data, /):
            super().message(data)
            raise RuntimeError("oops")

        def closed(self, how, /):
            super().closed(how)
            raise RuntimeError("oops")

    clumsy = Clumsy()
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url), clumsy)
        connection = await server.accept()
        await connection.send({"type": "one"})
        await connection.send({"type": "two"})
        await clumsy.until(lambda: len(clumsy.messages) == 2)
        await carrier.close()
    assert clumsy.log == ["message", "message", "closed"]
    assert "receiver failed" in caplog.text


needs_proxies = pytest.mark.skipif(
    "proxy" not in inspect.signature(connect.__init__).parameters,
    reason="websockets before 15 has no proxies",
)


@needs_proxies
@pytest.mark.parametrize("how", ["request", "environment"])
async def test_an_http_proxy_is_used(make, receiver, monkeypatch, how):
    seen = []

    async with ScriptedServer() as server:

        async def handle(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head.split(b"\r\n")[0])
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

            async def pump(source, sink):
                while data := await source.read(65536):
                    sink.write(data)
                sink.write_eof()

            try:
                await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
            finally:
                up_writer.transport.abort()

        async with raw_server(handle) as url:
            proxy = url.replace("ws://", "http://").rstrip("/")
            for name in ("no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.delenv(name, raising=False)
            if how == "environment":
                monkeypatch.setenv("http_proxy", proxy)
            carrier = make()
            await carrier.open(ask(server.url, proxy=True if how == "environment" else proxy), receiver)
            connection = await server.accept()
            await connection.send({"type": "through the proxy"})
            await receiver.until(lambda: bool(receiver.messages))
            await carrier.close()
    assert seen == [f"CONNECT 127.0.0.1:{server_port(seen)} HTTP/1.1".encode()]


def server_port(seen):
    return seen[0].split(b" ")[1].split(b":")[1].decode()


async def test_the_environment_can_except_hosts_from_the_proxy(make, receiver, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with ScriptedServer() as server:
        carrier = make()
        await carrier.open(ask(server.url, proxy=True), receiver)
        await carrier.close()


async def test_an_unusable_proxy_is_the_callers_mistake(make, receiver):
    async with ScriptedServer() as server:
        with pytest.raises(ConfigError, match="proxy"):
            await make().open(ask(server.url, proxy="nonsense"), receiver)


@pytest.mark.parametrize(
    ("make_one", "package"), [(WebSocketCarrier, "websockets"), (PicowsCarrier, "picows")]
)
async def test_a_missing_library_is_named(make_one, package, receiver, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=package):
        await make_one().open(ask("ws://127.0.0.1:1/"), receiver)
