"""Letting the agent finish its sentence."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

from ...protocol.transport_events import AudioStopped, UserSpeechStarted
from ...transports.base import RealtimeTransportLayer

__all__ = ["SpeechEnd", "finish_speaking"]

SpeechEnd: TypeAlias = Literal["finished", "interrupted", "timeout", "closed"]
"""How it ended: heard to the end (or nothing was to be heard), cut off by the user, not in time, with the connection."""


async def finish_speaking(
    transport: RealtimeTransportLayer, timeout: float, response_id: str = ""
) -> SpeechEnd:
    """Wait until what the agent has said was heard; at most `timeout` seconds.

    Args:
        response_id: a response whose words may be known before the service begins to play them.
    """
    stream = transport.events("audio_start", "audio_stopped", "user_speech_started")
    try:
        async with asyncio.timeout(timeout):
            while transport.speaking or transport.will_speak(response_id):
                event = await anext(stream)
                if isinstance(event, AudioStopped) and event.interrupted:
                    return "interrupted"
                # Nothing was heard that could be stopped; the words are dropped before they begin.
                if isinstance(event, UserSpeechStarted) and not transport.speaking:
                    return "interrupted"
    except TimeoutError:
        return "timeout"
    except StopAsyncIteration:
        return "closed"
    finally:
        stream.close()
    return "finished"
