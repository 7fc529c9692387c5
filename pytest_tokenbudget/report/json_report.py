"""The JSON report."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_tokenbudget.report.view import RunView, run_json


def write(run: RunView, path: Path) -> None:
    """Write the report; folders are made as needed."""
    text = json.dumps(run_json(run), indent=2, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")
