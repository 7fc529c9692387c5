"""The one view of a run that every report format is made from."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.verdict import TestResult, Verdict, worst_verdict
from pytest_tokenbudget.settings import Mode
from pytest_tokenbudget.wording import counted


@dataclass(frozen=True, slots=True)
class RunView:
    """One run.

    Attributes:
        version: Version of the plugin.
        mode: ``gate`` or ``report``.
        results: What the plugin says of each marked test, in the order of their node ids.
        messages: Notes on the whole run.
        suite: Verdicts on the suite's shift, one for each provider and model; the sentences stand in ``messages``, and in
            ``notes`` where all is well.
        problems: What could not be written, and why.
        notes: What a person at the terminal wants to know and a program does not: which files were written.
        advice: What could be saved, the largest first; empty where nobody asked for it.
        accepted: Node ids of the tests whose stored numbers this run replaced, each with what changed, in words.
        compare: The command that shows what changed in this run; ``""`` where there is none.
        ended_ok: Whether everything else in the session went well: other tests, fixtures, workers.
    """

    version: str
    mode: Mode
    results: tuple[TestResult, ...]
    messages: tuple[str, ...] = ()
    suite: tuple[Verdict, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    accepted: tuple[tuple[str, str], ...] = ()
    compare: str = ""
    ended_ok: bool = True

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all tests, and of the whole suite."""
        return worst_verdict([*(result.verdict for result in self.results), *self.suite])

    @property
    def exit_ok(self) -> bool:
        """Whether the session ends well: no test failed, all was written, and the suite did not get slower."""
        slower = self.mode == "gate" and "regression" in self.suite
        failed = any(result.failed or not result.passed for result in self.results)
        return self.ended_ok and not (slower or failed or self.problems)


def unattributed_text(seen: Unattributed) -> str:
    """``api.example.com/v9/brain (2 requests)``."""
    return f"{seen.host}{seen.path} ({counted(seen.count, 'request')}, {seen.reason})"
