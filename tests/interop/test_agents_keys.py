"""How the agent SDKs come in: with a key, with an ephemeral one, from a browser; and how they are thrown out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

HELLO = ({"text": "Who are you?"}, {"until": "response.done"})
EVERYWHERE = pytest.mark.parametrize(
    "client", ["agents-js", "agents-js-browser", "agents-js-workerd", "agents-python"], indirect=True
)


async def ephemeral_key(server: Any) -> str:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {server.api_key}"}) as http:
        answer = await http.post(
            f"{server.http_url}/realtime/client_secrets", json={"session": {"type": "realtime"}}
        )
    return str(answer.raise_for_status().json()["value"])


@EVERYWHERE
async def test_ephemeral_key(client: Any, server: Any) -> None:
    report = await client.play(*HELLO, api_key=await ephemeral_key(server))
    assert report.of("error") == []
    assert report.texts("assistant")[0].startswith("I am Ava.")


@EVERYWHERE
async def test_wrong_key(client: Any) -> None:
    report = await client.play(*HELLO, api_key="ek_wrong")
    assert len(report.of("refused")) == 1
    assert report.of("connected") == report.of("wire") == []


@pytest.mark.parametrize("client", ["agents-js-workerd"], indirect=True)
async def test_plain_key_in_the_sub_protocol(client: Any) -> None:
    report = await client.play(*HELLO)
    assert report.texts("assistant")[0].startswith("I am Ava.")


async def test_server_shuts_down(client: Any, server: Any) -> None:
    playing = asyncio.create_task(client.play({"text": "Tell me a long story."}, {"until": "disconnected"}))
    async with asyncio.timeout(30):
        while not any(len(connection._engine.conversation) for connection in server.service._connections):
            await asyncio.sleep(0.02)
    await server.stop()
    report = await playing
    assert report.of("disconnected") == [{}]
