"""``tokenbudget ab BASE -- PYTEST ARGS``: base and head interleaved in one session, judged without drift."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_tokenbudget.ab.ab_options import suspicion
from pytest_tokenbudget.ab.arms import arms
from pytest_tokenbudget.ab.comparison import Asked, compare
from pytest_tokenbudget.ab.progress import closing_sentence
from pytest_tokenbudget.ab.worktree import sides
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.ab_display import progress_display
from pytest_tokenbudget.cli.terminal_text import paint_line
from pytest_tokenbudget.errors import ABError
from pytest_tokenbudget.processes.interrupts import Interrupted, interruptible
from pytest_tokenbudget.report.json_report import report_text
from pytest_tokenbudget.report.terminal import section_lines

_WRITING = ("--tokenbudget-update", "--tokenbudget-ratchet", "--tokenbudget-accept", "--tokenbudget-reference")
_RECORDING = "--tokenbudget-traffic=record"
_PROGRAM = "tokenbudget ab"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "tokenbudget ab BASE [options] -- [PYTEST ARGS]"
    parser.epilog = (
        "example: tokenbudget ab main --reduce worker.latency=25% -- tests/test_desk.py. Ctrl-C ends it and leaves nothing "
        "behind. Exit codes: 0 held, 1 a gate is not held, 2 a side that cannot run; 130 interrupted."
    )
    parser.add_argument("base", metavar="BASE", help="a git revision, or a directory with the code before")
    parser.add_argument(
        "--max-increase",
        action="append",
        default=[],
        metavar="[METRIC=]RULE",
        help="allowed increase, beside the tests' own: 10%% (default gates), worker.latency=20%%; repeatable",
    )
    parser.add_argument(
        "--reduce",
        action="append",
        default=[],
        metavar="METRIC=SHARE",
        help="wanted reduction: worker.input_tokens=30%%, worker.latency.p95=25%%; repeatable",
    )
    parser.add_argument("--max-samples", type=int, default=30, metavar="N", help="most pairs of samples (default 30)")
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="PATH",
        help="write a report (.json, .md); repeatable",
    )
    parser.add_argument(
        "--confirm", type=Path, metavar="REPORT.json", help="run only what this earlier report suspects"
    )
    parser.add_argument(
        "--same-code", action="store_true", help="allow that BASE is the code of the working tree, to see the noise"
    )
    parser.add_argument("--json", action="store_true", help="print the JSON report instead of text")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="show only the gates that are not within their bounds"
    )


def _run(arguments: argparse.Namespace) -> int:
    try:
        with interruptible():
            return _compare(arguments)
    except Interrupted as interrupted:
        print(f"{_PROGRAM}: interrupted; the base's work tree is removed", file=sys.stderr)
        return interrupted.exit_code


def _compare(arguments: argparse.Namespace) -> int:
    _check(arguments.passed_on)
    suspected = suspicion(arguments.confirm) if arguments.confirm is not None else None
    if suspected is not None and not suspected.gates:
        print(f"{arguments.confirm}: nothing is suspected, so there is nothing to confirm")
        return 0
    summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
    asked = Asked(arguments.max_increase, arguments.reduce, arguments.max_samples, suspected, arguments.report, summary)
    with sides(arguments.base, Path.cwd(), same_code=arguments.same_code) as trees, progress_display() as progress:
        run = compare(arms(trees, arguments.passed_on), asked, progress)
    if arguments.json:
        print(report_text(run))
        return 0 if run.exit_ok else 1
    for line in section_lines(run, verbosity=0 if arguments.quiet else 2, of_ab=True):
        print(paint_line(line))
    print(closing_sentence(run, trees.name))
    return 0 if run.exit_ok else 1


def _check(passed_on: Sequence[str]) -> None:
    """Nothing may be written by the many runs of an A/B comparison.

    Raises:
        ABError: If one of pytest's arguments would.
    """
    for text in passed_on:
        if text.partition("=")[0] in _WRITING or text == _RECORDING:
            raise ABError(
                f"{text}: an A/B run stores nothing",
                remedy=f"leave it out, and run `pytest {text}` once the comparison pleases you",
            )


AB = Command("ab", "compare the code with a base: both run interleaved, judged without drift", _arguments, _run, True)
