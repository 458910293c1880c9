"""A voice agent that lives in a web page: this file runs in the browser, under Pyodide.

The session, the tool and the history are voxwire's, as on a server. The microphone, the loudspeaker and the
connection are the browser's: `RealtimeSession` takes its WebRTC by itself.
"""

import asyncio
from typing import Literal

from js import document
from pyodide.ffi.wrappers import add_event_listener

from voxwire import (
    AudioConfig,
    AudioInput,
    ErrorEvent,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    Transcription,
    VoxwireError,
    tool,
)

WEATHER = {
    "Tokyo": ("sunny", "☀️", 24),
    "London": ("rainy", "🌧️", 12),
    "Oslo": ("snowy", "❄️", -3),
}  # as it was when this was written


@tool
async def get_weather(city: Literal["Tokyo", "London", "Oslo"]) -> str:
    """Look up the weather in a city, and show it.

    Args:
        city: The city's name.
    """
    weather, sign, degrees = WEATHER[city]
    document.body.dataset.weather = weather
    card = element("card")
    card.replaceChildren()
    for kind, text in (("div", sign), ("h2", city), ("div", f"{weather}, {degrees} °C")):
        part = document.createElement(kind)
        part.textContent = text
        part.className = "sign" if text == sign else ""
        card.append(part)
    return f"It is {weather} in {city}, {degrees} degrees."


agent = RealtimeAgent(
    name="Ava",
    instructions="Answer questions about the weather in one short sentence. Look it up first.",
    tools=[get_weather],
)
# What users are likely to say; any service's transcription makes some use of it.
likely = "\n".join(f"What is the weather in {city}?" for city in WEATHER)
config = SessionConfig(
    audio=AudioConfig(
        input=AudioInput(transcription=Transcription(model="gpt-4o-mini-transcribe", prompt=likely))
    )
)


class Page:
    """The buttons, and the session behind them."""

    def __init__(self) -> None:
        self.session: RealtimeSession | None = None
        self.muted = False

    async def start(self) -> None:
        buttons(start=False)
        state("Connecting ...")
        session = self.session = RealtimeSession(
            agent,
            model="gpt-realtime",
            url=element("url").value or None,
            api_key=element("key").value or None,
            config=config,
        )
        session.on("history_updated", lambda event: self.show(event.history))
        session.on("error", self.failed)
        try:
            async with session:
                await session.mute(self.muted)
                buttons(stop=True, mute=True)
                state("Listening")
                ended = await session.wait_closed()
            state("Over" if ended is None or ended.error is None else str(ended.error))
        except VoxwireError as error:
            state(str(error))
        finally:
            buttons(start=True)

    async def stop(self) -> None:
        if self.session is not None:
            await self.session.close()

    async def mute(self) -> None:
        self.muted = not self.muted
        element("mute").textContent = "Unmute" if self.muted else "Mute"
        if self.session is not None:
            await self.session.mute(self.muted)

    def failed(self, event: ErrorEvent) -> None:
        state(f"{event.error}")

    def show(self, history) -> None:
        talk = element("talk")
        talk.replaceChildren()
        for item in history:
            words = getattr(item, "text", "")
            if item.type == "message" and item.role in ("user", "assistant") and words:
                line, who = document.createElement("p"), document.createElement("b")
                who.textContent = "You" if item.role == "user" else agent.name
                line.append(who, words)
                talk.append(line)


def element(name: str):
    return document.getElementById(name)


def state(text: str) -> None:
    element("state").textContent = text


def buttons(**enabled: bool) -> None:
    for name in ("start", "stop", "mute"):
        element(name).disabled = not enabled.get(name, False)


def show() -> None:
    """Bring the page to life."""
    page = Page()
    for name, action in (("start", page.start), ("stop", page.stop), ("mute", page.mute)):
        add_event_listener(element(name), "click", lambda _event, action=action: run(action()))
    buttons(start=True)
    state("Ready")


running: set[asyncio.Task] = set()  # the event loop itself does not hold on to tasks


def run(work) -> None:
    task = asyncio.ensure_future(work)
    running.add(task)
    task.add_done_callback(running.discard)
