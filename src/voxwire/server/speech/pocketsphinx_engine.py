"""Recognition by pocketsphinx (BSD, model in the wheel). Runs in the worker process only.

The extension holds the interpreter lock for up to 160 ms at a time, which is why it must not
run in a process that has to be on time.

Each utterance is heard by up to three decoders at once: free dictation; the phrases that are
likely, as a grammar; and a loop of all sounds, against which the grammar's score is held. A
grammar always finds something, so it is believed only if it explains the sounds about as well
as the loop does, and has some likeness to what was dictated.
"""

from __future__ import annotations

import importlib
import math
import os
from difflib import SequenceMatcher
from typing import Any

from .phrase_grammar import PhraseGrammar, polish, spelling_of

__all__ = ["DecoderSet", "Utterance"]

_ACCEPT = -0.5
"""1000 * (ln score of the grammar - ln score of the sounds) per frame; measured on 96 clips."""
_ALIKE = 0.35
"""Likeness of the letters of phrase and dictation: right phrases 0.36 to 1.0, wrong ones 0.09 to 0.33."""
_PARTIAL_BYTES = 16_000 * 2 * 3 // 10
_MIN_PHRASE_FRAMES = 25
_KEPT_GRAMMARS = 32
_TELEPHONE = "46.6,23.2,-17.4,31.9,-12.5,1.4,10.3,-18.5,14.3,-4.8,1.6,11.3,-5.0"
"""Cepstral mean of speech without anything above 4 kHz, measured. The model's own is that of wideband speech;
with it, the first utterances of a telephone line are not understood at all."""


class DecoderSet:
    """The decoders for one utterance at a time; loading takes 0.5 s and 150 MB with its model."""

    def __init__(self) -> None:
        pocketsphinx: Any = importlib.import_module("pocketsphinx")
        decoder = pocketsphinx.Decoder
        quiet = {"loglevel": "FATAL", "logfn": os.devnull}
        self.free: Any = decoder(**quiet)
        self.grammar: Any = decoder(lm=None, **quiet)
        loop = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
        self.sounds: Any = decoder(lm=None, allphone=loop, lw=2.0, beam=1e-10, pbeam=1e-10, **quiet)
        self._grammars: dict[tuple[str, ...], tuple[str, PhraseGrammar]] = {}
        self._count = 0
        self._narrowband = False
        self._means: dict[bool, list[str]] = {True: [_TELEPHONE] * len(self._all)}

    @property
    def _all(self) -> tuple[Any, ...]:
        return self.free, self.grammar, self.sounds

    def tune(self, *, narrowband: bool) -> None:
        """Expect the sound of a telephone line, or not; what was learnt of either is kept for the next time."""
        if narrowband == self._narrowband:
            return
        self._means[self._narrowband] = [decoder.get_cmn() for decoder in self._all]
        for decoder, mean in zip(self._all, self._means[narrowband], strict=True):
            decoder.set_cmn(mean)
        self._narrowband = narrowband

    def select(self, phrases: tuple[str, ...]) -> PhraseGrammar | None:
        """Listen for these phrases from the next utterance on; None if none of them can be used."""
        if phrases not in self._grammars:
            grammar = PhraseGrammar(phrases, self.grammar.lookup_word)
            for word, sounds in grammar.sounds.items():
                if self.grammar.lookup_word(word) is None:
                    self.grammar.add_word(word, sounds, False)
            self._count += 1
            name = f"phrases-{self._count}"
            if grammar.texts:
                self.grammar.add_jsgf_string(name, grammar.jsgf())
            self._forget_oldest()
            self._grammars[phrases] = (name, grammar)
        name, grammar = self._grammars[phrases]
        if not grammar.texts:
            return None
        self.grammar.activate_search(name)
        return grammar

    def _forget_oldest(self) -> None:
        if len(self._grammars) < _KEPT_GRAMMARS:
            return
        name, grammar = self._grammars.pop(next(iter(self._grammars)))
        if grammar.texts:
            self.grammar.remove_search(name)


class Utterance:
    """One utterance on a set of decoders, from its first sample to its text."""

    def __init__(self, decoders: DecoderSet, phrases: tuple[str, ...], *, narrowband: bool = False) -> None:
        self._decoders = decoders
        decoders.tune(narrowband=narrowband)
        self._grammar = decoders.select(phrases) if phrases else None
        self._spelling = spelling_of(phrases)
        self._since_partial = 0
        self._open = [decoders.free]
        if self._grammar is not None:
            self._open += [decoders.grammar, decoders.sounds]
        for decoder in self._open:
            decoder.start_utt()

    def feed(self, pcm: bytes) -> str | None:
        """Decode more 16 kHz PCM; every 300 ms of audio, the text so far."""
        for decoder in self._open:
            decoder.process_raw(pcm, False, False)
        self._since_partial += len(pcm)
        if self._since_partial < _PARTIAL_BYTES:
            return None
        self._since_partial = 0
        return self._phrase() or self._dictation()

    def finish(self) -> str:
        """The utterance is over: its text."""
        free = self._open[0]
        for decoder in self._open[1:]:
            decoder.end_utt()
        free.end_utt()
        self._open = []
        return self._phrase(final=True) or self._dictation()

    def abandon(self) -> None:
        """Stop without a text."""
        for decoder in self._open:
            decoder.end_utt()
        self._open = []

    def _phrase(self, *, final: bool = False) -> str | None:
        if self._grammar is None:
            return None
        decoders = self._decoders
        heard, sounds = decoders.grammar.hyp(), decoders.sounds.hyp()
        frames = decoders.grammar.n_frames()
        if heard is None or sounds is None or frames < _MIN_PHRASE_FRAMES or not heard.hypstr:
            return None
        if heard.score <= 0 or sounds.score <= 0:
            return None
        if 1000 * (math.log(heard.score) - math.log(sounds.score)) / frames < _ACCEPT:
            return None
        if SequenceMatcher(None, heard.hypstr, self._dictated()).ratio() < _ALIKE:
            return None
        if final:
            # A path that did not reach the end of a phrase is none.
            return self._grammar.texts.get(heard.hypstr)
        return polish(heard.hypstr, self._spelling)

    def _dictation(self) -> str:
        text = self._dictated()
        phrase = self._grammar.texts.get(text) if self._grammar is not None else None
        return phrase or polish(text, self._spelling)

    def _dictated(self) -> str:
        heard = self._decoders.free.hyp()
        return heard.hypstr if heard is not None else ""
