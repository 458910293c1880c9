"""What all tests share: what a test may need, and the rule that nothing is skipped in CI.

A test that needs something from outside says so with a mark (`needs_program`, `needs_module`)
or a fixture (`interop_python`, `interop_node`). Where it is missing the test is skipped, and
with `VOXWIRE_REQUIRE_ALL=1`, as CI sets it, every skip is a failure, whoever asked for it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

# Our own fixtures for other people's tests: `realtime_server`, `scripted_transport`, `run_in_virtual_time`.
pytest_plugins = ["voxwire.testing.pytest_plugin"]

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("VOXWIRE_REQUIRE_ALL") == "1"

# Real audio in real time, in several processes: `make test` runs these after the others, one at a time.
ALONE = (
    "audio/test_devices_on_pulse.py",
    "cli/test_call.py",
    "cli/test_demo.py",
    "cli/test_talk.py",
    "rtc/test_faults.py",
    "rtc/test_faults_session.py",
    "server/sip/test_phones.py",
    "server/test_calls.py",
    "session/test_over_webrtc.py",
    "transports/telephony/test_calls.py",
    "transports/test_webrtc_on_devices.py",
)

# A shared machine may take its time over one example; and CI tries the same ones on every run.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(ROOT / "tests") and item.path.as_posix().endswith(ALONE):
            item.add_marker("alone")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs_program"):
        for program in mark.args:
            if shutil.which(program) is None:
                pytest.skip(f"the program {program!r} is not installed")
    for mark in item.iter_markers("needs_module"):
        for module in mark.args:
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"the module {module!r} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip where nothing may be skipped; expected failures stay what they are."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"VOXWIRE_REQUIRE_ALL=1 allows no skipped test. {reason}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def interop_python() -> Path:
    """The interpreter that has other people's Python clients (`make test` sets it up)."""
    python = ROOT / ".venv-interop" / "bin" / "python"
    if not python.exists():
        pytest.skip(".venv-interop is not there; `make test` makes it")
    return python


@pytest.fixture(scope="session")
def interop_node() -> Path:
    """The folder whose `node_modules` has other people's JavaScript clients (`make test` sets it up)."""
    folder = ROOT / "tests" / "interop"
    if shutil.which("node") is None or not (folder / "node_modules").is_dir():
        pytest.skip("node or tests/interop/node_modules is not there; `make test` installs the latter")
    return folder
