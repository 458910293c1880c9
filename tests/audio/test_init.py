from __future__ import annotations

import subprocess
import sys

import pytest

import voxwire.audio


def test_every_public_name_is_there():
    for name in voxwire.audio.__all__:
        assert getattr(voxwire.audio, name).__name__ == name
    assert set(voxwire.audio.__all__) <= set(dir(voxwire.audio))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'Trumpet'"):
        _ = voxwire.audio.Trumpet


def test_importing_loads_no_third_party_module():
    code = (
        "import sys, voxwire.audio as audio\n"
        "assert 'asyncio' not in sys.modules\n"
        "[getattr(audio, name) for name in audio.__all__]\n"
        "print(sorted({'livekit', 'numpy', 'soxr', 'sounddevice'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
