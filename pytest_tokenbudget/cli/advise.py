"""``tokenbudget advise``: what could be saved, the largest first, each with its evidence."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.baselines.paths import DIRECTORY, is_production, production_path
from pytest_tokenbudget.baselines.production_file import read_production
from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.recordings import cassettes_of
from pytest_tokenbudget.cli.targets import choose_keys, find_targets, node_id, read_stored
from pytest_tokenbudget.errors import BaselineError
from pytest_tokenbudget.explain.advice import advise
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.records.advice import TestEvidence
from pytest_tokenbudget.records.baseline import BaselineEntry
from pytest_tokenbudget.records.production import Production
from pytest_tokenbudget.replay.cassette import read_cassette
from pytest_tokenbudget.replay.recorded_advice import AdviceRecount
from pytest_tokenbudget.replay.recount import Recording
from pytest_tokenbudget.report.advice_text import advice_lines, weight_lines
from pytest_tokenbudget.report.evidence import evidence_of, production_weights, read_tests, stored_evidence
from pytest_tokenbudget.report.json_report import advice_json, test_json
from pytest_tokenbudget.settings import runs_per_month

if TYPE_CHECKING:
    from pytest_tokenbudget.plugin.context import SessionContext

MOST_READ = 40
"""Cassettes that are read for what their calls show; the tests of a larger suite show what their baselines hold."""

BASELINES = ("baselines", "baseline", ".")
"""Names that stand for all stored tests of this folder."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget advise; tokenbudget advise tests/test_desk.py::test_books; "
        "pytest --tokenbudget-report=report.json; tokenbudget advise report.json. "
        "Exit codes: 0 advised, 2 something cannot be read."
    )
    parser.add_argument(
        "targets",
        nargs="*",
        default=["baselines"],
        metavar="REPORT|NODEID|baselines",
        help="JSON reports of runs, tests, folders, or `baselines` for all tests that are stored in this folder "
        "(the default); several are read as one suite",
    )
    parser.add_argument(
        "--production",
        type=Path,
        metavar="FILE",
        help="weigh the savings by production's calls (default: __budgets__/production.json, where it is)",
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="most lines to show (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A test that is stored: its file, its key, and what its baseline holds."""

    test_file: Path
    key: str
    entry: BaselineEntry

    @property
    def nodeid(self) -> str:
        return f"{self.test_file.as_posix()}::{self.key}"


def _run(arguments: argparse.Namespace) -> int:
    reports = [path for path in map(Path, arguments.targets) if _is_report(path)]
    reported = [test for path in reports for test in read_tests(path)]
    stored = [one for named in arguments.targets if Path(named) not in reports for one in _stored_tests(named)]
    suite = _Suite(stored, [str(test["nodeid"]) for test in reported])
    evidence = suite.evidence(reported)
    production = _production(arguments.production)
    weights = production_weights(evidence, production) if production is not None else {}
    recount = AdviceRecount(suite.recording, lambda: suite.context.reader) if suite.cassettes else None
    found = advise(evidence, weights, recount)
    if arguments.json:
        print(json.dumps({"advice": [advice_json(each) for each in found]}, indent=2))
        return 0
    often = [float(test.get("runs_per_month") or 0) for test in reported] + suite.runs_per_month()
    if not suite.reads_cassettes:
        print(f"{len(stored):,} tests by what their baselines hold; the JSON report of a run shows more of each call")
    lines = [*weight_lines(weights), *advice_lines(found, top=arguments.top, runs_per_month=max(often, default=0))]
    print("\n".join(lines))
    return 0


def _is_report(path: Path) -> bool:
    """Tell whether a file is to be read as a report: it is no baseline, and no other thing of this name is stored."""
    return path.suffix == ".json" and DIRECTORY not in path.parts


def _stored_tests(named: str) -> list[_Stored]:
    """The stored tests that a user names.

    Raises:
        BaselineError: If there are none, or if they cannot be read.
    """
    found = []
    for target in find_targets("." if named in BASELINES else named):
        entries = {} if is_production(target.path) else read_stored(target.path)
        keys = [key for key in choose_keys(entries, target.wanted) if key in entries]
        found += [_Stored(Path(node_id(target.path, key).partition("::")[0]), key, entries[key]) for key in keys]
    if not found:
        raise BaselineError(
            f"{named}: nothing is stored of such a test",
            remedy="run it once, or name a test that `tokenbudget show` lists",
        )
    return found


class _Suite:
    """The tests that are looked through, with their cassettes.

    Attributes:
        reads_cassettes: Whether the cassettes are few enough to be read for what their calls show.
    """

    def __init__(self, stored: Sequence[_Stored], reported: Sequence[str]) -> None:
        self._stored = stored
        replayed = [one.nodeid for one in stored if one.entry.traffic == "replay"]
        self.cassettes = cassettes_of([*reported, *(one.nodeid for one in stored)], replayed=replayed)
        self.reads_cassettes = sum(one.nodeid in self.cassettes for one in stored) <= MOST_READ
        self.recording = cache(self._read_recording)

    @cached_property
    def context(self) -> SessionContext:
        """The project's stages, tokenizers and prices."""
        from pytest_tokenbudget.plugin.context import project_context  # imports pytest

        return project_context(self._stored[0].test_file.parent if self._stored else Path())

    def evidence(self, reported: Sequence[Mapping[str, object]]) -> tuple[TestEvidence, ...]:
        """Gather the evidence: as reported, by their cassettes where these are few, else by their baselines."""
        prices = self.context.reader.prices if self.cassettes and self.reads_cassettes else PriceBook()
        found = [*evidence_of(reported, prices)]
        for one in self._stored:
            recording = self.recording(one.nodeid) if self.reads_cassettes else None
            if recording is None:
                found.append(stored_evidence(one.nodeid, one.entry, prices))
                continue
            result = recording.result(self.context.reader, nodeid=one.nodeid)
            found += evidence_of([{**test_json(result)}], prices)
        return tuple(found)

    def _read_recording(self, nodeid: str) -> Recording | None:
        """The recording of a test; ``None`` where it has none."""
        path = self.cassettes.get(nodeid)
        if path is None:
            return None
        context = self.context
        return Recording.read(read_cassette(path, limit=int(context.settings.cassette_limit)), context.reader)

    def runs_per_month(self) -> list[float]:
        """Give the runs of an agent in a month, where the project says how many."""
        if not self._stored or not _says_runs_per_month():
            return []
        settings = self.context.settings
        return [runs_per_month(settings.runs_per_month, one.nodeid) or 0.0 for one in self._stored]


def _says_runs_per_month() -> bool:
    """Tell whether any configuration of pytest may say it: only then is pytest asked, which takes a second."""
    here = Path.cwd()
    names = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
    files = [folder / name for folder in (here, *here.parents) for name in names]
    told = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
    return any("tokenbudget_runs_per_month" in text for text in (*told, os.environ.get("PYTEST_ADDOPTS", "")))


def _production(path: Path | None) -> Production | None:
    """Read what production recorded: from the file that was named, or from the one of this folder where there is one."""
    chosen = path or production_path(Path())
    return read_production(chosen) if path is not None or chosen.is_file() else None


ADVISE = Command("advise", "what could be saved, the largest first, each with its evidence", _arguments, _run)
