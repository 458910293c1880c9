from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import voxwire.cli
from voxwire.audio import Resampler, read_wav
from voxwire.media.codecs import AudioDecoder, AudioEncoder
from voxwire.media.receiving import MediaReceiver
from voxwire.media.rtp import parse_rtp
from voxwire.media.sending import MediaSender


@cache
def _speech(rate: int) -> bytes:
    recordings = sorted((Path(voxwire.cli.__file__).parent / "demo_audio").glob("*.wav"))
    pcm = b""
    for recording in recordings:
        audio = read_wav(recording)
        pcm += Resampler(audio.format.rate, rate).feed(audio.pcm, last=True) + bytes(rate // 5 * 2)
    frame = rate // 50 * 2
    return pcm[: len(pcm) // frame * frame]


@pytest.fixture(scope="session")
def speech() -> Callable[[int], bytes]:
    """Some 13 s of a caller's sentences, mono PCM16 at any rate, in whole frames of 20 ms."""
    return _speech


class Heard(NamedTuple):
    """What came out at the end of a call: the audio, the delay at each tick (ms), and the receiver."""

    pcm: bytes
    delays: list[float]
    receiver: MediaReceiver


class Call:
    """One way of a call in virtual time: sender, network, receiver, each with a clock of its own."""

    def __init__(self, pcm: bytes, encoder: AudioEncoder) -> None:
        sender = MediaSender(encoder, ssrc=1, payload_type=96, sequence=65_500, timestamp=2**32 - 5000)
        sender.write(pcm)
        self.packets: list[bytes] = []
        for index in range(len(pcm) * 50 // (encoder.sample_rate * 2)):
            packet = sender.tick(index * 0.02)
            assert packet is not None
            self.packets.append(packet)

    def over(
        self,
        network: Callable[[int], float | None],
        decoder: AudioDecoder,
        *,
        phase: float = 0.007,
        comfort_type: int | None = None,
    ) -> Heard:
        """Play it; `network` says how late a packet comes (s), or None for a lost one."""
        receiver = MediaReceiver(decoder, payload_types=[96], comfort_type=comfort_type)
        arrivals = [
            (index * 0.02 + late, parse_rtp(data))
            for index, data in enumerate(self.packets)
            if (late := network(index)) is not None
        ]
        arrivals.sort(key=lambda arrival: arrival[0])
        frame, at = decoder.sample_rate // 50 * 2, 0
        heard, delays = bytearray(), []
        for tick in range(len(self.packets)):
            now = tick * 0.02 + phase
            while at < len(arrivals) and arrivals[at][0] <= now:
                receiver.push(arrivals[at][1], arrivals[at][0])
                at += 1
            pcm = receiver.pull(now)
            assert pcm is None or len(pcm) == frame
            heard += pcm or bytes(frame)
            delays.append(receiver.delay_ms(now + 0.02))
        return Heard(bytes(heard), delays, receiver)


@pytest.fixture(scope="session")
def call() -> type[Call]:
    """One way of a call in virtual time."""
    return Call
