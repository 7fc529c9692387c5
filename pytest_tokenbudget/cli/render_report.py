"""``tokenbudget render REPORT.json -o PAGE.html``: an earlier run in another format, without running anything."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.errors import ReportError
from pytest_tokenbudget.report.formats import BUILTIN_FORMATS, write_reports, writer_for
from pytest_tokenbudget.report.from_json import read_report

_OPTION = "--output"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="what --tokenbudget-report=report.json wrote")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        required=True,
        metavar="PATH",
        help="file to write; the format is chosen by the suffix (.html, .md, ...); repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.epilog = (
        "example: tokenbudget render report.json -o report.html -o comment.md. "
        "Exit codes: 0 written, 2 a report that cannot be read, or a file that cannot be written."
    )


def _run(arguments: argparse.Namespace) -> int:
    for name in arguments.output:
        writer_for(name, BUILTIN_FORMATS, option=_OPTION)
    run = read_report(arguments.report)
    known = len(run.problems)
    written = write_reports(run, arguments.output, BUILTIN_FORMATS, option=_OPTION, directory=Path(), summary="")
    for problem in written.problems[known:]:
        raise ReportError(problem, remedy="give another path")
    if arguments.json:
        print(json.dumps({"written": arguments.output}))
    return 0


RENDER = Command("render", "write an earlier run's JSON report in other formats", _arguments, _run)
