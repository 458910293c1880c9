"""The model's side of `twilio.py`: `peer.py` in PCMU, which looks at when each frame it gets was sent."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
import struct
import sys
import time
from array import array
from typing import Any

from common import SESSION, percentile, print_json
from peer import Talker
from picows import WSMsgType, WSTransport, ws_create_server

APPEND = re.compile(rb'"audio": ?"([^"]{12})')


def _session() -> dict[str, Any]:
    session: dict[str, Any] = copy.deepcopy(SESSION)
    for side in session["audio"].values():
        side["format"] = {"type": "audio/pcmu"}
    return session


class LawTalker(Talker):
    """One connection; it talks once it was told to speak PCMU."""

    frame = bytes((7 * i * i + 13 * i) & 0xFF for i in range(160))
    session = _session()
    late = array("d")

    def on_ws_frame(self, transport: WSTransport, frame: Any) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            text = frame.get_payload_as_bytes()
            if b"input_audio_buffer.append" in text[:80]:
                self.take(text)
                return
            if b"session.update" in text[:80] and b"audio/pcmu" not in text:
                raise SystemExit(f"PCMU was to be asked for: {json.loads(text)}")
        super().on_ws_frame(transport, frame)

    def take(self, text: bytes) -> None:
        audio = APPEND.search(text)
        if audio is not None:
            (sent,) = struct.unpack_from("<d", base64.b64decode(audio[1]))
            LawTalker.late.append(time.perf_counter() - sent)


async def serve() -> None:
    server = await ws_create_server(lambda _request: LawTalker(), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        late, LawTalker.late = LawTalker.late, array("d")
        print_json(
            {
                "frames": len(late),
                "p50_ms": percentile(late, 0.5) * 1000,
                "p99_ms": percentile(late, 0.99) * 1000,
            }
        )
    server.close()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
