"""Tools: what the model may call, and what the called code is told."""

from __future__ import annotations

from .arguments import InvalidArgumentsError
from .context import RunContext
from .function import FunctionTool, as_tool, default_error_message, tool
from .output import output_text
from .running import ToolResult, run_tool

__all__ = [
    "FunctionTool",
    "InvalidArgumentsError",
    "RunContext",
    "ToolResult",
    "as_tool",
    "default_error_message",
    "output_text",
    "run_tool",
    "tool",
]
