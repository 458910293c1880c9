"""How a key is shown to a service: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import UserError

__all__ = ["OPENAI_HOST", "key_headers"]

OPENAI_HOST: Final = "api.openai.com"
_AZURE_HOSTS: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def key_headers(host: str, key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the key among them. Those of the user win; one that carries a key makes `key` unnecessary.

    Raises:
        UserError: if there is no key for a host that needs one.
    """
    given = {name.lower() for name in headers}
    if given & {"authorization", "api-key"}:
        return dict(headers)
    azure = host.endswith(_AZURE_HOSTS)
    if not key:
        if azure or host == OPENAI_HOST:
            raise UserError("no API key: pass api_key= (a string, or a function that gives one)")
        return dict(headers)  # a local server may be open
    if azure and not key.startswith(("eyJ", "ek_")):
        return {"api-key": key, **headers}
    # An Entra token (a JWT, which begins with "eyJ") and an ephemeral key go to Azure as bearer tokens, too.
    return {"Authorization": f"Bearer {key}", **headers}
