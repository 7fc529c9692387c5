"""Child processes that run Python: what they ask a model belongs to the sample, whatever started them."""

from __future__ import annotations

import importlib
import os
import venv
from pathlib import Path
from typing import Any

import pytest
from ledger_server import Reply

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
    headers = {"authorization": "Bearer sk-secret"}
    with httpx.Client(base_url=os.environ["SERVER"], timeout=20, headers=headers) as client:
        return client.post("/v1/chat/completions?key=sk-secret", json=body)


def work(number):
    with stage("worker"):
        return ask(f"part {number}").json()["usage"]["prompt_tokens"]


def work_in_a_loop(number):
    import asyncio

    async def main():
        await asyncio.sleep(0.01)
        return await asyncio.to_thread(work, number)

    return asyncio.run(main())


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
    agent.run().assert_outcomes(passed=4)
    hold_against_books(
        agent, {**{f"test_process[{way}]": 1 for way in ("spawn", "fork", "forkserver")}, "test_pool": 5}
    )
    assert [list(test["stages"]) for test in agent.report["tests"]] == [["worker"]] * 4


def test_a_server_of_a_wider_scope_serves_each_test(agent: Any) -> None:
    """What a session's server asks belongs to the test that runs; its start, and unmarked tests, cost nothing."""
    agent.pytester.makepyfile(
        server="""
import http.server
import agent

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        agent.ask(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass

agent.ask("warm up")
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
    )
    agent.write("""
import os, subprocess, sys, urllib.request

@pytest.fixture(scope="session")
def service():
    child = subprocess.Popen([sys.executable, "server.py"], stdout=subprocess.PIPE, text=True)
    port = int(child.stdout.readline())
    yield lambda path: urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}").close()
    child.kill()
    child.communicate()

def test_unmarked(service):
    service("unmarked")
    code = "import os; print(os.environ.get('TOKENBUDGET_SPOOL'))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "None\\n"

@token_budget("10%")
def test_one(service):
    service("one")

@token_budget("10%")
def test_two(service):
    with stage("worker"):
        service("two")
        service("three")
""")
    agent.run().assert_outcomes(passed=3)
    totals = [test["total"]["calls"] for test in agent.report["tests"]]
    assert totals == [1, 2]
    assert len(agent.server.ledger) == 5
    assert list(agent.report["tests"][1]["stages"]) == ["worker"]


def test_nothing_is_left_behind(agent: Any) -> None:
    """The spool is private and gone at the end, the environment is what it was, and a session may do without."""
    agent.write("""
import os, pathlib, stat, subprocess, sys

@token_budget("10%")
def test_agent():
    spool = os.environ["TOKENBUDGET_SPOOL"]
    assert stat.S_IMODE(os.stat(spool).st_mode) == 0o700
    subprocess.run([sys.executable, "agent.py"], check=True)
    written = b"".join(path.read_bytes() for path in pathlib.Path(spool).glob("*.spool"))
    assert b"gpt-4o" in written and b"sk-secret" not in written
    pathlib.Path("spool.txt").write_text(spool)

def test_off():
    assert "TOKENBUDGET_SPOOL" not in os.environ
""")
    before = {**os.environ, "PYTEST_CURRENT_TEST": ""}
    agent.run().assert_outcomes(passed=2)
    spool = Path((agent.pytester.path / "spool.txt").read_text())
    assert not spool.exists()
    assert {**os.environ, "PYTEST_CURRENT_TEST": ""} == before
    agent.pytester.makeini("[pytest]\ntokenbudget_child_processes = false\n")
    agent.write("""
import subprocess, sys

@token_budget("10%")
def test_agent():
    subprocess.run([sys.executable, "agent.py"], check=True)
""")
    result = agent.run()
    result.assert_outcomes(failed=1)
    assert agent.test["verdict"] == "no_calls"


def test_a_killed_child_costs_what_it_had_not_written(agent: Any) -> None:
    """The call that was under way is a failed attempt; those before it are whole."""
    agent.server.play([Reply("fine"), Reply("late", delay=30)])
    agent.write("""
import os, subprocess, sys, time

@token_budget("10%")
def test_agent():
    child = subprocess.Popen([sys.executable, "-c", "import agent; agent.ask('one'); open('two', 'w'); agent.ask('two')"])
    while not os.path.exists("two"):
        time.sleep(0.01)
    time.sleep(0.2)
    child.kill()
    child.wait()
""")
    agent.run().assert_outcomes(passed=1)
    one, two = agent.test["calls"]
    assert (one["error"], one["input_tokens"]) == (None, agent.server.ledger[0].input_tokens)
    assert two["error"]
    assert agent.test["total"]["calls"] == 1


def test_children_are_answered_by_a_script(agent: Any) -> None:
    """A child asks the session, streamed or not, sync or async, and none of its calls leaves."""
    agent.pytester.makepyfile(
        asking="""
import asyncio, sys
import openai

client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0)
ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
print(client.chat.completions.create(**ask).choices[0].message.content)
print("".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(stream=True, **ask)))

async def main():
    async with openai.AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0) as client:
        answers = await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(8)))
        print(len(answers))
asyncio.run(main())
"""
    )
    agent.write("""
import subprocess, sys
from pytest_tokenbudget.replay.script import text

@token_budget("10%")
def test_agent(scripted_llm):
    scripted_llm.pace(ttft=1)
    scripted_llm.add(text("one"), text("two and three"), *[text("many")] * 8)
    out = subprocess.run([sys.executable, "asking.py"], capture_output=True, text=True)
    assert out.stdout.split("\\n") == ["one", "two and three", "8", ""], out
""")
    agent.run().assert_outcomes(passed=1)
    assert (agent.test["traffic"], agent.test["total"]["calls"]) == ("scripted", 10)
    assert agent.test["total"]["latency"] == 3.0  # eight at a time take as long as one
    assert not agent.server.ledger


def test_children_are_refused_once_a_ceiling_is_passed(agent: Any) -> None:
    """``stop_at`` counts the calls of all processes, and no call leaves any of them after it."""
    agent.write("""
import subprocess, sys
import agent

CODE = "import agent\\nfor _ in range(3):\\n    try: agent.ask()\\n    except Exception as error: print(type(error).__name__)"

@token_budget("10%", stop_at={"calls": 3})
def test_agent():
    agent.ask()
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True) == ""
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True) == "BudgetExceeded\\n" * 3
    agent.ask()
""")
    result = agent.run()
    result.assert_outcomes(failed=1)
    assert agent.test["verdict"] == "over_limit"
    assert len(agent.server.ledger) == 4
    result.stdout.fnmatch_lines(["*stopped: calls is 4, stop_at allows 3; 4 later calls were refused*"])


def test_a_recording_answers_children_and_no_call_leaves(agent: Any) -> None:
    """Recorded from several processes, played with the server gone, with the recorded tokens and times."""
    agent.server.play([Reply("fine", delay=0.2)] * 4)
    agent.write("""
import multiprocessing, subprocess, sys
import agent

@token_budget("10%", replay=True)
def test_agent():
    agent.ask("here")
    with stage("worker"):
        subprocess.run([sys.executable, "agent.py", "script"], check=True)
    child = multiprocessing.get_context("fork").Process(target=agent.work_in_a_loop, args=(1,))
    child.start()
    child.join()
    assert child.exitcode == 0
    agent.ask("there")
""")
    agent.run().assert_outcomes(passed=1)
    hold_against_books(agent, {"test_agent": 4})
    assert agent.test["stages"]["worker"]["calls"] == 2
    recorded = [call["latency"] for call in agent.test["calls"]]
    agent.server.__exit__(None, None, None)
    agent.run().assert_outcomes(passed=1)
    hold_against_books(agent, {"test_agent": 4})
    assert (agent.test["verdict"], agent.test["traffic"]) == ("ok", "replay")
    assert [call["latency"] for call in agent.test["calls"]] == pytest.approx(recorded, abs=1e-5)
    assert agent.test["total"]["latency"] == pytest.approx(sum(recorded), abs=1e-3)


def test_other_environments(agent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed the session's own is used, and a sitecustomize that is there runs as well."""
    site = tmp_path / "site"
    site.mkdir()
    for name in ("requests", "urllib3", "idna", "certifi", "charset_normalizer"):
        (site / name).symlink_to(Path(str(importlib.import_module(name).__file__)).parent)
    (site / "sitecustomize.py").write_text("import sys\nsys.mine = list(sys.path)\n")
    venv.create(tmp_path / "env", symlinks=True)
    monkeypatch.setenv("OTHER", str(tmp_path / "env" / "bin" / "python"))
    monkeypatch.setenv("PYTHONPATH", str(site))
    agent.pytester.makepyfile(
        other="""
import os, sys
import requests
requests.post(os.environ["SERVER"] + "/v1/chat/completions", json={"model": "gpt-4o", "messages": []})
assert not any("on_path" in path for path in sys.path + sys.mine)
"""
    )
    agent.write("""
import os, subprocess, sys

@token_budget("10%")
def test_agent():
    subprocess.run([os.environ["OTHER"], "other.py"], check=True)

@token_budget("10%")
def test_isolated():
    subprocess.run([sys.executable, "-I", "agent.py"], check=True)
""")
    result = agent.run()
    result.assert_outcomes(passed=1, failed=1)
    assert agent.report["tests"][0]["total"]["calls"] == 1
    result.stdout.fnmatch_lines(
        ["*a Python process was started that is not watched: python -I agent.py; the options -I*"]
    )


def test_a_process_that_is_no_python_is_said(agent: Any) -> None:
    """Once, beside calls that were seen; what cannot call a model is not."""
    agent.write("""
import subprocess, sys
import agent

@token_budget("10%")
def test_agent():
    agent.ask()
    subprocess.run(["sed", "--version"], check=True, stdout=-1)
    subprocess.run("ls -l > /dev/null; sed --version > /dev/null", shell=True, check=True)
    subprocess.run(f"cd . && {sys.executable} agent.py && true", shell=True, check=True)
""")
    agent.run().assert_outcomes(passed=1)
    assert agent.test["total"]["calls"] == 2
    assert [message.partition(";")[0] for message in agent.test["messages"] if "process" in message] == [
        "a process was started that is not watched: sed --version, sh -c ls -l > /dev/null"
    ]
