"""From likely phrases to what pocketsphinx can listen for: words, sounds, a grammar."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from .numbers import number_words

__all__ = ["PhraseGrammar", "guess_sounds", "phrase_words", "polish", "spelling_of"]

_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\d+")
_MAX_PHRASES = 500
_MAX_WORDS = 30

# Letters to sounds of the CMU dictionary, longest first; for names and made-up words only.
_SOUNDS = {
    "tion": "SH AH N",
    "ough": "AO F",
    "sch": "SH",
    "tch": "CH",
    "igh": "AY",
    "ch": "CH",
    "sh": "SH",
    "th": "TH",
    "ph": "F",
    "wh": "W",
    "ck": "K",
    "ng": "NG",
    "qu": "K W",
    "kn": "N",
    "wr": "R",
    "ee": "IY",
    "ea": "IY",
    "oo": "UW",
    "ou": "AW",
    "ow": "OW",
    "oa": "OW",
    "oi": "OY",
    "oy": "OY",
    "ai": "EY",
    "ay": "EY",
    "ei": "EY",
    "ie": "IY",
    "au": "AO",
    "aw": "AO",
    "ar": "AA R",
    "er": "ER",
    "ir": "ER",
    "ur": "ER",
    "or": "AO R",
    "a": "AE",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "i": "IH",
    "j": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "OW",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "AH",
    "v": "V",
    "w": "W",
    "x": "K S",
    "y": "IY",
    "z": "Z",
}
_SOFT_C = re.compile(r"c(?=[eiy])")


def phrase_words(phrase: str) -> list[str]:
    """The words of a phrase as they are spoken: lower case, numbers in words, no punctuation."""
    words: list[str] = []
    for token in _TOKEN.findall(phrase.replace("_", " ")):
        if token.isdigit():
            words += (
                number_words(int(token)).split() if len(token) < 7 else [number_words(int(d)) for d in token]
            )
        else:
            words.append(token.lower().replace("\u2019", "'"))
    return words


def guess_sounds(word: str) -> str | None:
    """Sounds for a word that no dictionary has; None if it has letters we have no rule for."""
    rest = _SOFT_C.sub("s", re.sub(r"(.)\1+", r"\1", word.replace("'", "")))
    if len(rest) > 3 and rest.endswith("e") and rest[-2] not in "aeiou":
        rest = rest[:-1]
    sounds: list[str] = []
    while rest:
        for size in (4, 3, 2, 1):
            if rest[:size] in _SOUNDS:
                sounds.append(_SOUNDS[rest[:size]])
                rest = rest[size:]
                break
        else:
            return None
    return " ".join(sounds) or None


def spelling_of(phrases: Iterable[str]) -> dict[str, str]:
    """Words that the phrases write with capitals other than at the beginning of a sentence."""
    spelling: dict[str, str] = {}
    for phrase in phrases:
        tokens = _TOKEN.findall(phrase.replace("_", " "))
        for index, token in enumerate(tokens):
            name_alone = len(tokens) <= 2
            if token != token.lower() and (index or name_alone):
                spelling.setdefault(token.lower(), token)
    return spelling


class PhraseGrammar:
    """One utterance is one of these phrases.

    Args:
        phrases: at most 500 are used, each of at most 30 words; the others are left out.
        lookup: the sounds of a word in the recogniser's dictionary, or None.

    Attributes:
        sounds: words to add to the dictionary.
        texts: spoken words to the phrase as it was given.
    """

    def __init__(self, phrases: Iterable[str], lookup: Callable[[str], str | None]) -> None:
        self.sounds: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        for phrase in phrases:
            words = phrase_words(phrase)
            if not 0 < len(words) <= _MAX_WORDS or len(self.texts) >= _MAX_PHRASES:
                continue
            if all(self._known(word, lookup) for word in words):
                self.texts.setdefault(" ".join(words), phrase.strip())

    def _known(self, word: str, lookup: Callable[[str], str | None]) -> bool:
        if word in self.sounds or lookup(word) is not None:
            return True
        sounds = _compound(word, lookup) or guess_sounds(word)
        if sounds is None:
            return False
        self.sounds[word] = sounds
        return True

    def jsgf(self) -> str:
        """The grammar in the Java Speech Grammar Format."""
        return "#JSGF V1.0;\ngrammar phrases;\npublic <phrase> = " + " | ".join(self.texts) + ";\n"


def _compound(word: str, lookup: Callable[[str], str | None]) -> str | None:
    for cut in range(3, len(word) - 2):
        first, second = lookup(word[:cut]), lookup(word[cut:])
        if first and second:
            return f"{first} {second}"
    return None


def polish(text: str, spelling: Mapping[str, str]) -> str:
    """Give dictation its capitals: the first letter, `I`, and the words of `spelling`."""
    words = [
        "I" + word[1:] if word == "i" or word.startswith("i'") else spelling.get(word, word)
        for word in text.split()
    ]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]]) if words else ""
