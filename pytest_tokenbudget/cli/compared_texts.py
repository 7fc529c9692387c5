"""Finds the recordings of both sides of a comparison, so that the words that changed are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tokenbudget import git
from pytest_tokenbudget.baselines.paths import DIRECTORY
from pytest_tokenbudget.cli.recordings import marked_cassettes, own_cassette
from pytest_tokenbudget.cli.shown_tests import ShownTest
from pytest_tokenbudget.errors import TokenBudgetError
from pytest_tokenbudget.explain.text_diffs import with_text_diffs
from pytest_tokenbudget.records.composition import Cause
from pytest_tokenbudget.records.prompt import PromptText
from pytest_tokenbudget.replay.cassette import parse_cassette
from pytest_tokenbudget.replay.prompt_texts import TextRules, texts_of_cassette

if TYPE_CHECKING:
    from pytest_tokenbudget.plugin.context import SessionContext

_Texts = tuple["tuple[PromptText, ...]", "tuple[PromptText, ...]"]


class ComparedTexts:
    """Shows what changed in the texts of tests whose cassettes are known on both sides.

    The cassette of a revision is the one of its commit; that of a reference, the one of the commit that last wrote it.
    """

    def __init__(self) -> None:
        self._context: SessionContext | None = None
        self._marked: dict[Path, dict[str, Path]] = {}
        self._texts: dict[str, _Texts | None] = {}

    def explain(self, test: str, then: ShownTest, now: ShownTest, causes: Sequence[Cause]) -> tuple[Cause, ...]:
        """Give a test's causes the words that changed; as they are where a side has no recording."""
        if not any(cause.part in ("system", "tools") for cause in causes):
            return tuple(causes)
        if test not in self._texts:
            self._texts[test] = self._read(then, now)
        texts = self._texts[test]
        if texts is not None:
            return with_text_diffs(causes, *texts)
        # The report of a run says already what changed since the baseline.
        told = (
            {(one.stage, one.part, one.name): one.diff for one in now.causes if one.diff} if _is_baseline(then) else {}
        )
        return tuple(replace(one, diff=told.get((one.stage, one.part, one.name), ())) for one in causes)

    def _read(self, then: ShownTest, now: ShownTest) -> _Texts | None:
        before, after = self._recorded(then), self._recorded(now)
        if before is None or after is None or before == after:
            return None
        folder = Path(now.test.partition("::")[0]).parent
        try:
            return self._texts_of(before, folder), self._texts_of(after, folder)
        except TokenBudgetError:  # of a recording that is only asked for its words
            return None

    def _recorded(self, side: ShownTest) -> bytes | None:
        """The cassette of a test on one side: under its own name, else under the one that its marker gives now."""
        file, _, key = side.test.partition("::")
        data = _content(side, own_cassette(Path(file), key)) if key else None
        if data is None and key and side.traffic == "replay" and Path(file).is_file():
            named = self._marked_cassettes(Path(file)).get(key)
            data = None if named is None else _content(side, named)
        return data

    def _marked_cassettes(self, test_file: Path) -> dict[str, Path]:
        if test_file not in self._marked:
            try:
                found = marked_cassettes([test_file])
            except TokenBudgetError:  # the tests of now cannot be collected
                found = {}
            self._marked[test_file] = {key: path for (_, key), path in found.items()}
        return self._marked[test_file]

    def _texts_of(self, data: bytes, folder: Path) -> tuple[PromptText, ...]:
        from pytest_tokenbudget.plugin.context import project_context  # imports pytest

        if self._context is None:
            self._context = project_context(folder if folder.is_dir() else Path())
        context = self._context
        if len(data) > context.settings.cassette_limit:
            return ()
        interactions = parse_cassette(folder, data.decode("utf-8", "replace"))
        return texts_of_cassette(interactions, context.reader, TextRules.of(context.settings))


def _is_baseline(side: ShownTest) -> bool:
    """Tell whether a side is the baseline of the working tree."""
    return ":" not in side.file and Path(side.file).parent.name == DIRECTORY


def _content(side: ShownTest, cassette: Path) -> bytes | None:
    """The bytes of a cassette on one side; ``None`` where it has none."""
    revision, _, inside = side.file.rpartition(":")
    stored = Path(inside)
    is_reference = stored.parent.parent.name == DIRECTORY
    if not is_reference and stored.parent.name != DIRECTORY:
        return None  # a report, or production
    try:
        if revision:
            return git.blob(cassette, revision)
        if not is_reference:
            return cassette.read_bytes()
        commit = git.last_commit(stored)
        return None if commit is None else git.blob(cassette, commit)
    except (OSError, TokenBudgetError):
        return None
