"""``tokenbudget merge`` and ``tokenbudget merge-driver``: baselines of several jobs, or of two branches, become one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_tokenbudget.records.baseline import BaselineEntry

_DRIVER = "tokenbudget merge-driver %O %A %B %P"


def _merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget merge shard-1/test_desk.json shard-2/test_desk.json -o tests/__budgets__/test_desk.json. "
        "Exit codes: 0 written, 2 a file that cannot be read or written."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a baseline; the order does not matter")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where the union is written")


def _merge(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.baselines.merge import merge

    merged: dict[str, BaselineEntry] = {}
    for path in arguments.files:
        merged = merge(merged, _read(path))
    _write(arguments.output, merged)
    print(f"wrote {arguments.output}: {len(merged)} tests of {len(arguments.files)} files")
    return 0


def _driver_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "set up once: echo '**/__budgets__/*.json merge=tokenbudget' >> .gitattributes; "
        f"git config merge.tokenbudget.driver '{_DRIVER.replace('%', '%%')}'. "
        "Exit codes: 0 merged, 1 the same figure changed on both sides, 2 a file that cannot be read or written."
    )
    for name, text in (
        ("base", "the common ancestor"),
        ("ours", "this branch's file; the result is written here"),
        ("theirs", "the other branch's file"),
    ):
        parser.add_argument(name, type=Path, metavar=name.upper(), help=text)
    parser.add_argument("path", nargs="?", default="", metavar="PATH", help="the file's name, for messages")


def _drive(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.baselines.merge import merge_branches
    from pytest_tokenbudget.wording import plain

    sides = [
        _read(path) if path.read_bytes().strip() else {} for path in (arguments.base, arguments.ours, arguments.theirs)
    ]
    merged, conflicts = merge_branches(*sides)
    if conflicts:
        for conflict in conflicts:
            print(f"{arguments.path or arguments.ours}: changed on both sides: {plain(conflict)}", file=sys.stderr)
        print("run the tests of both branches again: pytest --tokenbudget-update", file=sys.stderr)
        return 1
    _write(arguments.ours, merged)
    return 0


def _read(path: Path) -> Mapping[str, BaselineEntry]:
    from pytest_tokenbudget.baselines.format import load
    from pytest_tokenbudget.errors import BaselineError

    try:
        return load(path.read_bytes(), path)
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be read: {error.strerror or error}", remedy="give the path of a baseline"
        ) from None


def _write(path: Path, entries: dict[str, BaselineEntry]) -> None:
    from pytest_tokenbudget.baselines.format import dump
    from pytest_tokenbudget.errors import BaselineError
    from pytest_tokenbudget.files import write_atomically

    try:
        write_atomically(path, dump(entries))
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be written: {error.strerror or error}", remedy="make its folder writable"
        ) from None


MERGE = Command("merge", "make one baseline of those that several jobs wrote", _merge_arguments, _merge)
MERGE_DRIVER = Command("merge-driver", "merge the baselines of two branches, for git", _driver_arguments, _drive)
