from __future__ import annotations

import subprocess
import sys

import pytest

import voxwire
from voxwire.cli import main

HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
hidden = sys.argv[1]
sys.meta_path.insert(0, Hide())
from voxwire.cli import main
sys.argv = ["voxwire", "doctor"]
main()
"""


def test_version(run_voxwire) -> None:
    assert run_voxwire("--version") == (0, f"voxwire {voxwire.__version__}\n", "")


def test_help_names_the_commands_and_loads_no_server(run_voxwire) -> None:
    status, out, errors = run_voxwire("--help")
    assert (status, errors) == (0, "")
    for command in ("demo", "serve", "doctor"):
        assert command in out
    code = (
        "import sys; from voxwire.cli.app import app\n"
        "loaded = {'numpy', 'uvicorn', 'starlette', 'websockets', 'httpx', 'pydantic'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_extra_it_says_how_to_install_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDE, "typer"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "voxwire: the command line needs the package 'typer': pip install 'voxwire[cli]'\n"


def test_another_missing_module_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "voxwire.cli.app", None)
    with pytest.raises(ImportError, match=r"voxwire\.cli\.app"):
        main()


def test_doctor(run_voxwire) -> None:
    status, out, errors = run_voxwire("doctor")
    assert errors == ""
    assert ("can run" in out) == (status == 0)


@pytest.mark.parametrize(
    "error", ["KeyboardInterrupt()", "ConnectError('no way')", "UserError('your fault')"]
)
def test_errors_become_a_line_and_a_status(error: str) -> None:
    code = f"""
import sys
from voxwire.cli import main
from voxwire.errors import *
import voxwire.cli.doctor as doctor
def fail(**_): raise {error}
doctor.run = fail
sys.argv = ["voxwire", "doctor"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    wanted = {"K": (130, ""), "C": (1, "voxwire: no way\n"), "U": (2, "voxwire: your fault\n")}[error[0]]
    assert (done.returncode, done.stderr.lstrip("\n")) == wanted
