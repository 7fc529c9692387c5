"""Says which of the processes that a sample started were not watched, and so may have called a model unseen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_tokenbudget.capture.children.started import StartedProcess, program_of

if TYPE_CHECKING:
    from pytest_tokenbudget.capture.children.spool import ChildProcess

REMEDY = "where it calls a model, start it with the environment of the llm_proxy fixture"

_WRAPPERS = frozenset({
    "bash", "dash", "env", "hatch", "just", "make", "nice", "nohup", "nox", "pdm", "pipenv", "poetry", "sh", "sudo",
    "time", "timeout", "tox", "uv", "uvx", "xargs", "zsh",
})  # fmt: skip
"""Programs that run others, and have nothing to say to a model themselves."""

_SHOWN = 5
_LONGEST = 60


def child_notes(
    children: Sequence[ChildProcess], started: Sequence[StartedProcess], *, since: float, forwarded: int
) -> tuple[str, ...]:
    """The notes on the children that said that they are there, and on what else was started in the sample."""
    notes = [
        f"a child process is not watched: {_shown(child.command)}: {_problem(child)}; {REMEDY}"
        for child in children
        if _problem(child) and child.first_seen >= since
    ]
    return (*dict.fromkeys(notes), *_unwatched(children, started, since, forwarded))


def _problem(child: ChildProcess) -> str:
    if child.python and tuple(map(int, child.python.split("."))) < (3, 11):
        return f"it runs Python {child.python}, and watching needs 3.11"
    return child.problem


def _unwatched(
    children: Sequence[ChildProcess], started: Sequence[StartedProcess], since: float, forwarded: int
) -> tuple[str, ...]:
    there = {child.pid for child in children}
    above = {pid for child in children for pid in child.ancestors}
    new = {pid for child in children if child.first_seen >= since for pid in (child.pid, *child.ancestors)}
    if new - {process.pid for process in started} - {os.getpid()}:
        above.add(0)  # a process whose id is not known has started a child
    names: Counter[str] = Counter()
    isolated: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    for process in started:
        program = program_of(process.command)
        if process.pid in there or (program in _WRAPPERS and process.pid in above):
            continue
        if process.goes_through_proxy:
            silent[_shown(process.command)] += not forwarded
            continue
        (isolated if program.startswith(("python", "pypy")) else names)[_shown(process.command)] += 1
    notes = []
    if isolated:
        notes.append(
            f"a Python process was started that is not watched: {_list(isolated)}; the options -I, -E and -S keep it from"
            f" being watched: leave them out, or {REMEDY.partition(', ')[2]}"
        )
    if silent := +silent:
        notes.append(f"a process was given the address of llm_proxy and asked nothing through it: {_list(silent)}")
    if names:
        notes.append(f"a process was started that is not watched: {_list(names)}; {REMEDY}")
    return tuple(notes)


def _shown(command: Sequence[str]) -> str:
    text = " ".join([program_of(command), *command[1:]])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _list(names: Counter[str]) -> str:
    shown = [name if count == 1 else f"{name} ({count} times)" for name, count in list(names.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
