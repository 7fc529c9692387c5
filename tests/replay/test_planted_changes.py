"""Twelve changes of shipped agents: what-if before the change says what a replay says after it was really made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from own_process import only_this_plugin

from pytest_tokenbudget.cli.main import main
from pytest_tokenbudget.providers.classify import classify
from pytest_tokenbudget.providers.http_message import Request
from pytest_tokenbudget.providers.registry import builtin_formats
from pytest_tokenbudget.records.prompt import Prompt
from pytest_tokenbudget.records.reply import Reply
from pytest_tokenbudget.replay.replies import text, tool_call
from pytest_tokenbudget.replay.script import Asked, ScriptedModel
from pytest_tokenbudget.tokens.counter import Counter

pytest.importorskip("openai", reason="openai is not installed")

EXAMPLES = Path(__file__).parents[2] / "conftest_examples"

CALENDAR_TEST = """
import agent, change, openai
from calendar_store import Calendar, Event
from model import TURNS
from pytest_tokenbudget import token_budget

@token_budget("10%", replay=True)
def test_agent():
    client = openai.OpenAI(api_key="unused", base_url={url!r})
    calendar = Calendar((Event("evt-1", "Dentist", "2026-03-17T09:00", "2026-03-17T09:30"),))
    desk = agent.CalendarAgent(client, calendar)
    for said in TURNS:
        assert desk.ask(said)["changed"]
"""

RAG_TEST = """
import change, openai, rag
from pytest_tokenbudget import token_budget

@token_budget("10%", replay=True)
def test_agent():
    client = openai.OpenAI(api_key="unused", base_url={url!r})
    assert "thirty days" in rag.answer(client, "Can I return a chair?")
"""

DROP = """
import schemas
schemas.ALL_TOOLS[:] = [tool for tool in schemas.ALL_TOOLS if tool["function"]["name"] not in {names}]
"""

SHORTEN = """
def shorten(value):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key == "description" and isinstance(inner, str):
            value[key] = " ".join(inner.split()[: int(len(inner.split()) * {share})])
        else:
            shorten(inner)

{tools}
for tool in TOOLS:
    if tool["function"]["name"] == {name!r}:
        shorten(tool)
"""
OF_CALENDAR, OF_RAG = "from schemas import ALL_TOOLS as TOOLS", "import rag; TOOLS = [rag.SEARCH]"

NO_FINALIZE = """
import agent

def work(self, route):
    self._react(agent.WORKER, agent.ALL_TOOLS)
    return {"changed": True}

agent.CalendarAgent._work = work
"""
CACHE = "# the provider now serves prefixes from its cache"
NO_ROUTER = "import agent\nagent.CalendarAgent._route = lambda self: 'create'\n"


def shorten(name: str, share: float, tools: str = OF_CALENDAR) -> str:
    """A change that keeps the first words of each of a tool's descriptions."""
    return SHORTEN.format(name=name, share=share, tools=tools)


@dataclass(frozen=True)
class Change:
    """A change: the code that makes it, what it shortens, what whatif is asked, and whether its tokens are exact."""

    code: str
    asked: tuple[str, ...] = ()
    shrunk: str = ""
    again: bool = False
    exact: bool = True


CALENDAR = {
    "without mail_send": Change(DROP.format(names=["mail_send"]), ("--drop-tool", "mail_send")),
    "without rooms_search": Change(DROP.format(names=["rooms_search"]), ("--drop-tool", "rooms_search")),
    "without both": Change(
        DROP.format(names=["mail_send", "rooms_search"]), ("--drop-tool", "mail_send", "--drop-tool", "rooms_search")
    ),
    "calendar_write in half as many words": Change(shorten("calendar_write", 0.5), (), "calendar_write", exact=False),
    "calendar_write in few words": Change(shorten("calendar_write", 0.1), (), "calendar_write", exact=False),
    "calendar_read in half as many words": Change(shorten("calendar_read", 0.5), (), "calendar_read", exact=False),
    "contacts_search without words": Change(shorten("contacts_search", 0), (), "contacts_search", exact=False),
    "without the finalize call": Change(NO_FINALIZE, ("--drop-stage", "worker/finalize"), again=True),
    "without the router": Change(NO_ROUTER, ("--drop-stage", "router"), again=True),
    "a smaller agent": Change(
        DROP.format(names=["mail_send"]) + shorten("calendar_write", 0.5) + NO_FINALIZE,
        ("--drop-tool", "mail_send", "--drop-stage", "worker/finalize"),
        "calendar_write",
        again=True,
        exact=False,
    ),
    "a provider that serves prefixes from its cache": Change(CACHE, ("--cache",), again=True, exact=False),
}
RAG = {"search without words": Change(shorten("search", 0, OF_RAG), (), "search", exact=False)}


class Model:
    """The examples' model behind a real server on the loopback; its provider counts a tenth more than is counted here."""

    def __init__(self) -> None:
        self.counter = Counter()
        self.caches = False
        self.asked: list[tuple[str, ...]] = []
        self.searches = 0
        self.script = ScriptedModel(respond=self.respond, count=self.count, count_text=self.count_text)

    def count(self, prompt: Prompt, provider: str) -> int:
        """The provider's input tokens of a request."""
        return round(1.1 * self.counter.count_prompt(prompt, provider=provider).tokens)

    def count_text(self, provider: str, model: str, said: str) -> int:
        """The provider's output tokens of an answer."""
        return self.counter.count_text(said, provider=provider, model=model).tokens

    def respond(self, asked: Asked) -> Reply:
        """The answer of the calendar's model, or of the rag example's."""
        tools = asked.body.get("tools", [])
        if any(tool["function"]["name"] == "search" for tool in tools):
            self.searches += 1
            is_last = self.searches % 3 == 0
            return text("Yes, within thirty days.") if is_last else tool_call("search", query="refund")
        from model import respond  # the example's own module, on the path of the project under test

        said = respond(asked.body)
        reply = tool_call(said.tool, **said.arguments) if said.tool else text(said.text)
        return reply.using({"cached": self.served(tools, asked.body["messages"])}) if self.caches else reply

    def served(self, tools: list[Any], messages: list[Any]) -> int:
        """What a provider's cache serves of a request: the messages that an earlier one began with, from 1,024 tokens on."""
        said = (json.dumps(tools), *map(json.dumps, messages))
        same = max((_common(said, earlier) for earlier in self.asked), default=0)
        self.asked.append(said)
        if not same:
            return 0
        body = {"model": "gpt-4.1-mini", "messages": messages[: same - 1], "tools": tools}
        url = urlsplit("https://api.openai.com/v1/chat/completions")
        prompt = classify(Request("POST", url, {}, body), builtin_formats()).prompt()
        assert prompt is not None
        tokens = self.count(prompt, "openai")
        return tokens if tokens >= 1024 else 0


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class Agent:
    """A shipped agent in a project of its own."""

    def __init__(self, pytester: pytest.Pytester, test: str, url: str) -> None:
        self.pytester = pytester
        (pytester.path / "test_agent.py").write_text(test.format(url=url), encoding="utf-8")

    def run(self, code: str = "", *args: str) -> dict[str, Any]:
        """Run its test with a change of its code."""
        (self.pytester.path / "change.py").write_text(code, encoding="utf-8")
        options = ("--tokenbudget-report=report.json", "--tokenbudget=report", *args)
        self.pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)
        (test,) = json.loads((self.pytester.path / "report.json").read_text(encoding="utf-8"))["tests"]
        return dict(test)


@pytest.fixture
def model(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Model, str]]:
    """The model and its base URL."""
    # Byte code is taken for fresh where a text of the same length was written within the same second.
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(pytester.path))
    only_this_plugin(monkeypatch, "no:cacheprovider")
    model = Model()
    with model.script.serve() as served:
        yield model, served.base_url


def _tokens(test: dict[str, Any]) -> dict[str, float]:
    figures = {"": test["total"], **test["stages"]}
    names = ("cached_input_tokens", "input_tokens", "output_tokens", "calls", "tool_schema_tokens", "history_tokens")
    # The code opens a stage also where it makes no call in it.
    return {
        f"{stage}.{name}": values[name] or 0 for stage, values in figures.items() for name in names if values["calls"]
    }


def _size(test: dict[str, Any], tool: str) -> float:
    parts = [part for parts in test["parts"].values() for part in parts if part["part"] == "tools"]
    sizes = [part["largest"] for part in parts if part["name"] == tool]
    return float(max(sizes))


def _check(
    agent: Agent, change: Change, unchanged: dict[str, Any], model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    cassette = agent.pytester.path / "__budgets__" / "cassettes" / "test_agent.test_agent.jsonl"
    recorded = cassette.read_bytes()
    model.caches = change.code == CACHE
    if change.again:  # a run with fewer calls does not fit its recording
        agent.run(change.code, "--tokenbudget-traffic=record")
    changed = agent.run(change.code)
    assert changed["traffic"] == "replay"
    cassette.write_bytes(recorded)
    asked = list(change.asked)
    if change.shrunk:
        asked += ["--shrink", f"{change.shrunk}={_size(changed, change.shrunk) / _size(unchanged, change.shrunk)}"]
    capsys.readouterr()
    assert main(["whatif", "test_agent.py::test_agent", *asked, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["tests"]
    assert said["before"]["total"]["input_tokens"] == unchanged["total"]["input_tokens"]
    assert _tokens(said) == (_tokens(changed) if change.exact else pytest.approx(_tokens(changed), rel=0.05))
    assert said["total"]["cost"] == pytest.approx(changed["total"]["cost"], rel=1e-9 if change.exact else 0.05)


def test_eleven_changes_of_the_calendar_agent(
    pytester: pytest.Pytester, model: tuple[Model, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Tools, words and calls that are left out, and a cache: to the token where it is counted, within 5 % elsewhere."""
    for name in ("agent.py", "schemas.py", "toolbox.py", "calendar_store.py", "model.py"):
        shutil.copy(EXAMPLES / "calendar_agent" / name, pytester.path / name)
    agent = Agent(pytester, CALENDAR_TEST, model[1])
    agent.run()
    unchanged = agent.run()
    assert (unchanged["traffic"], unchanged["total"]["calls"]) == ("replay", 16)
    assert {call["input_source"] for call in unchanged["calls"]} == {"calibrated"}
    for name, change in CALENDAR.items():
        print(name)  # shown where it fails
        _check(agent, change, unchanged, model[0], capsys)


def test_a_change_of_the_rag_agent(
    pytester: pytest.Pytester, model: tuple[Model, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another shipped agent, whose one tool has few words."""
    shutil.copy(EXAMPLES / "rag" / "test_rag.py", pytester.path / "rag.py")
    agent = Agent(pytester, RAG_TEST, model[1])
    agent.run()
    unchanged = agent.run()
    for change in RAG.values():
        _check(agent, change, unchanged, model[0], capsys)
