"""aiortc's tracks as sources of PCM, and PCM as a track."""

from __future__ import annotations

import asyncio
import fractions

import pytest

from voxwire.errors import ConfigError, MissingExtraError
from voxwire.rtc.tracks import TrackReader, pcm_of_track, pcm_track

pytestmark = pytest.mark.needs_module("aiortc")


def track_of(frames):
    from aiortc import MediaStreamTrack
    from aiortc.mediastreams import MediaStreamError

    class Frames(MediaStreamTrack):
        kind = "audio"

        async def recv(self):
            if not frames:
                raise MediaStreamError
            return frames.pop(0)

    return Frames()


def frame(samples, rate, layout):
    from av import AudioFrame

    made = AudioFrame(format="s16", layout=layout, samples=samples)
    for plane in made.planes:
        plane.update(b"\x10\x27" * (plane.buffer_size // 2))
    made.sample_rate, made.time_base, made.pts = rate, fractions.Fraction(1, rate), 0
    return made


@pytest.mark.parametrize(("rate", "layout"), [(48_000, "stereo"), (8_000, "mono"), (24_000, "mono")])
async def test_any_rate_and_layout_becomes_24_khz_mono(rate, layout):
    frames = [frame(rate // 50, rate, layout) for _ in range(25)]
    for n, made in enumerate(frames):
        made.pts = n * rate // 50
    pieces = [pcm async for pcm in pcm_of_track(track_of(frames))]
    pcm = b"".join(pieces)
    assert len(pcm) == pytest.approx(48 * 500, rel=0.03)
    assert int.from_bytes(pcm[12_000:12_002], "little", signed=True) == pytest.approx(10_000, rel=0.02)


async def test_what_is_no_audio_track_is_refused():
    from av import Packet

    with pytest.raises(ConfigError, match="not 'list'"):
        await anext(pcm_of_track([]))
    with pytest.raises(ConfigError, match="gives Packet"):
        await anext(pcm_of_track(track_of([Packet(b"opus")])))


async def test_a_reader_hands_on_until_it_is_stopped(tone, until):
    track = pcm_track()
    track.write(tone(440, 100))
    got = bytearray()
    reader = TrackReader(track, got.extend)
    await until(lambda: len(got) >= 4800)
    assert bytes(got[:4800]) == tone(440, 100)
    reader.stop()
    assert track.readyState == "live"
    track.stop()


async def test_a_reader_of_a_broken_track_says_so_and_ends(until, caplog):
    TrackReader("a string", lambda pcm: None)
    await until(lambda: "could not be read" in caplog.text)


async def test_a_pcm_track_keeps_time_and_its_limit(tone):
    from aiortc.mediastreams import MediaStreamError

    track = pcm_track(max_queue_ms=100)
    track.write(tone(440, 300))
    assert track.queued_ms == 100
    loop = asyncio.get_running_loop()
    began = loop.time()
    frames = [await track.recv() for _ in range(6)]
    assert loop.time() - began >= 0.095
    assert [f.pts for f in frames] == [0, 480, 960, 1440, 1920, 2400]
    assert bytes(frames[0].planes[0])[:960] == tone(440, 300)[200 * 48 : 220 * 48]
    assert bytes(frames[5].planes[0])[:960] == bytes(960)
    track.write(bytes(960))
    track.clear()
    assert track.queued_ms == 0
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_without_aiortc_the_extra_is_named(monkeypatch):
    from voxwire.rtc import tracks

    tracks._pcm_track_class.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"voxwire\[webrtc\]"):
        await anext(pcm_of_track(None))
    with pytest.raises(MissingExtraError, match=r"voxwire\[webrtc\]"):
        pcm_track()
