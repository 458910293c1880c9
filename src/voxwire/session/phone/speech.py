"""Letting the agent finish its sentence."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

from ...transports.base import RealtimeTransportLayer

__all__ = ["SpeechEnd", "finish_speaking"]

SpeechEnd: TypeAlias = Literal["finished", "interrupted", "timeout", "closed"]
"""How it ended: heard to the end (or nothing was to be heard), cut off by the user, not in time, with the connection."""


async def finish_speaking(transport: RealtimeTransportLayer, timeout: float) -> SpeechEnd:
    """Wait until what the agent has said was heard; at most `timeout` seconds."""
    stream = transport.events("audio_stopped")
    try:
        async with asyncio.timeout(timeout):
            while transport.speaking:
                event = await anext(stream)
                if event.interrupted:
                    return "interrupted"
    except TimeoutError:
        return "timeout"
    except StopAsyncIteration:
        return "closed"
    finally:
        stream.close()
    return "finished"
