"""The reference that production gives: ``__budgets__/production.json``, one for all tests below its folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_tokenbudget import files
from pytest_tokenbudget.baselines.paths import PRODUCTION
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.production import Production

FORMAT = 1


def write_production(path: Path, production: Production) -> None:
    """Write the file, sorted, one metric a line.

    Raises:
        BaselineError: If it cannot be written; an old file stays as it was.
    """
    try:
        files.write_atomically(path, _render(production).encode("utf-8"))
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be written: {error.strerror or error}", remedy="make its folder writable"
        ) from None


def _render(production: Production) -> str:
    lines = [
        "{",
        f'  "format": {FORMAT},',
        f'  "kind": "{PRODUCTION}",',
        f'  "models": {json.dumps(list(production.models))},',
    ]
    lines += [f'  "source": {json.dumps(production.source)},', '  "stages": {']
    stages = sorted(production.stages.items())
    for number, (stage, metrics) in enumerate(stages):
        lines.append(f"    {json.dumps(stage, ensure_ascii=False)}: {{")
        rows = [
            f"      {json.dumps(name)}: {json.dumps({**asdict(found), 'values': list(found.values)}, sort_keys=True)}"
            for name, found in sorted(metrics.items())
        ]
        lines.append(",\n".join(rows))
        lines.append("    }" + ("," if number + 1 < len(stages) else ""))
    return "\n".join([*lines, "  }", "}"]) + "\n"


def read_production(path: Path) -> Production:
    """Read the file.

    Raises:
        BaselineError: If it cannot be read, or is none of this kind.
    """
    remedy = "write it anew with `tokenbudget import`"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}", remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"{path}: is no JSON: {error}", remedy=remedy) from None
    if not isinstance(found, dict) or found.pop("kind", None) != PRODUCTION:
        raise BaselineError(f"{path}: holds no measurements of production", remedy=remedy)
    if found.pop("format", None) != FORMAT:
        raise BaselineError(f"{path}: has another format than {FORMAT}", remedy="update pytest-tokenbudget")
    return _validated(found, path, remedy)


def _validated(found: dict[str, Any], path: Path, remedy: str) -> Production:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Production).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BaselineError(f"{path}: {where}: {first['msg']}", remedy=remedy) from None


def read_entry(path: Path) -> BaselineEntry:
    """Read the entry that any test is compared with.

    Raises:
        BaselineError: As for :func:`read_production`.
    """
    production = read_production(path)
    return BaselineEntry(
        metrics={
            f"{stage}.{name}" if stage else name: MetricRecord((found.values,))
            for stage, metrics in production.stages.items()
            for name, found in metrics.items()
        },
        models=production.models,
    )
