"""Requests and tokens per minute, as `rate_limits.updated` tells them."""

from __future__ import annotations

from typing import Any

__all__ = ["RateLimits"]


class _Bucket:
    """Refills steadily; a full one holds a minute's worth."""

    def __init__(self, name: str, limit: int, now: float) -> None:
        self.name = name
        self.limit = limit
        self._left = float(limit)
        self._at = now

    def refill(self, now: float) -> float:
        self._left = min(self.limit, self._left + max(now - self._at, 0.0) * self.limit / 60)
        self._at = now
        return self._left

    def take(self, amount: float) -> None:
        self._left -= amount

    def to_wire(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "limit": self.limit,
            "remaining": max(int(self._left), 0),
            "reset_seconds": round((self.limit - self._left) * 60 / self.limit, 3),
        }


class RateLimits:
    """The two buckets of one session.

    Args:
        now: seconds on the caller's clock.
    """

    def __init__(self, requests: int, tokens: int, now: float) -> None:
        self._requests = _Bucket("requests", requests, now)
        self._tokens = _Bucket("tokens", tokens, now)

    def request(self, now: float) -> str | None:
        """Count a response; the name of the limit it is beyond, or None if it may run."""
        for bucket in (self._requests, self._tokens):
            if bucket.refill(now) < 1:
                return bucket.name
        self._requests.take(1)
        return None

    def spend(self, tokens: int, now: float) -> None:
        """Count tokens; a response that has begun may go beyond the limit."""
        self._tokens.refill(now)
        self._tokens.take(tokens)

    def to_wire(self, now: float) -> list[dict[str, Any]]:
        """The `rate_limits` list."""
        self._requests.refill(now)
        self._tokens.refill(now)
        return [self._requests.to_wire(), self._tokens.to_wire()]
