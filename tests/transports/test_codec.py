"""The codec that a transport was given is the one that does the work."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from voxwire.protocol.codec import STANDARD, Codec, fast_codec


def counting(codec: Codec, counts: Counter[str]) -> Codec:
    def counted(name: str) -> Any:
        function = getattr(codec, name)

        def call(argument: Any) -> Any:
            counts[name] += 1
            return function(argument)

        return call

    return dataclasses.replace(codec, **{name: counted(name) for name in ("loads", "b64encode", "b64decode")})


@pytest.fixture(params=["standard", "fast"])
def codec(request: pytest.FixtureRequest) -> Codec:
    if request.param == "standard":
        return STANDARD
    pytest.importorskip("msgspec")
    pytest.importorskip("pybase64")
    return fast_codec()


async def test_audio_passes_through_the_codec_of_the_transport(bench: Any, codec: Codec) -> None:
    counts: Counter[str] = Counter()
    client, service = await bench.pair(codec=counting(codec, counts))
    greeting = counts["loads"]
    assert greeting >= 2
    heard = bytearray()
    client.on("audio", lambda event: heard.extend(event.data))

    said = bytes(range(256)) * 40
    await client.send_audio(said)
    append = await service.expect("input_audio_buffer.append")
    assert counts["b64encode"] == 1

    await service.respond(audio=said, piece_bytes=2048)
    await bench.until(lambda: len(heard) == len(said))
    assert bytes(heard) == said
    assert counts["b64decode"] == 5
    assert counts["loads"] > greeting + 5

    assert STANDARD.b64decode(append["audio"]) == said


async def test_two_transports_may_have_two_codecs(bench: Any) -> None:
    one: Counter[str] = Counter()
    first, service = await bench.pair(codec=counting(STANDARD, one))
    second, other = await bench.pair()
    await second.send_audio(b"\0\0")
    await other.expect("input_audio_buffer.append")
    assert one["b64encode"] == 0
    await first.send_audio(b"\0\0")
    await service.expect("input_audio_buffer.append")
    assert one["b64encode"] == 1
