"""Uses the `openai` package against a Realtime server and prints what happened as JSON lines.

    python openai_client.py COMMAND HTTP_URL API_KEY [AUDIO_FILE]

It runs in an environment of its own and knows nothing of voxwire.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import typing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pydantic
from openai import AsyncOpenAI, OpenAI
from openai.types.realtime import RealtimeServerEvent

SECONDS = 40
ARGUMENTS = sys.argv[2:]
URL, KEY = ARGUMENTS[:2]

# The models are lenient when the client builds them; here every event is held against them.
MODELS = {
    typing.get_args(model.model_fields["type"].annotation)[0]: model
    for model in typing.get_args(typing.get_args(RealtimeServerEvent)[0])
}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Return the weather for a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def show(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


def check(raw: bytes | str) -> dict[str, Any]:
    """Print an event, and whether it is what the package's types say; audio is counted, not printed."""
    event: dict[str, Any] = json.loads(raw)
    try:
        parsed = MODELS[event["type"]].model_validate(event, strict=True)
        problem = None
    except (KeyError, pydantic.ValidationError) as error:
        parsed, problem = None, str(error)
    if event["type"] == "response.output_audio.delta":
        event["delta"] = len(base64.b64decode(event["delta"]))
    extra = sorted(parsed.model_extra or {}) if parsed is not None else []
    show("wire", event=event, problem=problem, extra=extra)
    return event


async def events(connection: Any) -> AsyncIterator[dict[str, Any]]:
    async with asyncio.timeout(SECONDS):
        while True:
            yield check(await connection.recv_bytes())


async def until(connection: Any, type: str, times: int = 1) -> dict[str, Any]:
    async for event in events(connection):
        times -= event["type"] == type
        if not times:
            return event
    raise AssertionError


async def say(connection: Any, text: str) -> None:
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )


# -- commands ----------------------------------------------------------------------------------


async def talk(client: AsyncOpenAI) -> None:
    """The resource helpers, once each; every event is checked."""
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await until(connection, "session.created")
        await connection.session.update(
            session={
                "type": "realtime",
                "instructions": "You are Ava, a receptionist.",
                "tools": [WEATHER],
                "audio": {
                    "input": {
                        "transcription": {"model": "whisper-1", "prompt": "What is the weather in Tokyo?"},
                        "turn_detection": None,
                    }
                },
            }
        )
        await until(connection, "session.updated")

        # A greeting in sound, cut short.
        await say(connection, "Hello!")
        await connection.response.create()
        done = await until(connection, "response.done")
        greeting = done["response"]["output"][0]["id"]
        await connection.conversation.item.truncate(item_id=greeting, content_index=0, audio_end_ms=700)
        await until(connection, "conversation.item.truncated")
        await connection.conversation.item.retrieve(item_id=greeting)
        await until(connection, "conversation.item.retrieved")
        await connection.conversation.item.delete(item_id=greeting)
        await until(connection, "conversation.item.deleted")

        # A spoken question that is thrown away, and one that is committed; a tool answers it.
        audio = Path(ARGUMENTS[2]).read_bytes()
        await connection.input_audio_buffer.append(audio=base64.b64encode(audio[:9600]).decode())
        await connection.input_audio_buffer.clear()
        await until(connection, "input_audio_buffer.cleared")
        await connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())
        await connection.input_audio_buffer.commit()
        await until(connection, "conversation.item.input_audio_transcription.completed")
        await connection.response.create()
        done = await until(connection, "response.done")
        call = done["response"]["output"][0]
        await connection.conversation.item.create(
            item={
                "type": "function_call_output",
                "call_id": call["call_id"],
                "output": "It is sunny in Tokyo.",
            }
        )
        await connection.response.create(response={"output_modalities": ["text"]})
        await until(connection, "response.done")

        # Out of band, cancelled by its id: without one, `response.cancel` means the conversation's own response.
        await connection.response.create(
            response={
                "conversation": "none",
                "metadata": {"purpose": "aside"},
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "Tell me a long story."}],
                    }
                ],
            }
        )
        delta = await until(connection, "response.output_audio.delta")
        await connection.response.cancel(response_id=delta["response_id"])
        await until(connection, "response.done")

        # An error, which ends nothing.
        await connection.conversation.item.delete(item_id="no-such-item", event_id="mine")
        await until(connection, "error")
        await say(connection, "Thank you!")
        await connection.response.create(response={"output_modalities": ["text"]})
        await until(connection, "response.done")
        await until(connection, "rate_limits.updated")


async def secrets(client: AsyncOpenAI) -> None:
    """An ephemeral key, with a session in it, and a session opened with it."""
    secret = await client.realtime.client_secrets.create(
        session={"type": "realtime", "model": "gpt-realtime", "instructions": "You are Zoe."},
        expires_after={"anchor": "created_at", "seconds": 60},
    )
    show(
        "secret",
        value=secret.value,
        expires_at=secret.expires_at,
        session=type(secret.session).__name__,
        instructions=secret.session.instructions,
    )
    ephemeral = AsyncOpenAI(api_key=secret.value, base_url=URL, max_retries=0)
    async with ephemeral.realtime.connect(model="gpt-realtime") as connection:
        await until(connection, "session.created")
        await say(connection, "Who are you?")
        await connection.response.create(response={"output_modalities": ["text"]})
        await until(connection, "response.done")
    try:
        await ephemeral.realtime.client_secrets.create()
    except openai.APIStatusError as error:
        show("refused", error=type(error).__name__, status=error.status_code, code=error.code)


async def refused(client: AsyncOpenAI) -> None:
    """A key that is not accepted, over HTTP and over WebSocket; and a body that is not valid."""
    try:
        await client.realtime.client_secrets.create(session={"type": "realtime"})
    except openai.APIStatusError as error:
        show("refused", error=type(error).__name__, status=error.status_code, code=error.code)
    try:
        async with client.realtime.connect(model="gpt-realtime"):
            show("connected")
    except Exception as error:
        response = error.response  # type: ignore[attr-defined]
        show(
            "refused", error=type(error).__name__, status=response.status_code, body=json.loads(response.body)
        )


async def invalid(client: AsyncOpenAI) -> None:
    """A request that is not valid."""
    try:
        await client.realtime.client_secrets.create(
            session={"type": "realtime"}, expires_after={"anchor": "created_at", "seconds": 1}
        )
    except openai.APIStatusError as error:
        show("refused", error=type(error).__name__, status=error.status_code, param=error.param)


def blocking() -> None:
    """The client without asyncio, and its typed events."""
    with OpenAI(api_key=KEY, base_url=URL).realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
        )
        connection.response.create()
        for event in connection:
            show("typed", type=event.type, model=type(event).__name__)
            if event.type == "response.output_text.done":
                show("text", text=event.text)
            if event.type == "response.done":
                break


async def main(command: str) -> None:
    # No retries: what the server says is what counts.
    async with AsyncOpenAI(api_key=KEY, base_url=URL, max_retries=0) as client:
        await {"talk": talk, "secrets": secrets, "refused": refused, "invalid": invalid}[command](client)


if __name__ == "__main__":
    if sys.argv[1] == "blocking":
        blocking()
    else:
        asyncio.run(main(sys.argv[1]))
