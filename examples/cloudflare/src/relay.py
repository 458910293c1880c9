"""What a call does, apart from the Worker around it: an agent between a socket and the Realtime API.

Nothing here knows Cloudflare but the default carrier, so the same functions run in a Worker and in a test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from voxwire import (
    CloudflareRealtimeTransportLayer,
    OpenAIRealtimeWebSocket,
    RealtimeAgent,
    RealtimeSession,
    TwilioRealtimeTransportLayer,
    tool,
)
from voxwire.carriers.base import CarrierFactory
from voxwire.carriers.workers import WorkersCarrier

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]


@tool
async def book_table(day: Day, people: int) -> str:
    """Book a table.

    Args:
        day: The day of the week.
        people: How many will come.
    """
    return f"Booked for {people} on {day}. The code is {day[:3].upper()}-{people}."


@tool
async def opening_hours(day: Day) -> str:
    """Say when the restaurant is open."""
    return "10 to 14" if day == "Saturday" else "12 to 22"


def make_agent() -> RealtimeAgent:
    """The agent that answers."""
    return RealtimeAgent(
        "Ava",
        instructions="You take calls for a small restaurant. Be brief. Use the tools to book and to look things up.",
        tools=[book_table, opening_hours],
    )


async def relay_phone(
    socket: Any, *, api_key: str, url: str | None = None, connect: CarrierFactory = WorkersCarrier
) -> None:
    """Twilio's Media Streams on one side; returns when the call is over.

    Args:
        socket: an `AcceptedWebSocket`, or anything else that is a phone socket for voxwire.
    """
    transport = TwilioRealtimeTransportLayer(
        twilio_websocket=socket, connect=connect, api_key=api_key, url=url, proxy=None
    )
    async with RealtimeSession(make_agent(), transport=transport) as session:
        await session.wait_closed()


async def relay_page(
    socket: Any, *, api_key: str, url: str | None = None, connect: CarrierFactory | None = None
) -> None:
    """A web page on the other side; returns when it leaves.

    The page sends PCM16 (24 kHz, mono) as binary messages and `{"text": "..."}`; it gets PCM16 as binary messages,
    and `{"type": "said" | "heard" | "tool" | "interrupted" | "error", ...}`.
    """
    if connect is None:
        transport: OpenAIRealtimeWebSocket = CloudflareRealtimeTransportLayer(api_key=api_key, url=url)
    else:
        transport = OpenAIRealtimeWebSocket(api_key=api_key, url=url, connect=connect, proxy=None)
    session = RealtimeSession(make_agent(), transport=transport)

    def tell(kind: str, fields: Callable[[Any], dict[str, Any]]) -> Callable[[Any], Any]:
        async def listener(event: Any) -> None:
            await socket.send_message(json.dumps({"type": kind, **fields(event)}))

        return listener

    async def play(event: Any) -> None:
        await socket.send_message(event.data)

    session.on("audio", play)
    session.on("agent_end", tell("said", lambda event: {"text": event.text}))
    session.on("user_transcript", tell("heard", lambda event: {"text": event.text}))
    session.on(
        "agent_tool_end", tell("tool", lambda event: {"name": event.tool.name, "result": event.result})
    )
    session.on("audio_interrupted", tell("interrupted", lambda _event: {}))
    session.on("error", tell("error", lambda event: {"message": str(event.error)}))
    try:
        async with session:
            while (message := await socket.receive_message()) is not None:
                if isinstance(message, bytes):
                    await session.send_audio(message)
                else:
                    await session.send_message(str(json.loads(message)["text"]))
    finally:
        await socket.close_socket()
