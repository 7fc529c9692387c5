"""Whose call is it, and what belongs to no watched client: noticed in every run, refused to models in replays and scripts."""

from __future__ import annotations

from typing import Any

import pytest
from reported import run_reported

pytest.importorskip("httpx", reason="httpx is not installed")

HEAD = """
import os, threading, time
import httpx
import pytest
from pytest_tokenbudget import stage, token_budget

URL = os.environ["SERVER"] + "/v1/chat/completions"


def ask(text="hello"):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    assert httpx.post(URL, json=body).status_code == 200
"""
FIXTURES = """
@pytest.fixture(scope="session")
def index():
    ask("index this")
    ask("and this")

@token_budget("off")
def test_first(index):
    ask()

@token_budget("off")
def test_second(index):
    ask()

class TestClass:
    @classmethod
    def setup_class(cls):
        ask("set up")

    @token_budget("off")
    def test_third(self):
        pass

def test_unmarked(index):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, llm_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run tests; gives the outcome and the report's tests by name."""
    monkeypatch.setenv("SERVER", llm_server.url)

    def run(tests: str, *options: str, ini: str = "") -> tuple[pytest.RunResult, dict[str, Any]]:
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makepyfile(test_agent=HEAD + tests)
        return run_reported(pytester, *options)

    return run


def test_calls_of_wider_fixtures_are_named(run: Any) -> None:
    """They are charged to nobody, whichever test sets the fixture up; each test that uses it says so, with the way out."""
    result, tests = run(FIXTURES)
    result.assert_outcomes(passed=3, failed=1)
    assert {name: test["total"]["calls"] for name, test in tests.items()} == {
        "test_first": 1,
        "test_second": 1,
        "test_third": 0,
    }
    said = "2 model calls of fixture 'index' (scope 'session') are not charged to this test (gpt-4o, * input tokens)"
    result.stdout.fnmatch_lines(
        [
            "*NO CALLS*",
            "*1 model call of setup_class of TestClass is not charged to this test (*`tokenbudget_fixture_calls = each`*",
        ]
    )
    result.stdout.fnmatch_lines([f"*{said}*", "*test_second*", f"*{said}*"])
    result, tests = run(FIXTURES, "-k", "test_unmarked or test_second")
    assert tests["test_second"]["total"]["calls"] == 1
    result.stdout.fnmatch_lines([f"*{said}*"])


@pytest.mark.parametrize(
    ("mode", "calls"),
    [
        ("each", {"test_first": 3, "test_second": 3, "test_third": 1}),
        ("shared", {"test_first": 3, "test_second": 1, "test_third": 1}),
    ],
)
def test_calls_of_wider_fixtures_may_be_charged(run: Any, mode: str, calls: dict[str, int]) -> None:
    """To each test that uses the fixture, or to the first; to the token, and the report says so."""
    result, tests = run(FIXTURES, ini=f"tokenbudget_fixture_calls = {mode}")
    result.assert_outcomes(passed=4)
    assert {name: test["total"]["calls"] for name, test in tests.items()} == calls
    if mode == "each":
        assert tests["test_first"]["total"]["input_tokens"] == tests["test_second"]["total"]["input_tokens"]
        result.stdout.fnmatch_lines(
            ["*2 model calls of fixture 'index' (scope 'session') are charged to this test, as to*"]
        )
    else:
        result.stdout.fnmatch_lines(
            ["*2 model calls of fixture 'index'* are charged to *::test_first, the first that uses it*"]
        )


def test_a_marker_charges_the_calls_of_wider_fixtures(run: Any) -> None:
    """For its test alone, whichever test has the fixture set up; the report says so."""
    tests = FIXTURES.replace(
        '@token_budget("off")\ndef test_second', '@token_budget("off", fixture_calls="each")\ndef test_second'
    )
    both = ("-k", "test_first or test_second")
    for options in (both, (*both, "--deselect", "test_agent.py::test_first")):
        result, found = run(tests, *options)
        assert found["test_second"]["total"]["calls"] == 3
        assert [test["total"]["calls"] for name, test in found.items() if name != "test_second"] in ([1], [])
        result.stdout.fnmatch_lines(
            ["*2 model calls of fixture 'index'* are charged to this test, as to each that uses it*"]
        )
    result, _ = run(tests.replace('"each"', '"every"'), *both)
    result.stderr.fnmatch_lines(["*token_budget: fixture_calls: 'every' is no way to charge them*"])


def test_calls_of_earlier_work(run: Any) -> None:
    """A thread and a task that began before the test are listed and not charged, unless the project says so."""
    tests = """
@pytest.fixture(scope="module")
def poller():
    go, done = threading.Event(), threading.Event()

    def poll():
        go.wait(5)
        ask("poll")
        done.set()

    threading.Thread(target=poll, name="poller").start()
    return go, done

@token_budget("off")
def test_agent(poller):
    ask()
    poller[0].set()
    assert poller[1].wait(5)
"""
    result, found = run(tests)
    result.assert_outcomes(passed=1)
    assert found["test_agent"]["total"]["calls"] == 1
    result.stdout.fnmatch_lines(
        ["*1 model call from work that began before this test is not charged to it: thread 'poller'*"]
    )
    result, found = run(tests, ini="tokenbudget_charge_earlier_work = true")
    assert found["test_agent"]["total"]["calls"] == 2


def test_a_server_that_serves_several_tests(run: Any) -> None:
    """Calls of a session's own server belong to the test that waits for it, in each of its threads."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    result, found = run("""
import socket
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

def agent(request):
    ask("in a thread")
    return PlainTextResponse("done")

async def asynchronous(request):
    async with httpx.AsyncClient() as client:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "in a task"}]}
        await client.post(URL, json=body)
    return PlainTextResponse("done")

@pytest.fixture(scope="session")
def app():
    listening = socket.create_server(("127.0.0.1", 0))
    routes = [Route("/agent", agent), Route("/async", asynchronous)]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
        client.get("/agent")
        yield client
    server.should_exit = True
    thread.join()

@pytest.mark.parametrize("path", ["/agent", "/async", "/agent"])
@token_budget("off")
def test_agent(app, path):
    assert app.get(path).text == "done"
""")
    result.assert_outcomes(passed=3)
    assert {test["total"]["calls"] for test in found.values()} == {1}


RAW = """
import socket

SERVER = URL.removeprefix("http://").partition("/")[0].split(":")

def raw(host=SERVER[0], port=int(SERVER[1])):
    # An SDK with sockets of its own.
    with socket.create_connection((host, port), timeout=1) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        return connection.recv(100)
"""


def test_connections_are_noticed(run: Any) -> None:
    """Alone they fail the test and say who opened them; beside a call one to a model's host is shown, others are not."""
    result, found = run(
        RAW
        + """
import asyncio

@token_budget("off")
def test_alone():
    raw()

@token_budget("off")
def test_asynchronous():
    async def agent():
        _, writer = await asyncio.open_connection(*SERVER)
        writer.close()
    asyncio.run(agent())

@token_budget("off")
def test_beside_a_call():
    ask()
    raw()

@token_budget("off")
def test_to_a_model(monkeypatch):
    ask()
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: (_ for _ in ()).throw(ConnectionRefusedError))
    with pytest.raises(OSError):
        raw("api.openai.com", 443)
"""
    )
    result.assert_outcomes(passed=2, failed=2)
    for name in ("test_alone", "test_asynchronous"):
        (line,) = [line for line in found[name]["messages"] if line.startswith("connections of no watched client")]
        assert "127.0.0.1:" in line
        assert "test_agent, line" in line
        assert "budget.record" in line
    assert found["test_beside_a_call"]["messages"] == []
    (line,) = found["test_to_a_model"]["messages"]
    assert line.startswith("not counted: connections to a model that belong to no watched client: api.openai.com")


REPLAYED = (
    RAW
    + """
OTHER = socket.create_server(("127.0.0.1", 0))

@token_budget("10%", replay=True)
def test_the_recorded_host():
    ask()
    if os.environ.get("AGAIN"):
        with pytest.raises(Exception, match="refused"):
            raw()

@token_budget("10%", replay=True)
def test_a_model_of_another_provider():
    ask()
    if os.environ.get("AGAIN"):
        with pytest.raises(Exception, match="refused"):
            raw("bedrock-runtime.us-east-1.amazonaws.com", 443)

@token_budget("10%", replay=True)
def test_a_host_that_the_project_names():
    ask()
    if os.environ.get("AGAIN"):
        with pytest.raises(Exception, match="refused"):
            raw("llm.corp.example", 8443)

@token_budget("10%", replay=True)
def test_a_server_of_the_test():
    ask()
    with socket.create_connection(OTHER.getsockname()):
        pass

@token_budget("off")
def test_a_script(scripted_llm):
    scripted_llm.add("ok")
    ask()
    raw("api.anthropic.com", 443)
"""
)


def test_connections_to_models_are_refused(run: Any, llm_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the agent swallows it; the test's own servers go on, and the project can say otherwise."""
    ini = "tokenbudget_refuse_hosts = *.corp.example:8443"
    result, _ = run(REPLAYED, "-k", "not script", ini=ini)
    result.assert_outcomes(passed=4, deselected=1)
    connections = len(llm_server.ledger)
    monkeypatch.setenv("AGAIN", "1")
    result, found = run(REPLAYED, ini=ini)
    result.assert_outcomes(passed=1, failed=4)
    refused = {name: test["messages"][0] for name, test in found.items() if test["verdict"] == "diverged"}
    hosts = {
        "test_the_recorded_host": "127.0.0.1",
        "test_a_model_of_another_provider": "bedrock-runtime.us-east-1.amazonaws.com",
        "test_a_host_that_the_project_names": "llm.corp.example",
        "test_a_script": "api.anthropic.com",
    }
    assert set(refused) == set(hosts)
    for name, host in hosts.items():
        assert refused[name].startswith(
            f"a connection to {host} was refused: a replayed or scripted run lets no model call out"
        )
        assert "opened by test_agent, line" in refused[name]
    port = llm_server.url.rpartition(":")[2]
    result, _ = run(
        REPLAYED.replace('        with pytest.raises(Exception, match="refused"):\n            raw()', "        raw()"),
        "-k",
        "recorded",
        ini=f"tokenbudget_allow_hosts = 127.0.0.1:{port}",
    )
    result.assert_outcomes(passed=1, deselected=4)
    assert len(llm_server.ledger) == connections


CHILDREN = """
import subprocess, sys

CODE = {
    "socket": "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).sendall(b'x')",
    "asyncio": "import asyncio, sys; asyncio.run(asyncio.open_connection(sys.argv[1], int(sys.argv[2])))",
    "forked": "import os, socket, sys\\nif os.fork() == 0: socket.create_connection(sys.argv[1:3], 1)\\nos.wait()",
}
def start(way, host, port):
    done = subprocess.run([sys.executable, "-c", CODE[way], host, port], capture_output=True, text=True)
    return done.stderr.strip().rpartition("\\n")[2]

@pytest.mark.parametrize("way", CODE)
@token_budget("off")
def test_live(way):
    ask()
    assert "ConnectionRefusedError" in start(way, "127.0.0.1", "11434")  # Ollama's

@pytest.mark.parametrize("way", CODE)
@token_budget("10%", replay=True)
def test_replayed(way):
    ask()
    if os.environ.get("AGAIN"):
        assert "ConnectionNotAllowed" in start(way, *URL.removeprefix("http://").partition("/")[0].split(":"))
"""


def test_children_may_not_go_round_either(run: Any, llm_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that imports no client library: its connections are noticed, and refused to the recorded host."""
    result, found = run(CHILDREN)
    result.assert_outcomes(passed=6)
    connections = len(llm_server.ledger)
    for name, test in found.items():
        if name.startswith("test_live"):
            (told,) = test["messages"]
            assert told.startswith(
                "not counted: connections to a model that belong to no watched client: 127.0.0.1:11434"
            )
            assert "by a child process" in told
    monkeypatch.setenv("AGAIN", "1")
    result, found = run(CHILDREN, "-k", "replayed")
    result.assert_outcomes(failed=3, deselected=3)
    for test in found.values():
        assert test["messages"][0].startswith("a connection to 127.0.0.1 was refused: a replayed or scripted run")
    assert len(llm_server.ledger) == connections


def test_what_connects_in_c_is_named_and_refused(run: Any, llm_server: Any) -> None:
    """curl_cffi's sockets are not Python's: its sessions are noticed, and refused to a model in a scripted run."""
    pytest.importorskip("curl_cffi.requests", reason="curl_cffi is not installed")
    result, found = run("""
import asyncio
from curl_cffi import requests as curl

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}

@token_budget("off")
def test_live():
    assert curl.post(URL, json=BODY).status_code == 200

@token_budget("off")
@pytest.mark.parametrize("how", ["sync", "async"])
def test_scripted(scripted_llm, how):
    async def main():
        async with curl.AsyncSession() as session:
            await session.post("https://api.openai.com/v1/chat/completions", json=BODY)
    try:
        asyncio.run(main()) if how == "async" else curl.post("https://api.openai.com/v1/chat/completions", json=BODY)
    except Exception:
        pass
""")
    result.assert_outcomes(failed=3)
    assert any("connections of no watched client: 127.0.0.1" in text for text in found["test_live"]["messages"])
    for how in ("sync", "async"):
        assert "a connection to api.openai.com was refused" in found[f"test_scripted[{how}]"]["messages"][0]
    assert len(llm_server.ledger) == 1


def test_a_wider_fixture_may_not_leave_a_replay(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it sends stands in no cassette, and is refused."""
    tests = """
@pytest.fixture(scope="module")
def index():
    if os.environ.get("AGAIN"):
        ask("index")

@token_budget("10%", replay=True)
def test_agent(index):
    ask()
"""
    run(tests)[0].assert_outcomes(passed=1)
    monkeypatch.setenv("AGAIN", "1")
    result, _ = run(tests)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a connection to 127.0.0.1 was refused*"])


def test_what_goes_round_the_clients_is_named(run: Any) -> None:
    """A stub that answers before a request is made, and a function in the place of a watched one."""
    pytest.importorskip("boto3", reason="boto3 is not installed")
    result, _ = run("""
@token_budget("off")
def test_stubber():
    import boto3
    from botocore.stub import Stubber

    client = boto3.client("bedrock-runtime", "us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}}, "stopReason": "end_turn"}
    with Stubber(client) as stub:
        stub.add_response("converse", {**answer, "usage": usage, "metrics": {"latencyMs": 1}})
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "hello"}]}])

@token_budget("off")
def test_replaced(monkeypatch):
    monkeypatch.setattr(httpx.Client, "send", lambda self, request, **options: httpx.Response(200))
    ask()
""")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*botocore.stub.Stubber answers before a request is made, so that requests do not pass what is watched*",
            "*Client.send was replaced by test_agent, so that requests do not pass what is watched*",
        ]
    )


UNWATCHED = """
import os, subprocess, sys

@token_budget("off")
def test_live():
    ask()
    subprocess.run([sys.executable, "-I", "-c", "pass"])

@token_budget("off", replay=True)
def test_replayed():
    ask()
    if "AGAIN" in os.environ:
        subprocess.run([sys.executable, "-I", "-c", "pass"])
"""


def test_a_process_that_no_replay_holds_is_shown(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask the model itself, so a replayed test names it also where it passes; a live one in its notes alone."""
    run(UNWATCHED)
    monkeypatch.setenv("AGAIN", "1")
    result, found = run(UNWATCHED)
    result.assert_outcomes(passed=2)
    said = "a Python process was started that is not watched"
    assert all(any(said in note for note in test["messages"]) for test in found.values())
    assert result.stdout.str().count(said) == 1
