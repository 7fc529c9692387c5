"""Child processes that run Python: what they ask a model belongs to the sample, whatever started them."""

from __future__ import annotations

from typing import Any

import pytest

AGENT = """
import os
import sys

try:
    import httpx2 as httpx
except ImportError:
    import httpx
from pytest_tokenbudget import stage


def ask(text="hello", model="gpt-4o", **more):
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    with httpx.Client(base_url=os.environ["SERVER"], timeout=20) as client:
        return client.post("/v1/chat/completions", json=body)


def work(number):
    with stage("worker"):
        return ask(f"part {number}").json()["usage"]["prompt_tokens"]


if __name__ == "__main__":
    ask(" ".join(sys.argv[1:]))
"""


@pytest.fixture
def agent(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The project, with an agent that other processes can run and import."""
    monkeypatch.setenv("SERVER", project.server.url)
    project.pytester.makepyfile(agent=AGENT)
    project.pytester.syspathinsert()
    return project


def hold_against_books(project: Any, tests: dict[str, int]) -> None:
    """Each test has its number of calls, and together they equal the server's books, to the token."""
    report = {test["nodeid"].partition("::")[2]: test["total"] for test in project.report["tests"]}
    assert {name: total["calls"] for name, total in report.items()} == tests
    for metric in ("input_tokens", "output_tokens"):
        assert sum(total[metric] for total in report.values()) == project.server.ledger.total(metric)
    assert len(project.server.ledger) == sum(tests.values())


def test_calls_of_a_child_belong_to_the_test_that_started_it(agent: Any) -> None:
    """A script, code, a shell and asyncio start the child, with the environment as it is or another."""
    agent.write("""
import asyncio, os, subprocess, sys

def run(*args, **more):
    subprocess.run([sys.executable, *args], check=True, **more)

@token_budget("10%")
def test_script():
    run("agent.py", "book", "a", "room")

@token_budget("10%")
def test_code():
    run("-c", "import agent; agent.ask(); agent.ask()")

@token_budget("10%")
def test_environment():
    run("agent.py", env={"SERVER": os.environ["SERVER"], "PYTHONPATH": "."})

@token_budget("10%")
def test_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    run("agent.py")

@token_budget("10%")
def test_asyncio():
    async def main():
        child = await asyncio.create_subprocess_exec(sys.executable, "agent.py")
        assert await child.wait() == 0
    asyncio.run(main())

@token_budget("10%")
def test_shell():
    assert os.system(f"{sys.executable} agent.py") == 0
""")
    agent.run().assert_outcomes(passed=6)
    one = {f"test_{name}": 1 for name in ("script", "environment", "path", "asyncio", "shell")}
    hold_against_books(agent, {**one, "test_code": 2})


def test_calls_of_multiprocessing_belong_to_the_test(agent: Any) -> None:
    """All ways to start a process, a pool, and a stage that the child opens itself."""
    agent.write("""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import agent

@token_budget("10%")
@pytest.mark.parametrize("way", ["spawn", "fork", "forkserver"])
def test_process(way):
    child = multiprocessing.get_context(way).Process(target=agent.work, args=(1,))
    child.start()
    child.join()
    assert child.exitcode == 0

@token_budget("10%")
def test_pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert len(list(pool.map(agent.work, range(5)))) == 5
""")
    agent.run(subprocess=True).assert_outcomes(passed=4)
    hold_against_books(
        agent, {**{f"test_process[{way}]": 1 for way in ("spawn", "fork", "forkserver")}, "test_pool": 5}
    )
    assert [list(test["stages"]) for test in agent.report["tests"]] == [["worker"]] * 4
