"""``tokenbudget prune``: removes what is stored for tests that no longer exist."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget.cli import Command
from pytest_tokenbudget.cli.stored_files import find_stale, find_stored, shown

if TYPE_CHECKING:
    from pytest_tokenbudget.baselines.store import JsonStore
    from pytest_tokenbudget.cli.stored_files import Stale


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: tokenbudget prune --dry-run tests. Asks pytest which tests there are; what follows -- is passed to it: "
        "tokenbudget prune -- -p my_plugin. Files whose tests pytest does not see all, because they are skipped or not "
        "collected, are kept. Exit codes: 0 removed, or nothing to remove; 2 pytest cannot collect the tests, or a file "
        "cannot be read or written: then nothing more is removed."
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATHS", help="folders that are looked into (default: this one)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(arguments: argparse.Namespace) -> int:
    from pytest_tokenbudget.baselines.store import JsonStore
    from pytest_tokenbudget.processes.collected import collect

    stored = find_stored(arguments.paths)
    store = JsonStore()
    entries = {path: tuple(store.read(path)) for path in stored.baselines}
    collection = collect([*map(str, arguments.paths), *arguments.passed_on], place=Path.cwd())
    stale = find_stale(stored, entries, collection)
    if not arguments.dry_run:
        _remove(store, stale, entries)
    if arguments.json:
        print(json.dumps(_as_json(stale, dry_run=arguments.dry_run), indent=2))
    else:
        print("\n".join(_lines(stale, dry_run=arguments.dry_run)))
    return 0


def _remove(store: JsonStore, stale: Stale, entries: dict[Path, tuple[str, ...]]) -> None:
    from pytest_tokenbudget.errors import CassetteError

    for path, gone in stale.entries.items():
        store.prune(path, set(entries[path]) - set(gone))
    for path in stale.cassettes:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise CassetteError(
                f"{path}: cannot be removed: {error.strerror or error}", remedy="make its folder writable"
            ) from None
    for path in (*stale.entries, *stale.cassettes):
        # The folder of a reference or of the cassettes, and then `__budgets__`, where nothing is left in it.
        with suppress(OSError):
            path.parent.rmdir()
            if path.parent.name != "__budgets__":
                path.parent.parent.rmdir()


def _as_json(stale: Stale, *, dry_run: bool) -> dict[str, object]:
    from pytest_tokenbudget.files import shown_path

    here = Path.cwd()
    return {
        "dry_run": dry_run,
        "entries": [{"file": shown_path(path, here), "tests": list(gone)} for path, gone in stale.entries.items()],
        "cassettes": [shown_path(path, here) for path in stale.cassettes],
        "kept": [{"file": shown_path(path, here), "reason": reason} for path, reason in stale.kept],
    }


def _lines(stale: Stale, *, dry_run: bool) -> Iterator[str]:
    from pytest_tokenbudget.wording import counted, plain

    verb = "would remove" if dry_run else "removed"
    for path, gone in stale.entries.items():
        for key in gone:
            yield f"{verb} {shown(path)}::{plain(key)}"
    for path in stale.cassettes:
        yield f"{verb} {shown(path)}"
    for path, reason in stale.kept:
        yield f"kept {shown(path)}: {plain(reason)}"
    entries = sum(map(len, stale.entries.values()))
    if not entries and not stale.cassettes:
        yield "nothing to remove"
    else:
        yield f"{verb} {counted(entries, 'entry', 'entries')} and {counted(len(stale.cassettes), 'cassette')}"


PRUNE = Command("prune", "remove what is stored for tests that no longer exist", _arguments, _run, passes_on=True)
