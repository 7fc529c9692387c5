"""A budget for an MCP server: what its tools cost before the first word, in whatever agent they are used."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget import token_budget

pytest.importorskip("mcp", reason="pip install 'pytest-tokenbudget[mcp]'")
COMMAND = [sys.executable, str(Path(__file__).with_name("server.py"))]


@token_budget({"input_tokens": "5%"}, limit={"tools.*": 100, "input_tokens": 400})
def test_what_the_server_costs(footprint: Any) -> None:
    """No tool may cost more than 100 tokens, the whole server not more than 400, and nothing may grow by more than 5 %."""
    found = asyncio.run(footprint.mcp(command=COMMAND))
    assert set(found.tools) == {"find_order", "refund"}
