"""GitHub Actions: annotations on the log, the Markdown summary on the job's page.

The commands and their escaping: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
(read 2026-11-24).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.markdown import markdown
from pytest_tokenbudget.report.table import failing_gates, gate_lines, headline
from pytest_tokenbudget.wording import plain


def workspace_root(rootpath: Path) -> str:
    """pytest's root directory as GitHub sees it: relative to the checkout, in which annotations find their lines."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace and rootpath.is_relative_to(workspace):
        return rootpath.relative_to(workspace).as_posix()
    return "."


def error_lines(run: RunView, *, root: str = ".") -> Iterator[str]:
    """An ``::error`` line for each test that fails by its budget.

    ``root`` is what stands before the file names of the run's node ids.
    """
    for result in run.results:
        if not result.failed:
            continue
        gates = failing_gates(result)
        lines = [line.text for line in gate_lines(gates, result.causes, indent="")]
        text = "\n".join([headline(result, gates), *lines])
        file = _property(str(PurePosixPath(root, result.nodeid.partition("::")[0])))
        line = "" if result.line is None else f"line={result.line},"
        yield f"::error file={file},{line}title={_property(plain(result.nodeid))}::{_data(text)}"


def append_summary(run: RunView, path: Path) -> None:
    """Append the Markdown summary to the file that ``GITHUB_STEP_SUMMARY`` names."""
    with path.open("ab") as file:
        file.write(markdown(run).encode("utf-8", "replace"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
