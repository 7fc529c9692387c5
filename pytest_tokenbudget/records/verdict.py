"""The results of gates, tests and a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.composition import Cause, StageComposition
from pytest_tokenbudget.records.gate import Budget, GateKind, Unit
from pytest_tokenbudget.records.prompt import PromptText
from pytest_tokenbudget.records.sample import Sample, Values

Verdict = Literal[
    "ok",
    "improved",
    "regression",
    "over_limit",
    "target_missed",
    "inconclusive",
    "new",
    "no_baseline",
    "no_calls",
    "diverged",
]
SEVERITY: tuple[Verdict, ...] = (
    "diverged",
    "no_calls",
    "over_limit",
    "regression",
    "target_missed",
    "no_baseline",
    "inconclusive",
    "new",
    "improved",
    "ok",
)
"""All verdicts, the worst first."""

FAILING: frozenset[Verdict] = frozenset(
    {"regression", "over_limit", "target_missed", "no_baseline", "no_calls", "diverged"}
)
"""Verdicts that fail a test in gate mode (``inconclusive`` does so with ``--tokenbudget-strict`` only)."""


def worst_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts, ``ok`` where there are none; ``improved`` only where nothing is worse."""
    found = set(verdicts)
    return next((verdict for verdict in SEVERITY if verdict in found), "ok")


@dataclass(frozen=True, slots=True)
class ExactPart:
    """The part of a token metric that the code alone decides, on both sides, at the baseline's number of calls.

    Attributes:
        baseline: Tokens of the system prompts, tool schemas, response formats and first user turns then.
        value: Their tokens now.
        calls: Calls of the baseline in which they grew or shrank; all of them where they did not.
    """

    baseline: int
    value: int
    calls: int


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate and what it says.

    Attributes:
        metric: ``worker.input_tokens``.
        statistic: ``mean``, ``p50``, ``p90``, ``p95``, ``p99`` or ``max``.
        unit: The metric's unit.
        rule: The rule as it is shown, ``"+10%"``.
        kind: What kind of gate it is.
        baseline: The value that it was compared with, ``None`` for limits and where there is none.
        value: The value now; ``None`` where it is unknown.
        verdict: What the gate says.
        exact: Whether it was compared exactly, as opposed to statistically.
        lower: 99 % lower bound of the ratio now/baseline - 1 for statistical gates.
        upper: 95 % upper bound of the same.
        detectable: Smallest increase that could have been seen with 80 % power, as a fraction.
        samples: New values that it rests on.
        sigma: Standard deviation of a single logarithm that was assumed.
        p: p-value of statistical gates.
        reason: One sentence for verdicts that need one, and what would decide it.
        source: How the value was obtained where not from the provider: ``counted``, ``calibrated``, or ``estimated`` where
            a replay had no answer to a call.
        allowed: The largest value that the rule allows, in the metric's unit, ``None`` where there is no baseline.
        drift: Relative increase since the origin, where it is beyond twice the allowance; else ``None``.
        more: Further samples that are wanted to decide it; 0 where it is decided, or cannot be.
        exact_part: What the code alone decides of a live token metric; ``None`` where that is not known.
        learning: Whether it is a default gate on a time, or on a count that varies, whose evidence comes by itself, with
            further sessions: it is no doubt about the test.
    """

    metric: str
    statistic: str
    rule: str
    kind: GateKind
    baseline: float | int | None
    value: float | int | None
    verdict: Verdict
    exact: bool = True
    lower: float | None = None
    upper: float | None = None
    detectable: float | None = None
    samples: int = 1
    sigma: float | None = None
    p: float | None = None
    reason: str = ""
    source: str = ""
    allowed: float | int | None = None
    more: int = 0
    drift: float | None = None
    unit: Unit = "count"
    exact_part: ExactPart | None = None
    learning: bool = False

    @property
    def change(self) -> float | None:
        """Relative change against the baseline, ``None`` where it has no meaning."""
        if self.value is None or not self.baseline:
            return None
        return self.value / self.baseline - 1


def worst(gates: Iterable[GateResult]) -> Verdict:
    """The worst verdict of a test's gates; those that still learn say nothing."""
    return worst_verdict(gate.verdict for gate in gates if not gate.learning)


def has_open_target(gates: Iterable[GateResult]) -> bool:
    """Tell whether a wanted reduction is neither reached nor missed: it does not pass before it is shown."""
    return any(gate.kind == "reduce" and gate.verdict == "inconclusive" for gate in gates)


def next_batch(gates: Iterable[GateResult]) -> int:
    """Number of further samples that a test needs; 0 where all its gates are decided.

    The smallest number that any of them asks for, so that sampling stops as soon as possible.
    """
    return min((gate.more for gate in gates if gate.more), default=0)


@dataclass(frozen=True, slots=True)
class ProviderPace:
    """The speed of a model in a run beside the baseline's: what is left of the latency without the code's part.

    Attributes:
        model: The model.
        provider: Who serves it.
        ratio: Measured over expected duration of its calls: 1.6 is slower by 60 %.
        lower: 97.5 % lower bound of the ratio.
        upper: 97.5 % upper bound of the ratio.
        calls: Calls that it rests on.
    """

    model: str
    provider: str
    ratio: float
    lower: float
    upper: float
    calls: int


@dataclass(frozen=True, slots=True)
class Before:
    """The stored run that a test was compared with, so that a report can draw both sides.

    Attributes:
        total: Mean of each stored metric of the whole test.
        stages: Mean of each stored metric by stage path.
        composition: What the input consisted of, by stage path; the whole test's stands under ``""``.
    """

    total: Values = field(default_factory=dict)
    stages: dict[str, Values] = field(default_factory=dict)
    composition: dict[str, StageComposition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestResult:
    """The whole result of one test: it travels from a worker to the controller.

    Attributes:
        nodeid: pytest's node id.
        verdict: The worst verdict of its gates, or one of the test's own (``no_calls``, ``new``, ...).
        gates: All gates.
        samples: All samples that ran.
        played: After a recording: the sample that was played from it at once. It is what is judged and stored, since later
            runs are played too.
        discarded: Samples that were taken and are not counted: a cold one, or one that was no repeat. They cost money too.
        causes: Why gated metrics changed, largest first.
        messages: Notes, for whoever looks closer.
        notices: Notes that are shown also where nothing fails: outcomes that differ, metrics that drifted up.
        passed: Whether the test passed its own assertions (its numbers may be stored only then).
        failed: Whether the plugin fails it.
        against: Name of the baseline or reference that it was compared with.
        compared_with: The file of that, as it is shown: relative to the root directory.
        line: Line of its file in which the test begins, from 1.
        baseline_file: Path of the baseline file.
        key: Key of the test in its file (node id within the file).
        watched: The clients that were watched, with their versions.
        budget: What the test's markers allow; ``None`` where that is not known.
        before: The stored run that it was compared with; ``None`` where there is none, or where nobody asked for it.
        compared: Whether something was stored of it, with which it was compared.
        paces: How fast each model was beside the baseline, where live times can be compared.
        runs_per_month: How often the project runs this a month, for estimates of money; ``None`` where it does not say.
        recorded_cassette: Path of the cassette that this run recorded, ``""`` for none.
        texts: The texts of its prompts, where a command compares them with those of another run.
    """

    __test__ = False

    nodeid: str
    verdict: Verdict
    gates: tuple[GateResult, ...] = ()
    samples: tuple[Sample, ...] = ()
    causes: tuple[Cause, ...] = ()
    messages: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    passed: bool = True
    failed: bool = False
    against: str = "baseline"
    compared_with: str = ""
    line: int | None = None
    baseline_file: str = ""
    key: str = ""
    watched: tuple[str, ...] = field(default_factory=tuple)
    budget: Budget | None = None
    played: Sample | None = None
    discarded: tuple[Sample, ...] = ()
    before: Before | None = None
    compared: bool = False
    runs_per_month: float | None = None
    paces: tuple[ProviderPace, ...] = ()
    recorded_cassette: str = ""
    texts: tuple[PromptText, ...] = ()

    @property
    def stored(self) -> tuple[Sample, ...]:
        """The samples that a baseline is made of."""
        return self.samples if self.played is None else (self.played,)

    @property
    def has_estimates(self) -> bool:
        """Tell whether a replay had no answer to one of its calls, and gave that of another one: such numbers are not stored."""
        return any(call.estimated for sample in self.samples for call in sample.calls)


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
    mode: Literal["gate", "report", "off"]
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
        """Tell whether the session ends well: no test failed, all was written, and the suite did not get slower."""
        slower = self.mode == "gate" and "regression" in self.suite
        failed = any(result.failed or not result.passed for result in self.results)
        return self.ended_ok and not (slower or failed or self.problems)
