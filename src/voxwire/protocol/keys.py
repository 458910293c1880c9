"""How a key is shown to a service: pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..errors import UserError

__all__ = ["OPENAI_HOST", "key_headers"]

OPENAI_HOST: Final = "api.openai.com"
_FIELD: Final = re.compile(r"[\t -~]*")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_AZURE_HOSTS: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def key_headers(host: str, key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the key among them. Those of the user win; one that carries a key makes `key` unnecessary.

    Raises:
        UserError: if there is no key for a host that needs one, or the key or a header has characters that a header
            cannot have (RFC 9110 section 5.5). HTTP libraries would show the key in their own words for that, or let it
            through, and with it further headers.
    """
    if key and not _FIELD.fullmatch(key):
        raise UserError(
            f"the API key has {_oddity(key)} in it, which no key has; if it was read from a file, strip() it"
        )
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise UserError(f"{name[:40]!r} cannot be the name of a header")
        if not _FIELD.fullmatch(value):
            raise UserError(f"the header {name} has {_oddity(value)} in it, which no header can have")
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


def _oddity(text: str) -> str:
    """What is wrong with it, without showing more of it."""
    odd = next(character for character in text if not _FIELD.fullmatch(character))
    return "a line break" if odd in "\r\n" else f"the character {odd!a}"
