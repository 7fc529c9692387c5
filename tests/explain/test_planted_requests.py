"""A known change is made to the requests of an agent, in the words of four APIs; the first cause must name it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from wire_prompts import prompt_for

from pytest_tokenbudget.explain import explain
from pytest_tokenbudget.records.call import Call, Usage
from pytest_tokenbudget.records.composition import StageComposition
from pytest_tokenbudget.tokens.aggregate import stage_composition
from pytest_tokenbudget.tokens.counter import Counter

MODELS = {
    "openai.chat": "gpt-4o",
    "openai.responses": "gpt-4.1",
    "anthropic.messages": "claude-sonnet-4-5",
    "google.generate_content": "gemini-2.5-flash",
}
WORDS = [
    "the",
    "agent",
    "moves",
    "a",
    "meeting",
    "and",
    "cancels",
    "two",
    "more",
    "because",
    "the",
    "user",
    "asked",
    "for",
    "it",
    "on",
    "monday",
]


def prose(words: int, seed: int) -> str:
    """So many words, others for another seed."""
    return " ".join(WORDS[(at * 7 + seed * 3 + at // 5) % len(WORDS)] for at in range(words))


def tool(name: str, words: int, parameters: int = 3) -> dict[str, Any]:
    """A function whose description has so many words."""
    properties = {f"argument_{at}": {"type": "string", "description": prose(8, at)} for at in range(parameters)}
    return {
        "name": name,
        "description": prose(words, len(name)),
        "parameters": {"type": "object", "properties": properties},
    }


@dataclass(frozen=True)
class Agent:
    """An agent that loops over tools; ``steps`` are the tool that is called and the words of its result."""

    system: str = prose(200, 2)
    question: str = prose(60, 9)
    tools: tuple[dict[str, Any], ...] = (tool("search", 60), tool("calendar_write", 90), tool("send_mail", 40))
    steps: tuple[tuple[str, int], ...] = (("search", 80), ("search", 90), ("calendar_write", 30))
    says: str = prose(12, 4)
    copies: int = 1
    clock: bool = False

    def request(self, api: str, turn: int) -> dict[str, Any]:
        """The body of call number ``turn``."""
        system = f"It is 09:{turn:02d} now. {self.system}" if self.clock else self.system
        history = [
            (f"call_{at}", name, prose(words, 20 + at)) for at, (name, words) in enumerate(self.steps[:turn])
        ] * self.copies
        return {"model": MODELS[api], **WRITERS[api](self, system, history)}


History = list[tuple[str, str, str]]


def _chat(agent: Agent, system: str, history: History) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": agent.question},
    ]
    for call, name, result in history:
        asked = {"id": call, "type": "function", "function": {"name": name, "arguments": json.dumps({"q": "x"})}}
        messages.append({"role": "assistant", "content": agent.says, "tool_calls": [asked]})
        messages.append({"role": "tool", "tool_call_id": call, "content": result})
    return {"messages": messages, "tools": [{"type": "function", "function": each} for each in agent.tools]}


def _responses(agent: Agent, system: str, history: History) -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"role": "user", "content": agent.question}]
    for call, name, result in history:
        items.append({"role": "assistant", "content": agent.says})
        items.append({"type": "function_call", "call_id": call, "name": name, "arguments": '{"q":"x"}'})
        items.append({"type": "function_call_output", "call_id": call, "output": result})
    return {"instructions": system, "input": items, "tools": [{"type": "function", **each} for each in agent.tools]}


def _messages(agent: Agent, system: str, history: History) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": agent.question}]
    for call, name, result in history:
        asked = {"type": "tool_use", "id": call, "name": name, "input": {"q": "x"}}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": agent.says}, asked]})
        answer = {"type": "tool_result", "tool_use_id": call, "content": result}
        messages.append({"role": "user", "content": [answer]})
    tools = [
        {"name": each["name"], "description": each["description"], "input_schema": each["parameters"]}
        for each in agent.tools
    ]
    return {"system": system, "messages": messages, "tools": tools}


def _generate(agent: Agent, system: str, history: History) -> dict[str, Any]:
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": agent.question}]}]
    for _, name, result in history:
        asked = {"functionCall": {"name": name, "args": {"q": "x"}}}
        contents.append({"role": "model", "parts": [{"text": agent.says}, asked]})
        answer = {"functionResponse": {"name": name, "response": {"result": result}}}
        contents.append({"role": "user", "parts": [answer]})
    declared = [{"functionDeclarations": list(agent.tools)}]
    return {"systemInstruction": {"parts": [{"text": system}]}, "contents": contents, "tools": declared}


WRITERS: dict[str, Callable[[Agent, str, History], dict[str, Any]]] = {
    "openai.chat": _chat,
    "openai.responses": _responses,
    "anthropic.messages": _messages,
    "google.generate_content": _generate,
}
COUNTER = Counter()


def run(agent: Agent, api: str, ratio: float | None) -> StageComposition:
    """The composition of a run; ``ratio``: the provider's tokens a local one, ``None`` where it reports none."""
    calls = []
    for turn in range(len(agent.steps) + 1):
        prompt = prompt_for(api, agent.request(api, turn))
        assert prompt is not None
        counted = COUNTER.count_prompt(prompt, provider=api.partition(".")[0]).tokens
        reported = counted if ratio is None else round(counted * ratio)
        composition = COUNTER.compose(prompt, provider=api.partition(".")[0], input_tokens=reported)
        calls.append(
            Call(
                stage="worker",
                provider="p",
                api=api,
                model=MODELS[api],
                usage=Usage(reported, 40),
                composition=composition,
            )
        )
    return stage_composition(calls)


def _tools(**words: int | None) -> Callable[[Agent], Agent]:
    """Tools with so many words; ``None`` takes one away."""

    def change(agent: Agent) -> Agent:
        kept = [each for each in agent.tools if each["name"] not in words]
        return replace(agent, tools=(*kept, *(tool(name, size) for name, size in words.items() if size)))

    return change


CHANGES: dict[str, tuple[Callable[[Agent], Agent], str, str, str]] = {
    "schema grown": (_tools(send_mail=300), "input_tokens", "tools", "send_mail"),
    "schema with more parameters": (
        lambda a: replace(a, tools=(*a.tools[:2], tool("send_mail", 40, parameters=12))),
        "input_tokens",
        "tools",
        "send_mail",
    ),
    "schema cut": (_tools(send_mail=5), "input_tokens", "tools", "send_mail"),
    "tool added": (_tools(translate=90), "input_tokens", "tools", "translate"),
    "tool removed": (_tools(send_mail=None), "input_tokens", "tools", "send_mail"),
    "prompt doubled": (lambda a: replace(a, system=prose(400, 2)), "input_tokens", "system", ""),
    "prompt halved": (lambda a: replace(a, system=prose(100, 2)), "input_tokens", "system", ""),
    "question longer": (lambda a: replace(a, question=prose(400, 9)), "input_tokens", "user", ""),
    "model says more": (lambda a: replace(a, says=prose(150, 4)), "input_tokens", "assistant", ""),
    "loop longer": (lambda a: replace(a, steps=(*a.steps, ("search", 80))), "input_tokens", "calls", ""),
    "loop shorter": (lambda a: replace(a, steps=a.steps[:-1]), "input_tokens", "calls", ""),
    "result larger": (
        lambda a: replace(a, steps=(("search", 700), *a.steps[1:])), "input_tokens", "tool_results", "search",
    ),
    "history kept twice": (lambda a: replace(a, copies=2), "input_tokens", "tool_results", "search"),
    "timestamp put first": (lambda a: replace(a, clock=True), "fresh_input_tokens", "system", ""),
    "a schema cut by less than the prompt grew": (
        lambda a: _tools(send_mail=5)(replace(a, system=prose(500, 2))), "input_tokens", "system", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("ratio", [None, 1.07, 0.9], ids=["counted", "reported", "reported lower"])
@pytest.mark.parametrize("api", MODELS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_requests_is_the_first_cause(change: str, api: str, ratio: float | None) -> None:
    """Whatever the API, with and without the provider's numbers; the causes add up to the difference."""
    make, metric, part, name = CHANGES[change]
    before, after = run(Agent(), api, ratio), run(make(Agent()), api, ratio)
    values = getattr(before, metric), getattr(after, metric)
    causes = explain(
        metric, "worker", {"worker": before}, {"worker": after}, before_value=values[0], after_value=values[1]
    )
    shown = [(cause.delta, cause.part, cause.name, cause.text) for cause in causes]
    assert (causes[0].part, causes[0].name) == (part, name), shown
    assert sum(cause.delta for cause in causes) == values[1] - values[0] != 0
