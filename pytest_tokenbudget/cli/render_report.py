"""``tokenbudget render REPORT.json -o PAGE.html``: an earlier run in another format, without running anything."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_tokenbudget.cli.command import Command
from pytest_tokenbudget.errors import ReportError


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="what --tokenbudget-report=report.json wrote")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        required=True,
        type=Path,
        metavar="PATH",
        help="file to write; the format is chosen by the suffix (.html, .md, ...); repeatable",
    )
    parser.epilog = "example: tokenbudget render report.json -o report.html -o comment.md"


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.report.formats import builtin_writers, suffix_of
    from pytest_tokenbudget.report.from_json import read_report

    writers = builtin_writers()
    for path in arguments.output:
        if suffix_of(path.name, writers) is None:
            known = ", ".join(sorted(writers))
            raise ReportError(f"{path}: no such format; known suffixes: {known}", remedy="-o report.html")
    run = read_report(arguments.report)
    for path in arguments.output:
        try:
            writers[suffix_of(path.name, writers) or ""](run, path)
        except OSError as error:
            raise ReportError(
                f"{path}: cannot be written: {error.strerror or error}", remedy="give another path"
            ) from None
    return 0


RENDER = Command("render", "write an earlier run's JSON report in other formats", _arguments, _run)
