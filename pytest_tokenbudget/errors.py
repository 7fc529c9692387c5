"""The project's one tree of errors.

Every error that a user can meet derives from :class:`TokenBudgetError` and says three things: *where* (a file, a
key, a test), *what* was wrong and *how to fix it* (a command or a line to write). ``docs/errors.md`` has a section
for each ``slug``.
"""

from __future__ import annotations

from typing import ClassVar

DOCUMENTATION = "https://pytest-tokenbudget.readthedocs.io/en/latest/errors.html"


class TokenBudgetError(Exception):
    """Base class of all errors of the plugin.

    Args:
        message: What was wrong and where, in one sentence.
        remedy: The command to run or the line to write that fixes it.
    """

    slug: ClassVar[str] = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.message]
        if self.remedy:
            lines.append(f"  fix: {self.remedy}")
        lines.append(f"  about: {DOCUMENTATION}#{self.slug}")
        return "\n".join(lines)


class MarkerError(TokenBudgetError):
    """A ``token_budget`` marker with an argument, metric or rule that cannot be understood."""

    slug = "marker"


class SettingsError(TokenBudgetError):
    """A command-line option or ini value that cannot be understood."""

    slug = "settings"


class BaselineError(TokenBudgetError):
    """A baseline file that cannot be read or written; the file stays as it was."""

    slug = "baseline"


class CassetteError(TokenBudgetError):
    """A cassette that cannot be read, or that may not be written."""

    slug = "cassette"


class ScriptError(TokenBudgetError):
    """A scripted model that was asked something its script does not answer, or a script that cannot be read."""

    slug = "script"


class Diverged(TokenBudgetError):
    """The run no longer fits the recorded answers: record again."""

    slug = "diverged"


class ConnectionNotAllowed(TokenBudgetError):
    """A connection to a host that a replayed or scripted run may not reach."""

    slug = "connection"


class TokenizerError(TokenBudgetError):
    """A vocabulary that was configured but cannot be loaded."""

    slug = "tokenizer"


class PriceError(TokenBudgetError):
    """A price table that cannot be read."""

    slug = "prices"


class BudgetExceeded(TokenBudgetError):
    """Raised instead of sending a model call when a ``stop_at`` ceiling has been passed."""

    slug = "stop-at"


class ABError(TokenBudgetError):
    """An A/B run that cannot begin or go on: its base, one of its sides, or the report that it is to confirm."""

    slug = "ab"


class CalibrationError(TokenBudgetError):
    """Sessions that ``tokenbudget calibrate`` cannot record."""

    slug = "calibrate"


class CollectionFailed(TokenBudgetError):
    """Pytest cannot say which tests there are."""

    slug = "collection"


class GitError(TokenBudgetError):
    """Git cannot be run, or does not answer."""

    slug = "git"


class ReportError(TokenBudgetError):
    """A report that cannot be read, rendered or written."""

    slug = "report"


class FootprintError(TokenBudgetError):
    """A tool, prompt, file or MCP server whose footprint cannot be measured."""

    slug = "footprint"


class ImportRowsError(TokenBudgetError):
    """Rows of production that cannot be read."""

    slug = "import"


class WhatIfError(TokenBudgetError):
    """A change that ``tokenbudget whatif`` cannot try on a recorded run."""

    slug = "whatif"
