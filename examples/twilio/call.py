"""Call the receptionist of `app.py` without Twilio: a simulated phone, and voxwire's own server as the model.

python call.py QUESTION.wav
"""

import asyncio
import socket
import sys

import httpx
import uvicorn
from app import create_app

from voxwire.calls import sign_twilio
from voxwire.server import EmbeddedServer
from voxwire.testing import TwilioCaller

TOKEN = "the auth token of the account"
# What callers are likely to say helps the offline recogniser.
CONFIG = {
    "audio": {"input": {"transcription": {"model": "whisper-1", "prompt": "What is the weather in Tokyo?"}}}
}


def signed(url: str, form: dict[str, str] | None = None) -> dict[str, str]:
    return {"X-Twilio-Signature": sign_twilio(url, form, TOKEN)}


async def main(question: str) -> None:
    async with EmbeddedServer() as model:
        listener = socket.create_server(("127.0.0.1", 0))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(f"http://{host}", TOKEN, CONFIG, url=model.url, api_key=model.api_key)
        server = uvicorn.Server(uvicorn.Config(app, ws="websockets-sansio", log_level="error"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        # Twilio asks what to do with the call ...
        form = {"CallSid": "CA1", "From": "+4470009001"}
        async with httpx.AsyncClient() as twilio:
            voice = f"http://{host}/incoming"
            answer = await twilio.post(voice, data=form, headers=signed(voice, form))
        answer.raise_for_status()

        # ... and connects it to the media stream that the answer names.
        headers = signed(f"ws://{host}/media")
        async with TwilioCaller.answering(answer.text, headers=headers, call_sid="CA1") as caller:
            await caller.press("1")
            await caller.say(question)
            await caller.until(lambda: caller.playout.heard_ms > 500 and caller.playout.waiting_ms == 0)
            print(f"heard {caller.playout.heard_ms / 1000:.1f} s in frames of {list(caller.sizes)} bytes")

        server.should_exit = True
        await serving


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
