"""Requests of ours that are sent again because somebody asks for a password (RFC 3261 section 22). Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .digest import Credentials, answer_challenge, parse_credentials
from .message import Request, Response

__all__ = ["Proofs", "duplicate_proofs"]

_HEADERS: Final = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
"""In which header a status asks, and in which it is answered: the peer's (section 22.2), and a proxy's (22.3)."""


@dataclass(slots=True)
class _Asked:
    challenges: list[str]
    count: int = 0  # how often its nonce was used
    renewed: bool = False


class Proofs:
    """One request, and the passwords it was asked for on its way: a proxy and the peer may both ask.

    Args:
        cnonce: makes nonces of ours.

    Attributes:
        request: as it was sent last.
    """

    def __init__(self, request: Request, credentials: Credentials | None, cnonce: Callable[[], str]) -> None:
        self.request = request
        self._credentials = credentials
        self._cnonce = cnonce
        self._asked: dict[int, _Asked] = {}

    def again(self, response: Response, number: int) -> Request | None:
        """The request as it has to be sent now; None if this response asks for nothing that can be given.

        Who has been answered and asks again does not take the password, unless he says that only his nonce was too
        old (`stale`, RFC 7616 section 3.3); that is believed once.

        Args:
            number: for its CSeq.
        """
        if not self._learn(response):
            return None
        answers = {_HEADERS[status][1]: self._answer(asked) for status, asked in self._asked.items()}
        copy = Request(method=self.request.method, uri=self.request.uri, body=self.request.body)
        for name, text in self.request.headers:
            if name != "Via" and name not in answers:
                copy.headers.add(name, f"{number} {copy.method}" if name == "CSeq" else text)
        for name, value in answers.items():
            if value is None:
                return None
            copy.headers.add(name, value)
        self.request = copy
        return copy

    def _learn(self, response: Response) -> bool:
        """Take a challenge; whether it is one that can be answered."""
        if response.status not in _HEADERS or self._credentials is None:
            return False
        challenges = response.headers.get_all(_HEADERS[response.status][0])
        before = self._asked.get(response.status)
        if before is not None and (before.renewed or not any(map(_stale, challenges))):
            return False
        self._asked[response.status] = _Asked(challenges, renewed=before is not None)
        return True

    def _answer(self, asked: _Asked) -> str | None:
        assert self._credentials is not None  # noqa: S101 - for the type checker: nothing was learned without
        asked.count += 1
        return answer_challenge(
            asked.challenges,
            self._credentials,
            self.request.method,
            self.request.uri,
            cnonce=self._cnonce(),
            count=asked.count,
        )


def duplicate_proofs(invite: Request, ack: Request) -> None:
    """Give an ACK what its INVITE proved itself by: it cannot be asked for a password (section 22.1)."""
    for _, name in _HEADERS.values():
        for value in invite.headers.get_all(name):
            ack.headers.add(name, value)


def _stale(challenge: str) -> bool:
    fields = parse_credentials(challenge)
    return fields is not None and fields.get("stale", "").lower() == "true"
