"""MCP: tools that live in servers of the Model Context Protocol.

Local servers (`McpStdioServer`, `McpHttpServer`) are reached from here and their tools are
called as function tools. Hosted ones (`hosted_mcp_tool`) are reached by the service.
"""

from __future__ import annotations

from .hosted import HostedMcpTool, as_hosted_tool, hosted_mcp_tool
from .results import McpToolError
from .server import McpHttpServer, McpServer, McpStdioServer

__all__ = [
    "HostedMcpTool",
    "McpHttpServer",
    "McpServer",
    "McpStdioServer",
    "McpToolError",
    "as_hosted_tool",
    "hosted_mcp_tool",
]
