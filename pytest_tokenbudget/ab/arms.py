"""One side of an A/B run: pytest in a process of its own, in its own tree, with its own import path."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_tokenbudget.ab.worktree import Sides
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.processes.fresh_pytest import Wanted, own_environment, run_pytest
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.verdict import RunView

_NOTHING_COLLECTED = 5


@dataclass(frozen=True, slots=True)
class Arm:
    """One side.

    Attributes:
        name: How messages call it: ``main (1a2b3c4)``, ``the working tree``.
        place: The directory in which pytest runs.
        arguments: pytest's arguments, as the user wrote them but for absolute paths into the other tree.
        environment: The whole environment of its processes.
        root: Root of its tree.
        other: Root of the other side's tree, from which none of its code may come.
    """

    name: str
    place: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    root: Path = Path()
    other: Path = Path()


def arms(sides: Sides, arguments: Sequence[str]) -> tuple[Arm, Arm]:
    """The base and the head."""
    return (
        _arm(sides.name, sides.base, sides.head, sides, arguments),
        _arm("the working tree", sides.head, sides.base, sides, arguments),
    )


def _arm(name: str, root: Path, other: Path, sides: Sides, arguments: Sequence[str]) -> Arm:
    place = root / sides.inside
    environment = own_environment()
    environment["PWD"] = str(place)
    environment["PYTHONPATH"] = os.pathsep.join(import_path(root, sides.head, os.environ.get("PYTHONPATH", "")))
    return Arm(name, place, tuple(move_into(text, sides.head, root) for text in arguments), environment, root, other)


def import_path(root: Path, head: Path, inherited: str) -> list[str]:
    """Give the entries that come first on a side's import path: its own tree in the place of the head's.

    That beats an editable installation of the head, which comes after PYTHONPATH (as a ``.pth`` entry, or as a finder
    behind the usual ones).

    Args:
        root: Root of the side's tree.
        head: Root of the tree as it is, whose entries become those of this side.
        inherited: ``PYTHONPATH`` of this process.
    """
    own = [str(root)]
    if (root / "src").is_dir():
        own.insert(0, str(root / "src"))
    given = [entry for entry in inherited.split(os.pathsep) if entry]
    environment = Path(sys.prefix).resolve()
    found = [Path(entry).resolve() for entry in sys.path]
    installed = [str(path) for path in found if path.is_relative_to(head) and not path.is_relative_to(environment)]
    return list(dict.fromkeys([*own, *(move_into(entry, head, root) for entry in (*given, *installed))]))


def move_into(text: str, head: Path, root: Path) -> str:
    """An argument with absolute paths into the head's tree turned into the same ones of another tree."""
    if root == head:
        return text
    old = str(head)
    if text == old:
        return str(root)
    return text.replace(old + os.sep, str(root) + os.sep)


def collect(arm: Arm) -> Transcript:
    """Find out which tests a side has, before anything is spent.

    Raises:
        ABError: If its pytest cannot collect.
    """
    seen = _run(arm, None)
    if seen.exit_code not in (0, _NOTHING_COLLECTED):
        raise _broken(arm, seen, "cannot collect its tests")
    return _checked(arm, seen)


def sample(arm: Arm, tests: Sequence[str]) -> Transcript:
    """Run some tests once.

    Raises:
        ABError: If its pytest ended in another way than by tests that passed or failed.
    """
    seen = _run(arm, tests)
    if seen.exit_code not in (0, 1) and not seen.results:
        raise _broken(arm, seen, "ended before any test was measured")
    return _checked(arm, seen)


def write_reports_at(arm: Arm, run: RunView, names: Sequence[str]) -> tuple[str, ...]:
    """Have a side write reports in formats that its own project adds.

    Args:
        arm: The side.
        run: What is reported.
        names: Absolute paths of the reports.

    Returns:
        What could not be written.
    """
    seen = _run(arm, None, run=run, reports=names)
    done = seen.exit_code in (0, _NOTHING_COLLECTED)
    return seen.problems if done else (f"{', '.join(names)}: pytest ended with exit code {seen.exit_code}",)


def _checked(arm: Arm, seen: Transcript) -> Transcript:
    """Give what a side measured, and refuse it where the side did not run its own code.

    Raises:
        ABError: If it imported some of the other side's.
    """
    if seen.foreign:
        name, file = seen.foreign[0]
        raise ABError(
            f"{arm.name} imports {name} from the other side: {file}",
            remedy="name the folder that holds it, relative to this one: `PYTHONPATH=folder tokenbudget ab ...`",
        )
    return seen


def _broken(arm: Arm, seen: Transcript, what: str) -> ABError:
    return ABError(
        f"{arm.name}: pytest {what} (exit code {seen.exit_code}) in {arm.place}:\n{seen.output}",
        remedy=f"make `pytest {' '.join(arm.arguments)}` work there; what git ignores (.env, data) is not in a checkout:"
        " give a directory as BASE where the tests need it",
    )


def _run(
    arm: Arm, only: Sequence[str] | None, *, run: RunView | None = None, reports: Sequence[str] = ()
) -> Transcript:
    wanted = Wanted(only, str(arm.root), str(arm.other), run, reports)
    return run_pytest(arm.arguments, wanted, place=arm.place, environment=arm.environment)
