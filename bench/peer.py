"""The service's side of `density.py`, in a process of its own: it talks in real time for as long as one listens.

Each connection gets a frame of 20 ms every 20 ms. The first eight bytes of its audio say when it was sent
(`time.perf_counter`, which processes of one machine share), so that the client can tell how late it is. What
the client says is counted, not parsed: this side must not be the bottleneck.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import sys
import time
from typing import Any

from common import FRAME, SESSION, audio_delta, server_event
from picows import WSListener, WSMsgType, WSTransport, ws_create_server

STAMP_BYTES = 9
"""Eight bytes of stamp and one of padding: a multiple of three stays aligned in base64."""


class Talker(WSListener):
    """One connection."""

    count = 0
    heard = 0
    frame = FRAME
    session = SESSION

    def __init__(self) -> None:
        Talker.count += 1
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None
        message = audio_delta(1, self.frame, response=str(Talker.count), item=str(Talker.count))
        stamped = base64.b64encode(self.frame[:STAMP_BYTES]).decode()
        head, self.tail = (part.encode() for part in message.split(stamped, 1))
        self.head = head
        # Spread over the frame's length, as calls that began at different times are.
        self.due = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.say(server_event("session.created", session=self.session))

    def say(self, text: str) -> None:
        self.transport.send(WSMsgType.TEXT, text.encode())

    def on_ws_frame(self, transport: WSTransport, frame: Any) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        if frame.msg_type != WSMsgType.TEXT:
            return
        text = frame.get_payload_as_bytes()
        if len(text) > len(FRAME):
            Talker.heard += 1
        elif json.loads(text).get("type") == "session.update":
            self.begin()

    def begin(self) -> None:
        self.say(server_event("session.updated", session=self.session))
        if self.timer is not None:
            return
        response = {
            "id": f"resp_CqNbench{Talker.count}",
            "object": "realtime.response",
            "status": "in_progress",
        }
        self.say(server_event("response.created", response={**response, "output": []}))
        self.due = self.loop.time() + (Talker.count * 7919 % 200) / 10_000
        self.timer = self.loop.call_at(self.due, self.talk)

    def talk(self) -> None:
        stamp = base64.b64encode(struct.pack("<dx", time.perf_counter()))
        self.transport.send(WSMsgType.TEXT, self.head + stamp + self.tail)
        self.due += 0.02
        self.timer = self.loop.call_at(self.due, self.talk)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.timer is not None:
            self.timer.cancel()


async def serve() -> None:
    server = await ws_create_server(lambda _request: Talker(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    # Ends with whoever started it; each line on stdin asks how many frames were heard.
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(Talker.heard, flush=True)
    server.close()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
