"""GitHub Actions: annotations on the log, the Markdown summary on the job's page.

The commands and their escaping: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
(read 2026-11-24).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_tokenbudget.report.figures import plain
from pytest_tokenbudget.report.markdown import markdown
from pytest_tokenbudget.report.table import failing_gates, headline, table_lines
from pytest_tokenbudget.report.view import RunView


def error_lines(run: RunView) -> Iterator[str]:
    """An ``::error`` line for each test that fails by its budget."""
    for result in run.results:
        if not result.failed:
            continue
        gates = failing_gates(result)
        text = "\n".join([headline(result, gates), *table_lines(gates, result.causes)])
        file = result.nodeid.partition("::")[0]
        yield f"::error file={_property(file)},title={_property(plain(result.nodeid))}::{_data(text)}"


def append_summary(run: RunView, path: Path) -> None:
    """Append the Markdown summary to the file that ``GITHUB_STEP_SUMMARY`` names."""
    with path.open("ab") as file:
        file.write(markdown(run).encode("utf-8", "replace"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
