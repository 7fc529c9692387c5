"""``tokenbudget init``: sets a project up. It shows each change before it asks, and writes nothing unasked."""

from __future__ import annotations

import argparse
import difflib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command

if TYPE_CHECKING:
    from pytest_tokenbudget.cli.project_changes import Change


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget init --agent app.agent:answer. It shows what it would change and asks for each file; with --yes "
        "it writes without asking; without a terminal and without --yes it only shows. A second run has nothing to do. "
        "Exit codes: 0 done, or shown; 2 a file that cannot be read or written."
    )
    parser.add_argument(
        "--agent", metavar="MODULE:FUNCTION", help="the agent's entry point: a first marked test is written for it"
    )
    parser.add_argument(
        "--ci",
        choices=("auto", "github", "gitlab", "jenkins", "none"),
        default="auto",
        help="whose CI recipe is written (default: that of the host that is found)",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="write without asking")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; nothing is asked")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.cli.targets import repository_root

    root = Path()
    changes, notes = _planned(root, repository_root(), arguments)
    settings = _git_settings()
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not arguments.yes and not arguments.json
    written: list[str] = []
    if not arguments.json:
        _print(notes)
    for change in changes:
        if not arguments.json:
            _print(_shown(change))
        if arguments.yes or (asks and _agreed(f"write {change.path}?")):
            _write(change)
            written.append(str(change.path))
    if settings:
        lines = [f"git config {name} {shlex.quote(value)}" for name, value in settings.items()]
        if not arguments.json:
            _print(
                [
                    "",
                    "git reads its attributes with these settings, which each clone makes once:",
                    *(f"  {line}" for line in lines),
                ]
            )
        if arguments.yes or (asks and _agreed("make them here?")):
            _set(settings)
            written.append("git config")
    if arguments.json:
        print(json.dumps(_as_json(changes, settings, notes, written), indent=2))
    else:
        _print([_last(changes, settings, written, asks=asks, first_test=arguments.agent is not None)])
    return 0


def _planned(root: Path, repository: Path, arguments: argparse.Namespace) -> tuple[list[Change], list[str]]:
    """The changes, and what is said beside them."""
    from pytest_tokenbudget import git
    from pytest_tokenbudget.cli.project_changes import (
        JENKINS,
        attributes_change,
        ci_change,
        find_host,
        ini_change,
        test_change,
    )
    from pytest_tokenbudget.errors import GitError

    notes = []
    try:
        remotes = git.run(root, "remote", "-v").stdout
    except GitError:
        remotes = ""
    host = find_host(repository, remotes) if arguments.ci == "auto" else arguments.ci
    found = [ini_change(root, arguments.agent), attributes_change(root)]
    if arguments.agent:
        found.append(test_change(root, arguments.agent))
    if host in ("github", "gitlab") and root.resolve() != repository.resolve():
        notes.append(f"the CI recipe is written where the repository begins: run `tokenbudget init` in {repository}")
    elif host in ("github", "gitlab"):
        found.append(ci_change(root, host, _default_branch()))
    elif host == "jenkins":
        notes.append(JENKINS)
    elif host is None:
        notes.append("no CI host is found: --ci github, gitlab or jenkins names one")
    return [change for change in found if change is not None], notes


def _default_branch() -> str:
    """The default branch: as the remote says, else main or master, else the one of a repository that has none of them."""
    from pytest_tokenbudget import git

    remote = git.run(Path(), "symbolic-ref", "--short", "refs/remotes/origin/HEAD").stdout.strip()
    if remote:
        return remote.removeprefix("origin/")
    local = git.run(Path(), "branch", "--format=%(refname:short)").stdout.split()
    usual = next((name for name in ("main", "master") if name in local), "")
    return usual or git.run(Path(), "symbolic-ref", "--short", "HEAD").stdout.strip() or "main"


def _git_settings() -> Mapping[str, str]:
    """The settings of git that this clone does not have; none outside of a repository."""
    from pytest_tokenbudget import git
    from pytest_tokenbudget.cli.project_changes import missing_git_settings
    from pytest_tokenbudget.errors import GitError

    try:
        if git.toplevel(Path()) is None:
            return {}
        known = git.run(Path(), "config", "--name-only", "--get-regexp", r"^(diff|merge)\.tokenbudget\.").stdout
    except GitError:
        return {}
    return missing_git_settings(known.split())


def _set(settings: Mapping[str, str]) -> None:
    from pytest_tokenbudget import git
    from pytest_tokenbudget.errors import GitError

    for name, value in settings.items():
        done = git.run(Path(), "config", name, value)
        if done.returncode:
            raise GitError(f"git config {name}: {done.stderr.strip()}", remedy="run it by hand")


def _shown(change: Change) -> Iterator[str]:
    """A change as a diff, with what it is for."""
    from pytest_tokenbudget.cli.terminal_text import paint
    from pytest_tokenbudget.wording import plain

    yield ""
    yield paint(f"{plain(str(change.path))}: {change.why}", "bold")
    name = change.path.as_posix()
    before = "/dev/null" if change.before is None else f"a/{name}"
    diff = difflib.unified_diff(
        (change.before or "").splitlines(), change.after.splitlines(), before, f"b/{name}", lineterm=""
    )
    for line in diff:
        colour = {"+": "green", "-": "red"}.get(line[:1])
        shown = plain(line, limit=2000) if line.strip() else line
        yield paint(shown, colour) if colour else shown  # type: ignore[arg-type]  # one of the two


def _agreed(question: str) -> bool:
    """Ask; an empty answer is a yes, the end of the input a no."""
    try:
        return input(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError:
        print()
        return False


def _write(change: Change) -> None:
    from pytest_tokenbudget.errors import SettingsError
    from pytest_tokenbudget.files import write_atomically

    try:
        write_atomically(change.path, change.after.encode("utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{change.path}: cannot be written: {error.strerror or error}", remedy="make its folder writable"
        ) from None


def _last(
    changes: Sequence[Change], settings: Mapping[str, str], written: Sequence[str], *, asks: bool, first_test: bool
) -> str:
    """The last line: what became of it, and what comes next."""
    if not changes and not settings:
        return "nothing to do: the project is set up"
    if written:
        record = "pytest, which records the model's answers and writes the budget" if first_test else "pytest"
        return f"\nwrote {', '.join(written)}; next: {record}, and commit what it writes"
    return "\nnothing was written" if asks else "\nnothing is written: `tokenbudget init --yes` writes it"


def _as_json(
    changes: Sequence[Change], settings: Mapping[str, str], notes: Sequence[str], written: Sequence[str]
) -> dict[str, object]:
    return {
        "changes": [
            {"path": str(change.path), "before": change.before, "after": change.after, "why": change.why}
            for change in changes
        ],
        "git_config": dict(settings),
        "notes": list(notes),
        "written": list(written),
    }


def _print(lines: Sequence[str] | Iterator[str]) -> None:
    from pytest_tokenbudget.cli.terminal_text import write_lines

    write_lines(lines)


INIT = Command(
    "init", "set a project up: its rule, git's diff and merge of baselines, a first test, CI", _arguments, _run
)
