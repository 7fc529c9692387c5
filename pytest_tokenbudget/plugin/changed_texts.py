"""Finds the texts that a test's prompts had before, and shows what changed in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_tokenbudget import git
from pytest_tokenbudget.errors import CassetteError, GitError
from pytest_tokenbudget.explain.text_diffs import with_text_diffs
from pytest_tokenbudget.plugin.context import SessionContext
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.prompt import PromptText
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.replay.cassette import parse_cassette
from pytest_tokenbudget.replay.prompt_texts import TextRules, texts_of_calls, texts_of_cassette


def with_changed_texts(
    result: TestResult, asked: Sequence[Call], cassette: Path, recorded: bytes | None, context: SessionContext
) -> TestResult:
    """Give a test's causes the diff of the text that changed, where an earlier recording has it.

    The earlier text is that of the cassette; where this has the text of now, because it was recorded anew, that of the
    cassette in the commit that last wrote the baseline.

    Args:
        result: What is said of the test.
        asked: The calls of this run, with their prompts.
        cassette: Path of its cassette.
        recorded: The cassette's bytes before this run; ``None`` where there was none.
        context: The session's tools.
    """
    if not any(cause.part in ("system", "tools") for cause in result.causes):
        return result
    rules = TextRules.of(context.settings)
    now = texts_of_calls(asked, rules)
    for data in _recordings(recorded, cassette, Path(result.baseline_file)):
        causes = with_text_diffs(result.causes, _texts(data, cassette, rules, context), now)
        if any(cause.diff for cause in causes):
            return replace(result, causes=causes)
    return result


def _recordings(recorded: bytes | None, cassette: Path, baseline: Path) -> Iterator[bytes]:
    """Give the recordings that may hold the earlier text, the likeliest first."""
    if recorded is not None:
        yield recorded
    try:
        commit = git.last_commit(baseline)
        committed = None if commit is None else git.blob(cassette, commit)
    except GitError:
        return
    if committed is not None and committed != recorded:
        yield committed


def _texts(data: bytes, path: Path, rules: TextRules, context: SessionContext) -> tuple[PromptText, ...]:
    if len(data) > context.settings.cassette_limit:
        return ()
    try:
        return texts_of_cassette(parse_cassette(path, data.decode("utf-8", "replace")), context.reader, rules)
    except CassetteError:  # of an earlier state, which is only asked for its words
        return ()
