"""A sample ends with its test, however that ends: nothing of it reaches a fixture of a wider scope."""

from __future__ import annotations

from typing import Any

import pytest

SHARED = """
import sys, time
try:
    import httpx
except ImportError:
    import httpx2 as httpx

@pytest.fixture(scope="session")
def shared():
    yield
    import _pytest
    before = time.perf_counter()
    time.sleep(0.2)
    slept = time.perf_counter() - before
    status = httpx.post({url!r} + "/v1/chat/completions", json={{"model": "m", "messages": []}}).status_code
    patched = hasattr(httpx.Client.send, "__wrapped__")
    with open("left", "w") as file:
        print(slept >= 0.15, status, patched, file=file)
"""

ENDS = {
    "returns": "pass",
    "interrupted": "raise KeyboardInterrupt",
    "exits": 'pytest.exit("enough")',
    "fails": "assert False",
}


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("live", "interrupted"),
        ("live", "fails"),
        ("scripted", "interrupted"),
        ("scripted", "exits"),
        ("scripted", "returns"),
    ],
)
def test_wider_fixtures_are_torn_down_in_an_unpatched_world(project: Any, kind: str, end: str) -> None:
    """A session fixture's cleanup sleeps as long as it says and reaches its server, also after Ctrl-C in the test."""
    scripted = "scripted_llm" if kind == "scripted" else "ask"
    body = "ask()" if kind == "live" else "scripted_llm.add('hi'); scripted_llm.allow_unconsumed = True"
    project.write(
        SHARED.format(url=project.server.url)
        + f"""
@token_budget("10%", stop_at={{"calls": 1}})
def test_agent(shared, {scripted}):
    {body}
    {ENDS[end]}
"""
    )
    project.run(subprocess=True)
    assert (project.pytester.path / "left").read_text() == "True 200 False\n"


def test_nothing_is_left_in_the_process(project: Any) -> None:
    """pytest.main in a loop, each run of it interrupted at another place: no recorder piles up and no client is patched."""
    project.write("""
import os
RUNS = []
WHERE = os.environ["WHERE"]

@pytest.fixture
def agent(ask):
    if WHERE == "setup": raise KeyboardInterrupt
    yield ask
    if WHERE == "teardown": raise KeyboardInterrupt

@token_budget("off", samples=2)
def test_agent(agent):
    RUNS.append(1)
    agent()
    if WHERE == "call" or (WHERE == "second sample" and len(RUNS) % 2 == 0): raise KeyboardInterrupt
""")
    project.pytester.makepyfile(
        loop="""
import gc, os, sys
try:
    import httpx
except ImportError:
    import httpx2 as httpx
import pytest

os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
send = httpx.Client.send
for where in ("setup", "call", "teardown", "second sample"):
    os.environ["WHERE"] = where
    sys.modules.pop("test_agent", None)
    assert pytest.main(["-q", "-p", "tokenbudget", "-p", "no:cacheprovider", "test_agent.py"]) == 2, where
from pytest_tokenbudget.capture.active import ACTIVE
from pytest_tokenbudget.capture.recorder import Recorder
gc.collect()
assert ACTIVE.recorders == ()
assert httpx.Client.send is send
assert [found for found in gc.get_objects() if isinstance(found, Recorder)] == []
"""
    )
    result = project.pytester.runpython("loop.py")
    assert result.ret == 0, result.stderr.str()
