"""A suite in several jobs: what they wrote is merged to what one job would have written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_tokenbudget.cli.main import main

SUITE = """
try:
    import httpx
except ImportError:
    import httpx2 as httpx
from pytest_tokenbudget.replay.script import text

@token_budget("10%")
@pytest.mark.parametrize("number", range(4))
def test_agent(number, scripted_llm):
    scripted_llm.pace(ttft=0.25, tokens_per_second=40)
    scripted_llm.add(*[text("one two three")] * (number + 1))
    for turn in range(number + 1):
        with stage("worker" if turn else "router"):
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": LONGER * (turn + 1)}]}
            httpx.post("http://scripted.invalid/v1/chat/completions", json=body)
"""

OWN_TIME = re.compile(rb'"own_time": (?:\{[^}]*\}|\[\[.*?\]\]|[0-9.e-]+)(?:, |,)?')
"""The one figure that is measured on the real clock, so that it differs from run to run."""


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_are_merged_to_the_bytes_of_one_serial_run(
    project: Any, tmp_path_factory: pytest.TempPathFactory, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matrix jobs split the tests of each file: first with nothing stored, then with an update of what is committed."""
    root: Path = project.pytester.path
    names = ("test_one", "test_two")
    for text, options in (("hello ", ()), ("hello there ", ("--tokenbudget-update",))):
        for name in names:
            project.write(f"LONGER = {text!r}\n{SUITE}", name)
        committed = _stored(root, names)
        places = [tmp_path_factory.mktemp(f"shard-{number}") for number in range(shards)]
        ids = [f"{name}.py::test_agent[{number}]" for name in names for number in range(4)]
        for place, number in zip(places, range(shards), strict=True):
            project.run(*options, *ids[number::shards]).assert_outcomes(passed=len(ids[number::shards]))
            shutil.copytree(root / "__budgets__", place / "__budgets__")
            _restore(root, committed)
        project.run(*options).assert_outcomes(passed=len(ids))
        serial = _stored(root, names)
        assert _steady(serial) != _steady(committed)
        for order in (places, places[::-1]):
            _restore(root, committed)
            monkeypatch.chdir(root)
            assert main(["merge", *map(os.fspath, order), "-o", "."]) == 0
            assert _steady(_stored(root, names)) == _steady(serial)


def _stored(root: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    paths = [root / "__budgets__" / f"{name}.json" for name in names]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def _steady(stored: dict[str, bytes]) -> dict[str, bytes]:
    return {name: OWN_TIME.sub(b"", data) for name, data in stored.items()}


def _restore(root: Path, stored: dict[str, bytes]) -> None:
    shutil.rmtree(root / "__budgets__", ignore_errors=True)
    for name, data in stored.items():
        (root / "__budgets__").mkdir(exist_ok=True)
        (root / "__budgets__" / name).write_bytes(data)
