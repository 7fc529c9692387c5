"""``tokenbudget merge`` and ``tokenbudget merge-driver``: baselines of several jobs, or of two branches, become one."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_tokenbudget.records.baseline import BaselineEntry

_DRIVER = "tokenbudget merge-driver %O %A %B %P"


def _merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "examples: tokenbudget merge shard-1/test_desk.json shard-2/test_desk.json -o tests/__budgets__/test_desk.json; "
        "tokenbudget merge shard-1 shard-2 -o . "
        "What stands at the output already is taken for what the jobs began with: an entry that a job did not change is of "
        "a test that it did not run. "
        "Exit codes: 0 written, 2 a file that cannot be read or written."
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a baseline, or a folder of them; the order does not matter"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PATH", help="the file, or the folder, that is written"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _merge(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.baselines.merge import merge_shards

    written = []
    for path, shards in _shards(arguments.paths, arguments.output).items():
        base = _read(path) if path.is_file() else {}
        merged = merge_shards(base, [_read(shard) for shard in shards])
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, merged)
        written.append({"path": str(path), "tests": len(merged), "files": len(shards)})
        if not arguments.json:
            print(f"wrote {path}: {counted(len(merged), 'test')} of {counted(len(shards), 'file')}")
    if arguments.json:
        print(json.dumps({"written": written}, indent=2))
    return 0


def _shards(inputs: Sequence[Path], output: Path) -> dict[Path, list[Path]]:
    """Tell which files are merged into which: path of the result -> its shards.

    Raises:
        BaselineError: If there is nothing to merge, or if files and folders are mixed.
    """
    from pytest_tokenbudget.errors import BaselineError

    folders = [path for path in inputs if path.is_dir()]
    if not folders:
        return {output: list(inputs)}
    if len(folders) < len(inputs) or output.is_file():
        raise BaselineError(
            "files and folders cannot be merged with each other", remedy="give folders alone, and a folder as -o"
        )
    found: dict[Path, list[Path]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.json")):
            relative = path.relative_to(folder)
            if path.name != "production.json" and "__budgets__" in (*folder.resolve().parts, *relative.parts):
                found.setdefault(output / relative, []).append(path)
    if not found:
        raise BaselineError(
            f"no baseline stands below {', '.join(map(str, folders))}",
            remedy="give folders that hold a folder __budgets__, as the jobs uploaded them",
        )
    return found


def _driver_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        f"example: git config merge.tokenbudget.driver '{_DRIVER}', which `tokenbudget init` offers, with "
        "the line in .gitattributes that sends baselines to it. "
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
    from pytest_tokenbudget.baselines.format import load
    from pytest_tokenbudget.baselines.merge import merge_branches
    from pytest_tokenbudget.baselines.paths import begins_as_production
    from pytest_tokenbudget.wording import plain

    name = Path(arguments.path or arguments.ours)
    base, ours, theirs = (_bytes(path) for path in (arguments.base, arguments.ours, arguments.theirs))
    if begins_as_production(ours) or begins_as_production(theirs):
        # Two imports tell of two sets of rows, and no sum of them is one of both.
        print(f"{name}: both branches imported production; this one's is kept", file=sys.stderr)
        print(f"import it again, or take the other: git checkout --theirs {shlex.quote(str(name))}", file=sys.stderr)
        return 1
    sides = [load(data, name) if data.strip() else {} for data in (base, ours, theirs)]
    merged, conflicts = merge_branches(*sides)
    if conflicts:
        for conflict in conflicts:
            print(f"{name}: changed on both sides: {plain(conflict)}", file=sys.stderr)
        print("run the tests of both branches again: pytest --tokenbudget-update", file=sys.stderr)
        return 1
    _write(arguments.ours, merged)
    return 0


def _read(path: Path) -> Mapping[str, BaselineEntry]:
    from pytest_tokenbudget.baselines.format import load

    return load(_bytes(path), path)


def _bytes(path: Path) -> bytes:
    from pytest_tokenbudget.errors import BaselineError

    try:
        return path.read_bytes()
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
