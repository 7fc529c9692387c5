"""Services and workers that a fixture starts, each with processes of its own: gunicorn, Celery's prefork pool, pytest-xdist."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = """
import json, os, signal, socket, subprocess, sys, time, urllib.request

budget = token_budget({"input_tokens": "0", "output_tokens": "0", "calls": "0"}, replay=True)


def stop(child):
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)


def wait_for(look):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            return look()
        except OSError:
            time.sleep(0.05)
    raise AssertionError("it did not start")
"""
AGENT = """
import os, urllib.request, json

def ask(text):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).encode()
    import httpx  # a worker imports its client after it was forked
    return httpx.post(os.environ["SERVER"] + "/v1/chat/completions", content=body, timeout=30).json()["usage"]

def app(environ, start_response):
    ask(environ["PATH_INFO"])
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
GUNICORN = """
@pytest.fixture(scope="session")
def service():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-w", "2", "--threads", "1", "-b", f"127.0.0.1:{port}", "agent:app"]
    child = subprocess.Popen([*command, "--log-level", "error"])
    wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close())
    yield lambda path: urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30).read()
    stop(child)


@budget
def test_one(service):
    service("one")


@budget
def test_both_workers(service):
    with stage("worker"):
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(service, [f"part-{number}" for number in range(8)]))
"""
CELERY = """
@pytest.fixture(scope="session")
def worker(tmp_path_factory):
    child = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "prefork", "-c", "2", "-l", "ERROR"],
        start_new_session=True,
    )
    import tasks
    tasks.ask.delay("warm up").get(timeout=60, interval=0.02)
    yield tasks.ask
    os.killpg(child.pid, signal.SIGKILL)  # to shut down takes it six seconds
    child.wait()


@budget
def test_one(worker):
    worker.delay("one").get(timeout=60, interval=0.02)


@budget
def test_two(worker):
    results = [worker.delay(text) for text in ("two", "three")]
    for result in results:
        result.get(timeout=60, interval=0.02)
"""
TASKS = """
import os
from celery import Celery
import agent

app = Celery("tasks", broker="filesystem://", backend=f"file://{os.environ['QUEUE']}/results")
app.conf.broker_transport_options = {
    "data_folder_in": os.environ["QUEUE"] + "/queue",
    "data_folder_out": os.environ["QUEUE"] + "/queue",
    "control_folder": os.environ["QUEUE"] + "/control",
    "polling_interval": 0.05,
}
app.conf.broker_connection_retry_on_startup = True

@app.task
def ask(text):
    return agent.ask(text)["prompt_tokens"]
"""
WORKERS = """
import agent

@pytest.fixture(scope="session")
def service():
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(agent.ask, "warm up").result()
        yield lambda text: pool.submit(agent.ask, text).result()


@pytest.mark.parametrize("number", range(4))
@budget
def test_agent(service, number):
    for part in range(number + 1):
        service(f"test {number}, part {part}")
"""


@pytest.fixture
def agent(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """The project, with an agent that other processes can import."""
    pytest.importorskip("httpx", reason="httpx is not installed")
    monkeypatch.setenv("SERVER", project.server.url)
    monkeypatch.setenv("QUEUE", str(tmp_path))
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    project.pytester.makepyfile(agent=AGENT, tasks=TASKS)
    project.pytester.syspathinsert()
    return project


def totals(project: Any) -> dict[str, tuple[int, int]]:
    """Calls and input tokens of each test."""
    return {
        test["nodeid"].partition("::")[2]: (test["total"]["calls"], test["total"]["input_tokens"])
        for test in project.report["tests"]
    }


def check(project: Any, source: str, calls: list[int], *options: str, others: int = 0) -> None:
    """Live, the report equals the books; then all is played with the server gone, to the same figures."""
    project.write(HEAD + source)
    # In a process of its own: what the fixtures start is a child of that one.
    project.run(*options, subprocess=True).assert_outcomes(passed=len(calls))
    live = totals(project)
    assert sorted(number for number, _ in live.values()) == calls
    ledger = project.server.ledger
    assert len(ledger) == sum(calls) + others
    assert sum(tokens for _, tokens in live.values()) == sum(entry.input_tokens for entry in ledger[others:])
    project.server.__exit__(None, None, None)
    if not others:  # a fixture that asks a model is refused in a replayed run
        project.run(*options, subprocess=True).assert_outcomes(passed=len(calls))
        assert totals(project) == live
        assert {test["traffic"] for test in project.report["tests"]} == {"replay"}


def test_workers_of_gunicorn(agent: Any) -> None:
    """Two workers that were forked before they imported a client: each call once, to the test that waits for it."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    check(agent, GUNICORN, [1, 8])
    assert any("held in real time" in text for test in agent.report["tests"] for text in test["messages"])


def test_prefork_workers_of_celery(agent: Any) -> None:
    """Its pool is forked by a process that a fixture started."""
    pytest.importorskip("celery", reason="celery is not installed")
    check(agent, CELERY, [1, 2], others=1)


def test_each_worker_of_xdist_has_its_own_children(agent: Any) -> None:
    """A pool of the session in each of two workers: no call is charged to the test of the other one."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    agent.write(HEAD + WORKERS)
    agent.run("-n", "2", subprocess=True, plugins=("xdist",)).assert_outcomes(passed=4)
    assert {name: calls for name, (calls, _) in totals(agent).items()} == {
        f"test_agent[{number}]": number + 1 for number in range(4)
    }
    warm_ups = len(agent.server.ledger) - 10
    assert warm_ups in (1, 2)
