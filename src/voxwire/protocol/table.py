"""State machines as tables: the code and the diagrams in the docs read the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["IllegalTransition", "Table"]


class IllegalTransition(Exception):
    """An event that the table does not allow in this state: a defect of the caller."""


@dataclass(frozen=True, slots=True)
class Table:
    """The legal transitions of one machine.

    Attributes:
        name: used for the diagram.
        initial: the state it begins in.
        transitions: (state, event) -> next state; what is not in here is illegal.
    """

    name: str
    initial: str
    transitions: Mapping[tuple[str, str], str]

    def step(self, state: str, event: str) -> str:
        """The next state.

        Raises:
            IllegalTransition: if the table has none for this event.
        """
        try:
            return self.transitions[state, event]
        except KeyError:
            raise IllegalTransition(f"{self.name}: {event!r} is not possible in state {state!r}") from None

    def allows(self, state: str, event: str) -> bool:
        """Whether this event is legal in this state."""
        return (state, event) in self.transitions

    @property
    def states(self) -> tuple[str, ...]:
        """All states, the initial one first, in order of appearance."""
        seen = {self.initial: None}
        for (state, _), target in self.transitions.items():
            seen[state] = None
            seen[target] = None
        return tuple(seen)
