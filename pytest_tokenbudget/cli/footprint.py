"""``tokenbudget footprint``: what tools, prompts, files and an MCP server cost before the first word, ranked."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.terminal_text import bar
from pytest_tokenbudget.errors import FootprintError
from pytest_tokenbudget.measure.footprint import DEFAULT_MODEL, Footprint, measure_footprint, read_text
from pytest_tokenbudget.measure.mcp_server import read_command
from pytest_tokenbudget.report.table import aligned
from pytest_tokenbudget.tokens.counter import Counter
from pytest_tokenbudget.tokens.counts import count_cache
from pytest_tokenbudget.wording import plain

_BAR = 24
"""Width of the longest bar, in characters."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table: what it is, its name, and its tokens."""

    part: str
    name: str
    tokens: int


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget footprint --mcp 'uvx mcp-server-git' --model gpt-4.1. "
        "Exit codes: 0 measured, 1 over --limit, 2 a file or a server that cannot be read."
    )
    parser.add_argument("--mcp", metavar="COMMAND", help="start this MCP server and read what it declares")
    parser.add_argument("--tools", type=Path, metavar="FILE", help="a JSON file with a list of tool definitions")
    parser.add_argument(
        "--file", action="append", default=[], type=Path, metavar="PATH", help="a text such as AGENTS.md; repeatable"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="whose tokenizer counts (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="TOKENS", help="exit with 1 where the total is above this")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _run(arguments: argparse.Namespace) -> int:
    tools: list[Any] = []
    texts: list[tuple[str, str]] = []
    if arguments.mcp is not None:
        declared = _read_server(arguments.mcp)
        tools += declared[0]
        texts += declared[1]
    if arguments.tools is not None:
        tools += _read_tools(arguments.tools)
    texts += [(str(path), read_text(path)) for path in arguments.file]
    if not tools and not texts:
        raise FootprintError("there is nothing to measure", remedy="give --mcp COMMAND, --tools FILE or --file PATH")
    counts = count_cache(_cache_folder())
    found = measure_footprint(
        Counter(cache=counts), tools=tools, system=[text for _, text in texts], model=arguments.model
    )
    if counts is not None:
        counts.save()
    rows = _rows(found, [name for name, text in texts if text])
    if arguments.json:
        print(json.dumps(_as_json(found, rows), indent=2))
    else:
        print("\n".join(_lines(found, rows)))
    held = arguments.limit is None or found.input_tokens <= arguments.limit
    if not held and not arguments.json:
        print(f"\nover the limit of {arguments.limit:,} tokens")
    return 0 if held else 1


def _cache_folder() -> Path | None:
    """The user's folder for what can be worked out again; ``None`` where there is no home."""
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return (Path(named) if named else Path.home() / ".cache") / "pytest-tokenbudget"
    except RuntimeError:
        return None


def _read_server(command: str) -> tuple[Sequence[Any], Sequence[tuple[str, str]]]:
    import asyncio

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise FootprintError(f"--mcp {command!r}: {error}", remedy="--mcp 'program argument'") from None
    declared = asyncio.run(read_command(words))
    return declared.tools, declared.texts


def _read_tools(path: Path) -> list[Any]:
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FootprintError(f"{path}: is no JSON: {error}", remedy="a JSON list of tool definitions") from None
    if isinstance(found, dict):
        found = found.get("tools", [found])  # an answer of `tools/list`, or one definition
    if not isinstance(found, list):
        raise FootprintError(f"{path}: holds no list of tools", remedy="a JSON list of tool definitions")
    return found


def _rows(found: Footprint, names: Sequence[str]) -> list[_Row]:
    """The parts by size; each text of the system prompt stands by itself where it can be told apart."""
    rows = [_Row("tool", name, tokens) for name, tokens in found.tools.items()]
    system = [piece.tokens for piece in found.composition.pieces if piece.part == "system"]
    if len(system) == len(names):
        rows += [_Row("text", name, tokens) for name, tokens in zip(names, system, strict=True)]
    elif system:
        rows.append(_Row("text", "all", sum(system)))
    rows.sort(key=lambda row: -row.tokens)
    rest = found.input_tokens - sum(row.tokens for row in rows)
    return [*rows, _Row("framing", "", rest)] if rest else rows


def _lines(found: Footprint, rows: Sequence[_Row]) -> list[str]:
    about = "estimated with " if found.estimated else ""
    largest = max((row.tokens for row in rows), default=1) or 1
    table = [
        (
            row.part,
            plain(row.name, limit=40),
            f"{row.tokens:,}",
            f"{row.tokens / max(1, found.input_tokens):.1%}",
            bar(row.tokens / largest, _BAR),
        )
        for row in rows
    ]
    return [
        f"{found.input_tokens:,} input tokens before the first word ({found.model}, {about}{found.encoding})",
        "",
        *aligned(table, "llrrl"),
    ]


def _as_json(found: Footprint, rows: Sequence[_Row]) -> dict[str, Any]:
    return {
        "model": found.model,
        "encoding": found.encoding,
        "estimated": found.estimated,
        "input_tokens": found.input_tokens,
        "parts": [asdict(row) for row in rows],
    }


FOOTPRINT = Command(
    "footprint", "what tools, prompts, files or an MCP server cost before the first word", _arguments, _run
)
