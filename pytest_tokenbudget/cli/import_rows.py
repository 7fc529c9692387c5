"""``tokenbudget import``: figures that production recorded become the reference ``production``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_tokenbudget.baselines.paths import production_path
from pytest_tokenbudget.baselines.production_file import write_production
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.errors import ImportRowsError
from pytest_tokenbudget.measure.importers import READERS, rows_of_sql
from pytest_tokenbudget.measure.production import summarize
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.records.call import Usage
from pytest_tokenbudget.records.production import Production, ProductionRow
from pytest_tokenbudget.report.figures import number, unit_of
from pytest_tokenbudget.report.table import aligned
from pytest_tokenbudget.wording import plain


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget import --sql sqlite:///messages.db --query messages.sql. "
        "Exit codes: 0 written, 2 there are no rows, or they cannot be read."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sql", metavar="URL", help="a database URL of SQLAlchemy (extra sql), with --query")
    source.add_argument("--otel", type=Path, metavar="FILE", help="OTLP JSON of GenAI spans")
    source.add_argument("--langfuse", type=Path, metavar="FILE", help="observations that Langfuse exported")
    source.add_argument(
        "--jsonl", type=Path, metavar="FILE", help="a JSON object a line: stage, model, input_tokens, ..."
    )
    parser.add_argument(
        "--query", type=Path, metavar="FILE", help="the SQL query, with the columns stage, input_tokens, ..."
    )
    parser.add_argument("--name", default="production", help="name of the reference (default: %(default)s)")
    parser.add_argument(
        "--to", type=Path, default=Path(), metavar="FOLDER", help="folder of the tests (default: this one)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _run(arguments: argparse.Namespace) -> int:
    path = production_path(arguments.to, arguments.name)
    kind, rows = _rows(arguments)
    production = summarize(_priced(rows), source=kind)
    if not production.stages:
        raise ImportRowsError("there are no rows to import", remedy="check the query or the file")
    write_production(path, production)
    if arguments.json:
        print(json.dumps({"path": str(path), **production_json(production)}, indent=2))
    else:
        print(
            "\n".join(
                [*production_lines(production), "", f"wrote {path}; tests use it with against={arguments.name!r}"]
            )
        )
    return 0


def _rows(arguments: argparse.Namespace) -> tuple[str, Iterator[ProductionRow]]:
    if arguments.sql is not None:
        if arguments.query is None:
            raise ImportRowsError("--sql needs --query FILE", remedy="--query messages.sql")
        try:
            query = arguments.query.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImportRowsError(
                f"{arguments.query}: cannot be read: {reason}", remedy="--query messages.sql"
            ) from None
        return "sql", rows_of_sql(arguments.sql, query)
    kind = next(name for name in READERS if getattr(arguments, name) is not None)
    return kind, READERS[kind](getattr(arguments, kind))


def _priced(rows: Iterable[ProductionRow]) -> Iterator[ProductionRow]:
    """The rows, with the listed price where they bring no cost of their own."""
    prices = PriceBook()
    for row in rows:
        if row.cost is not None or not row.model or row.input_tokens is None or row.output_tokens is None:
            yield row
            continue
        usage = Usage(row.input_tokens, row.output_tokens, row.cached_input_tokens)
        yield replace(row, cost=prices.price("", row.model, usage).usd)


def production_json(production: Production) -> dict[str, Any]:
    """The stages as other programs read them; ``""`` is the whole run."""
    return {
        "source": production.source,
        "models": list(production.models),
        "stages": {
            stage: {
                name: {"n": found.n, "mean": found.mean, "p50": found.p50, "p95": found.p95}
                for name, found in metrics.items()
            }
            for stage, metrics in production.stages.items()
        },
    }


def production_lines(production: Production) -> list[str]:
    """The stages as a table."""
    rows = [
        (
            plain(stage, limit=40) or "(run)",
            name,
            f"{found.n:,}",
            *(number(value, unit_of(name)) for value in (found.mean, found.p50, found.p95)),
        )
        for stage, metrics in production.stages.items()
        for name, found in metrics.items()
    ]
    headers = ("stage", "metric", "n", "mean", "p50", "p95")
    return aligned(rows, "llrrrr", headers)


IMPORT = Command("import", "make the reference `production` of what production recorded", _arguments, _run)
