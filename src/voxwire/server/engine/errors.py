"""The errors that a client is told of."""

from __future__ import annotations

from typing import Any

__all__ = ["ClientError"]


class ClientError(Exception):
    """A client event cannot be carried out; it is answered with an `error` event.

    Attributes:
        code, param, type: as in the `error` object of the Realtime API.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = "invalid_value",
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.type = type

    def to_wire(self, event_id: str | None = None) -> dict[str, Any]:
        """The `error` object; `event_id` is the client event that it answers."""
        return {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": event_id,
        }
