"""The extension points.

A ``conftest.py`` implements them as functions of these names. What they take and give is in :mod:`pytest_tokenbudget.ext`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_tokenbudget.baselines.store import BaselineStore
    from pytest_tokenbudget.measure.metrics import MetricSpec
    from pytest_tokenbudget.providers.wire_format import WireFormat
    from pytest_tokenbudget.records.call import Call, Usage
    from pytest_tokenbudget.records.verdict import RunView, TestResult


@pytest.hookspec
def pytest_tokenbudget_wire_formats() -> list[WireFormat]:  # type: ignore[empty-body]  # a specification has no body
    """Further wire formats; they are asked before the built-in ones.

    Example::

        def pytest_tokenbudget_wire_formats():
            return [MyGateway()]

    Returns:
        Instances of subclasses of ``WireFormat``.
    """


@pytest.hookspec(firstresult=True)
def pytest_tokenbudget_stage(call: Call) -> str | None:
    """Give a call, that no code and no ini rule gave to a stage, to one.

    Example::

        def pytest_tokenbudget_stage(call):
            return "judge" if call.model.startswith("o3") else None

    Args:
        call: The call as far as it is read: api, model, status and times; no tokens yet.

    Returns:
        The stage's path, or ``None`` to leave the question to others.
    """


@pytest.hookspec(firstresult=True)
def pytest_tokenbudget_tokenizer(provider: str, model: str) -> Callable[[str], int] | None:
    """A tokenizer for a model.

    Example::

        def pytest_tokenbudget_tokenizer(provider, model):
            if model.startswith("my-"):
                return lambda text: len(my_tokenizer.encode(text))

    Returns:
        A function from a text to its number of tokens, or ``None`` for models that it does not know.
    """


@pytest.hookspec(firstresult=True)
def pytest_tokenbudget_price(provider: str, model: str, usage: Usage) -> float | None:
    """Give the price of a call.

    Example::

        def pytest_tokenbudget_price(provider, model, usage):
            if provider == "in-house":
                return 0.0

    Returns:
        USD, or ``None`` to leave it to the price table.
    """


@pytest.hookspec
def pytest_tokenbudget_metrics() -> list[MetricSpec]:  # type: ignore[empty-body]  # a specification has no body
    """Further metrics, computed for the whole test and for each stage.

    Example::

        def pytest_tokenbudget_metrics():
            return [MetricSpec("searches", "count", "Searches.", lambda view: ...)]
    """


@pytest.hookspec(firstresult=True)
def pytest_tokenbudget_baseline_store(config: pytest.Config) -> BaselineStore | None:
    """Give the store that reads and writes baselines; the JSON files in git where no one answers.

    Example::

        def pytest_tokenbudget_baseline_store(config):
            return MyDatabaseStore()
    """


@pytest.hookspec
def pytest_tokenbudget_report_formats() -> Mapping[str, Callable[[RunView, Path], None]]:  # type: ignore[empty-body]  # a specification has no body
    """Further report formats, by suffix.

    Example::

        def pytest_tokenbudget_report_formats():
            return {".csv": write_csv}

    Returns:
        Suffix -> a function that writes the run's view to the path.
    """


@pytest.hookspec
def pytest_tokenbudget_verdict(result: TestResult) -> None:
    """Called in the controller after each marked test with what the plugin says of it.

    Example::

        def pytest_tokenbudget_verdict(result):
            print(result.nodeid, result.verdict)
    """
