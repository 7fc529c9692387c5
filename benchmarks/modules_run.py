"""How much of the package one small session runs: what a reader has to follow from a request to a red test.

The session has one test with one streamed call, whose prompt grew beyond its baseline, so that one gate fails and is
explained. What runs is counted with ``sys.setprofile``, from the first conftest.py to the end of the process. A module
counts where a function of it runs; the body of a module or of a class is none.

`python -m benchmarks.modules_run --list` prints the functions by module.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.sessions import PLUGIN, environment

ROOT = Path(__file__).resolve().parents[1]
MOST_MODULES = 90
MOST_FUNCTIONS = 450

CONFTEST = """
import atexit, inspect, json, os, sys, threading

RAN = set()
# A comprehension is a function in some versions of Python only.
LEFT_OUT = {"<module>", "<listcomp>", "<dictcomp>", "<setcomp>"}

def profile(frame, event, argument):
    code = frame.f_code
    if event == "call" and "/pytest_tokenbudget/" in code.co_filename and code.co_name not in LEFT_OUT:
        file = code.co_filename.rpartition("/pytest_tokenbudget/")[2]
        RAN.add((file, code.co_qualname, code.co_firstlineno, bool(code.co_flags & inspect.CO_OPTIMIZED)))

@atexit.register
def write():
    sys.setprofile(None)
    with open(os.environ["RAN"], "w") as file:
        json.dump(sorted(RAN), file)

threading.setprofile(profile)
sys.setprofile(profile)
"""

TEST = """
import os
import httpx
from pytest_tokenbudget import token_budget

@token_budget("10%")
def test_agent():
    words = "please " * int(os.environ["WORDS"])
    body = {{"model": "gpt-4o", "stream": True, "messages": [{{"role": "user", "content": words}}]}}
    with httpx.stream("POST", {url!r} + "/v1/chat/completions", json=body) as response:
        assert b"".join(response.iter_bytes())
"""


def session(place: Path, words: int) -> list[tuple[str, str, bool]]:
    """Run the test once.

    Returns:
        What ran of the package: file, name, and whether it is a function (else it is the body of a class).
    """
    ran = place / "ran.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN, f"--rootdir={place}"]
    # Other plugins import further client libraries, which are watched then.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    variables = environment() | alone | {"RAN": str(ran), "WORDS": str(words)}
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != (words > 100):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return [(file, name, function) for file, name, _, function in json.loads(ran.read_text(encoding="utf-8"))]


def main() -> int:
    """Measure and report."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from ledger_server import LedgerServer

    with LedgerServer() as server, tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "conftest.py").write_text(textwrap.dedent(CONFTEST), encoding="utf-8")
        (place / "test_agent.py").write_text(TEST.format(url=server.url), encoding="utf-8")
        session(place, 100)
        ran = session(place, 200)
    modules = {file for file, _, function in ran if function}
    functions = sum(function for _, _, function in ran)
    if "--list" in sys.argv:
        for module in sorted(modules):
            names = [name for file, name, function in ran if function and file == module]
            print(f"{len(names):4}  {module}: {', '.join(names)}")
    return report(
        [
            Figure("modules that run", str(len(modules)), f"<= {MOST_MODULES}", len(modules) <= MOST_MODULES),
            Figure("functions that run", str(functions), f"<= {MOST_FUNCTIONS}", functions <= MOST_FUNCTIONS),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
