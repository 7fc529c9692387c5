"""``tokenbudget textconv``: a baseline as plain lines, for ``git diff``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_tokenbudget.cli import Command


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "set up once: echo '**/__budgets__/*.json diff=tokenbudget' >> .gitattributes; "
        "git config diff.tokenbudget.textconv 'tokenbudget textconv'. "
        "Exit codes: 0 printed, 2 a file that cannot be read."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a baseline")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.baselines.format import load
    from pytest_tokenbudget.errors import BaselineError
    from pytest_tokenbudget.report.figures import number, unit_of
    from pytest_tokenbudget.stats.statistic import mean
    from pytest_tokenbudget.wording import plain

    try:
        data = arguments.file.read_bytes()
    except OSError as error:
        raise BaselineError(
            f"{arguments.file}: cannot be read: {error.strerror or error}", remedy="give the path of a baseline"
        ) from None
    for test, entry in sorted(load(data, arguments.file).items()):
        for metric, record in sorted(entry.metrics.items()):
            print(f"{plain(test)} {plain(metric)} {number(mean(record.values), unit_of(metric))}")
    return 0


TEXTCONV = Command("textconv", "print a baseline as plain lines, for git diff", _arguments, _run)
