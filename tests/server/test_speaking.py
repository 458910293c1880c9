from __future__ import annotations

from typing import Any

import pytest

from voxwire.protocol.formats import PCM16
from voxwire.server.engine import SpokenPiece, SpokenWord, StartResponse
from voxwire.server.speaking import SentenceCutter, SpokenMessage
from voxwire.server.speech.base import ResponseRequest, Speech, Word


@pytest.mark.parametrize(
    ("parts", "sentences"),
    [
        ([], []),
        (["", "  "], []),
        (["Hello."], ["Hello."]),
        (["Hel", "lo. How", " are you? ", "Fine."], ["Hello.", " How are you?", " Fine."]),
        (["No end"], ["No end"]),
        (["One. Two. Three"], ["One.", " Two.", " Three"]),
    ],
)
def test_cutter_keeps_every_letter(parts: list[str], sentences: list[str]) -> None:
    cutter = SentenceCutter()
    cut = [sentence for part in parts for sentence in cutter.feed(part)]
    assert cut + cutter.finish() == sentences
    assert cutter.finish() == []


def test_cutter_gives_a_sentence_as_soon_as_the_next_begins() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("One. ") == []
    assert cutter.feed("T") == ["One."]


class Canned:
    sample_rate = 24_000

    def __init__(self, *pieces: Speech) -> None:
        self.pieces = pieces

    async def speak(self, request: Any, /) -> Any:
        for piece in self.pieces:
            yield piece

    async def close(self) -> None:
        pass


async def pieces_of(sentence: str, *speech: Speech) -> list[SpokenPiece]:
    plan = StartResponse("r", ResponseRequest("", ()), PCM16, None, 1.0)
    message = SpokenMessage(Canned(*speech), plan, 5)
    return [piece async for piece in message.speak(sentence)]


async def test_long_audio_is_cut_and_words_come_in_step() -> None:
    words = (Word(0, 3, 0, 300), Word(4, 7, 300, 500), Word(9, 14, 700, 1000))
    pieces = await pieces_of("One two, three.", Speech(bytes(48 * 1000), words))
    assert [len(piece.pcm) // 48 for piece in pieces if piece.pcm] == [200] * 5
    assert [piece.text for piece in pieces] == ["One", " two,", "", " three.", "", ""]
    assert [piece.words for piece in pieces][:3] == [(), (SpokenWord(3, 300),), (SpokenWord(8, 500),)]
    told = [word for piece in pieces for word in piece.words]
    assert told[-1] == SpokenWord(15, 1000)


async def test_words_that_are_late_are_told_at_the_end() -> None:
    pieces = await pieces_of("One two.", Speech(bytes(4800)), Speech(b"", (Word(0, 3, 0, 400),)))
    assert "".join(piece.text for piece in pieces) == "One two."
    assert pieces[-1].words[-1] == SpokenWord(8, 100)


async def test_a_sentence_without_sound_is_told_all_the_same() -> None:
    pieces = await pieces_of("Hm.")
    assert [(piece.text, piece.pcm) for piece in pieces] == [("Hm.", b"")]


async def test_plain_iterators_will_do() -> None:
    class Plain:
        sample_rate = 24_000

        def __init__(self) -> None:
            self.left = 2

        def speak(self, request: Any, /) -> Plain:
            return self

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> Speech:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return Speech(bytes(480))

        async def close(self) -> None:
            pass

    plan = StartResponse("r", ResponseRequest("", ()), PCM16, None, 1.0)
    message = SpokenMessage(Plain(), plan, 5)
    pieces = [piece async for piece in message.speak("Hm.")]
    assert sum(len(piece.pcm) for piece in pieces) == 960
