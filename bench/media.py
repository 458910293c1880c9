"""Audio over RTP in virtual time: what bad networks do to speech and to delay, and what the media path costs.

Speech (the recordings of the demo) is encoded to Opus (24 kHz mono, 32 kbit/s), goes through a network that delays,
loses or holds up packets as the row says, and is played out by a 20 ms clock. The peer is aiortc's own receiving
path: its jitter buffer and decoder, played out by the same clock.

stoi       intelligibility (0..1) against the same path without loss, second by second where it fits best, so that
           it measures the sound and not the delay;
delay      how much later than at the earliest a packet's audio is played, ms: at half of the ticks, at most, and in
           the last second;
concealed  made up, ms;  recovered  restored from the copy in the next packet, ms.

`mouth to ear` is what one direction adds on a clean path, over all phases of the two clocks: from a frame's last sample
to where its first one is played, without the network (the frame's own 20 ms come on top, in every system).
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from common import arguments, has, percentile, print_json

from voxwire.audio import Resampler, read_wav
from voxwire.media.opus import OpusDecoder, OpusEncoder
from voxwire.media.receiving import MediaReceiver
from voxwire.media.rtp import RtpPacket, parse_rtp
from voxwire.media.sending import MediaSender

RATE = 24_000
FRAME = RATE // 50 * 2
PATH_S = 0.03
PHASE = 0.007
"""Seconds from a packet's arrival on a clean path to the tick after it, modulo 20 ms, less the path's 30 ms."""
AUDIO = Path(__file__).parent.parent / "src" / "voxwire" / "cli" / "demo_audio"

Network = Callable[[int], float | None]
"""How late packet number i comes, s, or None if it is lost."""


class Played(NamedTuple):
    pcm: bytes
    delays: list[float]
    concealed_ms: float | None
    recovered_ms: float | None


@cache
def speech(times: int) -> bytes:
    pcm = b""
    for recording in sorted(AUDIO.glob("*.wav")):
        audio = read_wav(recording)
        pcm += Resampler(audio.format.rate, RATE).feed(audio.pcm, last=True) + bytes(RATE // 5 * 2)
    return pcm[: len(pcm) // FRAME * FRAME] * times


@cache
def packets(times: int, expected_loss: float) -> list[bytes]:
    pcm = speech(times)
    sender = MediaSender(
        OpusEncoder(expected_loss=expected_loss), ssrc=1, payload_type=111, sequence=65_000, timestamp=0
    )
    sender.write(pcm)
    return [sender.tick(index * 0.02) or b"" for index in range(len(pcm) // FRAME)]


def arrivals(sent: list[bytes], network: Network) -> list[tuple[float, RtpPacket]]:
    late = ((index, network(index)) for index in range(len(sent)))
    came = [
        (index * (0.02 + 1e-9) + wait, parse_rtp(sent[index])) for index, wait in late if wait is not None
    ]
    return sorted(came, key=lambda arrival: arrival[0])


def ours(sent: list[bytes], network: Network, phase: float = PHASE) -> Played:
    receiver = MediaReceiver(OpusDecoder(), payload_types=[111])
    came, at = arrivals(sent, network), 0
    heard, delays = bytearray(), []
    for tick in range(len(sent)):
        now = tick * 0.02 + phase
        while at < len(came) and came[at][0] <= now:
            receiver.push(came[at][1], came[at][0])
            at += 1
        heard += receiver.pull(now) or bytes(FRAME)
        delays.append(receiver.delay_ms(now + 0.02))
    return Played(bytes(heard), delays[10:], receiver.concealed_ms, receiver.recovered_ms)


def aiortc(sent: list[bytes], network: Network, phase: float = PHASE) -> Played:
    """aiortc's jitter buffer and decoder; what comes out waits for the 20 ms clock."""
    from aiortc.codecs import OpusDecoder as Decoder
    from aiortc.jitterbuffer import JitterBuffer, JitterFrame
    from aiortc.rtp import RtpPacket as Packet
    from av import AudioResampler

    buffer, decoder = JitterBuffer(capacity=16, prefetch=4), Decoder()
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    came, at = arrivals(sent, network), 0
    waiting: deque[tuple[bytes, float]] = deque()
    heard, delays, delay = bytearray(), [], 0.0
    first = parse_rtp(sent[0]).timestamp
    for tick in range(len(sent)):
        now = tick * 0.02 + phase
        while at < len(came) and came[at][0] <= now:
            packet = Packet.parse(sent[came[at][1].sequence - 65_000 & 0xFFFF])
            packet._data = packet.payload
            _, frame = buffer.add(packet)
            at += 1
            if frame is None:
                continue
            for decoded in decoder.decode(JitterFrame(data=frame.data, timestamp=frame.timestamp)):
                pcm = b"".join(
                    bytes(piece.planes[0])[: piece.samples * 2] for piece in resampler.resample(decoded)
                )
                waiting.append((pcm, (frame.timestamp - first) / 48_000))
        if waiting:
            pcm, spoken = waiting.popleft()
            heard += pcm
            delay = (now - spoken - PATH_S) * 1000
        else:
            heard += bytes(FRAME)
        delays.append(delay)
    return Played(bytes(heard), delays[10:], None, None)


def intelligibility(heard: bytes, said: bytes) -> float | None:
    if not has("pystoi"):
        return None
    import numpy as np
    from pystoi import stoi

    wanted, got = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (said, heard))
    pairs, size = [], 1 << 17
    for start in range(0, len(wanted) - RATE, RATE):
        piece, around = wanted[start : start + RATE], got[start : start + RATE * 3 // 2]
        if np.sqrt(np.mean(piece**2)) < 50 or len(around) < RATE:
            continue
        match = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(piece, size)))
        lag = int(np.argmax(match[: len(around) - RATE + 1]))
        pairs.append((piece, around[lag : lag + RATE]))
    return float(stoi(*(np.concatenate(side) for side in zip(*pairs, strict=True)), RATE))


def lossy(share: float) -> Network:
    rng = random.Random(7)
    return lambda _index: None if rng.random() < share else PATH_S


def bursts(share: float) -> Network:
    return lambda index: None if random.Random(index // 3).random() < share else PATH_S


def uneven(most: float) -> Network:
    rng = random.Random(7)
    return lambda _index: PATH_S + most * rng.random()


def outage(held_up: bool) -> Network:
    def network(index: int) -> float | None:
        if not 150 <= index < 300:
            return PATH_S
        return PATH_S + (300 - index) * 0.02 if held_up else None

    return network


NETWORKS: dict[str, tuple[float, Callable[[], Network]]] = {
    "clean": (0.0, lambda: lossy(0)),
    "one packet lost": (0.0, lambda: lambda index: None if index == 100 else PATH_S),
    "5 % lost, no copies": (0.0, lambda: lossy(0.05)),
    "5 % lost": (0.05, lambda: lossy(0.05)),
    "5 % lost in threes": (0.05, lambda: bursts(0.05)),
    "15 % lost": (0.15, lambda: lossy(0.15)),
    "0 to 60 ms late": (0.0, lambda: uneven(0.06)),
    "3 s lost": (0.0, lambda: outage(False)),
    "3 s held up": (0.0, lambda: outage(True)),
}
"""Loss that the encoder was told of (it sends copies from 0.5 % on), and the network."""


def row(played: Played, said: bytes) -> dict[str, float | None]:
    return {
        "stoi": intelligibility(played.pcm, said),
        "delay_p50_ms": percentile(played.delays, 0.5),
        "delay_max_ms": max(played.delays),
        "delay_end_ms": max(played.delays[-50:]),
        "concealed_ms": played.concealed_ms,
        "recovered_ms": played.recovered_ms,
    }


def paths(times: int) -> dict[str, dict[str, dict[str, float | None]]]:
    results: dict[str, dict[str, dict[str, float | None]]] = {"voxwire": {}}
    receivers: dict[str, Callable[[list[bytes], Network], Played]] = {"voxwire": ours}
    if has("aiortc"):
        receivers["aiortc"] = aiortc
    for name, (expected, network) in NETWORKS.items():
        sent = packets(times, expected)
        for receiver, play in receivers.items():
            # Speech, and so its delay, is compared with what the same receiver makes of a perfect network.
            said = play(sent, lossy(0)).pcm
            results.setdefault(receiver, {})[name] = row(play(sent, network()), said)
    return results


def mouth_to_ear() -> dict[str, float]:
    """Over all phases: waiting for the sender's tick, and from there to where it is played."""
    sent, added = packets(1, 0.0), []
    for step in range(20):
        delay = ours(sent[:200], lossy(0), PATH_S % 0.02 + step / 1000 + 0.0003).delays[-1]
        added += [delay + wait for wait in range(20)]
    return {"p50_ms": percentile(added, 0.5), "p95_ms": percentile(added, 0.95), "max_ms": max(added)}


def cost(rounds: int) -> dict[str, float]:
    """CPU per second of audio, ms; the cheapest round of each."""
    pcm = speech(1)
    seconds = len(pcm) / (RATE * 2)
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, spent in _one_round(pcm).items():
            best[name] = min(best.get(name, float("inf")), spent * 1000 / seconds)
    best["all without copies"] = sum(
        best[name] for name in ("encode", "queue and packetise", "parse", "buffer", "decode")
    )
    return best


def _one_round(pcm: bytes) -> dict[str, float]:
    frames = [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]
    payloads, encode = _timed(OpusEncoder().encode, frames)
    _, copies = _timed(OpusEncoder(fec=True).encode, frames)
    sender = MediaSender(_Still(payloads), ssrc=1, payload_type=111, sequence=0, timestamp=0)
    sender.write(pcm)
    data, packetise = _timed(sender.tick, [index * 0.02 for index in range(len(frames))])
    parsed, parse = _timed(parse_rtp, [packet for packet in data if packet])
    _, decode = _timed(OpusDecoder().decode, payloads)
    receiver = MediaReceiver(_Still(payloads), payload_types=[111])

    def receive(index: int) -> None:
        receiver.push(parsed[index], index * 0.02)
        receiver.pull(index * 0.02 + PHASE)

    _, buffer = _timed(receive, list(range(len(parsed))))
    return {
        "encode": encode,
        "encode with copies": copies,
        "queue and packetise": packetise,
        "parse": parse,
        "buffer": buffer,
        "decode": decode,
    }


def _timed(function: Callable[[Any], Any], inputs: list[Any]) -> tuple[list[Any], float]:
    began = time.process_time()
    results = [function(value) for value in inputs]
    return results, time.process_time() - began


class _Still:
    """A codec that does nothing, to time what is around it."""

    sample_rate, clock_rate = RATE, 48_000

    def __init__(self, payloads: list[bytes]) -> None:
        self._payloads = iter(payloads)

    def encode(self, _pcm: bytes, /) -> bytes:
        return next(self._payloads)

    def samples(self, _payload: bytes, /) -> int:
        return FRAME // 2

    def has_fec(self, _payload: bytes, /) -> bool:
        return False

    def is_dtx(self, _payload: bytes, /) -> bool:
        return False

    def decode(self, _payload: bytes, /) -> bytes:
        return bytes(FRAME)

    def decode_fec(self, _payload: bytes, samples: int, /) -> bytes:
        return bytes(2 * samples)

    def conceal(self, samples: int, /) -> bytes:
        return bytes(2 * samples)

    comfort = conceal

    def learn_comfort(self, _payload: bytes, /) -> None:
        return

    def close(self) -> None:
        return


def main() -> None:
    given = arguments(__doc__)
    print_json(
        {
            "paths": paths(1 if given.quick else 3),
            "mouth to ear": mouth_to_ear(),
            "cpu_ms_per_s": cost(1 if given.quick else 5),
        }
    )


if __name__ == "__main__":
    main()
