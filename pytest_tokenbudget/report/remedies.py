"""What to do about a failure: the command that fixes it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pytest_tokenbudget.measure.metrics import BUILTIN_METRICS
from pytest_tokenbudget.records.verdict import GateResult, TestResult

_TIMED = frozenset(spec.name for spec in BUILTIN_METRICS if spec.timed)


def remedies(result: TestResult, *, reports: Sequence[str] = ()) -> list[str]:
    """Lines for the end of a failure's text.

    Args:
        result: What is said of the test.
        reports: Paths of the reports that this run writes.
    """
    lines = []
    if result.verdict == "no_baseline" and all(gate.baseline is None for gate in result.gates):
        if result.against == "baseline":
            lines.append("`pytest --tokenbudget-update` writes it; then commit the file")
        else:
            lines.append(f"write the reference first: `pytest --tokenbudget-reference={result.against}`")
    if any(gate.verdict == "regression" and gate.value is not None for gate in result.gates):
        lines.append("wanted? `pytest --tokenbudget-update`, and commit the new numbers")
    if any(_drifts(gate) for gate in result.gates):
        lines.append(
            "unconfirmed: a time of today against one of another day. To confirm it without the provider's drift: "
            f"`{confirmation(result.nodeid, reports, os.environ.get('GITHUB_BASE_REF', ''))}`"
        )
    return lines


def _drifts(gate: GateResult) -> bool:
    """Whether a gate fails on a live time against a stored one."""
    return gate.verdict == "regression" and not gate.exact and gate.metric.rpartition(".")[2] in _TIMED


def confirmation(nodeid: str, reports: Sequence[str], target: str) -> str:
    """The command that runs a test again, interleaved with the code before the change.

    Args:
        nodeid: The test.
        reports: Paths of the reports that this run writes; a JSON one tells the command what is suspected.
        target: Branch that a pull request goes to, ``""`` where that is not known.
    """
    base = f"origin/{target}" if target else default_branch(Path.cwd())
    report = next((path for path in reports if path.endswith(".json") and not path.endswith(".bmf.json")), None)
    if report is not None:
        return f"tokenbudget ab {shlex.quote(base)} --confirm {shlex.quote(report)}"
    return f"tokenbudget ab {shlex.quote(base)} -- {shlex.quote(nodeid)}"


def default_branch(place: Path) -> str:
    """The default branch of the repository that a directory lies in: as its remote says, else ``main`` or ``master``.

    The files of git are read instead of asking it: this is for the text of a failure, in a process that has just run a test.
    """
    git = next((folder / ".git" for folder in (place, *place.parents) if (folder / ".git").is_dir()), None)
    if git is None:
        return "main"
    try:
        said = (git / "refs/remotes/origin/HEAD").read_text(encoding="utf-8").strip()
        if said.startswith("ref: refs/remotes/"):
            return said.removeprefix("ref: refs/remotes/")
    except (OSError, UnicodeDecodeError):
        pass
    local = git / "refs/heads"
    return "master" if (local / "master").exists() and not (local / "main").exists() else "main"
