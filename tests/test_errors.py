from __future__ import annotations

import inspect

import pytest

from voxwire import errors
from voxwire.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLost,
    ConnectTimeout,
    MissingExtraError,
    ProviderError,
    ToolTimeoutError,
    VoxwireError,
)


def _classes() -> list[type[VoxwireError]]:
    found = (getattr(errors, name) for name in errors.__all__)
    return [one for one in found if inspect.isclass(one) and issubclass(one, VoxwireError)]


@pytest.mark.parametrize("cls", _classes())
def test_every_error_says_whose_fault_it_is_and_stands_in_the_table(cls: type[VoxwireError]) -> None:
    assert cls.fault in {"you", "peer", "provider", "network"}
    assert cls is VoxwireError or f"`{cls.__name__}`" in (errors.__doc__ or "")


@pytest.mark.parametrize("cls", _classes())
def test_the_table_names_the_same_fault(cls: type[VoxwireError]) -> None:
    rows = {
        line.split()[0].strip("`"): line.split()[1]
        for line in (errors.__doc__ or "").splitlines()
        if "`" in line
    }
    if cls is not VoxwireError and cls.__name__ in rows:
        assert rows[cls.__name__] == cls.fault


def test_errors_are_also_what_their_kind_is_elsewhere() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert issubclass(ConnectTimeout, TimeoutError)
    assert issubclass(ToolTimeoutError, TimeoutError)


def test_a_missing_extra_says_how_to_get_it() -> None:
    error = MissingExtraError("The embedded server", "server", "uvicorn")
    assert "pip install 'voxwire[server]'" in str(error)
    assert (error.extra, error.package) == ("server", "uvicorn")


def test_a_provider_error_keeps_what_the_service_said() -> None:
    raw = {"error": {"message": "no"}}
    error = ProviderError(
        "no", type="t", code="c", param="p", event_id="e", status=429, retryable=True, raw=raw
    )
    assert (error.type, error.code, error.param, error.event_id) == ("t", "c", "p", "e")
    assert (error.status, error.retryable, error.raw, str(error)) == (429, True, raw, "no")
    assert AuthenticationError("bad key", status=401).fault == "you"


def test_a_lost_connection_keeps_code_and_reason() -> None:
    error = ConnectionLost("gone", code=1001, reason="bye")
    assert (error.code, error.reason, error.retryable) == (1001, "bye", True)


def test_a_tool_s_timeout_names_the_tool() -> None:
    error = ToolTimeoutError("get_weather", 1.5)
    assert str(error) == "Tool 'get_weather' timed out after 1.5 s."
