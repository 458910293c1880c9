"""Calls at Twilio's end for `twilio.py`, cheap enough that a core carries a hundred of them, on `picows`.

Each talks all the time (a frame of 20 ms every 20 ms, at a beat of its own) and returns marks when what was before them
has been played. The first bytes of each frame say when it was sent (`time.perf_counter`, which the processes of one machine
share). `voxwire.testing.TwilioCaller` does the same in more detail, at ten times the cost.

    python twilio_callers.py ws://127.0.0.1:8080/ 20
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
import sys
import time
from array import array
from typing import Any

from common import percentile, print_json
from picows import WSListener, WSMsgType, WSTransport, ws_connect

FRAME = bytes((7 * i * i + 13 * i) & 0xFF for i in range(160))
STAMP_BYTES = 9
MEDIA = re.compile(rb'"payload": ?"([^"]{12})')
MARK = re.compile(rb'"name": ?"([^"]+)"')


class Stream(WSListener):
    """One call."""

    count = 0
    late = array("d")
    marks = 0

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.number = Stream.count
        self.played = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.chunk = 0
        self.begun = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {
            "streamSid": f"MZ{self.number:032x}",
            "accountSid": "AC" + "0" * 32,
            "callSid": f"CA{self.number:032x}",
            "tracks": ["inbound"],
            "customParameters": {},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        self.say(
            {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": f"MZ{self.number:032x}"}
        )
        # The first stamp of time is put where this text has its payload.
        self.tail = (
            base64.b64encode(FRAME[STAMP_BYTES:]).decode() + f'"}},"streamSid":"MZ{self.number:032x}"}}'
        )
        self.due = self.loop.time() + (self.number * 7919 % 200) / 10_000
        self.timer = self.loop.call_at(self.due, self.talk)

    def say(self, message: dict[str, Any]) -> None:
        self.transport.send(WSMsgType.TEXT, json.dumps(message).encode())

    def talk(self) -> None:
        self.chunk += 1
        stamp = base64.b64encode(struct.pack("<dx", time.perf_counter())).decode()
        head = (
            f'{{"event":"media","sequenceNumber":"{self.chunk + 1}","media":{{"track":"inbound",'
            f'"chunk":"{self.chunk}","timestamp":"{20 * (self.chunk - 1)}","payload":"{stamp}'
        )
        self.transport.send(WSMsgType.TEXT, (head + self.tail).encode())
        self.due += 0.02
        self.timer = self.loop.call_at(self.due, self.talk)

    def on_ws_frame(self, transport: WSTransport, frame: Any) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        if frame.msg_type != WSMsgType.TEXT:
            return
        data = frame.get_payload_as_bytes()
        media = MEDIA.search(data)
        if media is not None:
            if not self.begun:
                self.begun = True
                Stream.count += 1
            (sent,) = struct.unpack_from("<d", base64.b64decode(media[1]))
            Stream.late.append(time.perf_counter() - sent)
            self.played = max(self.played, self.loop.time()) + 0.02
            return
        mark = MARK.search(data)
        if mark is not None:
            Stream.marks += 1
            self.loop.call_at(self.played, self.heard, mark[1].decode())

    def heard(self, name: str) -> None:
        if self.timer is not None:
            self.say({"event": "mark", "streamSid": f"MZ{self.number:032x}", "mark": {"name": name}})

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def state() -> dict[str, Any]:
    """Since it was asked last: frames that came, how late, and marks."""
    late, Stream.late = Stream.late, array("d")
    marks, Stream.marks = Stream.marks, 0
    return {
        "streams": Stream.count,
        "frames": len(late),
        "p50_ms": percentile(late, 0.5) * 1000,
        "p99_ms": percentile(late, 0.99) * 1000,
        "marks": marks,
    }


async def main(url: str, count: int) -> None:
    print_json(0)
    loop = asyncio.get_running_loop()
    transports = []
    for number in range(count):
        transport, _stream = await ws_connect(Stream, url)
        transports.append(transport)
        async with asyncio.timeout(20):
            while Stream.count <= number:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print_json(state())
    for transport in transports:
        transport.disconnect()
    await asyncio.gather(*(transport.wait_disconnected() for transport in transports), return_exceptions=True)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    else:
        uvloop.run(main(sys.argv[1], int(sys.argv[2])))
