"""The report formats that come with the plugin, by suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from pytest_tokenbudget.report.view import RunView

Writer = Callable[[RunView, Path], None]

_MODULES = {
    ".json": "json_report",
    ".md": "markdown",
    ".html": "page.document",
}


def builtin_writers() -> dict[str, Writer]:
    """A writer for each suffix; its module is loaded when it writes."""
    return {suffix: _writer(module) for suffix, module in _MODULES.items()}


def _writer(module: str) -> Writer:
    def write(run: RunView, path: Path) -> None:
        import_module(f"pytest_tokenbudget.report.{module}").write(run, path)

    return write


def suffix_of(name: str, formats: Mapping[str, object]) -> str | None:
    """The longest suffix of a file's name that a format has; ``None`` where none has one."""
    return max((suffix for suffix in formats if Path(name).name.endswith(suffix)), key=len, default=None)
