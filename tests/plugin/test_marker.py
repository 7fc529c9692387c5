"""What a marker may say, checked at collection."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _settled(pytester: pytest.Pytester) -> None:
    """pytest-asyncio warns in projects that leave this open."""


@pytest.mark.parametrize(
    ("arguments", "hints"),
    [
        ('"ten"', ["*test_agent.py:*test_agent*max_increase*'ten'*"]),
        ('{"input_token": "10%"}', ["*input_token*nearest: input_tokens*"]),
        ('{"default": {}}', ["*max_increase*{}*is no rule*"]),
        ('limit={"latency": "5 parsecs"}', ["*limit*latency*parsecs*"]),
        ('limit={"cost": "30s"}', ["*limit*cost*30s*"]),
        ('reduce={"calls": "130%"}', ["*reduce*calls*130%*"]),
        ("limits={}", ["*unknown argument 'limits'*", "*nearest: limit*"]),
        ("samples=0", ["*samples*0*", '*"auto" or a whole number*']),
        ('samples="many"', ["*samples*many*"]),
        ('stop_at={"latency": "3 parsecs"}', ["*stop_at*latency*parsecs*"]),
        ('stop_at={"provider_pace": 2}', ["*stop_at*provider_pace is one ratio of a run that is over*"]),
        ('{"worker.provider_pace.p95": "20%"}', ["*max_increase*provider_pace is one ratio*without statistics*"]),
        ('stop_at={"worker.cals": 3}', ["*stop_at*worker.cals*nearest: calls*"]),
        ('against="a/b"', ["*against*a/b*"]),
        ('"5%", "6%"', ["*one positional argument*"]),
        ('"5%", max_increase="6%"', ["*max_increase is given twice*"]),
        ("limit=3", ["*limit*3*mapping*"]),
    ],
)
def test_bad_marker_is_a_usage_error_with_its_place(
    pytester: pytest.Pytester, arguments: str, hints: list[str]
) -> None:
    """The session ends before any test runs, with file, line, key and what was probably meant."""
    pytester.makepyfile(
        test_agent=f"""
from pytest_tokenbudget import token_budget

@token_budget({arguments})
def test_agent():
    raise SystemExit("ran")
"""
    )
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(hints)
    assert "Traceback" not in result.stderr.str()


def test_the_nearest_marker_wins_key_by_key(pytester: pytest.Pytester) -> None:
    """Function, class and module markers are merged."""
    pytester.makepyfile(
        test_agent="""
import pytest
from pytest_tokenbudget import token_budget
from pytest_tokenbudget.measure.metrics import metric_table
from pytest_tokenbudget.plugin.marker import budget_of

pytestmark = token_budget("5%", samples=2)

@pytest.mark.token_budget(samples=3)
class TestAgent:
    @token_budget(limit={"calls": 4})
    @pytest.mark.parametrize("n", [1, 2])
    def test_agent(self, n, request):
        budget = budget_of(request.node, table=metric_table(), default_rule="10%")
        assert (str(budget.default_rule), budget.samples, len(budget.limit)) == ("+5%", 3, 1)
"""
    )
    pytester.runpytest_inprocess("--tokenbudget=off", "--strict-markers").assert_outcomes(passed=2)


def test_marker_needs_no_plugin_at_run_time(pytester: pytest.Pytester) -> None:
    """With the plugin switched off by pytest itself the marked test still runs."""
    pytester.makepyfile(
        test_agent="""
import pytest
from pytest_tokenbudget import stage

@pytest.mark.token_budget("5%")
def test_agent():
    with stage("worker"):
        pass
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:tokenbudget", "-W", "ignore::pytest.PytestUnknownMarkWarning")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--tokenbudget-samples=0", "*at least 1*"),
        ("--tokenbudget-report=report.xyz", "*report.xyz*known suffixes*"),
        ("--tokenbudget-reference=a/b", "*a/b*"),
    ],
)
def test_bad_option_is_a_usage_error(pytester: pytest.Pytester, option: str, hint: str) -> None:
    """What cannot be understood is said before any test runs."""
    pytester.makepyfile("import pytest\n@pytest.mark.token_budget\ndef test_agent(): pass")
    result = pytester.runpytest_inprocess(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([hint])


def test_update_modes_exclude_each_other(pytester: pytest.Pytester) -> None:
    """Two ways to write at once are refused."""
    pytester.makepyfile("import pytest\n@pytest.mark.token_budget\ndef test_agent(): pass")
    result = pytester.runpytest_inprocess("--tokenbudget-update", "--tokenbudget-accept")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--tokenbudget-update and --tokenbudget-accept exclude each other*"])


def test_bad_ini_value_names_the_key(pytester: pytest.Pytester) -> None:
    """An ini option with a wrong word is refused with the right ones."""
    pytester.makeini("[pytest]\ntokenbudget_mode = gates\n")
    pytester.makepyfile("import pytest\n@pytest.mark.token_budget\ndef test_agent(): pass")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*tokenbudget_mode*gates*gate, report, off*"])


def test_the_old_name_of_a_metric_is_read(project: Any) -> None:
    """With a note that it is deprecated."""
    project.write("""
@token_budget("10%", limit={"attempts": 0})
def test_agent(ask):
    ask()
""")
    result = project.run()
    result.assert_outcomes(passed=1, warnings=1)
    assert "failed_attempts" in {gate["metric"] for gate in project.test["gates"]}
    result.stdout.fnmatch_lines(
        ["*DeprecationWarning: token_budget: the metric 'attempts' is called 'failed_attempts' now*"]
    )
