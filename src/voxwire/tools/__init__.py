"""Tools: what the model may call, and what the called code is told."""

from __future__ import annotations

from .arguments import InvalidArgumentsError
from .background import BackgroundResult, background_result, is_background_result
from .context import RunContext
from .function import FunctionTool, as_tool, default_error_message, tool
from .guardrails import ToolGuardrailResult, ToolGuardrailTripped, ToolInputGuardrail, ToolOutputGuardrail
from .images import ToolImage
from .output import output_text
from .running import ToolResult, run_tool

__all__ = [
    "BackgroundResult",
    "FunctionTool",
    "InvalidArgumentsError",
    "RunContext",
    "ToolGuardrailResult",
    "ToolGuardrailTripped",
    "ToolImage",
    "ToolInputGuardrail",
    "ToolOutputGuardrail",
    "ToolResult",
    "as_tool",
    "background_result",
    "default_error_message",
    "is_background_result",
    "output_text",
    "run_tool",
    "tool",
]
