"""The error of the counts against the providers' own numbers, where the corpus is."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "token_error.py"


@pytest.fixture(scope="module")
def measured():
    spec = importlib.util.spec_from_file_location("token_error", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = script.corpus()
    if not (folder / "open" / "token_truth.jsonl.gz").is_file():
        pytest.skip(f"the corpus of recorded requests is not at {folder}")
    sets, families = script.errors(script.truth(folder))
    return {name: script.figures(found) for name, found in {**sets, **families}.items()}


@pytest.mark.parametrize(
    ("name", "exact", "p95"),
    [
        ("OpenAI chat, plain", 0.98, 0.0),
        ("OpenAI chat, tools", 0.95, 0.02),
        ("OpenAI chat, tools and results", 0.95, 0.03),
        ("OpenAI chat, JSON schema", 0.98, 0.02),
        ("OpenAI Responses, JSON schema", 0.98, 0.0),
        ("OpenAI Responses, all", 0.87, 1.0),
    ],
)
def test_openais_prompts_are_counted_exactly(measured, name, exact, p95):
    """Share that is exact to the token, and the 95th percentile of the relative error."""
    _, share, _, tail = measured[name]
    assert share >= exact
    assert tail <= p95


@pytest.mark.parametrize(
    "family",
    [
        "Claude 4.0, 4.1",
        "Claude 4.5, 4.6",
        "Claude 3, 3.5",
        "Claude Opus 4.8 on",
        "Command A, R7B",
        "DeepSeek",
        "Gemini 2.5",
        "Gemini 3",
        "Gemini on Vertex, 1.5, 2.0",
        "Grok 4.3 and later",
        "Mistral Small",
        "Mistral",
        "Nova 2",
        "Nova",
        "Qwen",
    ],
)
def test_a_familys_profile_is_within_its_median_error(measured, family):
    """5 % without tools, 10 % with tools."""
    assert measured[f"{family}, no tools"][2] <= 0.05
    assert measured[f"{family}, tools"][2] <= 0.10
