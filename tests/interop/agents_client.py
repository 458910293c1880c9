"""Plays a scenario with openai-agents against a Realtime server and prints what happened as JSON lines.

    python agents_client.py SCENARIO.json

The scenario and the lines are described in conftest.py; agents_client.mjs is the same in JavaScript.
It runs in an environment of its own and knows nothing of voxwire.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeModel, RealtimeRunner, RealtimeSession
from agents.realtime.model_inputs import RealtimeModelSendRawMessage

FRAME_SECONDS = 0.02


def show(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


@function_tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name.
    """
    return f"It is sunny in {city}."


@function_tool
async def book_table(day: str, people: int) -> str:
    """Book a table at the restaurant.

    Args:
        day: The day of the week.
        people: For how many people.
    """
    return f"A table for {people} is booked for {day}."


leo = RealtimeAgent(
    name="Leo",
    handoff_description="A storyteller who tells long stories.",
    instructions="You are Leo, a storyteller.",
)
ava = RealtimeAgent(
    name="Ava", instructions="You are Ava, a receptionist.", tools=[get_weather, book_table], handoffs=[leo]
)


def without_audio(value: Any) -> Any:
    """Audio is counted, not printed."""
    if isinstance(value, dict):
        return {
            key: {"base64": len(inner)} if key == "audio" and isinstance(inner, str) else without_audio(inner)
            for key, inner in value.items()
        }
    return [without_audio(inner) for inner in value] if isinstance(value, list) else value


def entry(item: Any) -> dict[str, Any]:
    """One entry of the history, in words that both clients share."""
    if item.type != "message":
        return {"type": item.type, "name": item.name, "arguments": item.arguments, "output": item.output}
    text = "".join(
        getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content
    )
    return {"type": "message", "role": item.role, "text": text}


class Player:
    def __init__(self, scenario: dict[str, Any], session: RealtimeSession) -> None:
        self.scenario = scenario
        self.session = session
        self.counts: Counter[str] = Counter()
        self.changed = asyncio.Condition()
        self.waiting: str | None = None
        self.agent = ava.name
        self.history: list[Any] = []
        self.audio_bytes = 0
        self.tokens = 0

    async def count(self, name: str) -> None:
        async with self.changed:
            self.counts[name] += 1
            self.changed.notify_all()

    # -- what is seen -----------------------------------------------------------------------

    async def watch(self) -> None:
        try:
            async for event in self.session:
                await self.see(event)
        except Exception as error:
            show("error", message=f"{type(error).__name__}: {error}")
        show("disconnected")
        await self.count("disconnected")

    async def see(self, event: Any) -> None:
        match event.type:
            case "raw_model_event":
                await self.see_raw(event.data)
            case "audio":
                self.audio_bytes += len(event.audio.data)
                await self.count("audio")
            case "audio_interrupted":
                show("interrupted", agent=self.agent)
                await self.count("interrupted")
            case "tool_start":
                show(
                    "tool_start",
                    agent=event.agent.name,
                    tool=event.tool.name,
                    arguments=json.loads(event.arguments),
                )
            case "tool_end":
                show("tool_end", agent=event.agent.name, tool=event.tool.name, output=event.output)
            case "handoff":
                self.agent = event.to_agent.name
                show("handoff", **{"from": event.from_agent.name, "to": event.to_agent.name})
            case "history_updated":
                self.history = event.history
            case "history_added":
                self.history = [*self.history, event.item]
            case "error":
                message = getattr(event.error, "message", None) or str(event.error)
                show("error", message=message)
                await self.count("error")

    async def see_raw(self, data: Any) -> None:
        if data.type == "usage":
            self.tokens += data.usage.total_tokens
        if data.type != "raw_server_event":
            return
        event = dict(data.data)
        if event["type"] == "response.output_audio.delta":
            event["delta"] = len(base64.b64decode(event["delta"]))
        show("wire", event=without_audio(event))
        await self.count(event["type"])

    # -- what is done -----------------------------------------------------------------------

    async def run(self, step: dict[str, Any]) -> None:
        match step:
            case {"text": text}:
                await self.session.send_message(text)
            case {"audio": file}:
                await self.send_audio(Path(file).read_bytes())
            case {"until": name}:
                times = step.get("times", 1)
                self.waiting = f"{name} x {times}"
                async with self.changed:
                    await self.changed.wait_for(lambda: self.counts[name] >= times)
                self.waiting = None
            case {"pause_ms": ms}:
                await asyncio.sleep(ms / 1000)
            case {"wire": message}:
                other = {key: value for key, value in message.items() if key != "type"}
                await self.session.model.send_event(
                    RealtimeModelSendRawMessage(message={"type": message["type"], "other_data": other})
                )
            case _:
                raise ValueError(f"unknown step {step!r}")

    async def send_audio(self, audio: bytes) -> None:
        size = self.scenario["frame_bytes"]
        loop = asyncio.get_running_loop()
        start = loop.time()
        for frame, at in enumerate(range(0, len(audio), size)):
            await asyncio.sleep(max(0.0, start + frame * FRAME_SECONDS - loop.time()))
            await self.session.send_audio(audio[at : at + size])


def model_config(scenario: dict[str, Any]) -> Any:
    sound = {"format": scenario["format"], "transcription": scenario["transcription"]}
    if "turn_detection" in scenario:
        sound["turn_detection"] = scenario["turn_detection"]
    settings = {
        "model_name": scenario["model"],
        "output_modalities": scenario["modalities"],
        "audio": {"input": sound, "output": {"format": scenario["format"]}},
    }
    return {"url": scenario["url"], "api_key": scenario["api_key"], "initial_model_settings": settings}


async def main(scenario: dict[str, Any], model: RealtimeModel | None = None) -> int:
    session = await RealtimeRunner(ava, model=model).run(model_config=model_config(scenario))
    try:
        await session.enter()
    except Exception as error:
        show("refused", message=f"{type(error).__name__}: {error}")
        return 0
    show("connected")
    player = Player(scenario, session)
    watching = asyncio.create_task(player.watch())
    try:
        async with asyncio.timeout(scenario["seconds"]):
            for step in scenario["steps"]:
                await player.run(step)
    except TimeoutError:
        show("timeout", waiting=player.waiting)
        return 3
    finally:
        watching.cancel()
        await session.close()
    show(
        "end",
        agent=player.agent,
        history=[entry(item) for item in player.history],
        audio_bytes=player.audio_bytes,
        tokens=player.tokens,
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()))))
