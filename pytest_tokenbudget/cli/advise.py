"""``tokenbudget advise``: what could be saved, the largest first, each with its evidence."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command

if TYPE_CHECKING:
    from pytest_tokenbudget.records.advice import Advice
    from pytest_tokenbudget.records.production import Production


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: pytest --tokenbudget-report=report.json; tokenbudget advise report.json"
    parser.add_argument(
        "reports", nargs="+", type=Path, metavar="REPORT", help="a JSON report of a run; several are read as one suite"
    )
    parser.add_argument(
        "--production",
        type=Path,
        metavar="FILE",
        help="weigh the savings by production's calls (default: __budgets__/production.json, where it is)",
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="most lines to show (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.explain.advice import advise
    from pytest_tokenbudget.prices import PriceBook
    from pytest_tokenbudget.report.evidence import evidence_of, production_weights, read_tests

    tests = [test for path in arguments.reports for test in read_tests(path)]
    evidence = evidence_of(tests, PriceBook())
    production = _production(arguments.production)
    weights = production_weights(evidence, production) if production is not None else {}
    found = advise(evidence, weights)
    runs = max((test.get("runs_per_month") or 0 for test in tests), default=0)
    if arguments.json:
        from pytest_tokenbudget.report.json_report import advice_json

        print(json.dumps({"advice": [advice_json(each) for each in found]}, indent=2))
    else:
        print("\n".join(advice_lines(found[: arguments.top], len(found), runs_per_month=runs)))
    return 0


def _production(path: Path | None) -> Production | None:
    """What production recorded: the file that was named, or the one of this folder where there is one."""
    from pytest_tokenbudget.baselines.paths import production_path
    from pytest_tokenbudget.baselines.production_file import read_production

    chosen = path or production_path(Path())
    return read_production(chosen) if path is not None or chosen.is_file() else None


def advice_lines(found: Sequence[Advice], total: int, *, runs_per_month: float = 0) -> list[str]:
    """The advice as text: share, saving, and below it the evidence.

    Args:
        found: The advice that is shown.
        total: Number of all advice.
        runs_per_month: Runs a month, for the saving in a month; 0 where that is not known.
    """
    from pytest_tokenbudget.report.figures import dollars
    from pytest_tokenbudget.wording import plain

    if not found:
        return ["nothing to advise: no known kind of waste is 1 % of the tokens, the time or the money"]
    lines = []
    for number, advice in enumerate(found, start=1):
        savings = [f"{advice.tokens:,} tokens"] if advice.tokens else []
        savings += [f"{advice.seconds:.1f} s"] if advice.seconds else []
        if advice.cost:
            month = f", about {dollars(advice.cost * runs_per_month)} a month" if runs_per_month else ""
            savings.append(dollars(advice.cost) + month)
        where = f"{plain(advice.stage, limit=40)} {advice.kind.replace('_', ' ')}"
        saving = f"up to {', '.join(savings)} a run ({advice.share:.0%}), {advice.sure}" if savings else "observation"
        lines += [f"{number:>2}  {where}: {saving}", f"    {plain(advice.text)}"]
    if len(found) < total:
        lines.append(f"... and {total - len(found)} more (--top {total})")
    lines += [
        "",
        "These numbers say what the parts cost, not that the agent works without them: its outcomes decide that.",
    ]
    return lines


ADVISE = Command("advise", "what could be saved, the largest first, each with its evidence", _arguments, _run)
