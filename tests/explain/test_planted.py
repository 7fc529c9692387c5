"""A known change is made to a simulated agent; the first cause, or the first note, must name it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from pytest_tokenbudget.explain import explain, notes
from pytest_tokenbudget.records.composition import within

WORKER = "worker.input_tokens"


@dataclass(frozen=True)
class Planted:
    """What is changed, in which stage's metric it is looked for, and the cause that must come first."""

    name: str
    change: Any
    part: str
    cause: str = ""
    metric: str = WORKER
    says: str = ""


def _worker(**changes: Any) -> Any:
    return lambda agent: {**agent, "worker": replace(agent["worker"], **changes)}


def _tools(**sizes: int | None) -> Any:
    """Tools of another size; ``None`` takes one away."""

    def change(agent: Any) -> Any:
        known = {**dict(agent["worker"].tools), **sizes}
        return _worker(tools=tuple((name, size) for name, size in known.items() if size is not None))(agent)

    return change


def _steps(edit: Any) -> Any:
    return lambda agent: _worker(steps=tuple(edit(agent["worker"].steps)))(agent)


def _results(tool: str, size: int) -> Any:
    """Every result of a tool gets another size."""

    def edit(steps: Any) -> Any:
        return [
            replace(step, results=tuple((name, size if name == tool else old) for name, old in step.results))
            for step in steps
        ]

    return _steps(edit)


def _both(*changes: Any) -> Any:
    def change(agent: Any) -> Any:
        for each in changes:
            agent = each(agent)
        return agent

    return change


CHANGES = [
    Planted("schema grown", _tools(calendar_write=1670), "tools", "calendar_write", says="-> 1,6"),
    Planted("schema grown a little", _tools(search=440), "tools", "search"),
    Planted("schema cut", _tools(calendar_write=600), "tools", "calendar_write"),
    Planted("tool added", _tools(translate=280), "tools", "translate", says="added"),
    Planted("tool removed", _tools(send_mail=None), "tools", "send_mail", says="removed"),
    Planted("tools no longer offered in the last call", _worker(tools_in_first=3), "tools", "calendar_write"),
    Planted("loop one longer", _steps(lambda steps: [*steps, steps[0]]), "calls", says="5 calls instead of 4"),
    Planted("loop one shorter", _steps(lambda steps: steps[:-1]), "calls", says="3 calls instead of 4"),
    Planted("loop twice as long", _steps(lambda steps: [*steps, *steps]), "calls", says="7 calls instead of 4"),
    Planted("prompt doubled", _worker(system=(("You book meetings.", 1600),)), "system"),
    Planted("prompt halved", _worker(system=(("You book.", 400),)), "system"),
    Planted("history kept twice", _worker(copies_of_history=2), "tool_results", "search", says="more often"),
    Planted("history cut to the last turn", _worker(keep_last=1), "tool_results", "search"),
    Planted("tool result larger", _results("search", 2600), "tool_results", "search"),
    Planted("tool result trimmed", _results("search", 60), "tool_results", "search"),
    Planted("reasoning sent back", _worker(echo_reasoning=400), "assistant"),
    Planted("two results a turn", _steps(lambda steps: [replace(s, results=s.results * 2) for s in steps]),
            "tool_results", "search"),
    Planted("question longer", _worker(question=("Move my meetings. Here is a mail.", 900)), "user"),
    Planted("examples added", _worker(examples=(240, 260)), "assistant"),
    Planted("image added", _worker(images=(765,)), "images", says="added"),
    Planted("file added", _worker(files=(2300,)), "files", says="added"),
    Planted("tokenizer of another model", _worker(model="gpt-4.1-nano", ratio=1.13), "model", says="gpt-4.1-nano"),
    Planted("schema grown and loop one longer", _both(_tools(calendar_write=6150), _steps(lambda s: [*s, s[0]])),
            "tools", "calendar_write"),
    Planted("a schema cut by more than another grew", _tools(calendar_write=500, search=600), "tools",
            "calendar_write"),
    Planted("timestamp put first", _worker(clock=12), "system", metric="worker.fresh_input_tokens",
            says="differs from call to call"),
    Planted("timestamp in a tool", _worker(clock_in_tool="calendar_write"), "tools", "calendar_write",
            metric="worker.fresh_input_tokens", says="differs from call to call"),
    Planted("oldest turn dropped", _worker(keep_last=2), "tool_results", "search",
            metric="worker.fresh_input_tokens"),
    Planted("answer longer", _worker(answer=900), "output", metric="worker.output_tokens"),
    Planted("reasoning on", _worker(reasoning=700), "reasoning", metric="worker.output_tokens"),
    Planted("reasoning off", _both(_worker(reasoning=0)), "reasoning", metric="-worker.output_tokens"),
    Planted("loop one longer, in output", _steps(lambda steps: [*steps, steps[0]]), "calls",
            metric="worker.output_tokens"),
    Planted("loop one longer, in calls", _steps(lambda steps: [*steps, steps[0]]), "calls", metric="worker.calls"),
    Planted("retries", _worker(failed=3), "retries", metric="worker.failed_attempts"),
    Planted("one more search", _steps(lambda steps: [replace(steps[0], results=steps[0].results * 2), *steps[1:]]),
            "tool_results", "search", metric="worker.tool_calls"),
    Planted("stage added", lambda agent: {**agent, "judge": agent["router"]}, "stage", "judge",
            metric="input_tokens", says="appeared"),
    Planted("stage vanished", lambda agent: {k: v for k, v in agent.items() if k != "router"}, "stage", "router",
            metric="input_tokens", says="vanished"),
    Planted("inner stage added", lambda agent: {**agent, "worker/check": agent["router"]}, "stage", "worker/check"),
    Planted("prompt of an inner stage doubled", lambda agent: {
        **agent, "worker/finalize": replace(agent["worker/finalize"], system=(("Turn it into JSON, please.", 420),))
    }, "system", metric="input_tokens", says="worker/finalize"),
    Planted("schema grown, in the whole test", _tools(calendar_write=1670), "tools", "calendar_write",
            metric="total_tokens", says="worker: calendar_write"),
    Planted("schema grown, in its own metric", _tools(calendar_write=1670), "tools", "calendar_write",
            metric="worker.tool_schema_tokens"),
]  # fmt: skip


def _value(compositions: Any, metric: str) -> int:
    stage, _, name = metric.rpartition(".")
    composition = within(compositions, stage)
    sums = {
        "tool_schema_tokens": sum(p.tokens for p in composition.parts if p.part == "tools"),
        "tool_calls": sum(p.distinct for p in composition.parts if p.part == "tool_results"),
        "total_tokens": composition.input_tokens + (composition.output_tokens or 0),
        "failed_attempts": composition.failed_attempts,
    }
    return sums[name] if name in sums else getattr(composition, name)


@pytest.mark.parametrize("planted", CHANGES, ids=lambda planted: planted.name)
def test_planted_change_is_the_first_cause(planted: Planted, agent: Any, simulate: Any) -> None:
    """Of all causes the one that was planted comes first, and they add up to the difference."""
    metric = planted.metric.removeprefix("-")
    start = {**agent, "worker": replace(agent["worker"], reasoning=700)} if metric != planted.metric else agent
    before, after = simulate(start), simulate(planted.change(start))
    stage, _, name = metric.rpartition(".")
    values = _value(before, metric), _value(after, metric)
    causes = explain(name, stage, before, after, before_value=values[0], after_value=values[1])
    shown = [(cause.delta, cause.part, cause.name, cause.text) for cause in causes]
    assert (causes[0].part, causes[0].name) == (planted.part, planted.cause), shown
    assert planted.says in causes[0].text, shown
    assert sum(cause.delta for cause in causes) == values[1] - values[0] != 0
    assert all(isinstance(cause.delta, int) and cause.delta for cause in causes)
    assert (causes[0].delta > 0) == (values[1] > values[0]), shown


NOTES = [
    ("timestamp put first", _worker(clock=12), "worker: cache prefix broken: the system prompt differs from call to call"),
    ("timestamp in a tool", _worker(clock_in_tool="search"), "worker: cache prefix broken: the schema of search differs"),
    ("model changed", _worker(model="gpt-4.1"), "worker: model gpt-4o -> gpt-4.1"),
    ("retries", _worker(failed=2), "worker: 2 failed attempts instead of 0"),
    ("tools in another order", _worker(tools=(("search", 420), ("calendar_write", 1150), ("send_mail", 310))),
     "worker: the prompt's first pieces stand in another order, from the schema of search on"),
    ("schema of the same size", _worker(versions={"search": "v2 "}), "worker: same size, other text: the schema of search"),
    ("prompt of the same size", _worker(versions={"system": "!"}), "worker: same size, other text: the system prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "first"), [n[1:] for n in NOTES], ids=[n[0] for n in NOTES])
def test_change_without_a_size_is_the_first_note(change: Any, first: str, agent: Any, simulate: Any) -> None:
    """What moves no token, or whose tokens are not the point, is said in a note."""
    found = notes(simulate(agent), simulate(change(agent)))
    assert found
    assert found[0].startswith(first), found


@pytest.mark.parametrize("longer", [1, 3], ids=["one longer", "twice as long"])
def test_longer_loop_breaks_no_prefix(longer: int, agent: Any, simulate: Any) -> None:
    """Framing that is alike everywhere is no sign of a broken prefix, and a longer loop is the one cause."""
    steps = agent["worker"].steps
    before, after = simulate(agent), simulate(_worker(steps=steps + steps[:longer])(agent))
    assert notes(before, after) == ()
    values = _value(before, "worker.fresh_input_tokens"), _value(after, "worker.fresh_input_tokens")
    causes = explain("fresh_input_tokens", "worker", before, after, before_value=values[0], after_value=values[1])
    assert causes[0].part == "calls"
    assert "prefix" not in " ".join(cause.text for cause in causes)


def test_unchanged_agent_has_neither_causes_nor_notes(agent: Any, simulate: Any) -> None:
    """Two equal runs have nothing to explain."""
    runs = simulate(agent), simulate(agent)
    assert notes(*runs) == ()
    assert explain("input_tokens", "worker", *runs, before_value=100, after_value=100) == ()


def test_enough_changes_are_planted() -> None:
    """At least thirty different changes are told apart."""
    assert len({planted.name for planted in CHANGES}) >= 30
