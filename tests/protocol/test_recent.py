from __future__ import annotations

from voxwire.protocol.recent import RecentSet


def test_keeps_what_was_added_last() -> None:
    ids = RecentSet(2)
    ids.add("a")
    ids.add("b")
    ids.add("a")  # newer than b now
    ids.add("c")
    assert "b" not in ids
    assert "a" in ids
    assert "c" in ids
    assert len(ids) == 2


def test_discard_and_clear() -> None:
    ids = RecentSet(2)
    ids.add("a")
    ids.discard("a")
    ids.discard("never")
    assert len(ids) == 0
    ids.add("b")
    ids.clear()
    assert "b" not in ids
