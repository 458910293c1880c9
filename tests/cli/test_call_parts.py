"""The parts of `voxwire call` that need no line: turns on their way to text, and words for what happens."""

from __future__ import annotations

import array
import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from voxwire.cli.call_hearing import Hearing, Transcript, Turn, hints
from voxwire.cli.call_words import agreed_text, explain, ringing_text
from voxwire.errors import ConnectError, ConnectTimeout
from voxwire.protocol.formats import PCM16
from voxwire.server.sip.negotiation import AgreedMedia
from voxwire.server.sip.phone_call import CallRefused
from voxwire.server.sip.sdp import Codec
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.base import Transcript as Text
from voxwire.server.speech.hints import hints_from_session

LOUD, QUIET = b"\x00\x40" * 480, bytes(960)
"""20 ms each, 24 kHz."""


class Detector:
    """Speech is whatever is loud."""

    frame_ms = 20

    def __init__(self) -> None:
        self._rest = b""

    def probabilities(self, pcm: bytes, /) -> list[float]:
        data = self._rest + pcm
        whole = len(data) // 640 * 640
        self._rest = data[whole:]
        frames = [array.array("h", data[at : at + 640]) for at in range(0, whole, 640)]
        return [1.0 if max(map(abs, frame)) > 4000 else 0.0 for frame in frames]

    def reset(self) -> None:
        self._rest = b""


class Utterance:
    def __init__(self, owner: Scribe, on_partial: Callable[[str], None]) -> None:
        self.owner = owner
        self.on_partial = on_partial
        self.ms = 0.0
        self.cancelled = False

    def feed(self, pcm: bytes, /) -> None:
        self.ms += len(pcm) / 32
        self.on_partial(f"{self.ms:.0f}")

    async def finish(self) -> Text:
        number = self.owner.started.index(self)
        await self.owner.gates.setdefault(number, self.owner.open).wait()
        if number in self.owner.failing:
            raise RuntimeError("no ears")
        return Text(f" number {number} ", self.ms / 1000)

    def cancel(self) -> None:
        self.cancelled = True


class Scribe:
    """Recognises which utterance it is."""

    def __init__(self) -> None:
        self.started: list[Utterance] = []
        self.hints: list[SpeechHints] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.failing: set[int] = set()
        self.open = asyncio.Event()
        self.open.set()

    def start(self, hints: SpeechHints, on_partial: Callable[[str], None], /) -> Utterance:
        self.hints.append(hints)
        self.started.append(Utterance(self, on_partial))
        return self.started[-1]

    async def close(self) -> None:
        pass


class Room:
    """One side of a call, in virtual time."""

    def __init__(self) -> None:
        self.scribe = Scribe()
        self.turns: list[Turn] = []
        self.transcript = Transcript(self.scribe, self.turns.append)
        self.now = 0.0
        self.them = Hearing("them", Detector(), self.transcript, lambda: self.now)
        self.them.session = hints(("It is sunny.",), narrowband=True)

    def hear(self, *parts: tuple[bytes, int]) -> None:
        for frame, ms in parts:
            for _ in range(ms // 20):
                self.now += 20
                self.them.feed(frame)


@pytest.fixture
def room() -> Room:
    return Room()


async def test_turns_and_their_times(room: Room) -> None:
    room.hear((QUIET, 1000), (LOUD, 500))
    assert room.them.speaking
    assert float(room.them.partial) > 400
    room.hear((QUIET, 500))
    assert room.them.speaking  # a pause between two sentences
    room.hear((LOUD, 500), (QUIET, 1000))
    assert not room.them.speaking
    await room.transcript.drain()
    (turn,) = room.turns
    assert (turn.side, turn.text) == ("them", "number 0")
    assert turn.begin_ms == pytest.approx(1000, abs=60)
    assert turn.end_ms == room.them.ended_ms == pytest.approx(2500, abs=60)
    # With what came before it was noticed, and the silence behind it.
    assert room.scribe.started[0].ms == pytest.approx(300 + 1500 + 600, abs=80)
    expected = SpeechHints(phrases=("It is sunny.",), prompt="It is sunny.", narrowband=True)
    assert room.scribe.hints == [expected]


async def test_gaps_do_not_shift_the_times(room: Room) -> None:
    room.hear((QUIET, 200))
    room.now += 60_000  # on hold
    room.hear((QUIET, 500), (LOUD, 300), (QUIET, 700))
    await room.transcript.drain()
    (turn,) = room.turns
    assert turn.begin_ms == pytest.approx(60_700, abs=60)


async def test_the_end_of_the_call_ends_a_turn(room: Room) -> None:
    room.hear((LOUD, 400))
    room.them.finish()
    room.them.finish()
    await room.transcript.drain()
    assert [turn.text for turn in room.turns] == ["number 0"]


async def test_a_click_is_no_turn(room: Room) -> None:
    room.hear((QUIET, 200), (LOUD, 20), (QUIET, 1000))
    room.them.finish()
    await room.transcript.drain()
    assert not room.turns


async def test_turns_are_told_in_order(room: Room) -> None:
    room.scribe.gates[0] = asyncio.Event()
    for number in range(3):
        recognition = room.transcript.begin(PCM16, {}, lambda _: None)
        room.transcript.finish(recognition, "us", number, number)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not room.turns
    room.scribe.gates[0].set()
    await room.transcript.drain()
    assert [turn.text for turn in room.turns] == ["number 0", "number 1", "number 2"]


async def test_words_that_are_known_wait_for_their_turn(room: Room) -> None:
    room.scribe.gates[0] = asyncio.Event()
    room.transcript.finish(room.transcript.begin(PCM16, {}, lambda _: None), "them", 0, 1)
    room.transcript.finish(None, "us", 1, 2, "Thank you.")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not room.turns
    room.scribe.gates[0].set()
    await room.transcript.drain()
    assert [turn.text for turn in room.turns] == ["number 0", "Thank you."]


async def test_what_cannot_be_recognised_is_told(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.scribe.failing = {0}
    for number in range(2):
        room.transcript.finish(room.transcript.begin(PCM16, {}, lambda _: None), "us", number, number)
    await room.transcript.drain()
    assert [turn.text for turn in room.turns] == ["", "number 1"]
    assert "no ears" in caplog.text


async def test_too_many_wait(room: Room) -> None:
    room.scribe.open.clear()
    for number in range(40):
        room.transcript.finish(room.transcript.begin(PCM16, {}, lambda _: None), "us", number, number)
    await asyncio.sleep(0)
    room.scribe.open.set()
    await room.transcript.drain()
    texts = [turn.text for turn in room.turns]
    assert texts == [f"number {n}" for n in range(32)] + [""] * 8
    assert [utterance.cancelled for utterance in room.scribe.started] == [False] * 32 + [True] * 8


async def test_nobody_waits_for_words_any_longer(room: Room) -> None:
    room.scribe.open.clear()
    room.transcript.finish(room.transcript.begin(PCM16, {}, lambda _: None), "us", 0, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await room.transcript.drain()
    async with asyncio.timeout(1):
        while not room.turns:
            await asyncio.sleep(0)
    assert room.turns == [Turn("us", 0, 1, "")]
    await room.transcript.drain()


def test_hints_reach_the_transcriber() -> None:
    made = hints_from_session(hints(("One, two.", "Three"), narrowband=False))
    assert {"One, two.", "Three"} <= set(made.phrases)
    assert not made.narrowband
    assert hints_from_session(hints((), narrowband=True)) == SpeechHints(narrowband=True)


# -- words ----------------------------------------------------------------------------------------


def agreed(**changes: Any) -> AgreedMedia:
    settings: dict[str, Any] = {
        "codec": Codec(0, "PCMU", 8000),
        "events": Codec(101, "telephone-event", 8000),
        "comfort": False,
        "remote": ("192.0.2.1", 4000),
        "remote_rtcp": None,
        "direction": "sendrecv",
    }
    return AgreedMedia(**(settings | changes))


def test_what_was_agreed_on() -> None:
    assert agreed_text(agreed()) == "PCMU, 8000 Hz, audio to 192.0.2.1:4000"
    assert agreed_text(agreed(events=None, remote=None)) == "PCMU, 8000 Hz; keys are not taken"
    assert agreed_text(None) == "without audio"


def test_ringing() -> None:
    assert [ringing_text(status) for status in (180, 181, 183)] == [
        "ringing",
        "being forwarded",
        "183 Session Progress",
    ]


URI = "sip:agent@192.0.2.1"


@pytest.mark.parametrize(
    ("error", "heard", "words"),
    [
        (CallRefused("x", 486), True, f"{URI} is busy (486 Busy Here)"),
        (CallRefused("x", 404), True, f"{URI} is not known there (404 Not Found)"),
        (CallRefused("x", 603), True, f"{URI} declined the call (603 Decline)"),
        (CallRefused("x", 499), True, f"{URI} did not take the call (499)"),
        (CallRefused("x", 408), True, f"{URI} did not answer (408 Request Timeout)"),
        (CallRefused("x", 408), False, f"nothing came back from {URI}: is a phone line there"),
        (ConnectTimeout("x"), False, f"nothing came back from {URI}: is a phone line there"),
        (ConnectTimeout("rang in vain"), True, f"{URI} did not answer: rang in vain (--timeout)"),
        (ConnectError("no host"), False, "no host"),
    ],
)
def test_why_there_is_no_call(error: ConnectError, heard: bool, words: str) -> None:
    assert explain(error, URI, heard=heard).startswith(words)
