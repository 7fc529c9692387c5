"""A measured figure beside its target, as every benchmark reports it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

COLLECT = "TOKENBUDGET_FIGURES"
"""Environment variable with the file to which the runner wants the figures written, a line of JSON each."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: What was measured.
        measured: The value, with its unit.
        target: The target, with its unit; ``""`` for a figure that is shown for information.
        held: Whether the target is held.
    """

    name: str
    measured: str
    target: str = ""
    held: bool = True


def report(figures: Sequence[Figure]) -> int:
    """Print the figures, hand them to the runner where there is one, and give the exit code."""
    for figure in figures:
        verdict = "" if not figure.target else "ok" if figure.held else "MISSED"
        print(f"{figure.name:<58} {figure.measured:>14}   {figure.target:<12} {verdict}")
    collect = os.environ.get(COLLECT)
    if collect:
        with Path(collect).open("a") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in figures)
    return 0 if all(figure.held for figure in figures) else 1
