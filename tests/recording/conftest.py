"""A session with a voice, over a real socket, against the embedded server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from voxwire import RealtimeAgent, RealtimeSession
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder

STORY = "Once upon a time there was a lighthouse keeper who had never seen the land. " * 4
SCRIPT = f"turns:\n  - say: Hello there.\n  - say: {STORY}\n  - say: Goodbye.\notherwise: {{say: Yes.}}\n"


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    settings = {"synthesizer": "tone", "transcriber": "none", "vad": "energy", "api_keys": ["sk-very-secret"]}
    async with EmbeddedServer(responder=ScriptResponder(text=SCRIPT), **settings) as running:
        yield running


@pytest.fixture
def session(server: EmbeddedServer) -> RealtimeSession:
    config = {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 400}}}}
    agent = RealtimeAgent("Ava")
    return RealtimeSession(
        agent, url=server.url, api_key=server.api_key, transport="websocket", config=config
    )
