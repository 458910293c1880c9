"""Digest authentication (RFC 7616, and RFC 8760 for SIP): challenges, their verification, and answers to them.

Nothing here reads the clock or draws random numbers. Nonces are not stored: they carry their time and
a keyed digest of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .values import parse_params, quoted, split_outside_quotes

__all__ = ["ALGORITHMS", "Authenticator", "Credentials", "Verdict", "answer_challenge", "parse_credentials"]

ALGORITHMS: Final = ("SHA-256", "MD5")
"""Those offered and answered, the better one first (RFC 8760 section 2.4)."""
_HASHES: Final = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
MAX_NONCES: Final = 10_000
"""Nonces whose counters are remembered; beyond it the oldest is forgotten."""

Verdict = Literal["ok", "stale", "no"]


def _digest(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()


def _response(fields: Mapping[str, str], algorithm: str, method: str, secret: str) -> str:
    """RFC 7616 section 3.4.1, with `qop=auth` or, for elements of RFC 2069, without one."""
    a2 = _digest(algorithm, f"{method}:{fields['uri']}")
    if fields.get("qop"):
        middle = ":".join((fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"]))
    else:
        middle = fields["nonce"]
    return _digest(algorithm, f"{secret}:{middle}:{a2}")


def parse_credentials(value: str) -> dict[str, str] | None:
    """The fields of `Digest name=value, ...`; None if it is another scheme."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    fields = parse_params(split_outside_quotes(rest, ","))
    return {name: text for name, text in fields.items() if text is not None}


class Authenticator:
    """Lets callers in who know a password.

    Args:
        users: name to password.
        realm: what the passwords are for.
        key: random bytes, for the nonces.
        lifetime: seconds that a nonce may be used.
        algorithms: of `ALGORITHMS`, in the order in which they are offered.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        realm: str,
        key: bytes,
        *,
        lifetime: float = 60.0,
        algorithms: Sequence[str] = ALGORITHMS,
    ) -> None:
        self._algorithms = tuple(algorithms)
        self._users = dict(users)
        self._realm = realm
        self._key = key
        self._lifetime = lifetime
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenges(self, now: float, *, stale: bool = False) -> list[str]:
        """Values of WWW-Authenticate, one for each algorithm."""
        nonce = self._nonce(str(int(now * 1000)))  # never ahead of the clock, as a rounded number may be
        tail = ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", nonce="{nonce}", qop="auth", algorithm={algorithm}{tail}'
            for algorithm in self._algorithms
        ]

    def verify(self, value: str, method: str, uri: str, now: float) -> Verdict:
        """Judge a value of Authorization.

        Returns:
            "stale" if the password is right, and the nonce is too old or was used: challenge again.
        """
        fields = parse_credentials(value)
        if fields is None:
            return "no"
        algorithm = fields.get("algorithm", "MD5").upper()
        needed = ("username", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop")
        if algorithm not in self._algorithms or not all(fields.get(name) for name in needed):
            return "no"
        if fields["qop"] != "auth" or fields["realm"] != self._realm or fields["uri"] != uri:
            return "no"
        known = self._users.get(fields["username"])
        secret = _digest(algorithm, f"{fields['username']}:{self._realm}:{known or ''}")
        expected = _response(fields, algorithm, method, secret)
        same = hmac.compare_digest(expected.encode(), fields["response"].lower().encode("utf-8", "replace"))
        if not same or known is None:
            return "no"
        return "ok" if self._fresh(fields["nonce"], fields["nc"], now) else "stale"

    def _nonce(self, stamp: str) -> str:
        return f"{stamp}-{hmac.new(self._key, stamp.encode(), 'sha256').hexdigest()[:32]}"

    def _fresh(self, nonce: str, count: str, now: float) -> bool:
        stamp = nonce.partition("-")[0]
        if not hmac.compare_digest(nonce.encode("utf-8", "replace"), self._nonce(stamp).encode()):
            return False
        if not 0 <= now - int(stamp) / 1000 <= self._lifetime:  # the digest says that it is a number of ours
            return False
        try:
            number = int(count, 16)
        except ValueError:
            return False
        if number <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = number
        self._counts.move_to_end(nonce)
        if len(self._counts) > MAX_NONCES:
            self._counts.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller proves who it is by."""

    user: str
    password: str


def answer_challenge(
    challenges: Sequence[str], credentials: Credentials, method: str, uri: str, *, cnonce: str, count: int = 1
) -> str | None:
    """The value of Authorization that answers the best challenge; None if none can be answered."""
    readable = [fields for value in challenges if (fields := parse_credentials(value)) is not None]
    for algorithm in ALGORITHMS:
        for fields in readable:
            fits = fields.get("algorithm", "MD5").upper() == algorithm and {"realm", "nonce"} <= fields.keys()
            # One that asks for the integrity of the body and nothing less has no answer of ours.
            if fits and ("qop" not in fields or "auth" in _offered(fields)):
                return _answer(fields, algorithm, credentials, (method, uri), (cnonce, count))
    return None


def _answer(
    challenge: Mapping[str, str],
    algorithm: str,
    credentials: Credentials,
    asked: tuple[str, str],
    once: tuple[str, int],
) -> str:
    (method, uri), (cnonce, count) = asked, once
    fields = {
        "username": credentials.user,
        "realm": challenge["realm"],
        "nonce": challenge["nonce"],
        "uri": uri,
    }
    plain = {"algorithm": algorithm}
    if "auth" in _offered(challenge):
        fields["cnonce"] = cnonce
        plain |= {"qop": "auth", "nc": f"{count:08x}"}
    secret = _digest(algorithm, f"{credentials.user}:{challenge['realm']}:{credentials.password}")
    fields["response"] = _response({**fields, **plain}, algorithm, method, secret)
    if "opaque" in challenge:
        fields["opaque"] = challenge["opaque"]
    texts = [f"{name}={quoted(value)}" for name, value in fields.items()]
    return "Digest " + ", ".join([*texts, *(f"{name}={value}" for name, value in plain.items())])


def _offered(challenge: Mapping[str, str]) -> list[str]:
    return [word.strip().lower() for word in challenge.get("qop", "").split(",")]
