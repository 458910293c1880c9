from __future__ import annotations

from voxwire.protocol.settings import MAX_UNCONFIRMED, SentSettings


def test_asking_twice_makes_no_difference() -> None:
    settings = SentSettings()
    assert settings.difference({"instructions": "a"}) == {"instructions": "a"}
    settings.sent("e1", {"instructions": "a"})
    assert settings.difference({"instructions": "a"}) == {}
    assert settings.difference({"instructions": "b", "tools": []}) == {"instructions": "b", "tools": []}


def test_what_was_refused_can_be_asked_for_again() -> None:
    settings = SentSettings()
    settings.sent("e1", {"instructions": "a"})
    settings.accepted()
    settings.sent("e2", {"instructions": "b", "voice": "x"})
    settings.sent("e3", {"tools": [{"name": "t"}]})
    assert settings.refused("e2")
    assert settings.wanted == {"instructions": "a", "tools": [{"name": "t"}]}
    assert settings.difference({"instructions": "b"}) == {"instructions": "b"}


def test_a_refusal_of_something_else_changes_nothing() -> None:
    settings = SentSettings({"instructions": "a"})
    settings.sent(None, {"tools": []})
    assert not settings.refused(None)
    assert not settings.refused("e9")
    assert settings.wanted == {"instructions": "a", "tools": []}


def test_accepted_without_a_question_is_harmless() -> None:
    settings = SentSettings()
    settings.accepted()
    assert settings.wanted == {}


def test_what_nobody_answers_does_not_pile_up() -> None:
    settings = SentSettings()
    for number in range(MAX_UNCONFIRMED * 3):
        settings.sent(f"e{number}", {"instructions": str(number)})
    assert len(settings._unanswered) == MAX_UNCONFIRMED
    assert not settings.refused("e0")
    assert settings.refused(f"e{MAX_UNCONFIRMED * 3 - 1}")
    assert settings.wanted == {"instructions": str(MAX_UNCONFIRMED * 3 - 2)}
