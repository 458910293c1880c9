"""Sentences, alignment, numbers, frames, grammar."""

from __future__ import annotations

import io
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.server.speech.alignment import (
    StreamAligner,
    align_sentence,
    shift_words,
    sound_bounds,
    speech_pieces,
    word_weight,
)
from voxwire.server.speech.base import Word
from voxwire.server.speech.espeak_voices import espeak_speed, espeak_voice
from voxwire.server.speech.frames import (
    HEADER,
    MAX_PAYLOAD,
    pack_frame,
    read_frame,
    unpack_header,
    write_frame,
)
from voxwire.server.speech.hints import hints_from_session
from voxwire.server.speech.numbers import number_at, number_words
from voxwire.server.speech.phrase_grammar import (
    PhraseGrammar,
    guess_sounds,
    phrase_words,
    polish,
    spelling_of,
)
from voxwire.server.speech.sentences import sentence_spans, word_spans


def cut(text: str, **options: int) -> list[str]:
    return [text[a:b] for a, b in sentence_spans(text, **options)]


def test_sentences() -> None:
    assert cut("Hello there. How are you?  Fine!") == ["Hello there.", "How are you?", "Fine!"]
    assert cut("Dr. Smith costs 3.50 today") == ["Dr. Smith costs 3.50 today"]
    assert cut('She said "Go." Then left.') == ['She said "Go."', "Then left."]
    assert cut("one\ntwo") == ["one", "two"]
    assert cut("  ") == []


@given(st.text(), st.integers(1, 50))
def test_sentences_lose_only_space(text: str, longest: int) -> None:
    spans = sentence_spans(text, longest=longest)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(0 < b - a <= longest for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_long_sentence_is_cut_at_commas_then_spaces() -> None:
    assert cut("aaa bbb, ccc ddd eee", longest=12) == ["aaa bbb,", "ccc ddd eee"]
    assert cut("aaaa bbbb cccc", longest=10) == ["aaaa bbbb", "cccc"]


def tone(ms: int) -> bytes:
    return struct.pack("<h", 5000) * (16 * ms)


def test_sound_bounds() -> None:
    assert sound_bounds(bytes(3200) + tone(100) + bytes(6400), 16000) == (100.0, 200.0)
    assert sound_bounds(bytes(3200), 16000) == (0.0, 100.0)
    assert sound_bounds(b"", 16000) == (0.0, 0.0)


def test_align_fills_the_span_in_order() -> None:
    text = "So: Tokyo is extraordinarily nice."
    words = align_sentence(text, 4, len(text), 100.0, 1100.0)
    assert [text[w.start : w.end] for w in words] == ["Tokyo", "is", "extraordinarily", "nice."]
    assert words[0].start_ms == 100.0
    assert words[-1].end_ms == pytest.approx(1100.0)
    assert all(a.end_ms == pytest.approx(b.start_ms) for a, b in pairwise(words))
    assert words[2].end_ms - words[2].start_ms > 3 * (words[1].end_ms - words[1].start_ms)
    assert shift_words(words, 50)[0] == Word(4, 9, 150.0, words[0].end_ms + 50)


def test_word_weight() -> None:
    assert word_weight("extraordinary") > word_weight("nice") > word_weight("a")
    assert word_weight("1234") > word_weight("1")
    assert word_weight("BBC") > word_weight("be")
    assert word_weight("so,") > word_weight("so")
    assert word_weight("made") < word_weight("many")
    assert word_weight("-") == 1.0


def test_speech_pieces_carry_each_word_once_where_it_ends() -> None:
    words = align_sentence("one two three", 0, 13, 1000.0, 1600.0)
    pieces = list(speech_pieces(tone(600), 16000, words, 1000.0))
    assert b"".join(p.pcm for p in pieces) == tone(600)
    assert [w for p in pieces for w in p.words] == words
    at = 1000.0
    for piece in pieces:
        at += len(piece.pcm) / 32
        assert all(word.end_ms <= at + 0.01 for word in piece.words)


def test_stream_aligner_ends_with_the_audio_and_learns() -> None:
    text = "Hello my friend. And once more the same."
    aligner = StreamAligner(16000)
    spans = sentence_spans(text)
    aligner.begin(text, *spans[0])
    got = list(aligner.feed(bytes(3200)).words)
    assert got == []
    for _ in range(10):
        got += aligner.feed(tone(200)).words
    got += aligner.finish()
    assert [text[w.start : w.end] for w in got] == ["Hello", "my", "friend."]
    assert got[0].start_ms == 100.0
    assert got[-1].end_ms == pytest.approx(2100.0)
    aligner.begin(text, *spans[1])
    second = [*aligner.feed(tone(1000)).words, *aligner.finish()]
    assert second[0].start_ms == pytest.approx(2100.0)
    assert second[-1].end_ms == pytest.approx(3100.0)
    assert all(a.end_ms <= b.end_ms for a, b in pairwise(second))


def test_stream_aligner_without_sound() -> None:
    aligner = StreamAligner(16000)
    aligner.begin("Hi you", 0, 6)
    aligner.feed(bytes(320))
    assert [(w.start_ms, w.end_ms) for w in aligner.finish()] == [(10.0, 10.0), (10.0, 10.0)]


@given(st.integers(0, 999_999))
def test_numbers_there_and_back(value: int) -> None:
    words = number_words(value).split()
    assert number_at(words, 0) == (value, len(words))


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("23", 23, 1),
        ("1,250 euros", 1250, 1),
        ("3.5", 3.5, 1),
        ("two hundred and five dogs", 205, 4),
        ("three point one four", 3.14, 4),
        ("five point of view", 5, 1),
        ("one two three", 1, 1),
        ("twenty one and two", 21, 2),
    ],
)
def test_number_at(text: str, value: float, used: int) -> None:
    assert number_at(text.split(), 0) == (value, used)


def test_no_number() -> None:
    assert number_at(["hello"], 0) is None
    assert number_at(["a1"], 0) is None
    assert number_at(["hundred"], 0) is None
    assert number_words(-3) == "minus three"
    assert number_words(1_000_000) == "one zero zero zero zero zero zero"


def test_frames() -> None:
    stream = io.BytesIO()
    write_frame(stream, b"A", 7, b"abc")
    write_frame(stream, b"F", 8)
    stream.seek(0)
    assert read_frame(stream) == (b"A", 7, b"abc")
    assert read_frame(stream) == (b"F", 8, b"")
    assert read_frame(stream) is None
    assert read_frame(io.BytesIO(pack_frame(b"A", 1, b"abc")[:-1])) is None
    with pytest.raises(ValueError, match="claims"):
        unpack_header(HEADER.pack(MAX_PAYLOAD + 1, b"A", 0))
    with pytest.raises(ValueError, match="at most"):
        pack_frame(b"A", 0, bytes(MAX_PAYLOAD + 1))


def test_grammar_keeps_the_spelling_and_adds_unknown_words() -> None:
    known = {"weather": "W", "in": "IH", "tokyo": "T", "story": "S T AO R IY", "cast": "K AE S T"}
    grammar = PhraseGrammar(
        ["Weather in Tokyo?", "storycast", "qyxw in 日本", "", "Weather, in TOKYO"], known.get
    )
    assert grammar.texts == {"weather in tokyo": "Weather in Tokyo?", "storycast": "storycast"}
    assert grammar.sounds["storycast"] == "S T AO R IY K AE S T"
    assert "public <phrase> = weather in tokyo | storycast;" in grammar.jsgf()


def test_grammar_is_bounded() -> None:
    many = [f"{number_words(i)}" for i in range(900)]
    assert len(PhraseGrammar(many, lambda w: w).texts) == 500
    assert PhraseGrammar(["a " * 31], lambda w: w).texts == {}


def test_spoken_words() -> None:
    assert phrase_words("get_weather: 23 o'clock!") == ["get", "weather", "twenty", "three", "o'clock"]
    assert phrase_words("12345678")[:2] == ["one", "two"]
    assert guess_sounds("voxwire") == "V OW K S W ER"
    assert guess_sounds("łódź") is None
    assert guess_sounds("") is None
    spelling = spelling_of(["What is in Tokyo?", "Ava", "GPT"])
    assert spelling == {"tokyo": "Tokyo", "ava": "Ava", "gpt": "GPT"}
    assert polish("can i ask ava about tokyo i'm here", spelling) == "Can I ask Ava about Tokyo I'm here"
    assert polish("", spelling) == ""
    assert word_spans(" a bc ") == [(1, 2), (3, 5)]


def test_hints() -> None:
    hints = hints_from_session(
        {
            "audio": {
                "input": {
                    "transcription": {
                        "prompt": "Stop, please. Thank you.\nTokyo; Paris",
                        "keywords": ["Ava", 5],
                        "language": "en",
                    }
                }
            },
            "tools": [
                {
                    "name": "get_weather",
                    "description": "The weather",
                    "parameters": {
                        "properties": {"unit": {"enum": ["celsius"]}, "days": {"items": {"enum": ["Monday"]}}}
                    },
                },
                "broken",
            ],
        }
    )
    assert hints.language == "en"
    for phrase in (
        "Stop, please. Thank you.",
        "Thank you.",
        "Paris",
        "Ava",
        "get weather",
        "The weather",
        "celsius",
        "Monday",
    ):
        assert phrase in hints.phrases
    assert hints.prompt is not None


def test_hints_of_nothing_or_nonsense() -> None:
    assert hints_from_session({}).phrases == ()
    assert hints_from_session({"audio": {"input": None}, "tools": 5}).phrases == ()
    broken = hints_from_session({"audio": {"input": {"transcription": {"prompt": 5, "language": 6}}}})
    assert (broken.prompt, broken.language) == (None, None)


def test_espeak_names() -> None:
    assert espeak_voice("marin", None) == "en-us+f3"
    assert espeak_voice("cedar", "de") == "de+m3"
    assert espeak_voice("espeak:fr+f2", None) == "fr+f2"
    assert espeak_voice("zebra", "; rm") == espeak_voice("zebra", None)
    assert (espeak_speed(1.0), espeak_speed(0.1), espeak_speed(9)) == (170, 80, 450)
