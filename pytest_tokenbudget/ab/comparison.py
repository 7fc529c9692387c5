"""A whole A/B run: both sides are collected, pairs are run, and the view for the reports is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_tokenbudget import __version__
from pytest_tokenbudget.ab.ab_options import Suspicion, parse_options
from pytest_tokenbudget.ab.arms import Arm, collect, write_reports_at
from pytest_tokenbudget.ab.interleave import interleave
from pytest_tokenbudget.ab.paired_test import PairedJudge, PairedTest, results_of
from pytest_tokenbudget.ab.progress import Progress, quantile_needs, why_stopped
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.verdict import RunView
from pytest_tokenbudget.report.formats import BUILTIN_FORMATS, Writer, write_reports, writer_for
from pytest_tokenbudget.wording import counted

_NAMED = 10
_REPORT = "--report"


@dataclass(frozen=True, slots=True)
class Asked:
    """The request of the command line.

    Attributes:
        increases: Values of ``--max-increase``.
        reductions: Values of ``--reduce``.
        max_samples: Most pairs.
        suspicion: What is to be confirmed, ``None`` where everything is compared.
        reports: Paths of the reports, as the user wrote them.
        summary: Path of GitHub's step summary, ``""`` where there is none.
    """

    increases: Sequence[str] = ()
    reductions: Sequence[str] = ()
    max_samples: int = 30
    suspicion: Suspicion | None = None
    reports: Sequence[str] = ()
    summary: str = ""


def compare(arms: tuple[Arm, Arm], asked: Asked, progress: Progress) -> RunView:
    """Compare two sides.

    Args:
        arms: Base and head.
        asked: What the user wants to know.
        progress: Told what is going on.

    Returns:
        What is reported.

    Raises:
        ABError: If a side cannot run, or there is nothing to compare.
    """
    base, head = arms
    # The head first: mistakes are more often there, and nothing is lost.
    now = collect(head)
    formats = {**dict.fromkeys(now.formats, _elsewhere), **BUILTIN_FORMATS}
    for name in asked.reports:
        writer_for(name, formats, option=_REPORT)
    then = collect(base)
    table = metric_table((*then.metrics, *now.metrics))
    options = parse_options(asked.increases, asked.reductions, max_samples=asked.max_samples, table=table)
    nodeids, messages = _common(arms, then, now, asked.suspicion)
    progress.say(f"{counted(len(nodeids), 'test')}: {base.name} against {head.name}")
    for line in quantile_needs([metric for metric, _ in (*options.reduce, *options.rules)], asked.max_samples):
        progress.say(line)
    only = asked.suspicion.gates if asked.suspicion is not None else None
    judge = PairedJudge(table, family=asked.suspicion.family if asked.suspicion is not None else 1, only=only)
    tests = interleave(arms, nodeids, options, judge, progress)
    messages += [f"{test.nodeid} {test.left_out}" for test in tests if test.left_out]
    results = results_of(tests)
    if not results:
        raise ABError("no test ran on both sides: " + "; ".join(messages), remedy="see why they are skipped")
    run = RunView(__version__, "gate", results, (_headline(arms, tests, options.max_samples), *messages))
    return _with_reports(run, head, formats, asked)


def _with_reports(run: RunView, head: Arm, formats: Mapping[str, Writer], asked: Asked) -> RunView:
    """Write the reports; gives the run with what could not be written."""
    place = Path.cwd()
    theirs = [name for name in asked.reports if writer_for(name, formats, option=_REPORT) is _elsewhere]
    ours = [name for name in asked.reports if name not in theirs]
    run = write_reports(run, ours, BUILTIN_FORMATS, option=_REPORT, directory=place, summary=asked.summary)
    if not theirs:
        return run
    problems = write_reports_at(head, run, [str(place / name) for name in theirs])
    return replace(run, problems=(*run.problems, *problems))


def _elsewhere(run: RunView, path: Path) -> None:
    """Stands for a format that only the head's project knows: its own process writes it."""


def _headline(arms: tuple[Arm, Arm], tests: Sequence[PairedTest], cap: int) -> str:
    most = max((len(test.head) for test in tests), default=0)
    pairs = "1 pair" if most == 1 else f"up to {most} pairs"
    why = why_stopped(tests, cap)
    return f"A/B: {arms[0].name} against {arms[1].name}, {pairs} of samples, interleaved; stopped because {why}"


def _common(
    arms: tuple[Arm, Arm], then: Transcript, now: Transcript, suspicion: Suspicion | None
) -> tuple[list[str], list[str]]:
    """The tests that both sides have, and notes on those that only one has."""
    base, head = arms
    wanted = [nodeid for nodeid, marked in now.collected.items() if marked]
    gone = [nodeid for nodeid, marked in then.collected.items() if marked and nodeid not in now.collected]
    messages = []
    if suspicion is not None:
        missing = sorted(set(suspicion.gates) - set(wanted))
        messages += _named(missing, f"to be confirmed, but not collected at {head.name}")
        wanted = [nodeid for nodeid in wanted if nodeid in suspicion.gates]
        gone = []
    tests = [nodeid for nodeid in wanted if nodeid in then.collected]
    messages += _named([nodeid for nodeid in wanted if nodeid not in then.collected], f"only at {head.name}")
    messages += _named(gone, f"only at {base.name}")
    if not tests:
        raise ABError(
            f"no budgeted test is on both sides ({len(then.collected)} tests at {base.name}, {len(wanted)} budgeted ones"
            f" at {head.name})" + "".join(f"\n  {message}" for message in messages),
            remedy="mark a test that BASE has too with token_budget, and name it after `--`",
        )
    return tests, messages


def _named(nodeids: Sequence[str], where: str) -> list[str]:
    if not nodeids:
        return []
    shown = ", ".join(nodeids[:_NAMED])
    more = f" and {len(nodeids) - _NAMED} more" if len(nodeids) > _NAMED else ""
    return [f"{where}, not compared: {shown}{more}"]
