"""When audio was heard, by a player whose position is told."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import pytest

from voxwire.audio import read_wav
from voxwire.protocol.transport_events import AudioEvent
from voxwire.recording.sound import SoundRecorder


def tone(ms: float) -> bytes:
    return array("h", [round(8000 * math.sin(n * 0.1)) for n in range(round(ms * 24))]).tobytes()


class Player:
    def __init__(self, path: Path, **options: float) -> None:
        self.path = path
        self.heard: float | None = 0.0
        limit = options.get("max_pending_ms", 10_000)
        self.sound = SoundRecorder(
            path, rate=24_000, start=0.0, position=lambda: self.heard, max_pending_ms=limit
        )

    def look(self, now: float, heard: float | None) -> None:
        self.heard = heard
        self.sound.look(now)

    def stretches(self) -> list[tuple[int, int]]:
        """When the agent is heard, ms; pauses of less than 5 ms do not count."""
        loud = [n / 24 for n, s in enumerate(array("h", read_wav(self.path, channel=1).pcm)) if abs(s) > 500]
        found: list[list[float]] = []
        for at in loud:
            if not found or at - found[-1][1] > 5:
                found.append([at, at])
            found[-1][1] = at
        return [(round(begin), round(end)) for begin, end in found]


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(tmp_path / "r.wav")


def near(found: list[tuple[int, int]], *wanted: tuple[int, int]) -> bool:
    pairs = zip(found, wanted, strict=True)
    return all(abs(f - w) <= 3 for pair in pairs for f, w in zip(*pair, strict=True))


def test_a_player_that_begins_late(player: Player) -> None:
    player.sound.agent(AudioEvent(tone(1000), "i1", "r1"), 1.0)
    player.look(1.3, 0)
    player.look(1.6, 100)
    player.look(2.0, 500)
    assert player.sound.waiting_ms == 500
    player.look(2.5, 1000)
    player.sound.close(3.0)
    assert near(player.stretches(), (1500, 2500))


def test_a_late_look_finds_when_it_ended(player: Player) -> None:
    player.sound.agent(AudioEvent(tone(400), "i1", "r1"), 1.0)
    player.look(1.2, 200)
    player.look(2.9, 400)
    player.sound.close(3.0)
    assert near(player.stretches(), (1000, 1400))


def test_what_an_interruption_cuts_off_was_never_said(player: Player) -> None:
    player.sound.agent(AudioEvent(tone(3000), "i1", "r1"), 1.0)
    player.heard = 250.0
    player.sound.interrupted(1.5)
    player.sound.agent(AudioEvent(tone(500), "i2", "r2"), 2.0)
    player.look(2.5, 750)
    player.sound.close(3.0)
    assert near(player.stretches(), (1250, 1500), (2000, 2500))


def test_without_a_position_it_plays_in_real_time(player: Player) -> None:
    player.heard = None
    player.sound.agent(AudioEvent(tone(300), "i1", "r1"), 1.0)
    player.sound.agent(AudioEvent(tone(300), "i1", "r1"), 1.0)
    player.look(2.5, None)
    player.sound.close(3.0)
    assert near(player.stretches(), (1000, 1600))


def test_a_lost_connection_has_played_until_then(player: Player) -> None:
    player.sound.agent(AudioEvent(tone(3000), "i1", "r1"), 1.0)
    player.look(1.5, 500)
    player.look(1.7, 0.0)  # the transport has begun to count anew
    player.sound.disconnected(1.7)
    assert player.sound.waiting_ms == 0
    player.sound.agent(AudioEvent(tone(100), "i2", "r2"), 2.0)
    player.look(2.1, 100)
    player.sound.close(3.0)
    assert near(player.stretches(), (1000, 1700), (2000, 2100))


def test_a_recording_that_begins_while_somebody_speaks(player: Player) -> None:
    player.look(1.0, 5000)
    player.sound.agent(AudioEvent(tone(100), "i1", "r1"), 1.0)
    player.look(1.1, 5100)
    player.sound.close(2.0)
    assert near(player.stretches(), (1000, 1100))


def test_what_has_no_room_is_silent(tmp_path: Path) -> None:
    player = Player(tmp_path / "r.wav", max_pending_ms=100)
    for _ in range(2):
        player.sound.agent(AudioEvent(tone(80), "i1", "r1"), 1.0)
    player.look(1.05, 50)
    player.look(1.16, 160)
    player.sound.agent(AudioEvent(tone(80), "i1", "r1"), 1.16)
    player.look(1.24, 240)
    player.sound.close(2.0)
    assert near(player.stretches(), (1000, 1080), (1160, 1240))
