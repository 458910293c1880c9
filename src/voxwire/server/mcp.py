"""Reaching MCP servers for the clients of the embedded server: those on its list, and no others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..errors import ConfigError, ConnectError, ConnectionLost
from ..mcp.connection import McpConnection
from ..mcp.results import McpToolError, error_text, result_text
from ..mcp.sdk import Peer, open_http
from .engine import CallMcpTool, CancelMcp, EngineAction, ListMcpTools, ServerEngine
from .limits import Limits

__all__ = ["AllowList", "McpRunner"]

logger = logging.getLogger("voxwire.server")

_PORTS: Final = {"http": 80, "https": 443}


class AllowList:
    """The MCP servers that may be reached, by URL.

    What is contacted is the URL of this list, not the client's spelling of it, and redirects are not followed.

    Args:
        urls: as in `https://example.com/mcp`.

    Raises:
        ConfigError: a URL cannot be used.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls: dict[tuple[str, str, int, str, str], str] = {}
        for url in urls:
            parts = _parts(url)
            if parts is None:
                raise ConfigError(
                    f"mcp_servers holds {url!r}; it must be an http(s) URL with a host and without a user"
                )
            self._urls[parts] = url

    def find(self, url: object) -> str | None:
        """The URL on the list that this one means; None if there is none."""
        parts = _parts(url) if isinstance(url, str) else None
        return self._urls.get(parts) if parts is not None else None


def _parts(url: str) -> tuple[str, str, int, str, str] | None:
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    if split.scheme not in _PORTS or not split.hostname or split.username is not None:
        return None
    path = split.path.rstrip("/")
    return split.scheme, split.hostname, port or _PORTS[split.scheme], path, split.query


class McpRunner:
    """What one session asks of MCP servers.

    Args:
        perform: carries out what the engine makes of an answer.
        spawn: runs a coroutine as a task of the session, under a name; `cancel` ends it.
    """

    def __init__(
        self,
        engine: ServerEngine,
        allowed: AllowList,
        limits: Limits,
        *,
        perform: Callable[[Sequence[EngineAction]], None],
        spawn: Callable[[str, Coroutine[Any, Any, None]], None],
        cancel: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._allowed = allowed
        self._limits = limits
        self._perform = perform
        self._spawn = spawn
        self._cancel = cancel
        self._connections: dict[str, McpConnection] = {}

    def handlers(self) -> dict[type[EngineAction], Callable[[Any], None]]:
        """What to do with the engine's actions about MCP."""
        return {
            ListMcpTools: lambda action: self._spawn(action.item_id, self._list(action)),
            CallMcpTool: lambda action: self._spawn(action.item_id, self._call(action)),
            CancelMcp: lambda action: self._cancel(action.item_id),
        }

    async def close(self) -> None:
        """Disconnect from all of them."""
        connections = list(self._connections.values())
        self._connections.clear()
        await asyncio.gather(*(connection.close() for connection in connections))

    def _connection(self, server: Mapping[str, Any]) -> McpConnection:
        label, given = str(server["server_label"]), server.get("server_url")
        if not given:
            raise ConfigError("Connectors exist only at the service; give a server_url.")
        url = self._allowed.find(given)
        if url is None:
            raise ConfigError(
                f"'{given}' is not among the URLs that this server may contact. Start it with --mcp-allow URL, "
                "or mcp_servers=[URL]."
            )
        headers = dict(cast("Mapping[str, str]", server.get("headers") or {}))
        if server.get("authorization"):
            headers["Authorization"] = f"Bearer {server['authorization']}"
        # Two configurations of one server are two clients of it: they may have different rights.
        key = json.dumps([label, url, headers], sort_keys=True)
        if key not in self._connections:
            self._connections[key] = McpConnection(
                label,
                lambda: open_http(url, headers, follow_redirects=False),
                self._limits.mcp_list_seconds,
            )
        return self._connections[key]

    async def _list(self, action: ListMcpTools) -> None:
        seconds = self._limits.mcp_list_seconds
        try:
            connection = self._connection(action.server)
            async with asyncio.timeout(seconds):
                tools = await connection.request(_list_tools, repeatable=True)
        except TimeoutError:
            actions = self._engine.mcp_listing_failed(action.item_id, f"It took more than {seconds:g} s.")
        except Exception as error:  # noqa: BLE001 - the client is told, and its session goes on
            logger.info("an MCP server could not be listed: %s", type(error).__name__)
            actions = self._engine.mcp_listing_failed(action.item_id, str(error) or type(error).__name__)
        else:
            actions = self._engine.mcp_listed(action.item_id, [_as_item(tool) for tool in tools])
        self._perform(actions)

    async def _call(self, action: CallMcpTool) -> None:
        output, error = await self._result(action)
        now = asyncio.get_running_loop().time()
        if error is None:
            most = self._limits.mcp_output_characters
            if len(output) > most:
                output = f"{output[:most]}\n[cut off after {most} of {len(output)} characters]"
            self._perform(self._engine.mcp_answered(action.item_id, output, now))
        else:
            self._perform(self._engine.mcp_failed(action.item_id, error, now))

    async def _result(self, action: CallMcpTool) -> tuple[str, dict[str, Any] | None]:
        """The output, or the error as items have it."""
        seconds = self._limits.mcp_call_seconds
        try:
            arguments: object = json.loads(action.arguments or "{}")
            if not isinstance(arguments, dict):
                return "", _failure("The arguments are not a JSON object.")
            given = cast("dict[str, Any]", arguments)
            connection = self._connection(action.server)
            async with asyncio.timeout(seconds):
                result = await connection.request(
                    lambda peer: peer.call_tool(action.name, given), repeatable=False
                )
        except TimeoutError:
            return "", _failure(f"The tool did not answer within {seconds:g} s.")
        except McpToolError as error:
            return "", {"type": "protocol_error", "code": error.code or 0, "message": error.message}
        except (ConnectError, ConnectionLost) as error:
            return "", {"type": "http_error", "code": 502, "message": str(error)}
        except Exception as error:  # noqa: BLE001 - the model is told, and the session goes on
            return "", _failure(str(error) or type(error).__name__)
        problem = error_text(result)
        return ("", _failure(problem)) if problem is not None else (result_text(result), None)


async def _list_tools(peer: Peer) -> Sequence[Mapping[str, Any]]:
    return await peer.list_tools()


def _failure(message: str) -> dict[str, Any]:
    return {"type": "tool_execution_error", "message": message}


def _as_item(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as `mcp_list_tools` items have it. Source: Realtime API reference."""
    return {
        "name": tool["name"],
        "description": tool.get("description"),
        "input_schema": tool.get("inputSchema") or {"type": "object", "properties": {}},
        "annotations": tool.get("annotations"),
    }
