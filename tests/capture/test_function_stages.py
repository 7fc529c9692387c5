"""``function:`` rules: functions of an application open their stage, and are themselves again afterwards."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.capture.recorder import Recorder
from pytest_tokenbudget.capture.stage import current_path
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


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports modules of an application, ``budget_app``: ``agents``, ``user`` (holds a function of it) and ``late``."""
    package = tmp_path / "budget_app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "agents.py").write_text(AGENTS)
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
    """Another test may import it."""
    with watch("a = function:budget_app.late.final", "b = function:nowhere.at_all") as functions:
        importlib.import_module("budget_app")
        assert functions.problems() == ()
        assert current_path() == ""
