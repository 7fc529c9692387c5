"""``tokenbudget textconv``: a baseline as plain lines, for ``git diff``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pytest_tokenbudget.cli import Command


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget textconv tests/__budgets__/test_desk.json. `tokenbudget init` sets git up to call it. A file that "
        "is no baseline is printed as it stands, so that git diff goes on. Exit codes: 0 printed, 2 a file that cannot be read."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a baseline")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.cli.terminal_text import write_lines
    from pytest_tokenbudget.errors import BaselineError

    try:
        data = arguments.file.read_bytes()
    except OSError as error:
        raise BaselineError(
            f"{arguments.file}: cannot be read: {error.strerror or error}", remedy="give the path of a baseline"
        ) from None
    try:
        lines = list(_figures(arguments.file, data))
    except BaselineError:  # of a merge that stopped, say: git diff ends where its textconv fails
        lines = data.decode("utf-8", "replace").splitlines()
    write_lines(lines)
    return 0


def _figures(path: Path, data: bytes) -> Iterator[str]:
    """A figure a line; of what production recorded each stage's mean."""
    from pytest_tokenbudget.baselines.format import load
    from pytest_tokenbudget.baselines.paths import begins_as_production
    from pytest_tokenbudget.baselines.production_file import read_production
    from pytest_tokenbudget.records.gate import split_key
    from pytest_tokenbudget.report.figures import number, unit_of
    from pytest_tokenbudget.stats.statistic import mean
    from pytest_tokenbudget.wording import plain

    if begins_as_production(data):  # git gives the older side in a temporary folder
        for stage, metrics in sorted(read_production(path).stages.items()):
            for metric, found in sorted(metrics.items()):
                yield f"production {plain(f'{stage}.{metric}' if stage else metric)} {number(found.mean, unit_of(metric))}"
        return
    for test, entry in sorted(load(data, path).items()):
        # Where no stage is named, all is in `main`, whose figures are the test's.
        stages = {split_key(metric)[0] for metric in entry.metrics} - {""}
        for metric, record in sorted(entry.metrics.items()):
            if stages == {"main"} and split_key(metric)[0]:
                continue
            yield f"{plain(test)} {plain(metric)} {number(mean(record.values), unit_of(metric))}"


TEXTCONV = Command("textconv", "print a baseline as plain lines, for git diff", _arguments, _run)
