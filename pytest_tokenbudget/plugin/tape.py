"""Which cassette a test plays or records."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pytest

from pytest_tokenbudget.baselines.paths import cassette_directory
from pytest_tokenbudget.errors import CassetteError
from pytest_tokenbudget.files import shown_path
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.plugin.judgement import plain_nodeid
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.settings import Settings

_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Tape:
    """A test's cassette.

    Attributes:
        path: Its file.
        records: Whether this run records it, as opposed to playing it.
    """

    path: Path
    records: bool

    def keep(self, exchanges: Sequence[Exchange], context: SessionContext) -> None:
        """Write the model calls of a run.

        Raises:
            CassetteError: If it may not, or cannot, be written; what stood there stays.
        """
        from pytest_tokenbudget.replay.recording import record, save
        from pytest_tokenbudget.replay.secrets import compile_patterns

        reader = context.reader
        calls = record(exchanges, reader.formats, reader.counter)
        save(self.path, calls, compile_patterns(context.settings.redact))


def cassette_of(item: pytest.Item, budget: Budget, settings: Settings, *, recorded: bool = False) -> Tape | None:
    """The cassette of a test and what becomes of it; ``None`` where its traffic is live.

    Args:
        item: The test.
        budget: What its markers say.
        settings: The session's options.
        recorded: Whether this run has recorded it already.

    Raises:
        CassetteError: If it is to be played and is not there, and may not be recorded.
    """
    mode = settings.traffic
    if mode == "live" or (budget.replay is None and mode != "replay"):
        return None
    path = cassette_directory(item.path) / f"{_name(item, budget)}.jsonl"
    if recorded:
        return Tape(path, records=False)
    if mode == "record":
        return Tape(path, records=True)
    if path.exists():
        return Tape(path, records=False)
    if mode == "replay" or os.environ.get("CI"):
        shown = shown_path(path, item.config.rootpath)
        raise CassetteError(
            f"{item.nodeid}: no cassette {shown}",
            remedy=f"pytest {item.nodeid.partition('::')[0]} --tokenbudget-traffic=record, and commit the file",
        )
    return Tape(path, records=True)


def _name(item: pytest.Item, budget: Budget) -> str:
    """The marker's own name, else one that is made of the test's: readable, and unique in its directory."""
    if budget.replay:
        return budget.replay
    name = plain_nodeid(item).partition("::")[2]
    readable = re.sub(r"[^\w.-]+", "-", f"{item.path.stem}.{name}").strip("-.")
    if readable == f"{item.path.stem}.{name}" and len(readable) <= _LONGEST:
        return readable
    return f"{readable[:_LONGEST]}-{blake2b(name.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"
