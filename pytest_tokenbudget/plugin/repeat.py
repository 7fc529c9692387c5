"""Decides which further samples a test needs, and tells the terminal of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from pytest_tokenbudget.compare.sequential import next_batch
from pytest_tokenbudget.measure.metrics import MetricSpec
from pytest_tokenbudget.records.gate import Budget
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import FAILING, GateResult
from pytest_tokenbudget.report.figures import percent
from pytest_tokenbudget.settings import Settings
from pytest_tokenbudget.wording import plain


def further_samples(
    budget: Budget, settings: Settings, samples: Sequence[Sample], gates_of: Callable[[], tuple[GateResult, ...]]
) -> Iterator[tuple[GateResult, ...]]:
    """Yield once for each further sample that is needed: the gates that are undecided, where they were just judged.

    Args:
        budget: What the test allows.
        settings: The session's options.
        samples: The samples so far; the caller adds to them between two steps.
        gates_of: Says what the gates say of the samples so far.
    """
    fixed = settings.samples or budget.samples
    if fixed is not None:
        while len(samples) < fixed:
            yield ()
        return
    # What is replayed or scripted is the same in every sample, and what replaces the baseline needs no confirmation.
    # A run that only reports fails nothing, so nothing in it has to be confirmed.
    if settings.replaces or settings.mode == "report" or samples[-1].traffic != "live":
        return
    while any(sample.calls for sample in samples) and len(samples) < budget.max_samples:
        gates = gates_of()
        # What has failed already is not made better by more samples.
        wanted = 0 if any(gate.verdict in FAILING for gate in gates) else next_batch(gates)
        for taken in range(min(wanted, budget.max_samples - len(samples))):
            yield () if taken else tuple(gate for gate in gates if gate.more)
        if not wanted:
            return


def needs_warm_up(budget: Budget, settings: Settings, table: Mapping[str, MetricSpec]) -> bool:
    """Tell whether the first live sample of a process is taken apart: its times hold imports and the making of connections.

    It costs a further run, so it is taken apart only where a time is gated by name and the number of samples is not 1.
    """
    if settings.mode == "report" or (settings.samples or budget.samples) == 1:
        return False
    named = [*budget.rules, *budget.limit, *budget.reduce]
    return any(table[metric.name].timed for metric, _ in named)


def tell_undecided(item: pytest.Item, taken: int, undecided: Sequence[GateResult]) -> None:
    """Say on the terminal why a test runs again; nothing in workers and in quiet runs.

    Args:
        item: The test.
        taken: Samples so far.
        undecided: The gates that ask for further ones.
    """
    manager = item.config.pluginmanager
    reporter = manager.get_plugin("terminalreporter")
    if reporter is None or item.config.get_verbosity() < 0:
        return
    first = undecided[0]
    others = f" and {len(undecided) - 1} more" if len(undecided) > 1 else ""
    text = f"{item.name}: {first.metric} {percent(first.change)} undecided{others} at n = {taken}; sampling again"
    capture = manager.get_plugin("capturemanager")
    if capture is None:
        reporter.write_line(plain(text))
        return
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(f"  {plain(text)}")
