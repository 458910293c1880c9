"""A voice agent and the server it talks to, in one file: no key, no network."""

import asyncio

from voxwire import RealtimeAgent, RealtimeSession, tool
from voxwire.server import EmbeddedServer


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name, without the country.
    """
    return f"It is sunny in {city}."


agent = RealtimeAgent(name="Ava", instructions="Answer questions about the weather.", tools=[get_weather])


async def main() -> None:
    async with EmbeddedServer() as server:  # or leave it out, and give an api_key instead of the url
        async with RealtimeSession(agent, transport="websocket", url=server.url) as session:
            await session.send_message("What is the weather in Tokyo?")
            async for event in session.events("agent_end"):
                if event.text:
                    print(event.text)  # the words; the sound comes as "audio" events
                    break


asyncio.run(main())
