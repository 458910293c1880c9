"""A transport without a session: audio in, audio out, nothing between.

    python thin_client.py QUESTION.wav REPLY.wav [URL [KEY]]

Without a URL it starts a server of its own.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from voxwire import OpenAIRealtimeWebSocket
from voxwire.audio import WavWriter, convert, read_wav
from voxwire.protocol.formats import PCM16
from voxwire.server import EmbeddedServer


async def main(question: str, reply: str, url: str = "", key: str = "") -> None:
    async with AsyncExitStack() as stack:
        if not url:
            server = await stack.enter_async_context(EmbeddedServer())
            url, key = server.url, server.api_key
        out = stack.enter_context(WavWriter(reply, PCM16.rate))
        client = OpenAIRealtimeWebSocket(url=url, api_key=key)
        stack.push_async_callback(client.close)

        client.on("audio", lambda event: out.write(event.data))
        client.on("audio_transcript_delta", lambda event: print(event.delta, end="", flush=True))
        done = client.events("turn_done")
        await client.connect(
            initial_session_config={
                "instructions": "Your name is Polly.",
                "audio": {"input": {"turn_detection": None}},  # we say ourselves when the question is over
            }
        )
        asked, pcm = read_wav(question)
        await client.send_audio(convert(pcm, asked, PCM16), commit=True)
        await client.request_response()
        await anext(done)
        print()


if len(sys.argv) not in (3, 4, 5):
    sys.exit(__doc__)
asyncio.run(main(*sys.argv[1:]))
