"""Both socket carriers over TLS, where the event loop reads into the protocol's buffer in another way."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.picows import PicowsCarrier
from voxwire.carriers.websocket import WebSocketCarrier
from voxwire.testing import RecordingReceiver

pytestmark = pytest.mark.needs_program("openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    command = ["openssl", *words.split(), "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize(
    "carrier_class",
    [
        WebSocketCarrier,
        pytest.param(PicowsCarrier, marks=pytest.mark.needs_module("picows")),
    ],
)
async def test_messages_of_all_sizes_over_tls(
    carrier_class: Any, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from websockets.asyncio.server import serve

    cert, key = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=context, compression=None, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        carrier, receiver = carrier_class(), RecordingReceiver()
        await carrier.open(CarrierRequest(f"wss://localhost:{port}/", proxy=None), receiver)
        messages = ["x" * size for size in (1, 1400, 16_383, 16_384, 16_385, 100_000, 3_000_000, 3)]
        for message in messages:
            carrier.send(message)
            await carrier.drain()
        await receiver.until(lambda: len(receiver.messages) == len(messages))
        assert receiver.messages == messages
        await carrier.close()
    assert receiver.how is not None
    assert receiver.how.clean
