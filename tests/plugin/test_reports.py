"""Reports as users ask for them: on the command line, with and without workers, in the failure itself."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

GROWS = """
@token_budget("10%")
def test_agent(ask):
    ask("word " * {words}, stage_name="worker")
"""


@pytest.fixture
def grown(project: Any) -> Any:
    """A project whose test reads three times as much as its baseline."""
    project.write(GROWS.format(words=100))
    project.run().assert_outcomes(passed=1)
    project.write(GROWS.format(words=300))
    return project


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["alone", "xdist"])
def test_every_format_is_written(grown: Any, workers: list[str]) -> None:
    """Each suffix has its writer, and all tell the same run; the figures stand in junit.xml too."""
    if workers:
        pytest.importorskip("xdist")
        workers = ["-pxdist", *workers]
    suffixes = (".html", ".md", ".txt", ".bmf.json", ".speedscope.json", ".trace.json")
    reports = [f"--tokenbudget-report=out/r{suffix}" for suffix in suffixes]
    grown.run(*reports, *workers, "--junitxml=junit.xml").assert_outcomes(failed=1)
    folder = grown.pytester.path / "out"
    total = grown.test["total"]
    assert "worker reads" in (folder / "r.html").read_text(encoding="utf-8")
    assert "test is over budget" in (folder / "r.md").read_text(encoding="utf-8").splitlines()[0]
    assert (
        f'tokenbudget_input_tokens{{test="test_agent.py::test_agent"}} {total["input_tokens"]}'
        in (folder / "r.txt").read_text()
    )
    bmf = json.loads((folder / "r.bmf.json").read_text())
    assert bmf["test_agent.py::test_agent"]["input-tokens"]["value"] == total["input_tokens"]
    assert json.loads((folder / "r.speedscope.json").read_text())["profiles"][0]["endValue"] == total["input_tokens"]
    assert json.loads((folder / "r.trace.json").read_text())["traceEvents"][-1]["pid"] == 1
    found = {
        item.attrib["name"]: item.attrib["value"]
        for item in ET.parse(grown.pytester.path / "junit.xml").iter("property")
    }
    assert found["tokenbudget.verdict"] == "regression"
    assert int(found["tokenbudget.input_tokens"]) == total["input_tokens"]
    assert int(found["tokenbudget.input_tokens.before"]) < total["input_tokens"]


def test_money_a_month_stands_in_the_failure(grown: Any) -> None:
    """Where the project says how often it runs, the failure says what the change costs; the JSON report has the number."""
    result = grown.run("-o", "tokenbudget_runs_per_month=120000")
    result.stdout.fnmatch_lines(["*estimate: +$* a month, at list prices and 120,000 runs"])
    assert grown.test["runs_per_month"] == 120_000
    change = grown.test["total"]["cost"] - grown.test["before"]["total"]["cost"]
    shown = next(line for line in result.outlines if "a month" in line).split("$")[1].split(" ")[0]
    assert float(shown.replace(",", "")) == pytest.approx(change * 120_000, abs=0.5)


def test_a_wrong_number_of_runs_is_an_error_at_once(grown: Any) -> None:
    """The line is named before any test runs."""
    result = grown.run("-o", "tokenbudget_runs_per_month=many")
    result.stderr.fnmatch_lines(["*tokenbudget_runs_per_month: 'many'*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_the_page_without_jinja2_is_an_error_at_once(grown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing extra is named before any test runs."""
    monkeypatch.setattr("pytest_tokenbudget.report.formats.find_spec", lambda name: None)
    result = grown.run("--tokenbudget-report=report.html")
    result.stderr.fnmatch_lines(["*needs jinja2*", "*pip install 'pytest-tokenbudget*html*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_prices_that_cannot_be_read_end_the_session_in_plain_words(project: Any) -> None:
    """Nothing ran, so there is nothing to price in the report either."""
    project.write("@token_budget\ndef test_agent(ask):\n    ask()\n")
    result = project.run("-o", "tokenbudget_prices=x", "-vv")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: tokenbudget_prices: 'x' has no pattern in front of an equals sign"])
    assert not project.report["tests"]
