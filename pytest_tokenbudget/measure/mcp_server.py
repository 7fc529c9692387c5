"""Reads what an MCP server shows a model: its instructions, tools, prompts and resource templates.

The Model Context Protocol (modelcontextprotocol.io/specification, revision 2025-11-25, read 2026-11-28) lets a server
declare all four when a client connects; hosts show them to the model, tools as tools and the rest as text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_tokenbudget.errors import FootprintError
from pytest_tokenbudget.measure.footprint import plain_data

MAX_PAGES = 100
"""Pages of one list that are read at most; a server that never ends cannot hang a test."""


@dataclass(frozen=True, slots=True)
class McpDeclarations:
    """The declarations of a server.

    Attributes:
        tools: Its tools, as the protocol writes them.
        texts: Instructions, prompts and resource templates: a name and the text that a host shows.
    """

    tools: tuple[dict[str, Any], ...]
    texts: tuple[tuple[str, str], ...]


async def read_session(session: Any) -> McpDeclarations:
    """Read what a server declares.

    Args:
        session: An ``mcp.ClientSession``, initialized or not, or an ``mcp.Client`` that is connected.

    Returns:
        The declarations. Lists that the server does not offer are empty.

    Raises:
        FootprintError: If the server does not answer.
    """
    instructions = await _instructions(session)
    tools = await _listed(session, "list_tools", "tools")
    texts = [("instructions", instructions)] if instructions else []
    for method, attribute in (("list_prompts", "prompts"), ("list_resource_templates", "resource_templates")):
        for item in await _listed(session, method, attribute):
            kind = attribute.removesuffix("s").replace("_", " ")
            texts.append(
                (f"{kind} {item.get('name', '')}", json.dumps(item, ensure_ascii=False, separators=(",", ":")))
            )
    return McpDeclarations(tuple(tools), tuple(texts))


async def read_command(command: Sequence[str], *, timeout: float = 60.0) -> McpDeclarations:
    """Start an MCP server that speaks over its standard input and output, and read what it declares.

    Args:
        command: The program and its arguments.
        timeout: Longest time for the whole, s.

    Raises:
        FootprintError: If the extra ``mcp`` is missing, or the server does not start or answer.
    """
    shown = " ".join(command)
    try:
        import anyio
        from mcp import ClientSession, StdioServerParameters
        from mcp.client.stdio import stdio_client
    except ImportError:
        raise FootprintError(
            "the MCP client is not installed", remedy="pip install 'pytest-tokenbudget[mcp]'"
        ) from None
    if not command:
        raise FootprintError("no command of an MCP server was given", remedy='command=["mcp-server-time"]')
    # The SDK logs what is no message of the protocol with a traceback; here the error says it.
    logging.getLogger("mcp").addHandler(logging.NullHandler())
    parameters = StdioServerParameters(command=command[0], args=list(command[1:]))
    try:
        with anyio.fail_after(timeout):
            async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
                return await read_session(session)
    except TimeoutError:
        raise FootprintError(
            f"the MCP server `{shown}` did not answer within {timeout:g} s", remedy=f"run `{shown}` by hand"
        ) from None
    except Exception as error:
        raise FootprintError(
            f"the MCP server `{shown}` cannot be read: {_reason(error)}", remedy=f"run `{shown}` by hand"
        ) from None


async def _instructions(session: Any) -> str:
    """The server's instructions; the session is initialized where it was not."""
    known = getattr(session, "instructions", None)
    if isinstance(known, str):
        return known
    initialize = getattr(session, "initialize", None)
    if initialize is None or getattr(session, "server_capabilities", None) is not None:
        return ""
    try:
        return str(getattr(await initialize(), "instructions", None) or "")
    except Exception as error:
        raise FootprintError(
            f"the MCP server does not answer `initialize`: {_reason(error)}", remedy="check that it is running"
        ) from None


async def _listed(session: Any, method: str, attribute: str) -> list[dict[str, Any]]:
    """All items of a list, over its pages; none where the server does not offer the list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        try:
            page = await _page(getattr(session, method), cursor)
        except Exception as error:
            if attribute == "tools" and not _is_unsupported(error):
                raise FootprintError(
                    f"the MCP server does not answer `tools/list`: {_reason(error)}", remedy="check its log"
                ) from None
            return found
        items = getattr(page, attribute, None)
        if items is None:  # mcp 1 writes resourceTemplates
            items = getattr(page, "resourceTemplates", None) or ()
        found += [plain_data(item) for item in items]
        cursor = getattr(page, "next_cursor", None) or getattr(page, "nextCursor", None)
        if not cursor:
            break
    return found


async def _page(fetch: Callable[..., Awaitable[Any]], cursor: str | None) -> Any:
    if cursor is None:
        return await fetch()
    try:
        return await fetch(cursor=cursor)  # mcp 1, and mcp 2's Client
    except TypeError:
        from mcp.types import PaginatedRequestParams

        return await fetch(params=PaginatedRequestParams(cursor=cursor))


def _is_unsupported(error: Exception) -> bool:
    """The JSON-RPC error "method not found" says that a server has no such list."""
    code = getattr(error, "code", getattr(getattr(error, "error", None), "code", None))
    return code == -32601


def _reason(error: BaseException) -> str:
    """The first plain error inside a group of errors, in one line."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    said = error.message if isinstance(error, FootprintError) else str(error)
    return " ".join(said.split())[:200] or type(error).__name__
