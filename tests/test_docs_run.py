"""The code of the docs runs: files are written as they are shown, commands print what is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ledger_server import LedgerServer

from pytest_tokenbudget.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
SESSIONS = [page for page in PAGES if "```console" in page.read_text(encoding="utf-8")]
CHECKED = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load, "yml": yaml.safe_load}


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of the fenced blocks."""
    text = page.read_text(encoding="utf-8")
    yield from ((match[1], match[2]) for match in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_valid(page: Path) -> None:
    """Python compiles, and data can be read."""
    for language, text in _blocks(page):
        if language == "python":
            # A decorator may be shown without the function that it stands above.
            alone = text.splitlines()[-1].startswith("@")
            compile(f"{text}def shown(): ...\n" if alone else text, page.name, "exec", dont_inherit=True)
        elif language in CHECKED and "..." not in text:
            CHECKED[language](text)


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.stem)
def test_a_session_goes_as_it_is_told(page: Path, tmp_path: Path) -> None:
    """Blocks that name a file write it; commands run in order, and print the lines shown (``...`` stands for anything)."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GITHUB_", "PYTEST_")) and name != "CI"
    }
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    # Of pytest's plugins only ours, as in a fresh environment.
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_tokenbudget.plugin"}
    for language, text in _blocks(page):
        named = re.match(r"# (\S+\.\w+)\n", text)
        if language != "console" and named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
        elif language == "console":
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                done = subprocess.run(
                    ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                for line in expected.splitlines():
                    pattern = ".*".join(map(re.escape, line.split("...")))
                    assert re.search(pattern, done.stdout), (
                        f"{page.name}: {command}: no line {line!r} in\n{done.stdout}{done.stderr}"
                    )


PARTS = """
import subprocess

import httpx
import pytest

from pytest_tokenbudget import stage, token_budget

TOOLS = [{{"type": "function", "function": {{"name": "book", "parameters": {{"type": "object", "properties": {{}}}}}}}}]
SYSTEM_PROMPT = "You book meetings."


class Agent:
    def __call__(self, request):
        self.post(request)
        with stage("worker"):
            self.post("which day?")
            return self.post("book it")

    ask = __call__

    def post(self, said):
        body = {{"model": "gpt-4.1-mini", "messages": [{{"role": "user", "content": said}}]}}
        for _ in range(2):
            answer = httpx.post("{url}/chat/completions", json=body)
            if answer.status_code != 429:
                break
        return answer.text


@pytest.fixture
def agent():
    return Agent()


@pytest.fixture(autouse=True)
def provider(request):
    if "llm_proxy" in request.fixturenames:
        request.getfixturevalue("llm_proxy").upstream("openai", "{url}")

"""
"""What parts of tests leave to their reader: an agent, its tools, and where the model is."""

PAGES_OF_PARTS = ("README", "replay", "footprints", "other-processes", "production")
NODE_AGENT = """
const body = JSON.stringify({model: "gpt-4.1-mini", messages: [{role: "user", content: "hello"}]});
const headers = {"content-type": "application/json"};
await fetch(process.env.OPENAI_BASE_URL + "/chat/completions", {method: "POST", headers, body});
"""
PRODUCTION = [
    {"stage": "worker", "model": "gpt-4.1-mini", "input_tokens": 9000 + 10 * run, "output_tokens": 40, "run": str(run)}
    for run in range(40)
]


@pytest.mark.parametrize("name", PAGES_OF_PARTS)
def test_parts_of_tests_run(
    name: str, pytester: pytest.Pytester, llm_server: LedgerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each test that a page shows without its surroundings passes, with an agent in the place of the reader's."""
    pytest.importorskip("httpx")
    monkeypatch.delenv("CI", raising=False)
    (page,) = (page for page in PAGES if page.stem == name)
    parts = [text for language, text in _blocks(page) if language == "python" and not re.match(r"# \S+\.py\n", text)]
    shown = "\n".join(parts)
    if '"node"' in shown and shutil.which("node") is None:
        pytest.skip("Node is not installed")
    pytester.makepyfile(PARTS.format(url=llm_server.url) + shown)
    (pytester.path / "agent.mjs").write_text(NODE_AGENT)
    if 'against="production"' in shown:
        (pytester.path / "rows.jsonl").write_text("\n".join(map(json.dumps, PRODUCTION)))
        assert main(["import", "--jsonl", "rows.jsonl"]) == 0
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=len(re.findall(r"^def test_", shown, re.MULTILINE)))


def test_hooks_of_the_pages_are_taken(pytester: pytest.Pytester, llm_server: LedgerServer) -> None:
    """The hooks of the page on extending stand in a conftest: their metric is measured, their format is written."""
    pytest.importorskip("httpx")
    (page,) = (page for page in PAGES if page.stem == "extending")
    pytester.makeconftest("\n".join(text for language, text in _blocks(page) if language == "python"))
    test = "@token_budget(limit={'searches': 1})\ndef test_it(agent):\n    agent('hello')\n"
    pytester.makepyfile(PARTS.format(url=llm_server.url) + test)
    pytester.runpytest_inprocess("--tokenbudget-report=out.csv").assert_outcomes(passed=1)
    assert (pytester.path / "out.csv").read_text().endswith("::test_it,new")


def test_the_tutorial_is_a_session() -> None:
    """A page that has no commands any more would pass the test above."""
    assert {"tutorial", "frameworks"} <= {page.stem for page in SESSIONS}
