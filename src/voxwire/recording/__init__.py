"""Recording a session: what was heard, what was said on the wire, and a report of both."""

from __future__ import annotations

from ..protocol.redaction import Redaction
from .recorder import Recorder

__all__ = ["Recorder", "Redaction"]
