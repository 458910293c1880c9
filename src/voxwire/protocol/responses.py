"""Asking for responses: at most one `response.create` in flight.

Automatic requests (a message, the outputs of tools) that wait together become one create.
Explicit ones (with overrides, or sent as a raw event) are never merged and keep their place.
Out-of-band responses (`conversation: "none"`) run beside the conversation's own response,
but their creates wait for their turn, too, so that an answer always has one question.

Nothing here waits for ever: a create that was refused because another response was running
is sent again after it, one that nobody answers gives up its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from .machines import RESPONSE
from .recent import RecentSet

__all__ = ["CreateRequest", "ResponseSequencer"]

BUSY = "conversation_already_has_active_response"
MAX_ATTEMPTS = 5
"""How often a create that meets a busy conversation is sent."""
MAX_PENDING = 256
"""Explicit creates that may wait; one more is refused."""
MAX_OUT_OF_BAND = 256
"""Out-of-band responses remembered; they are known until long after their end, while they are heard."""


@dataclass(slots=True)
class CreateRequest:
    """One `response.create` that was asked for.

    Attributes:
        event: the event to send, with its `event_id`.
        automatic: may be merged with automatic neighbours.
        attempts: how often it was sent.
        withdrawn: interrupted before it was answered, so that it is not tried again.
    """

    event: dict[str, Any]
    automatic: bool
    attempts: int = 0
    withdrawn: bool = False

    @property
    def event_id(self) -> str:
        """The client event's id, by which an error names it."""
        return str(self.event["event_id"])

    @property
    def out_of_band(self) -> bool:
        """Whether the response stays outside the conversation."""
        response = self.event.get("response")
        return (
            isinstance(response, Mapping)
            and cast("Mapping[str, Any]", response).get("conversation") == "none"
        )


class ResponseSequencer:
    """Decides when a `response.create` may go out, and which response is the current one.

    Args:
        new_id: gives the `event_id` of a create that has none.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.state = RESPONSE.initial
        self.active_id: str | None = None
        self.in_flight: CreateRequest | None = None
        self.out_of_band = RecentSet(MAX_OUT_OF_BAND)
        self._names_conversations = False
        self._pending: deque[CreateRequest] = deque()
        self._accepted: CreateRequest | None = None

    @property
    def pending(self) -> int:
        """Creates that wait for their turn."""
        return len(self._pending)

    @property
    def busy(self) -> bool:
        """Whether the conversation has, or is about to have, a response."""
        return self.state != "idle"

    def request(self, event: Mapping[str, Any] | None = None, *, automatic: bool) -> list[dict[str, Any]]:
        """Ask for a response.

        Args:
            event: a whole `response.create` event; None for a plain one.
            automatic: whether it may be merged with others.

        Returns:
            The events to send now: the create, or nothing if it has to wait.

        Raises:
            OverflowError: if too many explicit creates are waiting.
        """
        last = self._pending[-1] if self._pending else None
        if not (automatic and last is not None and last.automatic):
            # Automatic ones merge, so there cannot be more of them than of the others.
            if not automatic and sum(not request.automatic for request in self._pending) >= MAX_PENDING:
                raise OverflowError(f"{MAX_PENDING} responses are already waiting")
            create = dict(event) if event is not None else {"type": "response.create"}
            if not isinstance(create.get("event_id"), str) or not create["event_id"]:
                create["event_id"] = self._new_id()
            self._pending.append(CreateRequest(create, automatic))
        return self.advance()

    def advance(self) -> list[dict[str, Any]]:
        """Send what may be sent now."""
        if not self._pending or self.in_flight is not None:
            return []
        request = self._pending[0]
        if request.out_of_band:
            if self.state == "withdrawn":
                return []
        elif self.state != "idle":
            return []
        else:
            self._step("create sent")
        self._pending.popleft()
        request.attempts += 1
        self.in_flight = request
        return [request.event]

    def created(self, response_id: str, *, in_conversation: bool | None = None) -> bool:
        """A response exists.

        Args:
            in_conversation: whether it says that it belongs to the conversation; None if it does not say.

        Returns:
            True if it must be cancelled at once, because it was interrupted before it existed.
        """
        if self._is_out_of_band(in_conversation):
            self.out_of_band.add(response_id)
            if self.in_flight is not None and self.in_flight.out_of_band:
                self._accepted, self.in_flight = self.in_flight, None
            return False
        if not response_id and self.state in ("active", "cancelling"):
            return False  # malformed; what runs goes on
        withdrawn = self.state == "withdrawn"
        if self.in_flight is not None and not self.in_flight.out_of_band:
            # It may be a foreign one (voice activity): should an error name our create
            # after all, it is put back.
            self._accepted, self.in_flight = self.in_flight, None
        self._step("created")
        self.active_id = response_id or None
        return withdrawn

    def _is_out_of_band(self, in_conversation: bool | None) -> bool:
        if in_conversation:
            self._names_conversations = True
            return False
        if self.in_flight is not None and self.in_flight.out_of_band:
            return True
        # Some services never name the conversation; only from others does null mean "none".
        return in_conversation is False and self._names_conversations

    def done(self, response_id: str) -> list[dict[str, Any]]:
        """A response ended; returns the creates to send now."""
        ours = not response_id or self.active_id in (None, response_id)
        if ours and response_id not in self.out_of_band and RESPONSE.allows(self.state, "done"):
            self._step("done")
            self.active_id = None
        return self.advance()

    def failed(
        self, event_id: str | None, code: str | None, message: str | None
    ) -> tuple[bool, list[dict[str, Any]]]:
        """The service sent an error.

        Args:
            event_id: the client event it answers, if it says so.

        Returns:
            Whether a create of ours was meant and is being taken care of (so that nobody needs
            to hear of it), and the creates to send now.
        """
        request = self._named(event_id, code, message)
        if request is None:
            return False, []
        if request is self.in_flight:
            self.in_flight = None
            if not request.out_of_band:
                self._step("rejected as busy" if code == BUSY else "rejected")
        else:
            self._accepted = None
        if code != BUSY or request.attempts >= MAX_ATTEMPTS:
            return request.withdrawn, self.advance()
        if not request.withdrawn:
            self._put_back(request)
        return True, self.advance()

    def _put_back(self, request: CreateRequest) -> None:
        following = self._pending[0] if self._pending else None
        if not (request.automatic and following is not None and following.automatic):
            self._pending.appendleft(request)

    def _named(self, event_id: str | None, code: str | None, message: str | None) -> CreateRequest | None:
        if event_id:
            for request in (self.in_flight, self._accepted):
                if request is not None and request.event_id == event_id:
                    return request
            return None
        if code == BUSY:
            return self.in_flight or self._accepted
        about_create = "response_create" in (code or "") or "response.create" in (message or "")
        return self.in_flight if about_create else None

    def unanswered(self) -> CreateRequest | None:
        """Nobody answered the create in flight: give up its place, and say which it was."""
        request, self.in_flight = self.in_flight, None
        if request is not None and not request.out_of_band:
            self._step("unanswered")
        return request

    def stalled(self) -> bool:
        """The current response has been silent for too long: stop waiting for its end."""
        if not RESPONSE.allows(self.state, "stalled"):
            return False
        self._step("stalled")
        self.active_id = None
        return True

    def interrupt(self) -> str | None:
        """Stop the current response.

        Automatic creates that have not been sent are dropped: they would only start the talking again.

        Returns:
            The id of the response to cancel now; "" if its id is not known; None if there is
            none to cancel, or it will be cancelled as soon as it exists.
        """
        self._pending = deque(request for request in self._pending if not request.automatic)
        if self.state == "requested":
            self._step("interrupted")
            if self.in_flight is not None:
                self.in_flight.withdrawn = True
            return None
        if self.state != "active":
            return None
        self._step("interrupted")
        return self.active_id or ""

    def cancelled(self, response_id: object) -> None:
        """The user sent a `response.cancel`; without an id it means the current response."""
        if self.state == "active" and response_id in (None, "", self.active_id):
            self._step("interrupted")

    def reset(self) -> None:
        """Forget everything: the connection is gone."""
        self._names_conversations = False
        self.state = RESPONSE.initial
        self.active_id = self.in_flight = self._accepted = None
        self.out_of_band.clear()
        self._pending.clear()

    def _step(self, event: str) -> None:
        self.state = RESPONSE.step(self.state, event)
