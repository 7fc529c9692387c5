"""The messages of an A/B run while it runs: each look, what is undecided, why it stopped, and what a quantile needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_tokenbudget.ab.paired_test import PairedTest
from pytest_tokenbudget.compare.sequential import PAIRED
from pytest_tokenbudget.records.gate import Metric
from pytest_tokenbudget.records.verdict import FAILING, GateResult, RunView
from pytest_tokenbudget.report.figures import bound, percent
from pytest_tokenbudget.report.highlights import lead, title
from pytest_tokenbudget.stats.ranks import values_needed
from pytest_tokenbudget.stats.statistic import LEVELS, level_of
from pytest_tokenbudget.wording import counted, plain

SHOWN_UNDECIDED = 5
"""Undecided gates that are shown after each pair as lines."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """An undecided gate, in words.

    Attributes:
        test: Name of its test.
        metric: Its metric, with the statistic where that is not the mean.
        estimate: The change so far, ``+12.3 %``.
        interval: Bounds of it, ``-2.0 % to +31.0 %``; ``""`` where there are none yet.
        rule: What is allowed or wanted.
        more: Further pairs that it wants at least.
    """

    test: str
    metric: str
    estimate: str
    interval: str
    rule: str
    more: int


@dataclass(frozen=True, slots=True)
class Look:
    """The state of a test after a pair.

    Attributes:
        pair: Pairs so far.
        tests: Number of tests.
        waiting: Tests that run again.
        decided: Gates that are decided.
        undecided: Gates that ask for further pairs.
    """

    pair: int
    tests: int
    waiting: int
    decided: int
    undecided: tuple[OpenGate, ...]


class Progress(Protocol):
    """An object that is told while an A/B run goes on."""

    def say(self, line: str) -> None:
        """Take a line for the user who waits."""

    def begin(self, pair: int, cap: int) -> None:
        """A pair begins, of at most ``cap``."""

    def look(self, look: Look) -> None:
        """A pair has been judged."""


def look_at(tests: Sequence[PairedTest], pair: int) -> Look:
    """The state of a test after a pair."""
    gates = [gate for test in tests for gate in test.gates]
    undecided = tuple(_open(test, gate) for test in tests if test.wanted for gate in test.gates if gate.more)
    waiting = sum(bool(test.wanted) for test in tests)
    decided = sum(gate.verdict != "inconclusive" for gate in gates)
    return Look(pair, len(tests), waiting, decided, undecided)


def _open(test: PairedTest, gate: GateResult) -> OpenGate:
    interval = ""
    if gate.lower is not None and gate.upper is not None:
        interval = f"{bound(gate.lower)} to {bound(gate.upper)}"
    name = test.nodeid.rpartition("::")[2] or test.nodeid
    metric = gate.metric if gate.statistic == "mean" else f"{gate.metric}.{gate.statistic}"
    return OpenGate(
        plain(name, limit=60), plain(metric), percent(gate.change), interval, gate.rule.replace("%", " %"), gate.more
    )


def look_lines(look: Look) -> Iterator[str]:
    """A look as lines; none where all is decided."""
    if not look.waiting:
        return
    yield f"  {look.waiting} of {counted(look.tests, 'test')} undecided after {counted(look.pair, 'pair')}"
    for gate in look.undecided[:SHOWN_UNDECIDED]:
        between = f" (between {gate.interval.replace(' to ', ' and ')})" if gate.interval else ""
        wanted = f"{counted(gate.more, 'more pair')} at least"
        yield f"    {gate.test}  {gate.metric} {gate.estimate}{between}, rule {gate.rule}; {wanted}"
    if len(look.undecided) > SHOWN_UNDECIDED:
        yield f"    and {counted(len(look.undecided) - SHOWN_UNDECIDED, 'gate')} more"


def why_stopped(tests: Sequence[PairedTest], cap: int) -> str:
    """Why no further pair was run, as the end of a sentence."""
    open_of = {id(test): [gate for gate in test.gates if gate.verdict == "inconclusive"] for test in tests}
    failed = [test for test in tests if any(gate.verdict in FAILING for gate in test.gates)]
    spared = sum(len(open_of[id(test)]) for test in failed)
    at_cap = sum(len(open_of[id(test)]) for test in tests if test not in failed and len(test.head) >= cap)
    hopeless = sum(map(len, open_of.values())) - spared - at_cap
    reasons = []
    if at_cap:
        reasons.append(f"{counted(at_cap, 'gate is', 'gates are')} undecided at the cap of {counted(cap, 'pair')}")
    if hopeless:
        them = "it" if hopeless == 1 else "them"
        reasons.append(
            f"{counted(hopeless, 'gate stays', 'gates stay')} undecided: no pair that is left could decide {them}"
        )
    if spared:
        reasons.append(
            f"{counted(len(failed), 'test')} failed, and further pairs would not change that"
            f" ({counted(spared, 'gate')} of {'it' if len(failed) == 1 else 'them'} left undecided)"
        )
    out = sum(test.is_out for test in tests)
    if out == len(tests):
        return "no test can be compared"
    return "; ".join(reasons) or "every gate is decided"


def closing_sentence(run: RunView, base: str) -> str:
    """The whole run in one sentence that can be forwarded.

    Args:
        run: The run.
        base: Name of the base.
    """
    said = lead(run)
    undecided = [(result, gate) for result in run.results for gate in result.gates if gate.verdict == "inconclusive"]
    sentence = f"{title(run)} against {plain(base)}" + (f": {said}" if said else "")
    if undecided:
        result, gate = undecided[0]
        name = plain(result.nodeid.rpartition("::")[2] or result.nodeid, limit=60)
        others = f" and {len(undecided) - 1} more" if len(undecided) > 1 else ""
        sentence += f"; {counted(len(undecided), 'gate')} undecided ({plain(gate.metric)} of {name}{others})"
    return f"{sentence}."


def quantile_needs(metrics: Sequence[Metric], max_samples: int) -> Iterator[str]:
    """Say before anything runs how many pooled values the quantiles that were named need, and what that asks of a sample."""
    pairs = min(max_samples, PAIRED.cap)
    for metric in metrics:
        if metric.statistic == "mean":
            continue
        needed = values_needed(level_of(metric.statistic))
        if needed is None:
            yield f"{metric}: no number of calls bounds a maximum, so it can fail and never pass; gate p95 instead"
        elif needed <= pairs:
            yield f"{metric}: needs {needed} pooled calls; at most {counted(pairs, 'pair')} allow that with one call a sample"
        else:
            yield (
                f"{metric}: needs {needed} pooled calls; at most {counted(pairs, 'pair')} allow that"
                f" only where a sample makes {-(-needed // pairs)} calls or more"
            )


def quantile_outlook(metric: Metric, calls: int, max_samples: int) -> str:
    """Say after the first pair whether the cap allows a quantile to be decided.

    Args:
        metric: The metric.
        calls: Its calls in one sample.
        max_samples: Most pairs.

    Returns:
        A sentence; ``""`` where the statistic needs no number of calls.
    """
    needed = None if metric.statistic == "mean" else values_needed(level_of(metric.statistic))
    if needed is None or not calls:
        return ""
    pairs, cap = -(-needed // calls), min(max_samples, PAIRED.cap)
    makes = f"{metric}: a sample makes {counted(calls, 'call')}, so its {needed} take {counted(pairs, 'pair')}"
    if pairs <= cap:
        return f"{makes}: --max-samples {max_samples} allows it"
    said = f"{makes}: --max-samples {max_samples} does not allow it"
    if pairs <= PAIRED.cap:
        return f"{said}; give --max-samples {pairs}"
    reachable = [name for name in ("p90", "p75", "p50") if (values_needed(LEVELS[name]) or 0) <= calls * PAIRED.cap]
    return f"{said}, nor would more: {PAIRED.cap} pairs are the most" + (f"; gate {reachable[0]}" if reachable else "")
