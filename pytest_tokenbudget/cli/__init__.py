"""The command ``tokenbudget``: one file a verb, each of which declares a :class:`Command`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One verb of ``tokenbudget``.

    Attributes:
        name: The verb.
        help: One line for ``tokenbudget --help``.
        arguments: Declares its arguments.
        run: Does it. Gets the parsed arguments, returns the exit code: 0 all is well, 1 what was checked is not held;
            a :class:`~pytest_tokenbudget.errors.TokenBudgetError` is shown and becomes 2.
        passes_on: Whether what follows `--` is for another program; it then stands in ``passed_on``.
    """

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    passes_on: bool = False
