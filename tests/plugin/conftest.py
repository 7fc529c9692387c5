"""A user's project with an agent that talks to the loopback server through plain httpx."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ledger_server import LedgerServer
from own_process import POST, QUICK, run_in_own_process

from pytest_tokenbudget.baselines.format import load
from pytest_tokenbudget.records.baseline import MetricRecord

CONFTEST = '''
try:
    import httpx
except ImportError:
    import httpx2 as httpx
import pytest
from pytest_tokenbudget import stage

URL = {url!r}


@pytest.fixture
def ask():
    """An agent's way to ask its model; the last message decides how much it reads."""
    with httpx.Client(base_url=URL) as client:
        def ask(text="hello", *, stage_name=None, model="gpt-4o", **more):
            body = {{"model": model, "messages": [{{"role": "user", "content": text}}], **more}}
            if stage_name is None:
                return client.post("/v1/chat/completions", json=body)
            with stage(stage_name):
                return client.post("/v1/chat/completions", json=body)
        yield ask
'''

QUICK_CONFTEST = (
    POST.replace("{", "{{").replace("}", "}}")
    + '''
import pytest
from pytest_tokenbudget import stage


@pytest.fixture
def ask():
    """An agent's way to ask its model; the last message decides how much it reads."""
    def ask(text="hello", *, stage_name=None, model="gpt-4o", **more):
        body = {{"model": model, "messages": [{{"role": "user", "content": text}}], **more}}
        if stage_name is None:
            return post({url!r} + "/v1/chat/completions", body)
        with stage(stage_name):
            return post({url!r} + "/v1/chat/completions", body)
    return ask
'''
)


@dataclass(frozen=True)
class Project:
    """The project: write its tests, run them, read the report."""

    pytester: pytest.Pytester
    server: LedgerServer

    def write(self, source: str, name: str = "test_agent") -> None:
        """Write a test module; ``token_budget``, ``stage`` and ``pytest`` are imported for it."""
        head = "import pytest\nfrom pytest_tokenbudget import stage, token_budget\n\n"
        self.pytester.makepyfile(**{name: head + source})
        # Byte code is taken for fresh where a text of the same length was written within the same second.
        shutil.rmtree(self.pytester.path / "__pycache__", ignore_errors=True)

    def run(self, *args: str, subprocess: bool = False, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """Run pytest with these other plugins; a JSON report is always written."""
        options = ("--tokenbudget-report=report.json", "-p", "no:cacheprovider", *args)
        if subprocess:
            return run_in_own_process(self.pytester, *QUICK, *options, plugins=plugins)
        return self.pytester.runpytest_inprocess(*(f"-p{name}" for name in plugins), *options)

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report of the last run."""
        report: dict[str, Any] = json.loads((self.pytester.path / "report.json").read_text(encoding="utf-8"))
        return report

    @property
    def test(self) -> dict[str, Any]:
        """The only test of the report."""
        (test,) = self.report["tests"]
        return dict(test)

    def gate(self, metric: str) -> dict[str, Any]:
        """One gate of the only test."""
        (gate,) = [gate for gate in self.test["gates"] if gate["metric"] == metric]
        return dict(gate)

    @property
    def baseline(self) -> str:
        """Text of the baseline file of ``test_agent.py``."""
        return self.baseline_path.read_text(encoding="utf-8")

    @property
    def baseline_path(self) -> Path:
        """The baseline file of ``test_agent.py``."""
        return self.pytester.path / "__budgets__" / "test_agent.json"

    def stored(self, metric: str) -> MetricRecord:
        """What is stored of a metric of the only test."""
        (entry,) = load(self.baseline_path.read_bytes(), self.baseline_path).values()
        return {**entry.metrics, **entry.pooled}[metric]


@pytest.fixture
def project(pytester: pytest.Pytester, llm_server: LedgerServer) -> Project:
    """A project whose model is the loopback server; without a script it reads a quarter of the request's bytes."""
    return _project(pytester, llm_server, CONFTEST)


@pytest.fixture
def quick_project(pytester: pytest.Pytester, llm_server: LedgerServer) -> Project:
    """The same project, whose client is quick to import: for sessions in processes of their own."""
    return _project(pytester, llm_server, QUICK_CONFTEST)


def _project(pytester: pytest.Pytester, llm_server: LedgerServer, conftest: str) -> Project:
    pytester.makeconftest(conftest.format(url=llm_server.url))
    return Project(pytester, llm_server)
