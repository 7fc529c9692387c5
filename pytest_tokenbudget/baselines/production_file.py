"""The reference that production gives: ``__budgets__/production.json``, one for all tests below its folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_tokenbudget import files
from pytest_tokenbudget.baselines.paths import DIRECTORY, check_reference
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.production import Production

FORMAT = 1
KIND = "production"
DEFAULT_NAME = "production"

EVERY_TEST = "*"
"""Key of an entry that all tests share."""


def production_path(folder: Path, name: str = DEFAULT_NAME) -> Path:
    """Where the reference of a folder is stored: ``FOLDER/__budgets__/NAME.json``.

    Raises:
        BaselineError: If the name is none that a reference can have.
    """
    return folder / DIRECTORY / f"{check_reference(name)}.json"


def find_production(reference: Path, root: Path) -> Path | None:
    """The file of production that stands in for a reference of a test file.

    Args:
        reference: The reference's path, ``tests/agents/__budgets__/production/test_calendar.json``.
        root: The root directory; folders above it are not looked into.

    Returns:
        The nearest ``__budgets__/production.json`` on the way from the test to the root; ``None`` where there is none.
    """
    name = reference.parent.name
    folder = reference.parent.parent.parent
    while True:
        candidate = folder / DIRECTORY / f"{name}.json"
        if candidate.is_file():
            return candidate
        if folder in (root, folder.parent) or not folder.is_relative_to(root):
            return None
        folder = folder.parent


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
        f'  "kind": "{KIND}",',
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
    if not isinstance(found, dict) or found.pop("kind", None) != KIND:
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


def is_production(path: Path) -> bool:
    """Tell from its place and its beginning whether a file holds measurements of production."""
    if path.parent.name != DIRECTORY:
        return False
    try:
        with path.open("rb") as file:
            return f'"kind": "{KIND}"'.encode() in file.read(200)
    except OSError:
        return False


def read_entry(path: Path) -> dict[str, BaselineEntry]:
    """The entry that any test is compared with, under :data:`EVERY_TEST`.

    Raises:
        BaselineError: As for :func:`read_production`.
    """
    production = read_production(path)
    entry = BaselineEntry(
        metrics={
            f"{stage}.{name}" if stage else name: MetricRecord((found.values,))
            for stage, metrics in production.stages.items()
            for name, found in metrics.items()
        },
        models=production.models,
    )
    return {EVERY_TEST: entry}
