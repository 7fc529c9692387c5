"""``tokenbudget whatif``: what a cut would bring, recounted on the recorded requests before it is made."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from pytest_tokenbudget import __version__
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.recordings import find_cassette, tests_folder
from pytest_tokenbudget.errors import WhatIfError
from pytest_tokenbudget.records.verdict import RunView, TestResult
from pytest_tokenbudget.replay.cassette import read_cassette
from pytest_tokenbudget.replay.recount import Cuts, Recording, recount
from pytest_tokenbudget.report.json_report import run_json
from pytest_tokenbudget.report.table import Line, gate_lines, told_gates
from pytest_tokenbudget.wording import plain

_SHARE_EXAMPLE = "--shrink calendar_write=50%"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget whatif tests/test_desk.py::test_books --drop-tool mail_send --shrink calendar_write=50%. "
        "Exit codes: 0 recounted, 2 a cassette that cannot be read, or a change that fits nothing in it."
    )
    parser.add_argument("recording", metavar="NODEID|CASSETTE", help="a test with a cassette, or the cassette's file")
    parser.add_argument(
        "--drop-tool", action="append", default=[], metavar="NAME", help="offer this tool in no request; repeatable"
    )
    parser.add_argument(
        "--shrink",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help="cut this tool's descriptions until its schema has this share of its tokens, such as 50%%; repeatable",
    )
    parser.add_argument(
        "--drop-stage", action="append", default=[], metavar="STAGE", help="leave out this stage's calls; repeatable"
    )
    parser.add_argument("--cache", action="store_true", help="count every stable prefix as read from the cache")
    parser.add_argument("--json", action="store_true", help="print a JSON report instead of text")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.plugin.context import project_context  # imports pytest

    cuts = Cuts(
        drop_tools=tuple(arguments.drop_tool),
        shrink=dict(map(_share, arguments.shrink)),
        drop_stages=tuple(arguments.drop_stage),
        cache=arguments.cache,
    )
    if cuts == Cuts():
        raise WhatIfError("there is no change to try", remedy="give --drop-tool, --shrink, --drop-stage or --cache")
    path = find_cassette(arguments.recording)
    # Its stages, tokenizers and prices are those that a replay of the test has.
    context = project_context(tests_folder(path))
    interactions = read_cassette(path, limit=int(context.settings.cassette_limit))
    recording = Recording.read(interactions, context.reader)
    found = recount(recording, cuts, context.reader, nodeid=arguments.recording)
    if cuts.drop_stages and not found.samples[-1].calls:
        raise WhatIfError(
            f"without the calls of {', '.join(cuts.drop_stages)} nothing is left of the run",
            remedy="leave out a stage that is one of several",
        )
    if arguments.json:
        print(json.dumps(run_json(RunView(__version__, "report", (found,))), indent=2))
    else:
        print("\n".join(_lines(found, cuts)))
    return 0


def _share(text: str) -> tuple[str, float]:
    """Parse ``calendar_write=50%`` or ``calendar_write=0.5``."""
    name, _, share = text.rpartition("=")
    try:
        found = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not name or not 0 <= found <= 1:
        raise WhatIfError(f"--shrink {text}: not a tool with a share from 0 % to 100 %", remedy=_SHARE_EXAMPLE)
    return name, found


def _lines(found: TestResult, cuts: Cuts) -> Sequence[str]:
    what = [f"without the tool {name}" for name in cuts.drop_tools]
    what += [f"{name} cut to {share:.3g} of its tokens" for name, share in cuts.shrink.items()]
    what += [f"without the calls of {stage}" for stage in cuts.drop_stages]
    what += ["stable prefixes cached"] if cuts.cache else []
    lines = [f"{plain(found.nodeid)}: what if, {plain(', '.join(what))}"]
    shown = gate_lines(told_gates(found.gates), found.causes, loud=False, below=Line("      "))
    lines += [line.text for line in shown]
    lines += [f"  note: {plain(note)}" for note in found.notices]
    return lines


WHATIF = Command("whatif", "what a cut would bring, recounted on the recorded requests", _arguments, _run)
