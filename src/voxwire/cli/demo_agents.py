"""The two agents of the demo and their tools."""

from __future__ import annotations

from ..agent import RealtimeAgent
from ..tools import tool

__all__ = ["make_agents"]

_WEATHER = {
    "tokyo": "sunny, with 21 degrees",
    "london": "raining, with 12 degrees",
    "paris": "cloudy, with 16 degrees",
}


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name, without the country.
    """
    return f"In {city} it is {_WEATHER.get(city.lower(), 'mild, with 18 degrees')}."


@tool
def book_table(day: str, people: int) -> str:
    """Book a table at the restaurant.

    Args:
        day: The day of the week.
        people: How many people will come.
    """
    return f"A table for {people} is booked on {day} at seven o'clock."


def make_agents() -> RealtimeAgent:
    """Ava, who has the tools and can hand over to Leo, the storyteller."""
    leo = RealtimeAgent(
        name="Leo",
        handoff_description="The storyteller: tells stories.",
        instructions="You are Leo, a storyteller. Greet the user in one sentence. Tell long stories when asked for one; "
        "otherwise answer in one sentence.",
        voice="cedar",
    )
    return RealtimeAgent(
        name="Ava",
        instructions="You are Ava, a concierge. Answer in one or two short sentences. Use your tools for the weather and "
        "for bookings. When the user wants the storyteller, hand over to Leo.",
        tools=[get_weather, book_table],
        handoffs=[leo],
        voice="marin",
    )
