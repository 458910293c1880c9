from __future__ import annotations

from typing import Any

import pytest

from voxwire.errors import UserError
from voxwire.transports.endpoint import azure_url, endpoint


def at(url: str | None = None, **more: Any) -> str:
    arguments: dict[str, Any] = {"key": "sk", "model": "gpt-realtime", "call_id": None, "headers": {}}
    return endpoint(url=url, **{**arguments, **more}).url


def headers(url: str | None = None, **more: Any) -> dict[str, str]:
    arguments: dict[str, Any] = {"key": "sk", "model": "m", "call_id": None, "headers": {}}
    return dict(endpoint(url=url, **{**arguments, **more}).headers)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (None, "wss://api.openai.com/v1/realtime?model=gpt-realtime"),
        ("http://localhost:8089/v1/realtime", "ws://localhost:8089/v1/realtime?model=gpt-realtime"),
        ("https://host/v1/realtime/", "wss://host/v1/realtime/?model=gpt-realtime"),
        ("ws://host/v1/realtime?model=other", "ws://host/v1/realtime?model=other"),
        ("ws://host/v1/realtime?intent=transcription", "ws://host/v1/realtime?intent=transcription"),
        ("wss://host/socket?token=a/b+c&x=1&x=2", "wss://host/socket?token=a/b+c&x=1&x=2"),
        ("ws://host/realtime?x=a%2Fb&x=2", "ws://host/realtime?x=a%2Fb&x=2&model=gpt-realtime"),
        ("wss://host/v1/realtime?call_id=c", "wss://host/v1/realtime?call_id=c"),
    ],
)
def test_the_address(url: str | None, address: str) -> None:
    assert at(url) == address


def test_behaviour_68_a_call_id_takes_the_models_place() -> None:
    assert at(call_id="rtc_1") == "wss://api.openai.com/v1/realtime?call_id=rtc_1"
    assert at("ws://h/v1/realtime?model=m&x=1", call_id="a b") == "ws://h/v1/realtime?x=1&call_id=a+b"


def test_a_model_is_quoted() -> None:
    assert at(model="my model&x").endswith("?model=my+model%26x")


@pytest.mark.parametrize("url", ["api.openai.com", "ftp://x/y", "ws://", "ws://[::1"])
def test_no_address(url: str) -> None:
    with pytest.raises(UserError, match="url"):
        at(url)


def test_the_key_is_a_bearer_token_and_is_not_shown() -> None:
    assert headers() == {"Authorization": "Bearer sk"}
    target = endpoint(url=None, key="sk-secret", model="m", call_id=None, headers={})
    assert "secret" not in repr(target)


@pytest.mark.parametrize("name", ["Authorization", "authorization", "api-key", "API-Key"])
def test_a_header_of_the_users_own_wins(name: str) -> None:
    assert headers(headers={name: "mine", "X-Other": "1"}) == {name: "mine", "X-Other": "1"}


@pytest.mark.parametrize("key", [None, ""])
def test_a_key_is_needed_where_one_is_needed(key: str | None) -> None:
    assert headers("ws://localhost/v1/realtime", key=key) == {}
    for url in (None, "wss://x.openai.azure.com/openai/v1/realtime"):
        with pytest.raises(UserError, match="no API key"):
            headers(url, key=key)


def test_azure() -> None:
    assert (
        azure_url("https://x.openai.azure.com/", "my dep")
        == "wss://x.openai.azure.com/openai/v1/realtime?model=my%20dep"
    )
    dated = azure_url("https://x.openai.azure.com", "dep", api_version="2025-04-01-preview")
    assert dated == ("wss://x.openai.azure.com/openai/realtime?api-version=2025-04-01-preview&deployment=dep")
    assert at(dated) == dated
    assert headers(dated) == {"api-key": "sk"}
    assert headers(dated, key="eyJ0") == {"Authorization": "Bearer eyJ0"}
    with pytest.raises(UserError, match="https://"):
        azure_url("x.openai.azure.com", "dep")


@pytest.mark.parametrize(
    "key", ["sk-secret\n", "sk-secret\r\nX-Admin: yes", "sk-sécret", "sk-\x00secret", "“sk-secret”"]
)
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UserError, match="the API key has") as refused:
        headers("ws://host/v1/realtime", key=key)
    assert "secret" not in str(refused.value)
    assert "sécret" not in str(refused.value)
    with pytest.raises(UserError, match="the header Authorization has") as refused:
        headers("ws://host/v1/realtime", headers={"Authorization": key})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["X Y", "X:", "", "X\r\nY"])
def test_a_header_without_a_proper_name(name: str) -> None:
    with pytest.raises(UserError, match="name of a header"):
        headers("ws://host/v1/realtime", headers={name: "1"})
