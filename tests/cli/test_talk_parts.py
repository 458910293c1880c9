"""What `voxwire talk` shows and measures, without a conversation."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator

import pytest

from voxwire.audio import QueueSource
from voxwire.cli.talk_audio import HeardLevel, MeteredSource, device_of, ways_out
from voxwire.cli.talk_status import keys_line, latency_line, meter, path_line, summary_lines
from voxwire.errors import DeviceError
from voxwire.protocol.formats import PCM16, PCMU
from voxwire.recording.timeline import Timeline
from voxwire.rtc.base import RtcStats


def square(dbfs: float, ms: int = 20) -> bytes:
    height = round(32768 * 10 ** (dbfs / 20))
    return array("h", [height, -height] * (12 * ms)).tobytes()


@pytest.mark.parametrize(
    ("level", "filled", "number"),
    [(0, 24, "0 dBFS"), (-30, 12, "-30 dBFS"), (-60, 0, "silent"), (-96, 0, "silent")],
)
def test_a_meter(level: float, filled: int, number: str) -> None:
    line = meter("You", level, "muted")
    assert (line.count("█"), line.count("░")) == (filled, 24 - filled)
    assert line.startswith("You      ")
    assert line.endswith(f"{number}  muted")


def test_what_is_heard_now_has_a_level() -> None:
    heard = HeardLevel()
    heard.add(square(-10) + square(-40), PCM16, 0.0)
    heard.add(square(-20), PCM16, 5.0)
    assert heard.at(10, playing=True) == -96
    assert heard.at(21, playing=True) == pytest.approx(-10, abs=0.1)
    assert heard.at(41, playing=True) == pytest.approx(-40, abs=0.1)
    assert heard.at(60, playing=True) == pytest.approx(-20, abs=0.1)
    assert heard.at(60, playing=False) == -96


def test_what_was_cut_off_has_none() -> None:
    heard = HeardLevel()
    heard.add(square(-10) * 50, PCM16, 0.0)
    assert heard.at(100, playing=True) == pytest.approx(-10, abs=0.1)
    heard.drop(110.0)
    heard.add(square(-30), PCM16, 110.0)
    assert heard.at(131, playing=True) == pytest.approx(-30, abs=0.1)


async def test_a_source_is_metered_on_its_way() -> None:
    source = QueueSource()
    await source.push(square(-20) + square(-40))
    source.end()
    metered = MeteredSource(source)
    levels, frames = [], bytearray()
    async for frame in metered.frames(PCM16):
        levels.append(metered.level)
        frames += frame
    assert levels == pytest.approx([-20, -40], abs=0.1)
    assert bytes(frames) == square(-20) + square(-40)
    await metered.close()


async def test_other_formats_have_no_level() -> None:
    source = QueueSource(PCMU)
    await source.push(b"\x00" * 160)
    source.end()
    metered = MeteredSource(source)
    assert [frame async for frame in metered.frames(PCMU)] == [b"\x00" * 160]
    assert metered.level == -96


async def test_the_source_is_left_when_nobody_listens_any_more() -> None:
    left: list[str] = []

    class Source:
        async def frames(self, _format: object, /) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(960)
            finally:
                left.append("left")

        async def close(self) -> None:
            left.append("closed")

    metered = MeteredSource(Source())
    frames = metered.frames(PCM16)
    await anext(frames)
    await frames.aclose()  # type: ignore[attr-defined]
    await metered.close()
    assert left == ["left", "closed"]


def test_latencies(whole_play) -> None:
    assert latency_line(Timeline("Ava")) == "no answer yet"
    assert latency_line(whole_play.timeline) == "answer heard after 700 ms, median 750 ms of 4"
    turns, path = summary_lines(whole_play.timeline, None)
    assert turns == "4 turns, answer heard after 700 ms, median 750 ms of 4, 1 interrupted"
    assert path == "websocket: audio as events, no statistics"


def test_the_path() -> None:
    assert path_line(RtcStats()) == "webrtc: lost 0 of 0 packets, buffer 0 ms"
    stats = RtcStats(
        rtt_ms=12.4, packets_received=98, packets_lost=2, jitter_ms=3.6, buffer_ms=40.0, concealed_ms=41.0
    )
    assert path_line(stats) == (
        "webrtc: round trip 12 ms, lost 2 of 100 packets, jitter 4 ms, buffer 40 ms, concealed 41 ms"
    )


def test_the_keys() -> None:
    assert keys_line(push_to_talk=False).startswith("m: mute   space or i: interrupt")
    assert keys_line(push_to_talk=True).startswith("space: begin and end a turn")


def test_devices_are_names_or_numbers() -> None:
    assert [device_of(text) for text in (None, "3", "USB 3", "-1")] == [None, 3, "USB 3", "-1"]


def test_the_ways_out() -> None:
    error = DeviceError("this machine has no loudspeaker. Plug one in.")
    first, *lines = ways_out("talk", error, ["voxwire demo"]).splitlines()
    assert first == "voxwire talk: this machine has no loudspeaker. Plug one in."
    assert "  voxwire demo" in lines
