"""Runs to report on: one test of every kind, and suites of any size. Nothing is random: the same call gives the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import Cause, PartName, PartTotal, StageComposition
from pytest_tokenbudget.records.exchange import Unattributed
from pytest_tokenbudget.records.sample import Sample, Traffic, Values
from pytest_tokenbudget.records.verdict import Before, GateResult, RunView, TestResult, Verdict
from pytest_tokenbudget.report.figures import unit_of

TOOLS = {"calendar_write": 335, "calendar_read": 43, "contacts_search": 40, "rooms_search": 124, "mail_send": 75}
"""Tokens of each tool's schema."""

_STAGES = ("router", "worker", "worker/finalize")
_PRICES = (0.4e-6, 1.6e-6)


def calls(turns: int, *, growth: float = 1.0, pace: float = 1.0, streamed: bool = True) -> tuple[Call, ...]:
    """The calls of an agent that routes, works in a loop over tools and puts its answer into a form.

    Args:
        turns: Calls of the loop.
        growth: Factor on the schema of ``calendar_write``.
        pace: Factor on all times.
        streamed: Whether answers flow, so that there is a first chunk.
    """
    clock, made = 0.0, []
    schema = int(sum(TOOLS.values()) + TOOLS["calendar_write"] * (growth - 1))
    plan = [("router", 92, 2), *(("worker", schema + 190 + 85 * turn, 24) for turn in range(turns))]
    for stage, read, written in (*plan, ("worker/finalize", 168, 42)):
        latency = pace * (0.35 + written / 80)
        cached = 640 if stage == "worker" and clock > 1 else 0
        made.append(
            Call(
                stage=stage,
                provider="openai",
                api="openai.chat",
                model="gpt-4.1-mini",
                stream=streamed,
                status=200,
                started=clock,
                latency=latency,
                ttft=0.35 * pace if streamed else None,
                usage=Usage(read, written, cached, None, 0),
                input_source="provider",
                output_source="provider",
                tool_calls=("calendar_write",) if stage == "worker" else (),
                finish_reason="tool_call" if stage == "worker" else "stop",
                cost=read * _PRICES[0] + written * _PRICES[1],
            )
        )
        clock += latency + (0.08 if stage == "worker" else 0.01)
    return tuple(made)


def _inside(call: Call, stage: str) -> bool:
    return not stage or call.stage == stage or call.stage.startswith(stage + "/")


def figures(made: Sequence[Call], stage: str) -> Values:
    """The metrics of a stage, or of the whole test (``""``)."""
    mine = [call for call in made if _inside(call, stage)]
    done = [call for call in mine if call.succeeded]
    busy = sum(call.latency for call in mine)
    spread = max(call.started + call.latency for call in mine) - min(call.started for call in mine)
    return {
        "input_tokens": sum(call.usage.input_tokens or 0 for call in done),
        "output_tokens": sum(call.usage.output_tokens or 0 for call in done),
        "cached_input_tokens": sum(call.usage.cached_input_tokens or 0 for call in done),
        "calls": len(done),
        "failed_attempts": len(mine) - len(done),
        "latency": spread,
        "model_time": busy,
        "own_time": max(0.0, spread - busy),
        "cost": sum(float(call.cost or 0) for call in done),
    }


def composition(made: Sequence[Call], stage: str, growth: float) -> StageComposition:
    """What the input of a stage's own calls consists of."""
    mine = [call for call in made if call.stage == stage and call.succeeded]
    looped = sum(call.stage == "worker" for call in mine)
    parts: list[PartTotal] = []

    def add(part: PartName, name: str, largest: int, times: int) -> None:
        if times:
            parts.append(PartTotal(part, name, largest * times, times, 1, largest, "d", largest * (times - 1)))

    for name, size in TOOLS.items():
        add("tools", name, int(size * (growth if name == "calendar_write" else 1)), looped)
    add("system", "", 56, len(mine))
    add("user", "", 36, len(mine))
    known = sum(part.tokens for part in parts)
    rest = sum(call.usage.input_tokens or 0 for call in mine) - known
    add("tool_results", "calendar_read", rest * 4 // 10 // max(1, looped), looped)
    add("assistant", "", max(0, rest * 4 // 10) // max(1, looped), looped)
    add("framing", "", max(0, sum(c.usage.input_tokens or 0 for c in mine) - sum(p.tokens for p in parts)), 1)
    read = sum(part.tokens for part in parts)
    return StageComposition(len(mine), tuple(parts), read, read // 3)


def sample(made: Sequence[Call], *, growth: float = 1.0, traffic: Traffic = "replay") -> Sample:
    """A sample with these calls."""
    return Sample(
        calls=tuple(made),
        total=figures(made, ""),
        stages={stage: figures(made, stage) for stage in _STAGES},
        composition={stage: composition(made, stage, growth) for stage in _STAGES},
        traffic=traffic,
    )


def compared(before: Sample, now: Sample, *, allowed: float = 0.1) -> Iterator[GateResult]:
    """The default gates of the whole test and of each stage, compared exactly."""
    for stage in ("", *_STAGES):
        then, here = (side.stages[stage] if stage else side.total for side in (before, now))
        for name in ("input_tokens", "output_tokens", "calls", "latency"):
            old, new = then[name], here[name]
            assert old is not None and new is not None  # noqa: PT018  # figures() knows them all
            verdict: Verdict = "regression" if new > old * (1 + allowed) else "ok"
            yield GateResult(
                metric=f"{stage}.{name}" if stage else name,
                statistic="mean",
                rule=f"+{allowed:.0%}",
                kind="max_increase",
                baseline=old,
                value=new,
                verdict=verdict,
                allowed=old * (1 + allowed),
                unit=unit_of(name),
            )


def before(side: Sample) -> Before:
    """What a test is compared with."""
    return Before(side.total, side.stages, side.composition)


def exact_test(nodeid: str, *, turns: int = 4, growth: float = 1.0) -> TestResult:
    """A replayed test whose worker offers a schema that grew by a factor."""
    folder, _, file = nodeid.partition("::")[0].rpartition("/")
    stored = f"{folder}/__budgets__/{file.removesuffix('.py')}.json"
    return replace(_exact_test(turns, growth), nodeid=nodeid, compared_with=stored)


@cache
def _exact_test(turns: int, growth: float) -> TestResult:
    then, now = sample(calls(turns)), sample(calls(turns, growth=growth), growth=growth)
    gates = tuple(compared(then, now))
    failing = [gate for gate in gates if gate.verdict == "regression"]
    old, new = TOOLS["calendar_write"], int(TOOLS["calendar_write"] * growth)
    causes = tuple(
        Cause(
            gate.metric,
            "worker",
            "tools",
            "calendar_write",
            (new - old) * turns,
            f"{'' if gate.metric.startswith('worker') else 'worker: '}calendar_write {old} -> {new} in each of {turns} calls",
        )
        for gate in failing
    )
    return TestResult(
        nodeid="",
        verdict="regression" if failing else "ok",
        gates=gates,
        samples=(now,),
        causes=causes,
        failed=bool(failing),
        before=before(then),
        watched=("httpx 0.28.1", "httpx2 2.16.2"),
    )


def many(count: int) -> RunView:
    """A suite of tests: one in fifty is over budget, the others hold."""
    return RunView(
        "0.2.0",
        "gate",
        tuple(
            exact_test(
                f"tests/agents/test_suite_{index // 25:03}.py::test_answers_question_number_{index:04}",
                turns=2 + index % 5,
                growth=1.8 if index % 50 == 7 else 1.0,
            )
            for index in range(count)
        ),
    )


def _live(nodeid: str) -> TestResult:
    """A live test whose latency chance leaves open."""
    samples = tuple(sample(calls(4, pace=pace), traffic="live") for pace in (1.04, 1.22, 1.15))
    then = sample(calls(4), traffic="live")
    gates = [replace(gate, verdict="ok", samples=3) for gate in compared(then, samples[-1])]
    bounds: list[tuple[float, float, Verdict]] = [
        (0.02, 0.27, "inconclusive"),
        (-0.05, 0.07, "ok"),
        (0.04, 0.22, "inconclusive"),
        (0.13, 0.31, "regression"),
    ]
    latency = [index for index, gate in enumerate(gates) if gate.metric.endswith("latency")]
    for index, (lower, upper, verdict) in zip(latency, bounds, strict=True):
        old = gates[index].baseline or 1
        reason = "" if verdict == "ok" else "3 of about 8 samples that would decide it"
        gates[index] = replace(
            gates[index],
            exact=False,
            verdict="inconclusive" if verdict == "regression" else verdict,
            value=old * (1 + (lower + upper) / 2),
            lower=lower,
            upper=upper,
            detectable=0.18,
            sigma=0.09,
            p=0.04,
            reason=reason,
        )
    return TestResult(
        nodeid=nodeid,
        verdict="inconclusive",
        gates=tuple(gates),
        samples=samples,
        compared_with="tests/__budgets__/test_live.json",
        before=before(then),
    )


def _with_retries(nodeid: str) -> TestResult:
    """A test with parallel branches, a retry and a ceiling that is passed."""
    base = calls(3)
    attempt = replace(
        base[1], started=base[1].started, latency=0.2, status=429, error="http 429", usage=Usage(), cost=None, ttft=None
    )
    again = replace(base[1], started=base[1].started + 0.7, attempt=1)
    branches = [replace(base[2], started=base[2].started + 0.9, latency=0.5 + 0.3 * index) for index in range(3)]
    made = (base[0], attempt, again, *branches, replace(base[-1], started=base[-1].started + 1.6))
    now = sample(made, traffic="live")
    cost = now.total["cost"] or 0
    gates = (
        GateResult("cost", "mean", "<= 0.0008", "limit", None, cost, "over_limit", allowed=0.0008, unit="USD"),
        GateResult("worker.latency", "p95", "<= 30", "limit", None, 2.9, "ok", allowed=30, unit="s"),
    )
    return TestResult(
        nodeid=nodeid,
        verdict="over_limit",
        gates=gates,
        samples=(replace(now, unattributed=(Unattributed("api.example.com", "/v9/brain", count=2),)),),
        failed=True,
        notices=("outcome 'events' was 1, is 2",),
        runs_per_month=120_000,
    )


def _improved(nodeid: str) -> TestResult:
    """A test that reads a third less than the reference asks for."""
    then, now = sample(calls(6, growth=3.0), growth=3.0), sample(calls(4))
    old, new = then.stages["worker"]["input_tokens"] or 0, now.stages["worker"]["input_tokens"] or 0
    gate = GateResult("worker.input_tokens", "mean", "-30%", "reduce", old, new, "improved", allowed=old * 0.7)
    cause = Cause(
        gate.metric,
        "worker",
        "tools",
        "calendar_write",
        -4690,
        "calendar_write 1,005 -> 335 a call, in 4 calls instead of 6",
    )
    rest = Cause(
        gate.metric, "worker", "calls", "", new - old + 4690, "4 calls instead of 6: 282 of tool schemas a call"
    )
    return TestResult(
        nodeid=nodeid,
        verdict="improved",
        gates=(gate,),
        samples=(now,),
        causes=(cause, rest),
        against="before",
        compared_with="tests/__budgets__/before/test_cut.json",
        before=before(then),
        runs_per_month=40_000,
    )


def showcase() -> RunView:
    """One test of every kind of verdict."""
    worse = replace(exact_test("tests/test_calendar.py::test_books_moves_and_cancels", turns=6, growth=2.6))
    results = (
        replace(worse, runs_per_month=120_000),
        exact_test("tests/test_calendar.py::test_finds_a_free_room", growth=2.6),
        _with_retries("tests/test_calendar.py::test_survives_a_busy_provider"),
        _live("tests/test_live.py::test_answers_in_time[gpt-4.1-mini]"),
        _improved("tests/test_cut.py::test_does_the_same_with_less"),
        TestResult("tests/test_new.py::test_not_stored_yet", "new", samples=(sample(calls(2)),)),
        TestResult(
            "tests/test_new.py::test_calls_nobody",
            "no_calls",
            samples=(Sample(),),
            failed=True,
            messages=("watched clients: httpx 0.28.1", "hosts that were contacted: none"),
        ),
        replace(exact_test("tests/test_mail.py::test_breaks_by_itself"), passed=False),
        *(exact_test(f"tests/test_mail.py::test_answers_mail[{name}]", turns=3) for name in ("short", "long", "angry")),
    )
    advice = (
        Advice(
            kind="repeated_schemas",
            stage="worker",
            part="tools",
            name="",
            tokens=17_400,
            cost=0.00696,
            seconds=None,
            share=0.41,
            sure="exact",
            text="617 tokens of schemas are sent again in 27 of 37 calls",
        ),
        Advice(
            kind="extra_call",
            stage="worker/finalize",
            part="calls",
            name="",
            tokens=2_100,
            cost=0.0013,
            seconds=8.88,
            share=0.23,
            sure="possible",
            text="a call without tools follows the loop with the same conversation: 168 tokens and 875 ms each",
        ),
        Advice("observation", "worker", "output", "", 0, None, None, 0.0, "exact", "max_tokens is never reached"),
    )
    slower = "openai gpt-4.1-mini: the suite got 4 % slower"
    return RunView("0.2.0", "gate", results, messages=(slower,), advice=advice)
