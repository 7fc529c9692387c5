"""``function:`` rules: functions of an application open their stage, and are themselves again afterwards."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage import current_path, stage
from pytest_tokenbudget.capture.stage_rules import parse_stage_rules
from pytest_tokenbudget.capture.watch import watching

AGENTS = """
import functools
from pytest_tokenbudget.capture.stage import current_path

def judge(): return current_path()
async def waits(): return current_path()

class Base:
    def run(self): return current_path()
    @classmethod
    def made(cls): return cls.__name__, current_path()
    @staticmethod
    def helps(): return current_path()
    def items(self): yield current_path()

class Worker(Base): pass

class Tool:
    def __call__(self): return current_path()
    def invoke(self): return current_path()

tool = Tool()

@functools.lru_cache
def cached(): return current_path()
"""

KINDS = """
import functools
from pytest_tokenbudget.capture.stage import current_path

NODES = []

def plain(a, /, b=1, *rest, d, **more): return current_path(), (a, b, rest, d, more)
async def coroutine(): return current_path()
def generator(): yield (yield current_path())
async def async_generator():
    try:
        yield (yield current_path())
    finally:
        yield "closed"

def make(cell):
    def nested(): return current_path(), cell
    return nested

nested = make("cell")
NODES += [plain, coroutine, generator, async_generator, nested]

def retried(depth, through=None):
    return current_path() if not depth else (through or retried)(depth - 1)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports modules of an application, ``budget_app``: ``agents``, ``user`` (holds a function of it) and ``late``."""
    package = tmp_path / "budget_app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "agents.py").write_text(AGENTS)
    (package / "kinds.py").write_text(KINDS)
    (package / "user.py").write_text("from budget_app.agents import judge\ndef ask(): return judge()\n")
    (package / "late.py").write_text("from budget_app.agents import current_path\ndef final(): return current_path()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: importlib.import_module(f"budget_app.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "budget_app"]:
        del sys.modules[name]


def watch(*lines: str) -> Any:
    return watching(Recorder(), rules=parse_stage_rules(lines))


def test_functions_and_methods_open_their_stage(app: Any) -> None:
    """Of a module, of a class and of the class above it; the class above stays as it is."""
    agents = app("agents")
    with watch(
        "judge = function:budget_app.agents.judge",
        "work/deep = function:budget_app.agents.Worker.run",
        "made = function:budget_app.agents.Worker.made",
        "helps = function:budget_app.agents.Worker.helps",
        "items = function:budget_app.agents.Worker.items",
    ):
        worker = agents.Worker()
        assert agents.judge() == "judge"
        assert worker.run() == "work/deep"
        assert agents.Worker.made() == ("Worker", "made")
        assert worker.helps() == agents.Worker.helps() == "helps"
        assert list(worker.items()) == ["items"]
        assert agents.Base().run() == ""


def test_everything_is_itself_again(app: Any) -> None:
    """The very objects are back, in their module and where they were imported by name, before or meanwhile."""
    agents, user = app("agents"), app("user")
    before = {name: agents.__dict__[name] for name in ("judge", "Worker")}
    methods = dict(vars(agents.Base))
    with watch("judge = function:budget_app.agents.judge", "w = function:budget_app.agents.Worker.run"):
        assert user.ask() == "judge"
        meanwhile = agents.judge
        user.meanwhile = meanwhile
    assert (agents.judge, user.judge, user.meanwhile) == (before["judge"],) * 3
    assert dict(vars(agents.Base)) == methods
    assert "run" not in vars(agents.Worker)
    assert user.ask() == ""
    assert meanwhile() == "", "who kept the wrapper itself has one that does nothing"


def test_a_module_that_is_imported_meanwhile(app: Any) -> None:
    """As soon as it is loaded its functions are in their stages."""
    finders = list(sys.meta_path)
    with watch("final = function:budget_app.late.final"):
        assert app("late").final() == "final"
    assert app("late").final() == ""
    assert sys.meta_path == finders


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("budget_app.agents.Worker.runn", "budget_app.agents.Worker has no 'runn'"),
        ("budget_app.agents.Wroker.run", "budget_app.agents has no 'Wroker'"),
        ("budget_app.agents.tool", "it is no function but 'Tool'"),
        ("budget_app.agents.cached", "it is no function but"),
        ("budget_app.agents.judge.run", "budget_app.agents.judge is neither a module nor a class"),
    ],
)
def test_what_has_no_effect_is_said(app: Any, pattern: str, said: str) -> None:
    """A slip in a name is told, and an object that is more than its call is left as it is."""
    agents = app("agents")
    with watch(f"worker = function:{pattern}") as functions:
        (problem,) = functions.problems()
        assert problem.startswith(f"tokenbudget_stages: worker = function:{pattern} has no effect")
        assert said in problem
        assert isinstance(agents.tool, agents.Tool)
        assert isinstance(agents.cached, type(functools.lru_cache(lambda: None)))


@pytest.mark.usefixtures("app")
def test_a_module_that_never_came_is_no_problem() -> None:
    """Another test may import it. One that does not exist is told."""
    with watch("a = function:budget_app.late.final", "b = function:nowhere.at_all") as functions:
        importlib.import_module("budget_app")
        (problem,) = functions.problems()
        assert problem == "tokenbudget_stages: b = function:nowhere.at_all has no effect: there is no module 'nowhere'"
        assert current_path() == ""


def test_whoever_took_a_function_runs_it_in_its_stage(app: Any) -> None:
    """A graph, a registry, a callback: they hold the function since it was imported; of whatever kind it is."""
    agents, kinds = app("agents"), app("kinds")
    nodes, signatures = list(kinds.NODES), [inspect.signature(node) for node in kinds.NODES]
    bound = agents.Worker().run, agents.Base.helps, agents.Base.made
    with watch(
        *(f"{node.__name__} = function:budget_app.kinds.{node.__name__}" for node in nodes),
        "base = function:budget_app.agents.Base.run",
        "helps = function:budget_app.agents.Base.helps",
        "made = function:budget_app.agents.Base.made",
    ) as functions:
        plain, coroutine, generator, async_generator, nested = nodes
        assert plain(1, b=2, d=3, e=4) == ("plain", (1, 2, (), 3, {"e": 4}))
        assert asyncio.run(coroutine()) == "coroutine"
        taken = generator()
        assert [next(taken), taken.send("sent")] == ["generator", "sent"]

        async def take() -> list[str]:
            taken = async_generator()
            return [await taken.asend(None), await taken.asend("sent"), await taken.asend(None)]

        assert asyncio.run(take()) == ["async_generator", "sent", "closed"]
        assert nested() == ("nested", "cell")
        assert [take() for take in bound] == ["base", "helps", ("Base", "made")]
        assert [inspect.signature(node) for node in nodes] == signatures
        assert [inspect.iscoroutinefunction(node) for node in nodes] == [False, True, False, False, False]
        assert inspect.isasyncgenfunction(async_generator)
        assert functions.problems() == ()
    assert plain(1, d=0)[0] == nested()[0] == bound[0]() == ""


def test_a_function_that_calls_itself_stays_in_its_stage(app: Any) -> None:
    """A retry is no stage within the stage, by rule as by decorator; what it calls in between nests."""
    kinds = app("kinds")
    decorated = stage("inner")(lambda depth: current_path() if not depth else decorated(depth - 1))
    with watch("work/deep = function:budget_app.kinds.retried") as functions:
        assert kinds.retried(3) == "work/deep"
        assert kinds.retried(1, through=lambda depth: decorated(2)) == "work/deep/inner"
        assert functions.problems() == ()


def test_what_was_replaced_by_name_and_never_entered_is_said(app: Any) -> None:
    """An inherited method that somebody took before is out of reach; the note says what helps."""
    agents = app("agents")
    taken = agents.Worker().run
    with watch("deep/work = function:budget_app.agents.Worker.run") as functions:
        assert taken() == ""
        (problem,) = functions.problems({"other"})
        assert 'was never entered: if it did run, something holds it since import; put @stage("work") on it' in problem
        assert functions.problems({"router/deep/work"}) == ()
