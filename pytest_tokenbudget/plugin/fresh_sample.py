"""A further sample of a test in a pytest process of its own: for agents that keep state in the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pytest_tokenbudget.plugin.pytest_internals import plain_nodeid
from pytest_tokenbudget.processes.fresh_pytest import Wanted, own_environment, run_pytest
from pytest_tokenbudget.processes.transcript import Transcript
from pytest_tokenbudget.records.verdict import TestResult

_LEFT_OUT = {
    "--cov": True,
    "--cov-report": True,
    "--count": True,
    "--dist": True,
    "--html": True,
    "--junit-xml": True,
    "--junitxml": True,
    "--log-file": True,
    "--maxprocesses": True,
    "--maxfail": True,
    "--numprocesses": True,
    "--report-log": True,
    "--reruns": True,
    "--tokenbudget": True,
    "--tokenbudget-missing": True,
    "--tokenbudget-reference": True,
    "--tokenbudget-report": True,
    "--tokenbudget-samples": True,
    "--tx": True,
    "-n": True,
    "--cov-append": False,
    "--exitfirst": False,
    "--failed-first": False,
    "--ff": False,
    "--forked": False,
    "--last-failed": False,
    "--lf": False,
    "--new-first": False,
    "--nf": False,
    "--pdb": False,
    "--stepwise": False,
    "--sw": False,
    "--tokenbudget-accept": False,
    "--tokenbudget-ratchet": False,
    "--tokenbudget-update": False,
    "--trace": False,
    "-x": False,
}
"""Options that say which tests run, where, and what is written: they are the whole session's. ``True``: a value follows."""


def take_fresh_sample(item: pytest.Item) -> TestResult:
    """Run a test once in a process of its own.

    Args:
        item: The test.

    Returns:
        What the plugin said of it there; its only sample is the new one.

    Raises:
        pytest.fail.Exception: If the test fails there, or its process ends without a result.
        pytest.skip.Exception: If it is skipped there.
    """
    config, nodeid = item.config, plain_nodeid(item)
    arguments = [*_session_arguments(config), f"--rootdir={config.rootpath}", "-p", "no:cacheprovider", str(item.path)]
    seen = run_pytest(arguments, Wanted([nodeid]), place=config.invocation_params.dir, environment=own_environment())
    if nodeid in seen.skipped:
        raise pytest.skip.Exception("skipped in a process of its own")
    result = seen.results.get(nodeid)
    if result is None or not result.passed or nodeid in seen.failures:
        raise pytest.fail.Exception(_what_failed(seen, nodeid), pytrace=False)
    return result


def _what_failed(seen: Transcript, nodeid: str) -> str:
    when, text = seen.failures.get(nodeid, ("", ""))
    if text:
        return f"the test failed in a process of its own, in its {when}:\n{text}"
    return f"the test ended in a process of its own without a result (exit code {seen.exit_code}):\n{seen.output}"


def _session_arguments(config: pytest.Config) -> list[str]:
    """The arguments of this session, without its tests and without what only the whole session is told."""
    workers = getattr(config, "workerinput", None)
    given = [str(text) for text in (workers["mainargv"][1:] if workers else config.invocation_params.args)]
    tests = {str(text) for text in config.option.file_or_dir or ()}
    return list(_without_session_options(given, tests))


def _without_session_options(given: Sequence[str], tests: set[str]) -> Iterator[str]:
    takes_value = False
    for text in given:
        name, equals, _ = text.partition("=")
        if takes_value:
            takes_value = False
        elif name in _LEFT_OUT:
            takes_value = _LEFT_OUT[name] and not equals
        elif text.startswith("-n") and text[2:].isalnum():
            continue
        elif text not in tests:
            yield text
