"""The media plane of a call on real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

from voxwire.media.rtp import pack_rtp
from voxwire.server.sip.media import SipMedia
from voxwire.server.sip.negotiation import AgreedMedia, codecs_named


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_loop_that_was_held_up_conceals_nothing_that_has_come() -> None:
    (codec,) = codecs_named(("PCMU",))
    heard: list[int] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        media = SipMedia("127.0.0.1", None)
        remote = peer.getsockname()
        await media.open()
        media.agree(
            AgreedMedia(
                codec,
                direction="sendrecv",
                events=None,
                comfort=False,
                remote=remote,
                remote_rtcp=(remote[0], remote[1] + 1),
            )
        )
        audio = media.audio
        assert audio is not None
        media.listen(lambda _pcm: heard.append(audio.received_packets))
        media.begin()
        sent = 0

        def send(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                packet = pack_rtp(0, sent, sent * 160, 7, bytes([0x55, 0xD5] * 80))
                peer.sendto(packet, ("127.0.0.1", media.port))
                sent += 1

        send(1)
        await until(lambda: len(heard) > 1)
        send(8)
        before = len(heard)
        time.sleep(0.1)
        await until(lambda: len(heard) > before)
        assert heard[before] == sent
        media.close()
