"""What a session keeps for the next one in pytest's cache: counts, prices, and which baseline files are valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from own_process import run_in_own_process

HEAVY = ("genai_prices", "pydantic", "pydantic_core", "toktok")
CONFTEST = f"""
import sys

def pytest_unconfigure():
    print("imported:", *[name for name in {HEAVY!r} if name in sys.modules])
"""
REPLAYED = """
import os

@token_budget("10%", replay=True)
def test_agent(ask):
    ask("a question of the customer " + os.environ.get("MORE", ""))
"""


@pytest.fixture
def replayed(quick_project: Any) -> Any:
    """A project with a recorded test, whose session says at its end what it has imported."""
    conftest = quick_project.pytester.path / "conftest.py"
    conftest.write_text(conftest.read_text() + CONFTEST)
    quick_project.write(REPLAYED)
    run(quick_project, "--tokenbudget-traffic=record")
    return quick_project


def run(project: Any, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """Run pytest in a process of its own: what it has imported, and its report without the wall clock."""
    options = ("--tokenbudget-report=report.json", *arguments)
    result = run_in_own_process(project.pytester, *options)
    (line,) = [line for line in result.outlines if line.startswith("imported:")]
    test = project.test
    kept = ("verdict", "gates", "causes", "composition", "total", "messages")
    return line.split()[1:], {key: test[key] for key in kept}


def cache_files(project: Any) -> list[Path]:
    """What is kept of counts, prices and baselines."""
    folder = project.pytester.path / ".pytest_cache" / "d" / "tokenbudget"
    return [folder / f"{name}.json" for name in ("checked_baselines", "counts", "prices")]


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what the wall clock decides."""
    total = {key: value for key, value in report["total"].items() if "latency" not in key and "time" not in key}
    gates = [gate for gate in report["gates"] if "latency" not in gate["metric"]]
    return {**report, "total": total, "gates": gates}


def test_a_second_session_loads_no_vocabulary_no_price_table_and_no_validator(replayed: Any) -> None:
    """And it says what the first one said, of an unchanged test and of a prompt that grew; so does one without a cache."""
    _, first = run(replayed)
    imported, second = run(replayed)
    assert imported == []
    assert without_times(second) == without_times(first)
    replayed.pytester._monkeypatch.setenv("MORE", "and a longer one " * 9)
    imported, grown = run(replayed)
    assert imported == ["toktok"]
    assert grown["verdict"] == "regression"
    before = [file.read_bytes() for file in cache_files(replayed)]
    imported, alone = run(replayed, "-p", "no:cacheprovider")
    assert set(imported) >= {"genai_prices", "pydantic_core", "toktok"}
    assert without_times(alone) == without_times(grown)
    assert [file.read_bytes() for file in cache_files(replayed)] == before
    text = "".join(file.read_text() for file in cache_files(replayed))
    assert not any(word in text for word in ("question", "customer", "longer", "gpt-4o", "test_agent"))


def test_a_damaged_cache_is_worked_out_anew(replayed: Any) -> None:
    """Also where its form is right and its values are not."""
    _, first = run(replayed)
    files = cache_files(replayed)
    for nonsense in (-1, {"a": ["b"]}):
        for file in files:
            kept = json.loads(file.read_text())
            file.write_text(json.dumps(kept | {"values": dict.fromkeys(kept["values"], nonsense)}))
        _, again = run(replayed)
        assert without_times(again) == without_times(first)


def test_pytest_compiles_no_module_of_the_plugin_anew(quick_project: Any) -> None:
    """Rewriting its assertions would take longer than the rest of the session; those of the quick_project are rewritten."""
    quick_project.pytester.makepyfile(
        test_loaders="""
        import sys
        import pytest
        from pytest_tokenbudget import token_budget

        @token_budget(limit={"calls": 1})
        def test_agent(ask):
            ask()
            loaders = {
                name: type(sys.modules[f"pytest_tokenbudget.{name}"].__loader__).__name__
                for name in ("plugin.session", "plugin.context", "records.call")
            }
            with pytest.raises(AssertionError, match="AssertionRewritingHook.*SourceFileLoader"):
                assert {"AssertionRewritingHook"} == set(loaders.values())
        """
    )
    quick_project.run(subprocess=True).assert_outcomes(passed=1)
