"""What every test has: a clean environment and, on request, a model server that keeps its own books."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from ledger_server import LedgerServer

import pytest_tokenbudget

# A red run is to mean that a change is wrong: the same few examples in every run, and a loaded machine is no failure.
# `make fuzz` looks for what is still wrong, with new examples and with the tests in another order.
settings.register_profile(
    "steady",
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


MOST_TO_LOOK_AT = 20_000
"""Objects that the collection of garbage looks at after each test; where more are left, modules were imported, and they stay
for good."""


@pytest.fixture(scope="session")
def inner_imports() -> None:
    """Import what inner sessions import: each of them puts ``sys.modules`` back, and would load it all over again.

    Of our own modules it would then know some twice, and what one made, another would not take for its own.
    """
    ours = (found.name for found in pkgutil.walk_packages(pytest_tokenbudget.__path__, "pytest_tokenbudget."))
    for name in (
        *(name for name in ours if not name.endswith("__main__")),
        "filelock",
        "genai_prices.data",
        "genai_prices.data_units",
        "genai_prices.decompose",
        "genai_prices.validation",
        "httpx",
        "httpx2",
        "openai",
        "anthropic",
        "pydantic",
        "pytest_httpx",
        "pytest_randomly",
        "pytest_recording",
        "tabulate",
        "toktok",
    ):
        with contextlib.suppress(ImportError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear what a CI service sets: the plugin behaves differently there, and tests say so themselves."""
    for name in [name for name in os.environ if name == "CI" or name.startswith(("GITHUB_", "PYTEST_ADDOPTS"))]:
        monkeypatch.delenv(name)
    # Sentences are folded at the edge; here each stays whole, so that it can be looked for. One test makes it narrow.
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear keys and proxies, so that no test can reach a provider or be sent past the loopback server."""
    for name in list(os.environ):
        if name.upper().endswith(("_API_KEY", "_PROXY", "_BASE_URL")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A file with one certificate: each client of httpx reads all that it is to trust, which takes longer than a call."""
    try:
        import certifi
    except ImportError:
        return None
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("trusted") / "one.pem"
    path.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _little_to_trust(one_authority: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test speaks to a host whose certificate it would have to check against all authorities."""
    if one_authority is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))


@pytest.fixture(autouse=True)
def _inner_agents_leave_no_litter(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _no_ci: None
) -> Iterator[None]:
    """Agents in a session inside a test leave clients open, as users' do; the next test is not to be blamed for them."""
    has_inner_sessions = "pytester" in request.fixturenames
    if has_inner_sessions:
        request.getfixturevalue("inner_imports")
        request.getfixturevalue("pytester")  # it removes a variable that is set here
        # All plugins that happen to be installed take as long to load as the rest of a session.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        options = "-p tokenbudget -p pytest_asyncio.plugin -o asyncio_default_fixture_loop_scope=function"
        monkeypatch.setenv("PYTEST_ADDOPTS", options)
    yield
    if has_inner_sessions:
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore", ResourceWarning)
            # A client of aiohttp complains of its closed loop by an exception in its destructor.
            patch.setattr(sys, "unraisablehook", lambda _: None)
            gc.collect()
        if len(gc.get_objects()) > MOST_TO_LOOK_AT:
            gc.freeze()


@pytest.fixture
def llm_server() -> Iterator[LedgerServer]:
    """A loopback LLM server; ``llm_server.play([...])`` scripts it and ``llm_server.ledger`` is its books."""
    with LedgerServer() as server:
        yield server
