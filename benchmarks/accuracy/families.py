"""Token gates on whole samples: a prompt that grew under a noisy loop, and further samples that are no evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

from pytest_tokenbudget.compare.gate_results import GateInput, judge_gates
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.measure.repeats import why_no_repeat
from pytest_tokenbudget.records.baseline import BaselineEntry, MetricRecord
from pytest_tokenbudget.records.call import Call
from pytest_tokenbudget.records.composition import Composition, FixedPart, PartName, Piece
from pytest_tokenbudget.records.gate import Budget, Metric, Rule
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import next_batch
from pytest_tokenbudget.tokens.aggregate import stage_composition

TABLE = metric_table()
TEN = Budget(None, rules=((Metric("", "input_tokens"), Rule(Fraction(1, 10))),))
FAMILIES = (
    "unchanged loop of 3 to 6 calls",
    "prompt +12 %, loop of 3 to 6 calls",
    "unchanged, +-3 %",
    "unchanged, deterministic",
    "carried over: +40 %, later samples hold the earlier ones",
    "memo: +40 %, later samples make no call",
    "memo: +40 %, later samples lack the first call",
)
SYSTEM, USER = 2000, 100


@dataclass(frozen=True)
class FamilyCell:
    """What is simulated.

    Attributes:
        family: One of :data:`FAMILIES`.
        repeats: How often.
    """

    family: str
    repeats: int


@dataclass
class FamilyOutcome:
    """Verdicts, and the samples that they took."""

    cell: FamilyCell
    verdicts: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    samples: int = 0


def _call(number: int, *history: tuple[PartName, int, str], fixed: int) -> Call:
    said = (Piece(part, "", tokens, digest) for part, tokens, digest in history)
    pieces = (Piece("system", "", fixed, f"s{fixed}"), Piece("user", "", USER, "u"), *said)
    total = sum(piece.tokens for piece in pieces)
    composition = Composition(pieces, total, total, "e", fixed=FixedPart("agent", fixed, USER))
    return Call("main", "p", "a", model="m", started=float(number), latency=0.5, composition=composition)


def _sample(calls: list[Call]) -> Sample:
    total = sum(call.composition.input_tokens for call in calls if call.composition is not None)
    composition = {"main": stage_composition(calls, first_answer=0.5)}
    return Sample(calls=tuple(calls), total={"input_tokens": total}, composition=composition)


def _loop(count: int, rng: Random, *, fixed: int = SYSTEM, low: int = 50, high: int = 400) -> Sample:
    """A loop whose history grows by what the model and its tools say."""
    calls: list[Call] = []
    history: list[tuple[PartName, int, str]] = []
    for number in range(count):
        calls.append(_call(number, *history, fixed=fixed))
        history.append(("assistant", rng.randint(low, high), f"a{rng.random()}"))
    return _sample(calls)


def _runs(family: str, rng: Random) -> tuple[Sample, list[Sample]]:
    """A baseline sample, and the samples that further runs would give in order."""
    if "loop" in family:
        before = _loop(rng.randint(3, 6), rng)
        base = before.total["input_tokens"] or 0
        growth = -(-12 * base // (100 * len(before.calls))) if "+12 %" in family else 0
        return before, [_loop(rng.randint(3, 6), rng, fixed=SYSTEM + int(growth)) for _ in range(10)]
    if family.startswith("unchanged"):
        low, high = (200, 200) if "deterministic" in family else (190, 210)
        return _loop(4, rng, low=low, high=high), [_loop(4, rng, low=low, high=high) for _ in range(10)]
    before = _loop(3, rng, low=200, high=200)
    first = _loop(3, rng, low=1300, high=1300)
    if "no call" in family:
        return before, [first, *[Sample()] * 9]
    if "lack" in family:
        return before, [first, *[_sample(list(first.calls[1:]))] * 9]
    later, said = [], [("assistant", 1300, f"b{number}") for number in range(12)]
    for number in range(9):
        history: list[tuple[PartName, int, str]] = [("assistant", tokens, digest) for _, tokens, digest in said]
        earlier = [(piece.part, piece.tokens, piece.digest) for piece in _last(first)][2:]
        later.append(_sample([_call(0, *earlier, *history[: number + 1], fixed=SYSTEM)]))
    return before, [first, *later]


def _last(sample: Sample) -> tuple[Piece, ...]:
    composition = sample.calls[-1].composition
    assert composition is not None
    return composition.pieces


def simulate_family(task: tuple[FamilyCell, int]) -> FamilyOutcome:
    """Simulate one cell as the plugin samples it: until the gate is decided, with what is evidence."""
    cell, seed = task
    rng = Random(f"{seed}/{cell.family}")
    outcome = FamilyOutcome(cell)
    for _ in range(cell.repeats):
        before, runs = _runs(cell.family, rng)
        records = {"input_tokens": MetricRecord(((before.total["input_tokens"] or 0,),))}
        entry = BaselineEntry(metrics=records, composition=before.composition)
        taken = 1
        while True:
            kept = [runs[0], *(run for run in runs[1:taken] if not why_no_repeat(runs[0], run))]
            fixed = len(kept) < taken  # what depends on the first sample says no more: the first one decides
            (gate,) = judge_gates(GateInput(TEN, kept, entry, True, TABLE, fixed=fixed))
            more = next_batch([gate])
            if gate.verdict != "inconclusive" or not more or taken >= len(runs):
                break
            taken = min(len(runs), taken + more)
        outcome.verdicts[gate.verdict] += 1
        outcome.at_once += gate.verdict == "regression" and taken == 1
        outcome.samples += taken
    return outcome
