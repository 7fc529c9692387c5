"""What could be saved: in twelve agents one waste is planted each, and the first advice must be that waste."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_tokenbudget.explain.advice import advise
from pytest_tokenbudget.measure.measured import measure
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.measure.reading import Reader
from pytest_tokenbudget.prices import PriceBook
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.advice import Advice
from pytest_tokenbudget.records.exchange import Exchange
from pytest_tokenbudget.records.sample import Sample
from pytest_tokenbudget.records.verdict import TestResult
from pytest_tokenbudget.report.evidence import evidence_of
from pytest_tokenbudget.report.json_report import test_json as as_json
from pytest_tokenbudget.tokens.aggregate import stage_composition
from pytest_tokenbudget.tokens.counter import Counter

SYSTEM = (
    "You are the desk of a shop. Answer in one sentence, and look things up before you promise anything to a customer. "
)
MODEL = "gpt-4.1-mini"


def words(count: int, seed: int = 0) -> str:
    """So many words that repeat no sentence."""
    return " ".join(f"{('note', 'item', 'part', 'unit')[(at + seed) % 4]}{at * 7 + seed}" for at in range(count))


def tool(name: str, *, prose: int = 4, fields: int = 2) -> dict[str, Any]:
    """A tool whose description has so many words."""
    properties = {f"field_{at}": {"type": "string"} for at in range(fields)}
    parameters = {"type": "object", "properties": properties}
    function = {"name": name, "description": words(prose, len(name)), "parameters": parameters}
    return {"type": "function", "function": function}


@dataclass
class Run:
    """One run of an agent, on a clock of its own."""

    now: float = 0.0
    exchanges: list[Exchange] = field(default_factory=list)
    prefixes: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def call(
        self,
        stage: str,
        messages: list[dict[str, Any]],
        *,
        system: str = SYSTEM,
        tools: list[dict[str, Any]] | None = None,
        calls: str = "",
        status: int = 200,
        cached: int | None = None,
        written: int = 20,
        seconds: float = 1.0,
        limit: int | None = None,
    ) -> None:
        """One call; ``calls`` names the tool that the answer calls."""
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "system", "content": system}, *messages]}
        if limit:
            body["max_completion_tokens"] = limit
        if tools:
            body["tools"] = tools
        message: dict[str, Any] = {"role": "assistant", "content": "fine"}
        if calls:
            message["tool_calls"] = [{"id": "c", "type": "function", "function": {"name": calls, "arguments": "{}"}}]
        read = COUNTER.count_prompt(prompt_of(body), provider="openai").tokens
        if cached is None:  # a provider's cache serves whole prefixes from 1,024 tokens on
            cached = self.prefixes.get((stage, system, str(tools)), 0)
        self.prefixes[stage, system, str(tools)] = read if read >= 1024 else 0
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        answer = {"object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}
        self.exchanges.append(
            Exchange(
                client="test",
                method="POST",
                url="https://api.openai.com/v1/chat/completions",
                request_body=json.dumps(body).encode(),
                status=status,
                response_headers=(("content-type", "application/json"),),
                chunks=(json.dumps(answer if status == 200 else {"error": {"message": "slow down"}}).encode(),),
                chunk_times=(self.now + seconds,),
                started=self.now,
                ended=self.now + seconds,
                stage=stage,
            )
        )
        self.now += seconds

    def loop(self, stage: str, steps: list[str], tools: list[dict[str, Any]], **more: Any) -> None:
        """A loop over tools that ends with an answer; ``result`` is what each tool returns."""
        result = more.pop("result", "found")
        systems = more.pop("systems", None)
        orders = more.pop("orders", None)
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Where is my chair?"}]
        for number, step in enumerate([*steps, ""]):
            offered = orders[number % len(orders)] if orders else tools
            system = systems[number % len(systems)] if systems else more.get("system", SYSTEM)
            self.call(stage, list(messages), **{**more, "system": system, "tools": offered, "calls": step})
            messages.append(
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": step, "arguments": "{}"}}],
                }
            )
            messages.append({"role": "tool", "tool_call_id": "c", "content": result})


COUNTER = Counter()
READER = Reader(builtin_formats(), COUNTER, PriceBook(), lambda exchange, call, prompt: exchange.stage)
LOOP = ["find", "read", "find"]
TOOLS = [tool("find"), tool("read")]


def prompt_of(body: dict[str, Any]) -> Any:
    """The prompt of a chat completions request."""
    from urllib.parse import urlsplit

    from pytest_tokenbudget.providers.classify import classify
    from pytest_tokenbudget.providers.http_message import Request

    request = Request("POST", urlsplit("https://api.openai.com/v1/chat/completions"), {}, body)
    return classify(request, builtin_formats()).prompt()


def advice_for(*runs: Run, weights: dict[str, float] | None = None) -> tuple[Advice, ...]:
    """The advice on a suite, a run a test, by way of the JSON report."""
    tests = []
    for number, run in enumerate(runs):
        calls = READER.read_all(run.exchanges, origin=0.0).calls
        schemas = {}
        for call in calls:
            if call.prompt is not None:
                schemas.update(READER.schemas.read(call.prompt, provider=call.provider))
        measured = measure(
            calls, (), call_phase=run.now, own_time=None, table=metric_table(), compose=stage_composition
        )
        sample = Sample(
            calls=calls,
            total=measured.total,
            stages=measured.stages,
            composition=measured.composition,
            traffic="replay",
            schemas=schemas,
        )
        tests.append(as_json(TestResult(nodeid=f"test_{number}.py::test", verdict="ok", samples=(sample,))))
    return advise(evidence_of(tests, PriceBook()), weights)


def clean() -> Run:
    """A router and a worker with two small tools."""
    run = Run()
    run.call("router", [{"role": "user", "content": "Where is my chair?"}], written=1)
    run.loop("worker", LOOP, TOOLS)
    return run


def unused_tool() -> Run:
    run = Run()
    run.loop("worker", LOOP, [*TOOLS, tool("mail_send", fields=40)])
    return run


def large_tool() -> Run:
    run = Run()
    run.loop("worker", ["find", "write", "find", "find"], [*TOOLS, tool("write", fields=90)], system=words(300))
    return run


def wordy_schema() -> Run:
    run = Run()
    run.loop("worker", LOOP, [tool("find", prose=250), tool("read")])
    return run


def repeated_text() -> Run:
    run = Run()
    rule = "Whenever a customer asks for an order, take the number from the letter and never from the screen. " * 2
    tools = [tool("find", fields=20), tool("read", fields=20)]
    for each in tools:
        each["function"]["description"] = rule
    run.loop("worker", LOOP, tools, system=rule + SYSTEM)
    return run


def repeated_schemas() -> Run:
    run = Run()
    tools = [tool(name, fields=30) for name in ("find", "read", "note")]
    run.loop("worker", ["find", "read", "note", "find", "read", "note"], tools)
    return run


def tools_by_intent() -> tuple[Run, ...]:
    first, second = Run(), Run()
    tools = [tool("find"), tool("refund", fields=60), tool("book", fields=55)]
    first.loop("worker", ["find", "refund"], tools, system=words(200))
    second.loop("worker", ["find", "book"], tools, system=words(200))
    return first, second


def large_result() -> Run:
    run = Run()
    run.loop("worker", LOOP, TOOLS, result=words(400))
    return run


def broken_prefix() -> Run:
    run = Run()
    systems = [f"It is 09:{minute:02d}. {words(500)}" for minute in range(4)]
    run.loop("worker", LOOP, TOOLS, systems=systems)
    return run


def unserved_cache() -> Run:
    run = Run()
    run.loop("worker", LOOP, TOOLS, system=words(500), cached=0)
    return run


def extra_call() -> Run:
    run = clean()
    run.call("finalize", [{"role": "user", "content": "Turn this into JSON: fine"}], written=60, seconds=2.0)
    return run


def failed_attempts() -> Run:
    run = Run()
    run.call("worker", [{"role": "user", "content": "Where?"}], status=429, seconds=5.0)
    run.loop("worker", LOOP, TOOLS)
    return run


def sequential_calls() -> Run:
    run = Run()
    for number in range(4):
        run.call("summary", [{"role": "user", "content": f"Describe lamp {number}."}], written=150, seconds=3.0)
    return run


PLANTED: dict[str, tuple[Callable[[], Any], str]] = {
    "unused_tool": (unused_tool, "mail_send"),
    "large_tool": (large_tool, "write"),
    "wordy_schema": (wordy_schema, "find"),
    "repeated_text": (repeated_text, ""),
    "repeated_schemas": (repeated_schemas, ""),
    "tool_by_intent": (tools_by_intent, ""),
    "large_result": (large_result, "find"),
    "cache_broken": (broken_prefix, ""),
    "cache_unused": (unserved_cache, ""),
    "extra_call": (extra_call, ""),
    "failed_attempts": (failed_attempts, ""),
    "sequential_calls": (sequential_calls, ""),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_the_planted_waste_is_the_first_advice(kind: str) -> None:
    """Each of the twelve kinds, with its tool where it has one."""
    planted, name = PLANTED[kind]
    runs = planted()
    found = advice_for(*(runs if isinstance(runs, tuple) else (runs,)))
    assert (found[0].kind, found[0].name if name else "") == (kind, name), [
        (each.kind, each.name, round(each.share, 3)) for each in found
    ]
    assert 0 < found[0].share <= 1
    assert found[0].text


def test_a_clean_agent_gets_no_advice() -> None:
    """Nothing above 3 % of the tokens is found in a router and a worker with two small tools."""
    assert [each for each in advice_for(clean()) if each.share > 0.03] == []


def test_a_tool_that_another_test_needs_is_not_called_unused() -> None:
    """Unused is what no test of the suite calls in that stage."""
    first, second = Run(), Run()
    tools = [*TOOLS, tool("mail_send", fields=4)]
    first.loop("worker", LOOP, tools)
    second.loop("worker", ["mail_send"], tools)
    assert "unused_tool" in {each.kind for each in advice_for(first)}
    assert "unused_tool" not in {each.kind for each in advice_for(first, second)}


def test_a_router_that_opens_each_turn_is_no_extra_call() -> None:
    """It follows the last answer of the turn before, but it also opens the run."""
    run = clean()
    run.call("router", [{"role": "user", "content": "And my lamp?"}], written=1)
    run.loop("worker", LOOP, TOOLS)
    assert "extra_call" not in {each.kind for each in advice_for(run)}


def test_production_weighs_the_savings() -> None:
    """Where production's worker calls its model four times as often as the test's, a saving there is worth four times as much."""
    runs = unused_tool()
    (plain,) = [each for each in advice_for(runs) if each.name == "mail_send"]
    (weighed,) = [each for each in advice_for(runs, weights={"worker": 4.0}) if each.name == "mail_send"]
    assert weighed.tokens == 4 * plain.tokens


def test_lists_of_values_and_examples_count_as_words() -> None:
    """A schema may be long without a description; a field that is called ``enum`` is no list of values."""
    run = Run()
    country = {"type": "string", "enum": [f"country {number}" for number in range(150)], "examples": ["country 1"]}
    find = tool("find")
    find["function"]["parameters"]["properties"] |= {"country": country, "enum": {"type": "string"}}
    run.loop("worker", LOOP, [find, tool("read")])
    first = advice_for(run)[0]
    assert (first.kind, first.name) == ("wordy_schema", "find")
    assert "are lists of values" in first.text
    assert "examples and defaults" in first.text
    assert "its largest field is country" in first.text


def test_a_limit_that_no_answer_comes_near_to_is_an_observation() -> None:
    """It saves nothing by itself, and is only said where it is far away from every answer."""
    near, far = Run(), Run()
    near.loop("worker", LOOP, TOOLS, limit=60)
    far.loop("worker", LOOP, TOOLS, limit=4096)
    assert not [each for each in advice_for(near) if each.kind == "observation"]
    (seen,) = [each for each in advice_for(far) if each.kind == "observation"]
    assert (seen.tokens, seen.cost, seen.part) == (0, None, "output")
    assert "allow 4,096 output tokens, and its longest answer has 20" in seen.text
