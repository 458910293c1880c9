"""Digest authentication: RFC 7616's own example, and everything that must not let anybody in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.server.sip import digest
from voxwire.server.sip.digest import Authenticator, Credentials, answer_challenge, parse_credentials

ANN = Credentials("ann", "secret")
URI = "sip:bot@192.0.2.2"


def door() -> Authenticator:
    return Authenticator({"ann": "secret"}, "voxwire", b"key", lifetime=60)


def proof(challenges: list[str], credentials: Credentials = ANN, count: int = 1, uri: str = URI) -> str:
    value = answer_challenge(challenges, credentials, "INVITE", uri, cnonce="c", count=count)
    assert value is not None
    return value


def test_the_example_of_the_rfc() -> None:
    """RFC 7616 section 3.9.1."""
    common = (
        'realm="http-auth@example.org", qop="auth, auth-int", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
    )
    credentials = Credentials("Mufasa", "Circle of Life")
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    expected = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for algorithm, response in expected.items():
        challenge = f"Digest {common}, algorithm={algorithm}"
        value = answer_challenge([challenge], credentials, "GET", "/dir/index.html", cnonce=cnonce)
        assert value is not None
        fields = parse_credentials(value)
        assert fields is not None
        assert (fields["response"], fields["nc"], fields["qop"]) == (response, "00000001", "auth")
        assert fields["opaque"].startswith("FQhe")


def test_the_old_way_without_qop() -> None:
    """RFC 2617 section 3.2.2.1: no cnonce, no count."""
    value = answer_challenge(
        ['Digest realm="r", nonce="n"'], Credentials("u", "p"), "INVITE", URI, cnonce="c"
    )
    assert value is not None
    fields = parse_credentials(value)
    assert fields is not None
    assert fields.keys() == {"username", "realm", "nonce", "uri", "response", "algorithm"}


@pytest.mark.parametrize("algorithm", digest.ALGORITHMS)
def test_the_right_password(algorithm: str) -> None:
    lock = door()
    challenges = [value for value in lock.challenges(10.0) if algorithm in value]
    assert lock.verify(proof(challenges), "INVITE", URI, 11.0) == "ok"


def test_the_better_algorithm_is_chosen() -> None:
    assert "SHA-256" in proof(door().challenges(0)[::-1])


def test_what_is_not_right() -> None:
    lock = door()
    challenges = lock.challenges(10.0)
    for credentials in (Credentials("ann", "Secret"), Credentials("eve", "secret"), Credentials("eve", "")):
        assert lock.verify(proof(challenges, credentials), "INVITE", URI, 11.0) == "no"
    right = proof(challenges)
    assert lock.verify(right, "BYE", URI, 11.0) == "no"
    assert lock.verify(right, "INVITE", "sip:other@192.0.2.2", 11.0) == "no"
    other = Authenticator({"ann": "secret"}, "elsewhere", b"key").challenges(10.0)
    assert lock.verify(proof(other), "INVITE", URI, 11.0) == "no"
    for value in (
        "",
        "Basic YTpi",
        "Digest",
        'Digest username="ann"',
        right.replace("qop=auth", "qop=auth-int"),
    ):
        assert lock.verify(value, "INVITE", URI, 11.0) == "no"
    assert lock.verify(right.replace("SHA-256", "SHA-512"), "INVITE", URI, 11.0) == "no"


def test_nonces() -> None:
    lock = door()
    right = proof(lock.challenges(10.0))
    assert lock.verify(right, "INVITE", URI, 100.0) == "stale"
    assert lock.verify(right, "INVITE", URI, 5.0) == "stale"
    assert lock.verify(right, "INVITE", URI, 20.0) == "ok"
    assert lock.verify(right, "INVITE", URI, 21.0) == "stale"  # once only
    assert lock.verify(proof(lock.challenges(10.0), count=2), "INVITE", URI, 22.0) == "ok"
    foreign = Authenticator({"ann": "secret"}, "voxwire", b"another key").challenges(10.0)
    assert lock.verify(proof(foreign), "INVITE", URI, 11.0) == "stale"
    for nonce in ("nan", "é", "1e9-x"):
        made = f'Digest realm="voxwire", nonce="{nonce}", qop="auth", algorithm=MD5'
        assert lock.verify(proof([made]), "INVITE", URI, 11.0) == "stale"
    assert "stale=true" in lock.challenges(1.0, stale=True)[0]


def test_counts_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MAX_NONCES", 3)
    lock = door()
    for moment in range(10):
        assert lock.verify(proof(lock.challenges(float(moment))), "INVITE", URI, 10.0) == "ok"
    assert len(lock._counts) == 3


@given(st.floats(0, 1e7), st.floats(0, 0.002))
def test_a_nonce_is_never_ahead_of_the_clock(now: float, later: float) -> None:
    """Answers over loopback come within the millisecond to which the time is rounded."""
    doorman = Authenticator({"ann": "secret"}, "voxwire", b"key")
    value = answer_challenge(doorman.challenges(now), Credentials("ann", "secret"), "INVITE", URI, cnonce="c")
    assert doorman.verify(value or "", "INVITE", URI, now + later) == "ok"


def test_a_challenge_for_the_body_alone() -> None:
    challenge = 'Digest realm="r", nonce="n", qop="auth-int", algorithm=MD5'
    assert answer_challenge([challenge], Credentials("u", "p"), "INVITE", URI, cnonce="c") is None


def test_challenges_that_cannot_be_answered() -> None:
    for challenge in (
        'Basic realm="x"',
        'Digest realm="x"',
        'Digest realm="x", nonce="n", algorithm=MD5-sess',
    ):
        assert answer_challenge([challenge], ANN, "INVITE", URI, cnonce="c") is None
