"""A small MCP server: the desk of a shop."""

try:
    from mcp.server.mcpserver import MCPServer
except ImportError:  # mcp 1
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("desk", instructions="Use these tools for questions about orders.")


@server.tool()
def find_order(number: str) -> str:
    """Finds an order by its number and tells its state."""
    return f"order {number}: sent"


@server.tool()
def refund(number: str, reason: str) -> str:
    """Refunds an order. Ask for the reason first."""
    return f"order {number}: refunded, {reason}"


if __name__ == "__main__":
    server.run()
