"""What every test has: a clean environment and, on request, a model server that keeps its own books."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import settings
from ledger_server import LedgerServer

import pytest_tokenbudget

# A loaded machine is no failure. In CI the same examples in every run; at a desk new ones, to find what is wrong still.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if "CI" in os.environ else "desk")


def pytest_sessionstart() -> None:
    """Import what inner sessions import: each of them puts ``sys.modules`` back, and would load it all over again.

    Of our own modules it would then know some twice, and what one made, another would not take for its own.
    """
    ours = (found.name for found in pkgutil.walk_packages(pytest_tokenbudget.__path__, "pytest_tokenbudget."))
    for name in (
        *(name for name in ours if not name.endswith("__main__")),
        "genai_prices",
        "httpx",
        "httpx2",
        "openai",
        "anthropic",
        "pydantic",
        "pytest_httpx",
        "pytest_recording",
        "tabulate",
        "toktok",
    ):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear what a CI service sets: the plugin behaves differently there, and tests say so themselves."""
    for name in [name for name in os.environ if name == "CI" or name.startswith(("GITHUB_", "PYTEST_ADDOPTS"))]:
        monkeypatch.delenv(name)
    # Its fixtures are used by no test, and each inner session would import it anew, for a second.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:pook")
    # Sentences are folded at the edge; here each stays whole, so that it can be looked for. One test makes it narrow.
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear keys and proxies, so that no test can reach a provider or be sent past the loopback server."""
    for name in list(os.environ):
        if name.upper().endswith(("_API_KEY", "_PROXY", "_BASE_URL")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _inner_agents_leave_no_litter(request: pytest.FixtureRequest) -> Iterator[None]:
    """Agents in a session inside a test leave clients open, as users' do; the next test is not to be blamed for them."""
    yield
    if "pytester" in request.fixturenames:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def llm_server() -> Iterator[LedgerServer]:
    """A loopback LLM server; ``llm_server.play([...])`` scripts it and ``llm_server.ledger`` is its books."""
    with LedgerServer() as server:
        yield server
