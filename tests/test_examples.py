"""Each example runs as its page says, from a copy, without a key; and its budget fails where its page says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "conftest_examples"
CHANGES = {
    "quickstart": (
        "test_quickstart.py",
        "in one short sentence",
        "in one short sentence, in plain words, and never guess",
        "system",
    ),
    "rag": ("test_rag.py", "BEST = 2", "BEST = 4", "search"),
    "mcp_server": (
        "server.py",
        "order by its number",
        "order by its number, however the customer wrote it down, and asks if in doubt",
        "find_order",
    ),
    "pydantic_ai": (
        "test_pydantic_ai.py",
        "and tells its state",
        f"and tells its state. {'Ask twice. ' * 12}",
        "find_order",
    ),
    "openai_agents": (
        "test_openai_agents.py",
        "and tells its state",
        f"and tells its state. {'Ask twice. ' * 12}",
        "find_order",
    ),
    "agentscope_calendar": (
        "desk.py",
        "Write an event into the calendar.",
        f"Write an event into the calendar. {'Read the day first. ' * 8}",
        "calendar_write",
    ),
    "langgraph": (
        "support_graph.py",
        "and tells its state",
        f"and tells its state. {'Ask twice. ' * 12}",
        "find_order",
    ),
    "dspy": (
        "order_desk.py",
        "and tells its state",
        f"and tells its state. {'Ask twice. ' * 30}",
        "system",
    ),
    "live_latency": (
        "review.py",
        "EXPERTS_AT_ONCE = 3",
        "EXPERTS_AT_ONCE = 1",
        "side by side",
    ),
    "sharded_ci": (
        "test_desk.py",
        "Answer in one sentence.",
        "Answer in one sentence, in plain words, and never guess.",
        "system",
    ),
    "service_in_a_process": (
        "service.py",
        "in one sentence",
        "in one sentence, and ask for the number of the order",
        "system",
    ),
}
"""A change to one file of each example, and a word that the failure says of its cause."""


NEEDS = {
    "mcp_server": ("mcp",),
    "pydantic_ai": ("pydantic_ai",),
    "openai_agents": ("agents",),
    "agentscope_calendar": ("agentscope",),
    "dspy": ("dspy",),
    "langgraph": ("langgraph", "langchain_openai"),
    "service_in_a_process": ("openai", "starlette", "uvicorn"),
}
"""Libraries without which an example is skipped; openai where nothing stands here."""


@pytest.mark.parametrize("name", CHANGES)
def test_an_example_keeps_its_budget_and_a_change_breaks_it(
    name: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed budget is met as it stands; after the change the first cause is named."""
    for library in NEEDS.get(name, ("openai",)):
        pytest.importorskip(library)
    # A framework may keep its event loop for good; at a desk no warning is an error.
    options = ("-q", "-p", "no:cacheprovider", "-W", "ignore::ResourceWarning")
    folder = pytester.path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    stored = {path: path.read_bytes() for path in (folder / "__budgets__").rglob("*") if path.is_file()}
    assert stored, "the example's budget is committed"
    monkeypatch.chdir(folder)
    assert pytester.runpytest_inprocess(*options).ret == 0
    assert {path: path.read_bytes() for path in stored} == stored
    file, old, new, cause = CHANGES[name]
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    # Byte code is taken for fresh where a text of the same length was written within the same second.
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    done = pytester.runpytest_inprocess(*options)
    assert done.ret == 1
    assert "REGRESSION" in done.stdout.str() or "OVER" in done.stdout.str()
    assert cause in done.stdout.str()


def test_each_example_has_a_page() -> None:
    """Every folder says how it is run."""
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))]
    assert folders
    for folder in folders:
        page = (folder / "README.md").read_text(encoding="utf-8")
        assert "pytest" in page or "make demo" in page
