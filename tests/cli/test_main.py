from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

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


# -- what the command line makes of its options, in this process ---------------------------------


def invoke(*arguments: str) -> Any:
    from typer.testing import CliRunner

    from voxwire.cli.app import app

    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_python_m_voxwire(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["voxwire", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("voxwire", run_name="__main__")
    assert not end.value.code
    assert capsys.readouterr().out == f"voxwire {voxwire.__version__}\n"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(voxwire.UserError("no"), 2, "voxwire: no\n"), (voxwire.ConnectError("off"), 1, "voxwire: off\n")],
)
def test_the_status_says_whose_fault_it_is(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
    message: str,
) -> None:
    from voxwire.cli import doctor

    def fail(**_: object) -> int:
        raise error

    monkeypatch.setattr(doctor, "run", fail)
    monkeypatch.setattr(sys, "argv", ["voxwire", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status
    assert capsys.readouterr().err == message


def test_the_demos_options(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxwire.cli import demo

    given: list[demo.DemoOptions] = []

    def run(options: demo.DemoOptions) -> int:
        given.append(options)
        return 1

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setenv("VOXWIRE_DEMO_API_KEY", "sk-env")
    arguments = "--audio a.wav --audio b.wav --text hi --url ws://x --model m --out o --plain --max-seconds 9"
    assert invoke("demo", *arguments.split()).exit_code == 1
    assert given == [
        demo.DemoOptions(
            audio=(Path("a.wav"), Path("b.wav")),
            text=("hi",),
            url="ws://x",
            api_key="sk-env",
            model="m",
            out=Path("o"),
            plain=True,
            max_seconds=9,
        )
    ]
    monkeypatch.delenv("VOXWIRE_DEMO_API_KEY")
    invoke("demo")
    assert given[1] == demo.DemoOptions()


def test_the_servers_options(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxwire.cli import serve

    given: list[serve.ServeOptions] = []

    def run(options: serve.ServeOptions) -> int:
        given.append(options)
        return 0

    monkeypatch.setattr(serve, "run", run)
    monkeypatch.setenv("VOXWIRE_API_KEYS", "sk-a sk-b")
    arguments = (
        "--host ::1 --port 0 --script s.yaml --responder r --transcriber t --synthesizer s --vad v --voice cedar "
        "--pace 1.5 --max-sessions 4 --limit items=5 --limit responses=6 --log-level info"
    )
    assert invoke("serve", *arguments.split()).exit_code == 0
    assert given == [
        serve.ServeOptions(
            host="::1",
            port=0,
            api_keys=("sk-a", "sk-b"),
            script=Path("s.yaml"),
            components={"responder": "r", "transcriber": "t", "synthesizer": "s", "vad": "v"},
            voice="cedar",
            pace=1.5,
            max_sessions=4,
            limits=("items=5", "responses=6"),
            log_level="info",
        )
    ]


def test_doctor_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxwire.cli import doctor

    monkeypatch.setattr(doctor, "examine", lambda environ: [doctor.Finding("a", "problem", "b")])
    assert invoke("doctor").exit_code == 1
    assert '"state": "problem"' in invoke("doctor", "--json").stdout
